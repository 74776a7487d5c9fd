"""What only saves time: every result is the same without it, up to rounding.

>>> enabled()                                      # False with SKILLKIT_PLAIN=1 in the environment
True
"""

import os
from contextlib import contextmanager

from skillkit.models.hooks import undone


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
    with all_replaced((module, name, value)):
        yield


@contextmanager
def all_replaced(*values):
    """Context in which several of (module, name, value) are `replaced`; a stack of contexts could be cut short.

    >>> with all_replaced(*((block, "forward", compute) for block in bb.blocks)): bb.run(inputs)
    """
    own = [vars(module).get(name) for module, name, _ in values]  # None: it is a method of the class

    def put_back():
        for (module, name, _), before in zip(values, own, strict=True):
            if before is not None:
                setattr(module, name, before)
            elif name in vars(module):
                delattr(module, name)

    with undone(put_back):
        for module, name, value in values:
            setattr(module, name, value)
        yield
