"""Perturbations of any text: character noise, word dropout, distractor sentences, capital letters.

>>> PERTURBATIONS["dropout"](random.Random(0), "the cast was very good", 1.0)
'the cast was good'
>>> attacked(task, "dropout", strength=0.5)["test"][0]["text"]          # all texts of a task

Made without a download, for tasks that have no adversarial set. Each takes a random generator, a text and a
strength from 0 (the text as it is) to 1. What is drawn does not depend on the strength: under one seed a
stronger perturbation changes all that a weaker one does, and more. Labels are kept, although a lost word can
take the meaning with it; `skillkit.small_world.attacks` knows its world and is safer there.
"""

import math
import random
from dataclasses import replace

import datasets

from skillkit.core.errors import SkillkitError
from skillkit.small_world import ATTACKS

# Nothing here agrees with, denies or judges anything, whatever stands before it.
SENTENCES = (
    "Seven is more than three.", "There is a table in the room.", "It was a Tuesday.",
    "The corridor has two doors.", "Water runs down the hill.", "A year has twelve months.",
)  # fmt: skip
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOUR = {key: (row[:at] + row[at + 1 :])[max(0, at - 1)] for row in _ROWS for at, key in enumerate(row)}


def characters(rng, text, strength, task=None):
    """One letter in ten (strength 1) is hit: lost, doubled, or replaced by its neighbour on a keyboard.

    >>> characters(random.Random(1), "the cast was really very good", 1.0)
    'the ast waa really very good'
    """
    drawn = [(rng.random(), rng.randrange(3)) for _ in text]
    hit = lambda letter, how: ("", 2 * letter, _NEIGHBOUR.get(letter.lower(), letter))[how]
    return "".join(
        hit(letter, how) if letter.isalpha() and chance < 0.1 * strength else letter
        for letter, (chance, how) in zip(text, drawn, strict=True)
    )


def dropout(rng, text, strength, task=None):
    """Three words in ten (strength 1) are lost, but never all of them.

    >>> dropout(random.Random(0), "the cast was really very good", 1.0)
    'the cast was very good'
    """
    words = text.split(" ")
    drawn = [rng.random() for _ in words]
    kept = [word for word, chance in zip(words, drawn, strict=True) if chance >= 0.3 * strength]
    return " ".join(kept or [words[drawn.index(max(drawn))]])


def distractor(rng, text, strength, task=None):
    """One to three sentences (strength 1) that say nothing are added at the end.

    >>> distractor(random.Random(0), "A good film.", 0.3)
    'A good film. The corridor has two doors.'
    """
    order = rng.sample(SENTENCES, len(SENTENCES))
    return " ".join([text, *order[: math.ceil(3 * strength)]])


def casing(rng, text, strength, task=None):
    """Words are written in capitals, all of them at strength 1; an uncased tokenizer will not notice.

    >>> casing(random.Random(0), "the cast was very good", 0.5)
    'the cast WAS VERY good'
    """
    return " ".join(word.upper() if rng.random() < strength else word for word in text.split(" "))


PERTURBATIONS = {change.__name__: change for change in (characters, dropout, distractor, casing)}
# Of a pair, these touch the second text only.
_AT_THE_END = {"distractors", "negation", "distractor"}


def attacks_on(task):
    """Attacks that can be made on a task: those of the small world on its own, the perturbations on any.

    >>> list(attacks_on(load_task("my.csv", text="review", label="stars", verbalizer=["bad", "good"])))
    ['characters', 'dropout', 'distractor', 'casing']
    """
    return (ATTACKS if task.name.startswith("world/") else {}) | PERTURBATIONS


def attacked(task, attack, strength=1.0, seed=0):
    """A task whose texts an attack has changed, in every split; labels and order of the rows stay.

    >>> attacked(task, "typos", 0.5)["test"][0]["text"]

    Raises SkillkitError for a strength outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise SkillkitError(f"the strength of an attack lies between 0 and 1, not {strength}")
    change, splits = attacks_on(task)[attack], {}
    for split, rows in task.splits.items():
        rng, columns = random.Random(f"{seed}/{task.name.removeprefix('world/')}/{attack}/{split}"), {}
        last = "text_pair" if task.pair else "text"
        for column in [last] if attack in _AT_THE_END else dict.fromkeys(["text", last]):
            columns[column] = [change(rng, text, strength, task) for text in rows[column][:]]
        splits[split] = datasets.Dataset.from_dict(rows.to_dict() | columns)
    return replace(task, name=f"{task.name}/{attack}", splits=splits)
