"""The word that stands for each label, and the one token of a vocabulary that it is.

>>> by_family(["bad", "good"], labels=("0", "1"), name="my")
{'masked': ('bad', 'good'), 'seq2seq': ('bad', 'good'), 'causal': ('bad', 'good')}
"""

from collections.abc import Mapping, Set

import torch

from skillkit.core.errors import SkillkitError, listed

FAMILIES = ("masked", "seq2seq", "causal")


def by_family(words, labels, name):
    """{family: words}, a different word for each label; a family without any takes the masked ones.

    >>> by_family({"masked": ["no", "yes"], "seq2seq": ["false", "true"]}, ("0", "1"), "my")["causal"]
    ('no', 'yes')

    Raises SkillkitError for an unknown family, too few or too many words, and a word given twice.
    """
    given = word_lists(words, name)
    default = given.get("masked", next(iter(given.values())))
    full = {family: tuple(given.get(family, default)) for family in FAMILIES}
    for mine in full.values():
        if len(mine) != len(labels):
            words = f"{len(mine)} label words ({', '.join(mine)}); give one word for each with verbalizer="
            raise SkillkitError(f"task {name!r} has {len(labels)} labels ({', '.join(labels)}) but {words}")
        twice = [word for word in mine if mine.count(word) > 1]
        if twice:
            raise SkillkitError(f"task {name!r} uses the word {twice[0]!r} for two labels; give each its own")
    return full


def word_lists(words, name):
    """{family: list of words} as it was given, or SkillkitError for what is neither a list of words nor such a dict.

    >>> word_lists(["bad", "good"], "my")
    {'masked': ['bad', 'good']}
    """
    given = dict(words) if isinstance(words, Mapping) else {"masked": words}
    if not given or set(given) - set(FAMILIES):
        rule = f"one list of words in the order of the labels, or one for each of {', '.join(FAMILIES)}"
        there = ", ".join(map(str, given)) or "none"
        raise SkillkitError(f"the verbalizer of {name!r} is {rule}; not for {there}")
    for lone in given.values():
        # A set has no order, and its words would change places from one process to the next.
        if isinstance(lone, str | Set) or not all(isinstance(word, str) for word in listed(lone)):
            raise SkillkitError(f"the verbalizer of {name!r} is a list of words, not {lone!r}")
    return given


def split_words(words):
    """Words in one text with commas between them, as `--verb` of Skill-Neuron has them, as a list; others as they are.

    >>> split_words("bad,good"), split_words(["bad", "good"])
    (['bad', 'good'], ['bad', 'good'])
    """
    return [word.strip() for word in words.split(",")] if isinstance(words, str) and "," in words else words


def token_ids(bb, words, labels, leading_space=True):
    """Vocabulary ids of one-token words: LongTensor [labels]; see `Task.label_ids`.

    >>> token_ids(bb, ("bad", "good"), ("0", "1"))
    tensor([..., ...])

    Raises SkillkitError that names a word of several tokens, or two labels that share a token.
    """
    ids = [_token_id(bb, *pair, leading_space) for pair in zip(words, labels, strict=True)]
    label_of = {}
    for label, number in zip(labels, ids, strict=True):
        if number in label_of:
            both = f"{label_of[number]!r} and {label!r} share one token of {bb.name}"
            raise SkillkitError(f"labels {both}; give each its own word")
        label_of[number] = label
    return torch.tensor(ids)


def _token_id(bb, word, label, leading_space):
    forms = [bb.tokenizer.tokenize(f" {word}"), bb.tokenizer.tokenize(word)]
    for tokens in forms if leading_space else reversed(forms):
        if len(tokens) == 1 and tokens[0] != bb.tokenizer.unk_token:
            return bb.tokenizer.convert_tokens_to_ids(tokens[0])
    shortest = min(map(list, forms), key=len)
    read = f"which reads it as {' + '.join(shortest)}; choose another word with verbalizer="
    raise SkillkitError(f"label word {word!r} (label {label!r}) is not one token for {bb.name}, {read}")
