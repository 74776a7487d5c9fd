"""The exception for a user's mistakes, the checks of arguments that raise it, and what its messages quote."""

import re
import reprlib
from collections.abc import Iterable
from numbers import Integral, Real
from os import PathLike
from typing import TypeGuard

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

    The command line prints the sentence without a traceback and exits with status 2. It is one line, and what it quotes
    is cut: 200 characters of a word, 4,000 in all.
    """

    def __init__(self, sentence):
        line = sentence[:100_000].replace("\n", " ")
        line = re.sub(r"\S{201,}", lambda word: f"{word[0][:160]}…{word[0][-39:]}", line)
        super().__init__(line if len(line) <= 4000 else f"{line[:3000]} … {line[-900:]}")


def at_least(least, /, most=2**32 - 1, **given):
    """Raise a SkillkitError for an argument that is no number, below `least` or above `most`; an integer `least` takes
    integers only.

    >>> at_least(1, batch_size=0)
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: batch_size cannot be 0; give a whole number of at least 1
    """
    whole = isinstance(least, Integral)
    for name, value in given.items():
        number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
        if not (number and least <= value <= most):  # type: ignore[operator]
            kind = "whole number" if whole else "number"
            bound = f", at most {most:,}" if number and value > most else ""  # type: ignore[operator]
            raise SkillkitError(
                f"{name} cannot be {quoted(value)}; give a {kind} of at least {least:g}{bound}"
            )


def is_number(value) -> TypeGuard[float]:
    """Whether a value is a number, which neither a truth value nor a text is.

    >>> is_number(0.5), is_number(True), is_number("0.5")
    (True, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def finite(**given):
    """Raise a SkillkitError for an argument that is no finite number.

    >>> finite(factor=float("nan"))
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: factor must be a finite number, not nan
    """
    for name, value in given.items():
        if not (is_number(value) and -1e38 < value < 1e38):
            raise SkillkitError(f"{name} must be a finite number, not {quoted(value)}")


def of_kind(kind, /, **given):
    """Raise a SkillkitError for an argument that is not of this class.

    >>> of_kind(dict, prompts=[])
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: prompts must be a dict, not a list
    """
    for name, value in given.items():
        if not isinstance(value, kind):
            raise SkillkitError(
                f"{name} must be a {getattr(kind, '__name__', kind)}, not a {type(value).__name__}"
            )


def check_objects(bb, task=..., prompt=None):
    """Refuse names and folders where the things themselves are meant, saying which function loads them.

    >>> check_objects("embedded/bert")
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: bb is 'embedded/bert', a str; give sk.load_backbone('embedded/bert')
    """
    given = {"bb": (bb, "family", "sk.load_backbone"), "task": (task, "labels", "sk.load_task")}
    given["prompt"] = (prompt, "on", "sk.SoftPrompt.load")
    for name, (value, attribute, load) in given.items():
        if value is ... or value is None and name == "prompt" or hasattr(value, attribute):
            continue
        named = isinstance(value, str | PathLike)
        remedy = f"{load}({quoted(str(value))})" if named else f"one that {load} returns"
        shown = quoted(str(value)) if named else "no such object"
        raise SkillkitError(f"{name} is {shown}, a {type(value).__name__}; give {remedy}")


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


def whole_numbers(name, given):
    """A list of whole numbers of what is given as one, or as several in any sequence; SkillkitError for anything else.

    >>> whole_numbers("layers", [3, 0]), whole_numbers("layers", 2)
    ([3, 0], [2])
    """
    values = listed(given)
    if not all(isinstance(value, Integral) and not isinstance(value, bool) for value in values):
        raise SkillkitError(f"{name} are whole numbers, not {quoted(given)}")
    return [int(value) for value in values]  # type: ignore[call-overload]


def each_once(name, values):
    """The values, or SkillkitError for one that is there twice.

    >>> each_once("rates", [0.1, 0.2])
    [0.1, 0.2]
    """
    seen = set()
    for value in values:
        if repr(value) in seen:
            raise SkillkitError(f"{name} has {quoted(value)} twice; give each once")
        seen.add(repr(value))
    return values


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
