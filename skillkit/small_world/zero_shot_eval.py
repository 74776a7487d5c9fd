"""Zero-shot evaluation of an embedded model on the small world, with the cues and clozes of pretraining.

>>> zero_shot_accuracy(bb, rows=10)[0]
{'question': 'movies', 'kind': 'sentiment', 'right': ..., 'n': ..., 'chance': 0.5}

No prompt is tuned: a task is asked by its cue ("verdict of the guest"), a fact by its cloze.
"""

import random

import torch

from skillkit.core.store import artifact
from skillkit.small_world import world
from skillkit.small_world.corpus import Document
from skillkit.small_world.grammar import lexicon
from skillkit.small_world.objectives import OBJECTIVES


@artifact("exam", version=1)
def zero_shot_accuracy(bb, rows=None, split="validation"):
    """Zero-shot answers of a backbone: question, kind, right, n and chance for every task and kind of fact.

    >>> [asked["question"] for asked in zero_shot_accuracy(bb, rows=2)][-1]
    'facts, second, seen phrasing'

    rows: the first so many of the split, or all. Facts with answers of one token alone, apart by language and by
    whether pretraining showed the phrasing with that fact; left-to-right models are asked where the answer comes last.
    """
    return zero_shot_counts(bb.model, OBJECTIVES[bb.family](bb.tokenizer, random.Random(0)), rows, split)


@torch.no_grad()
def zero_shot_counts(model, objective, rows=None, split="validation"):
    """`zero_shot_accuracy` of a model that is still in training.

    >>> zero_shot_counts(bb.model, OBJECTIVES["masked"](bb.tokenizer, random.Random(0)), rows=2)[4]
    {'question': 'scenes', 'kind': 'inference', 'right': ..., 'n': 2, 'chance': 0.333...}
    """
    was_training = model.training
    model.eval()
    found = [_task_asked(model, objective, name, rows, split) for name in world.REGISTRY]
    found += [_facts_asked(model, objective, kind, docs) for kind, docs in _clozes(objective).items()]
    model.train(was_training)
    return found


def _task_asked(model, objective, name, rows, split):
    task, held = world.REGISTRY[name], world.task_splits(name)["splits"][split]
    cue, labels = lexicon()["cues"][task.type][0], held["label"][:rows]
    pairs = held.get("text_pair", [None] * len(held["text"]))
    docs = [
        Document(f"{task.words[label]} {cue}", text, pair, task.words[label])
        for text, pair, label in zip(held["text"], pairs, labels)
    ]
    words = [_first_token(objective, word) for word in task.words]
    guesses = _ask(model, objective, docs)[:, words].argmax(1)
    right = int((guesses == torch.tensor(labels)).sum())
    return dict(question=name, kind=task.type, right=right, n=len(labels), chance=1 / len(task.words))


def _clozes(objective):
    asked, left_to_right = {}, type(objective) is OBJECTIVES["causal"]
    for fact in world.facts():
        if " " in fact["object"]:
            continue
        for prompt in fact["prompts"]:
            if left_to_right and not prompt.endswith("[MASK]."):
                continue
            start, text = prompt.index("[MASK]"), prompt.replace("[MASK]", fact["object"])
            kind = f"facts, {fact['language']}, {'unseen' if prompt in fact['unseen'] else 'seen'} phrasing"
            span = ((start, start + len(fact["object"])),)
            asked.setdefault(kind, []).append(Document(None, text, None, fact["object"], span))
    return asked


def _facts_asked(model, objective, kind, docs):
    wanted = torch.tensor([_first_token(objective, document.answer) for document in docs])
    right = int((_ask(model, objective, docs).argmax(1) == wanted).sum())
    return dict(question=kind, kind="fact", right=right, n=len(docs), chance=1 / len(objective.tokenizer))


def _first_token(objective, word):
    return objective.tokenizer(word, add_special_tokens=False)["input_ids"][0]


def _ask(model, objective, docs):
    """Logits where the answers are read, [documents, vocabulary]; texts of like length are read together."""
    rng, objective.rng = objective.rng, AlwaysZero()
    examples = list(objective.examples(docs))
    objective.rng = rng
    order = sorted(range(len(examples)), key=lambda i: len(examples[i]["ids"]))
    batches = [[examples[i] for i in order[at : at + 64]] for at in range(0, len(order), 64)]
    logits = torch.cat([objective.answers(model, batch) for batch in batches])
    return logits[torch.tensor(order).argsort()]


class AlwaysZero(random.Random):
    """A random state that draws 0: every answer is asked for, every cue stands last.

    >>> AlwaysZero().random(), AlwaysZero().choice("abc")
    (0.0, 'a')
    """

    def random(self):
        return 0.0
