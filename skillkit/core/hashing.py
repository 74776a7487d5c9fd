"""The identity of a value: plain data that is equal exactly when the content is equal, in every process.

>>> digest(identity({"length": 16, "seeds": (0, 1)})) == digest(identity({"seeds": [0, 1], "length": 16}))
True
"""

import dataclasses
import hashlib
import json
import sys
from pathlib import PurePath

from skillkit.core.errors import SkillkitError


def digest(plain):
    """sha256 (hex) of plain data.

    >>> digest({"a": 1})[:8]
    'f9d86028'
    """
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def identity(value, name="the value"):
    """Plain data standing for the content of `value`.

    >>> identity(range(3))
    [0, 1, 2]

    Objects count by their `fingerprint` with dtype and device type where they have them, tensors, arrays and
    data sets by their values, dataclasses by their fields; lists, tuples and ranges with the same items are
    the same.

    Raises SkillkitError naming the argument (`name`) when the content of a value cannot be told.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, list | tuple | range):
        return [identity(item, name) for item in value]
    if isinstance(value, dict):
        return {
            "dict": sorted(
                ([identity(key, name), identity(item, name)] for key, item in value.items()), key=repr
            )
        }
    if isinstance(value, set | frozenset):
        return {"set": sorted((identity(item, name) for item in value), key=repr)}
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    return _object(value, name)


def _object(value, name):
    kind = type(value).__name__
    if isinstance(getattr(value, "fingerprint", None), str):
        place = {"dtype": str(value.dtype)} if hasattr(value, "dtype") else {}
        place |= {"device": device_type(value.device)} if hasattr(value, "device") else {}
        return {"type": kind, "fingerprint": value.fingerprint} | place
    if _is_from("torch", value) and kind in ("device", "dtype"):
        return str(value)
    if _is_from("torch", value) or _is_from("numpy", value):
        return {"array": str(value.dtype), "shape": list(value.shape), "sha256": _array_hash(value, name)}
    if _is_from("datasets", value) and hasattr(value, "to_dict"):
        return {"dataset": digest(value.to_dict())}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            stored_name(field): identity(getattr(value, field.name), name)
            for field in dataclasses.fields(value)
        }
        return {"type": kind, "fields": fields}
    raise SkillkitError(
        f"{name} is a {kind}, whose content cannot be told; give it a fingerprint or leave it out"
    )


def stored_name(field):
    """What a dataclass field is called in the store: its own name, or the one it had before it was renamed.

    >>> stored_name(dataclasses.field(metadata={"stored": "told"}))
    'told'
    """
    return field.metadata.get("stored", field.name)


def describe(value):
    """One short line about an argument, for people.

    >>> describe(bb)
    'embedded/bert (Backbone ...)'
    """
    if isinstance(getattr(value, "fingerprint", None), str):
        return f"{getattr(value, 'name', '')} ({type(value).__name__} {value.fingerprint[:8]})".strip()
    plain = identity(value)
    return plain if len(json.dumps(plain)) <= 200 else f"{type(value).__name__} {digest(plain)[:8]}"


def device_type(device):
    """'cpu', 'cuda', … of a device or its name.

    >>> device_type("cuda:1")
    'cuda'
    """
    return getattr(device, "type", None) or str(device).split(":")[0]


def _is_from(module, value):
    """Whether the value's class comes from a package, told without importing that package."""
    return module in sys.modules and type(value).__module__.split(".")[0] == module


def _array_hash(value, name):
    if _is_from("torch", value):
        import torch

        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if value.dtype == object:
        raise SkillkitError(
            f"{name} is an array of objects, whose content cannot be told; give it a plain dtype"
        )
    return hashlib.sha256(value.tobytes()).hexdigest()
