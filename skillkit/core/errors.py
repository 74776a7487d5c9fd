"""The one exception a user is meant to read, and the check of numbers that raises it."""

from numbers import Integral, Real


class SkillkitError(ValueError):
    """Bad input, told in one sentence: what was wrong and what to do.

    >>> raise SkillkitError("no task 'sst' is known; did you mean 'glue/sst2'?")
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: no task 'sst' is known; did you mean 'glue/sst2'?

    The command line prints the sentence without a traceback and exits with status 2.
    """


def at_least(least, **given):
    """Raise a SkillkitError for what is no number or too small; whole numbers alone will do where `least` is one.

    >>> at_least(1, batch_size=0)
    Traceback (most recent call last):
    skillkit.errors.SkillkitError: batch_size cannot be 0; give a whole number of at least 1
    """
    whole = isinstance(least, Integral)
    for name, value in given.items():
        if not (isinstance(value, Integral if whole else Real) and value >= least):
            raise SkillkitError(
                f"{name} cannot be {value!r}; give a {'whole ' * whole}number of at least {least:g}"
            )
