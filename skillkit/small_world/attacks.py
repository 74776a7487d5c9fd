"""Adversarial attacks on texts of the small world: typos, rare synonyms, distractors, negation stress.

>>> ATTACKS["synonyms"](random.Random(0), "the cast was terrible.", 1.0, world.REGISTRY["movies"])
'the cast was atrocious.'

Each attack takes a random generator, a text, a strength from 0 to 1 and the task, and keeps the label.
"""

from skillkit.small_world.grammar import OPPOSITE, lexicon


def _typo(rng, word):
    if len(word) < 4 or not word.isalpha():
        return word
    i = rng.randrange(len(word) - 1)
    swapped = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return rng.choice([swapped, word[:i] + word[i + 1 :], word[: i + 1] + word[i:]])


def typos(rng, text, strength, task):
    """Three words in ten (strength 1) have two letters swapped, or one lost or doubled.

    >>> typos(random.Random(0), "the cast was really terrible", 1.0, task)
    'the cast was realy terrible'

    Words of fewer than four letters stay as they are, and so do those with a mark behind them.
    """
    return " ".join(_typo(rng, word) if rng.random() < 0.3 * strength else word for word in text.split(" "))


def synonyms(rng, text, strength, task):
    """Words are replaced by rare ones of the same meaning, all that have one at strength 1.

    >>> synonyms(random.Random(0), "the cast was terrible.", 1.0, task)
    'the cast was atrocious.'
    """
    rare = lexicon()["rare"]
    return _map_words(text, lambda word: rare[word] if word in rare and rng.random() < strength else word)


def distractors(rng, text, strength, task):
    """Up to three sentences (strength 1) that say nothing are added at the end.

    >>> distractors(random.Random(0), "the cast was terrible.", 0.5, task)
    'the cast was terrible. the post came at nine. a lamp stood in the corner.'
    """
    added = rng.sample(lexicon()["distractors"], round(3 * strength))
    return " ".join([text, *(sentence + "." for sentence in added)])


def negation(rng, text, strength, task):
    """Reviews: an adjective becomes the negation of its opposite. Other texts: a tautology full of negations.

    >>> negation(random.Random(0), "the cast was terrible.", 1.0, world.REGISTRY["movies"])
    'the cast was not fantastic.'
    >>> negation(random.Random(0), "the kitchen is bright.", 1.0, world.REGISTRY["rooms"])
    'the kitchen is bright and it is not true that no is yes.'
    """
    if task.type != "sentiment":
        tail = rng.choice(lexicon()["tautologies"])
        return f"{text[:-1]} {tail}{text[-1]}" if rng.random() < strength else text
    words = lexicon()["adjectives"]
    opposite = {word: OPPOSITE[side] for side in OPPOSITE for word in words[side]}

    def turn(word):
        stressed = word in opposite and rng.random() < strength
        return f"not {rng.choice(words[opposite[word]])}" if stressed else word

    return _map_words(text, turn)


def _map_words(text, change):
    stripped = ((word.rstrip(".,?"), word) for word in text.split(" "))
    return " ".join(change(bare) + word[len(bare) :] for bare, word in stripped)


ATTACKS = {"typos": typos, "synonyms": synonyms, "distractors": distractors, "negation": negation}
