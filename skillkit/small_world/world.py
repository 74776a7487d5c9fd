"""The small world: English-like tasks, facts and adversarial views with a known truth, from a seed.

>>> movies = task_splits("movies")
>>> movies["splits"]["train"]["text"][0], movies["splits"]["train"]["label"][0]
('the hall was half full. i did not find the acting gripping. it was a shallow picture.', 0)

Ten classification tasks of five types, facts in two languages (English, and "second", which is made after Esperanto,
written without accents), and four adversarial views of every task.
Everything follows from a seed: the same seed gives the same texts on every machine and in every Python version.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from skillkit.core.errors import SkillkitError
from skillkit.small_world import grammar as texts
from skillkit.small_world.attacks import ATTACKS
from skillkit.small_world.grammar import NEWS_TOPICS, lexicon

SIZES = {"train": 2000, "validation": 500, "test": 1000}
SEED = 0  # of the published splits; development seeds are any others


@dataclass(frozen=True)
class WorldTask:
    """A generator and what its labels are called.

    >>> REGISTRY["rooms"].words, REGISTRY["rooms"].about
    (('no', 'yes'), '2-class inference about houses')
    """

    type: str
    labels: tuple
    words: tuple  # label words, one token each in every embedded tokenizer
    make: Callable  # (rng, label, hard) -> (text, text_pair or None)
    about: str


def _sentiment(domain, three=False):
    labels = ("negative", "neutral", "positive") if three else ("negative", "positive")
    spread = (lambda y: y) if three else (lambda y: 2 * y)
    make = lambda rng, label, hard=1.0: texts.review(rng, spread(label), hard, domain=domain)
    return WorldTask("sentiment", labels, labels, make, f"{len(labels)}-class sentiment of {domain} reviews")


REGISTRY = {
    "movies": _sentiment("movies"),
    "restaurants": _sentiment("restaurants"),
    "gadgets": _sentiment("gadgets"),
    "hotels": _sentiment("hotels", three=True),
    "scenes": WorldTask("inference", ("contradiction", "neutral", "entailment"), ("no", "maybe", "yes"), texts.scene,
                        "3-class inference about people"),
    "rooms": WorldTask("inference", ("contradiction", "entailment"), ("no", "yes"), texts.rooms,
                       "2-class inference about houses"),
    "questions": WorldTask("paraphrase", ("different", "same"), ("false", "true"), texts.questions,
                           "are two questions the same?"),
    "reports": WorldTask("paraphrase", ("different", "same"), ("false", "true"), texts.reports,
                         "do two reports tell of one event?"),
    "news": WorldTask("topic", NEWS_TOPICS, NEWS_TOPICS, texts.news, "4-class topic of short articles"),
    "grammar": WorldTask("acceptability", ("unacceptable", "acceptable"), ("wrong", "right"), texts.grammar,
                         "is the sentence well formed?"),
}  # fmt: skip
TASKS = {name: task.about for name, task in REGISTRY.items()}


def _task(name):
    if name not in REGISTRY:
        raise SkillkitError(f"the small world has no task {name!r}; it has {', '.join(REGISTRY)}.")
    return REGISTRY[name]


def make(task, rng, label, hard=1.0):
    """One (text, text_pair or None) of a task; `hard` from 0 to 1 lets in mixed, negated and longer texts.

    >>> make(REGISTRY["rooms"], random.Random(3), 0, hard=0.0)
    ('the office is bright.', 'the office is unlit.')
    """
    made = task.make(rng, label, hard)
    return tuple(text and re.sub(r"\ba (?=[aeio]|ug|un)", "an ", text) for text in made)


@cache
def _splits(name, seed):
    task, seen, splits = _task(name), set(), {}
    for split, size in SIZES.items():
        rng, rows = random.Random(f"{seed}/{name}/{split}"), []
        while len(rows) < size or len(rows) % len(task.labels):
            label = len(rows) % len(task.labels)
            made = make(task, rng, label)
            if made not in seen:
                seen.add(made)
                rows.append((*made, label))
        rng.shuffle(rows)
        splits[split] = rows
    return splits


def task_splits(name, seed=SEED):
    """Class-balanced, disjoint train / validation / test splits of one task, with its label words.

    >>> splits = task_splits("rooms")["splits"]
    >>> {split: len(rows["label"]) for split, rows in splits.items()}
    {'train': 2000, 'validation': 500, 'test': 1000}

    A row is never in two splits; the numbers are rounded up to a multiple of the number of classes.
    """
    task = _task(name)
    splits = {split: _columns(rows) for split, rows in _splits(name, seed).items()}
    return dict(splits=splits, labels=list(task.labels), verbalizer=list(task.words), type=task.type,
                metric="accuracy", template=None)  # fmt: skip


def _columns(rows):
    texts, pairs, labels = map(list, zip(*rows))
    return {"text": texts, **({"text_pair": pairs} if pairs[0] is not None else {}), "label": labels}


@cache
def held_out(seed=SEED):
    """Every (text, text_pair) of a validation or test split: what pretraining must never see.

    >>> splits = task_splits("movies")["splits"]
    >>> [(splits[split]["text"][0], None) in held_out() for split in ("train", "validation", "test")]
    [False, True, True]
    """
    return frozenset((text, pair) for name in REGISTRY for split in ("validation", "test")
                     for text, pair, _ in _splits(name, seed)[split])  # fmt: skip


@cache
def _facts():
    words, relations = lexicon()["facts"], lexicon()["relations"]
    rng, made = random.Random("facts"), []
    for relation, spec in relations.items():
        answers = words[spec["answers"]]
        second = answers if isinstance(answers, dict) else {answer: answer for answer in answers}
        pool = list(second)
        for i, subject in enumerate(words[spec["subjects"]]):
            if i % len(pool) == 0:
                rng.shuffle(pool)
            answer = pool[i % len(pool)]
            if relation == "capital" and i % 4 == 3:  # some answers of more than one token
                answer = words["long_cities"][i // 4 % len(words["long_cities"])]
            for language, forms, objects in (
                ("english", spec["english"], answer),
                ("second", spec["second"], second.get(answer, answer)),
            ):
                unseen = {i % 6, (i + 3) % 6} if language == "english" else {i % 3}
                prompts = [form.replace("[X]", subject).replace(" .", ".") for form in forms]
                made.append(dict(relation=relation, uuid=f"{relation}-{i:02d}-{language}", subject=subject,
                                 object=objects, language=language, prompts=prompts,
                                 unseen=[prompts[k] for k in sorted(unseen)]))  # fmt: skip
    return made


def facts(language=None):
    """The facts of the small world, one dictionary each, in the layout of PARAREL plus language and unseen phrasings.

    >>> facts("english")[0]["prompts"][0]
    'the capital of velmora is [MASK].'

    `unseen` lists the phrasings that pretraining never showed with this fact (it showed them with others).
    Capitals of every fourth country are two words long, all other answers one.
    """
    return [dict(fact) for fact in _facts() if language in (None, fact["language"])]


def adversarial(name, attack, strength=1.0, seed=SEED):
    """One adversarial view of a task: the same examples and labels, validation and test texts attacked.

    >>> adversarial("movies", "synonyms")["splits"]["test"]["text"][0]
    'the story was feeble. i resented the dialogue.'

    attack: typos, synonyms (rare ones), distractors (sentences that say nothing) or negation; strength from 0
    (the clean text) to 1. Of a pair, distractors and negation touch the second text, the others both.
    """
    if attack not in ATTACKS:
        raise SkillkitError(f"no attack is called {attack!r}; there are {', '.join(ATTACKS)}.")
    if not 0 <= strength <= 1:
        raise SkillkitError(f"the strength of an attack lies between 0 and 1, not {strength}.")
    view, task = task_splits(name, seed), _task(name)
    for split in ("validation", "test"):
        rng, rows = random.Random(f"{seed}/{name}/{attack}/{split}"), view["splits"][split]
        last = "text_pair" if "text_pair" in rows else "text"
        for column in [last] if attack in ("distractors", "negation") else dict.fromkeys(["text", last]):
            rows[column] = [ATTACKS[attack](rng, text, strength, task) for text in rows[column]]
    return view
