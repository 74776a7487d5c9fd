"""What only saves time: every result is the same without it, up to rounding.

>>> enabled()                                      # False with SKILLKIT_PLAIN=1 in the environment
True
"""

import os
from contextlib import contextmanager


def enabled():
    """Whether anything may be computed in a shorter way: not with SKILLKIT_PLAIN=1 in the environment.

    >>> enabled()
    True
    """
    return os.environ.get("SKILLKIT_PLAIN", "0") in ("", "0")


@contextmanager
def replaced(module, name, function):
    """A module with `function` in place of one of its methods, such as "forward".

    >>> with replaced(bb.blocks[0], "forward", lambda hidden, *args, **kwargs: hidden): bb.run(inputs)
    """
    own = vars(module).get(name)  # else the method is its class's
    setattr(module, name, function)
    try:
        yield
    finally:
        if own is None:
            delattr(module, name)
        else:
            setattr(module, name, own)
