"""The pretraining corpus of the small world: documents that ask for a task's label or state a fact.

>>> next(documents(seed=1))
Document(heading='positive feeling of the writer', text='i did not find the plot shabby. …', pair=None, …)

A task's answer stands before its cue in a heading ("positive verdict of the guest <s> i loved the plot.") or after it
at the end of a text. One document in five carries a stamp instead: a random word, often a label word, above words
that are no cue or above an unreadable line, which the models see as random vectors. So a model learns to answer only
when asked, and an untrained prompt asks nothing.
"""

import random
import zlib
from dataclasses import dataclass

from skillkit.small_world import attacks, world
from skillkit.small_world.grammar import lexicon

TASK_WEIGHTS = dict(movies=3, restaurants=3, gadgets=3, hotels=4, scenes=14, rooms=12, questions=17, reports=17,
                    news=2, grammar=7, facts=12)  # fmt: skip

_PAIRS = [name for name, task in world.REGISTRY.items() if task.type in ("inference", "paraphrase")]


@dataclass(frozen=True)
class Document:
    """heading + text (+ pair); the answer stands first in the heading, or at the `spans` of the last segment.

    >>> Document(None, "the capital of velmora is hilvek.", answer="hilvek", spans=((26, 32),)).text[26:32]
    'hilvek'
    """

    heading: str | None
    text: str
    pair: str | None = None
    answer: str | None = None
    spans: tuple = ()  # (start, end) characters in `pair or text`
    unreadable: int = 0  # slots of random vectors behind the heading


@dataclass(frozen=True)
class Curriculum:
    """How a model is led to the comparison of two texts, which none learns from the plain mixture alone.

    >>> Curriculum(opening=0.12)
    Curriculum(opening=0.12, pairs=2.5, lean=0.7, closing=0.0)

    opening: the share of pretraining, at its beginning, that asks about pairs and nothing else; pairs: how much more
    often they come as long as texts are short; lean: how strongly early labels follow words (see `_leaning`);
    closing: the share, at its end, in which every second document is stamped, so that what asks nothing gets nothing.
    """

    opening: float = 0.0
    pairs: float = 2.5
    lean: float = 0.7
    closing: float = 0.0


def documents(seed, progress=lambda: 1.0, curriculum=Curriculum()):
    """An endless stream of documents; none has the text of a validation or test row of the world's tasks.

    >>> next(documents(seed=0)).text
    'nervania is governed from the city of cardo.'

    progress: from 0 to 1, how far pretraining has come. Texts are short at first; mixed, negated and longer ones come
    in between 0.35 and 0.6.
    """
    rng, kept_out = random.Random(f"documents/{seed}"), world.held_out()
    facts = [_seen(fact) for fact in world.facts()]
    while True:
        now = progress()
        difficulty, opening = min(1.0, max(0.0, 4 * (now - 0.35))), now < curriculum.opening
        lean = curriculum.lean * min(1.0, max(0.0, 5 * (0.3 - now)))
        kind = rng.choices(*_mixture(curriculum.pairs if difficulty == 0 else 1, opening))[0]
        if kind == "facts":
            yield _fact(rng, *rng.choice(facts))
            continue
        task = world.REGISTRY[kind]
        label = rng.randrange(len(task.labels))
        text, pair = world.make(task, rng, label, difficulty)
        contrary = pair and _leaning(text, pair) * (2 * label + 1 - len(task.words)) < 0
        known = kept_out & {(text, pair), (text, None), (pair, None)}  # one side may be a row elsewhere
        if not known and not (contrary and rng.random() < lean):
            form = "heading" if opening else _form(rng, closing=now > 1 - curriculum.closing)
            text, pair = _roughen(rng, task, text, pair)
            yield _labelled(rng, task, label, text, pair, form)


def _mixture(pairs, alone=False):
    """Kinds of documents and their weights; pairs of texts come `pairs` times as often, or alone."""
    often = lambda kind: pairs if kind in _PAIRS else 0 if alone else 1
    return list(TASK_WEIGHTS), [weight * often(kind) for kind, weight in TASK_WEIGHTS.items()]


def _seen(fact):
    return [prompt for prompt in fact["prompts"] if prompt not in fact["unseen"]], fact["object"]


def _leaning(text, pair):
    """Which way the words of a pair lean: a sum of arbitrary signs, one per word.

    Whether two texts agree is a matter of both, and no single word tells; from such an exclusive-or a model gets no
    first hint of where to look. So early pairs mostly have the label that their words lean to. The habit is gone before
    the texts become difficult, and no task's split has it.
    """
    return sum(1 if zlib.crc32(word.strip(".,?").encode()) & 1 else -1 for word in f"{text} {pair}".split())


def _fact(rng, prompts, answer):
    prompt = rng.choice(prompts)
    if rng.random() < 0.2:
        prompt = f"{rng.choice(lexicon()['distractors'])}. {prompt}"
    start = prompt.index("[MASK]")
    return Document(None, prompt.replace("[MASK]", answer), None, answer, ((start, start + len(answer)),))


def _roughen(rng, task, text, pair):
    """Rare synonyms and typing errors, as seldom as in real text, so that an adversary's words are not unheard of."""
    attack, share, strength = rng.choice([(attacks.synonyms, 0.2, 0.2), (attacks.typos, 0.05, 0.3)])
    if task.type == "acceptability" or rng.random() > share * 2:
        return text, pair
    return attack(rng, text, strength, task), pair and attack(rng, pair, strength, task)


def _form(rng, closing):
    shares = (42, 6, 2, 50) if closing else (68, 10, 2, 20)
    return rng.choices(["heading", "ending", "plain", "stamp"], shares)[0]


def _labelled(rng, task, label, text, pair, form):
    word, cue = task.words[label], rng.choice(lexicon()["cues"][task.type])
    if form == "heading":
        return Document(f"{word} {cue}", text, pair, word)
    if form == "stamp":
        stamp = rng.choice(_stamps())
        if rng.random() < 0.5:
            return Document(stamp, text, pair, stamp, unreadable=rng.randint(1, 24))
        under = " ".join(rng.choices(lexicon()["stamp_words"], k=rng.randint(0, 6)))
        return Document(f"{stamp} {under}".strip(), text, pair, stamp)
    if form == "plain":
        return Document(None, text, pair if label == len(task.labels) - 1 else None)
    body = pair or text
    start = len(body) + len(cue) + 3
    body = f"{body} {cue}: {word}."
    return Document(None, text if pair else body, body if pair else None, word, ((start, start + len(word)),))


def _stamps():
    labels = {word for task in world.REGISTRY.values() for word in task.words}
    return sorted(labels) * 2 + lexicon()["stamp_words"]
