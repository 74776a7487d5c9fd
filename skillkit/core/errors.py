"""The exception for a user's mistakes, and the checks of arguments that raise it."""

from collections.abc import Iterable
from numbers import Integral, Real


class SkillkitError(ValueError):
    """A mistake in the input: one sentence that says what is wrong and what to do.

    >>> raise SkillkitError("no task 'sst' is known; did you mean 'glue/sst2'?")
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: no task 'sst' is known; did you mean 'glue/sst2'?

    The command line prints the sentence without a traceback and exits with status 2.
    """


def at_least(least, **given):
    """Raise a SkillkitError for an argument that is no number or below `least`; an integer `least` takes integers only.

    >>> at_least(1, batch_size=0)
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: batch_size cannot be 0; give a whole number of at least 1
    """
    whole = isinstance(least, Integral)
    for name, value in given.items():
        if not (isinstance(value, Integral if whole else Real) and value >= least):
            kind = "whole number" if whole else "number"
            raise SkillkitError(f"{name} cannot be {value!r}; give a {kind} of at least {least:g}")


def of_kind(kind, **given):
    """Raise a SkillkitError for an argument that is not of this class.

    >>> of_kind(dict, prompts=[])
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: prompts must be a dict, not a list
    """
    for name, value in given.items():
        if not isinstance(value, kind):
            raise SkillkitError(f"{name} must be a {kind.__name__}, not a {type(value).__name__}")


def listed(given):
    """A list of what is given as one value, an array, a tensor or any sequence; a text is one value.

    >>> listed(0.1), listed("movies"), listed(range(2))
    ([0.1], ['movies'], [0, 1])

    A number of single precision is the one that it prints as: 0.1, not 0.10000000149.
    """
    values = given.tolist() if hasattr(given, "tolist") else given
    values = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else [values]
    short = str(getattr(given, "dtype", "")).endswith("float32")
    return [float(f"{value:.7g}") for value in values] if short else values
