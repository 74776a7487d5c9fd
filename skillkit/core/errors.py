"""The exception for a user's mistakes, and the check of numbers that raises it."""

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
