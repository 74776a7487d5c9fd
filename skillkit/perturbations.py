"""What may happen to any text: character noise, lost words, a sentence that says nothing, capital letters.

>>> PERTURBATIONS["dropout"](random.Random(0), "the cast was very good", 1.0)
'the cast very good'

Made without a download, for tasks that have no adversarial set. Each takes a random generator, a text and a
strength from 0 (the text as it is) to 1. What is drawn does not depend on the strength: under one seed a
stronger perturbation changes all that a weaker one does, and more. Labels are kept, although a lost word can
take the meaning with it; `skillkit.attacks` knows its world and is safer there.
"""

import math

# Nothing here agrees with, denies or judges anything, whatever stands before it.
SENTENCES = (
    "Seven is more than three.",
    "There is a table in the room.",
    "It was a Tuesday.",
    "The corridor has two doors.",
    "Water runs down the hill.",
    "A year has twelve months.",
)
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOUR = {key: (row[:at] + row[at + 1 :])[max(0, at - 1)] for row in _ROWS for at, key in enumerate(row)}


def characters(rng, text, strength, task=None):
    """One letter in ten (strength 1) is hit: lost, doubled, or replaced by its neighbour on a keyboard."""
    drawn = [(rng.random(), rng.randrange(3)) for _ in text]
    hit = lambda letter, how: ("", 2 * letter, _NEIGHBOUR.get(letter.lower(), letter))[how]
    return "".join(
        hit(letter, how) if letter.isalpha() and chance < 0.1 * strength else letter
        for letter, (chance, how) in zip(text, drawn, strict=True)
    )


def dropout(rng, text, strength, task=None):
    """Three words in ten (strength 1) are lost, but never all of them."""
    words = text.split(" ")
    drawn = [rng.random() for _ in words]
    kept = [word for word, chance in zip(words, drawn, strict=True) if chance >= 0.3 * strength]
    return " ".join(kept or [words[drawn.index(max(drawn))]])


def distractor(rng, text, strength, task=None):
    """One to three sentences (strength 1) that say nothing are added at the end."""
    order = rng.sample(SENTENCES, len(SENTENCES))
    return " ".join([text, *order[: math.ceil(3 * strength)]])


def casing(rng, text, strength, task=None):
    """Words are written in capitals, all of them at strength 1; an uncased tokenizer will not notice."""
    return " ".join(word.upper() if rng.random() < strength else word for word in text.split(" "))


PERTURBATIONS = {
    "characters": characters, "dropout": dropout, "distractor": distractor, "casing": casing,
}  # fmt: skip
