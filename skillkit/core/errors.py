"""The exception for a user's mistakes, the checks of arguments that raise it, and what its messages quote."""

import re
import reprlib
from collections.abc import Iterable
from numbers import Integral, Real

# What UTF-8 cannot hold, though an escape of JSON can write it: one half of a surrogate pair.
_HALF = re.compile("[\ud800-\udfff]")
_QUOTES = reprlib.Repr()  # stops early, however much there is
_QUOTES.maxstring = _QUOTES.maxother = 200
_QUOTES.maxdict = 8
_EXPECTED = {
    "missing": "is missing", "dict_type": "should be names with values (name: value)",
    "string_pattern_mismatch": "cannot be the name of a file or folder",
}  # fmt: skip


class SkillkitError(ValueError):
    """A mistake in the input: one sentence that says what is wrong and what to do.

    >>> raise SkillkitError("no task 'sst' is known; did you mean 'glue/sst2'?")
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: no task 'sst' is known; did you mean 'glue/sst2'?

    The command line prints the sentence without a traceback and exits with status 2.
    """

    def __init__(self, sentence):
        super().__init__(sentence if len(sentence) <= 4000 else f"{sentence[:3000]} … {sentence[-900:]}")


def at_least(least, **given):
    """Raise a SkillkitError for an argument that is no number, below `least` or 2³² and more; an integer `least` takes
    integers only.

    >>> at_least(1, batch_size=0)
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: batch_size cannot be 0; give a whole number of at least 1
    """
    whole = isinstance(least, Integral)
    for name, value in given.items():
        if not (isinstance(value, Integral if whole else Real) and least <= value < 2**32):  # type: ignore[operator]
            kind = "whole number" if whole else "number"
            raise SkillkitError(
                f"{name} cannot be {quoted(value)}; give a {kind} of at least {least:g}"
                + ", below 4294967296" * bool(isinstance(value, Real) and value >= 2**32)  # type: ignore[operator]
            )


def of_kind(kind, **given):
    """Raise a SkillkitError for an argument that is not of this class.

    >>> of_kind(dict, prompts=[])
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: prompts must be a dict, not a list
    """
    for name, value in given.items():
        if not isinstance(value, kind):
            raise SkillkitError(f"{name} must be a {kind.__name__}, not a {type(value).__name__}")


def is_text(value):
    """Whether a value is a text that UTF-8 can hold.

    >>> is_text("a text"), is_text(b"a text"), is_text("\\ud800")
    (True, False, False)
    """
    return isinstance(value, str) and not _HALF.search(value)


def listed(given):
    """A list of what is given as one value, an array, a tensor or any sequence; a text is one value.

    >>> listed(0.1), listed("movies"), listed(range(2))
    ([0.1], ['movies'], [0, 1])

    A number of single precision is the one that it prints as: 0.1, not 0.10000000149.
    """
    values = given.tolist() if hasattr(given, "tolist") else given
    values = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else [values]
    single = str(getattr(given, "dtype", "")).endswith("float32")
    return [float(f"{value:.7g}") for value in values] if single else values


def quoted(value):
    """A value as messages quote it, in at most 200 characters.

    >>> quoted([1] * 1000)
    '[1, 1, 1, 1, 1, 1, ...]'
    """
    try:
        return short(_QUOTES.repr(value))
    except ValueError:  # a number of more digits than Python writes
        return f"a very large {type(value).__name__}"


def short(text):
    """A text, a path or what an error says in one line of at most 200 characters.

    >>> short(" one   line ")
    'one line'
    """
    line = " ".join(str(text).split())
    return line if len(line) <= 200 else f"{line[:199]}…"


def first_mistake(error):
    """The first mistake that pydantic found as part of a sentence, and how many more there are.

    >>> first_mistake(error)
    'name should be a valid string, not 3'
    """
    first, *others = error.errors(include_url=False)
    expected = _EXPECTED.get(first["type"]) or re.sub(r"^\w+ (?=should)|after validation", "", first["msg"])
    given = f", not {quoted(first['input'])}" * (first["type"] != "missing")
    given += f" (and {len(others)} more)" * bool(others)
    return f"{short('.'.join(map(str, first['loc'])))} {expected}{given}"
