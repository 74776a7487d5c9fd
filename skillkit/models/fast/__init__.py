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
def replaced(module, name, value):
    """Context in which an attribute or a method of a module is another one.

    >>> with replaced(bb.blocks[0], "forward", lambda hidden, *args, **kwargs: hidden): bb.run(inputs)
    """
    own = vars(module).get(name)  # None: it is a method of the class
    setattr(module, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(module, name)
        else:
            setattr(module, name, own)
