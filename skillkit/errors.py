"""The one exception a user is meant to read."""


class SkillkitError(ValueError):
    """Bad input, told in one sentence: what was wrong and what to do.

    >>> raise SkillkitError("no task 'sst' is known; did you mean 'glue/sst2'?")
    Traceback (most recent call last):
    skillkit.errors.SkillkitError: no task 'sst' is known; did you mean 'glue/sst2'?

    The command line prints the sentence without a traceback and exits with status 2.
    """
