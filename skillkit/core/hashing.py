"""Content hashes: what makes an artifact's key, the same in every process.

>>> digest(identity({"length": 16, "seeds": (0, 1)})) == digest(identity({"seeds": [0, 1], "length": 16}))
True
"""

import dataclasses
import functools
import hashlib
import json
import re
from pathlib import Path, PurePath

from skillkit.core.errors import SkillkitError

_LEFT = re.compile(r"cache-.*\.arrow|__pycache__")


def content_hash(*parts):
    """sha256 (hex) of parts in order: text and bytes as they are, arrays by their bytes, plain data as sorted JSON.

    >>> content_hash("mask-first", [16, 128], torch.zeros(16, 128))[:8]
    '887f4789'
    """
    sha = hashlib.sha256()
    for part in parts:
        if hasattr(part, "dtype"):
            part = _array_bytes(part)
        elif not isinstance(part, str | bytes):
            part = json.dumps(part, sort_keys=True, default=str)
        sha.update(part.encode() if isinstance(part, str) else part)
    return sha.hexdigest()


def path_hash(path, without=()):
    """Hash of a file's content, or of the names and contents of all files in a folder; None where nothing is.

    >>> path_hash("params/embedded.yaml") == path_hash("params/sweeps/seeds.yaml")
    False

    Hidden files, and what `datasets` leaves beside the data it has read, do not count, nor do the folders `without`
    below the path. A file whose size and modification time are unchanged is not read again.
    """
    path = Path(path)
    if not path.is_dir():
        return _file_hash(path, path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
    found = {}
    for file in sorted(path.rglob("*")):
        own = file.relative_to(path)
        passed = any(part.startswith(".") or _LEFT.fullmatch(part) for part in own.parts)
        if (
            file.is_file()
            and not passed
            and not any(path in one.parents and one in file.parents for one in without)
        ):
            found[str(own)] = path_hash(file)
    return digest(found)


@functools.lru_cache(10_000)
def _file_hash(path, size, changed):
    return _sha256(path)


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum(path):
    """sha256 (hex) of a file, or None where there is none.

    >>> checksum("no/such/file")
    """
    try:
        return _sha256(path)
    except OSError:
        return None


def digest(plain):
    """sha256 (hex) of plain data.

    >>> digest({"a": 1})[:8]
    'f9d86028'
    """
    return content_hash(json.dumps(plain, sort_keys=True))


def identity(value, name="the value"):
    """Plain data standing for the content of `value`.

    >>> identity(range(3))
    [0, 1, 2]

    Objects count by their `fingerprint` with name, dtype and device type where they have them, files and folders that
    a `Path` names by what they hold, tensors, arrays and data sets by their values, dataclasses by their fields; lists,
    tuples and ranges with the same items are the same.

    Raises SkillkitError naming the argument (`name`) for a value of any other kind.
    """
    inner = lambda item: identity(item, name)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PurePath):
        return {"path": str(value), "sha256": path_hash(value)} if Path(value).exists() else str(value)
    if isinstance(value, list | tuple | range):
        return [inner(item) for item in value]
    if isinstance(value, dict):
        return {"dict": sorted(([inner(key), inner(item)] for key, item in value.items()), key=repr)}
    if isinstance(value, set | frozenset):
        return {"set": sorted((inner(item) for item in value), key=repr)}
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    return _object(value, name)


def _object(value, name):
    kind, package = type(value).__name__, type(value).__module__.split(".")[0]
    mark = getattr(value, "fingerprint", None)  # asked for once: a backbone looks at all its weights
    if isinstance(mark, str):
        place = {"dtype": str(value.dtype)} if hasattr(value, "dtype") else {}
        place |= {"device": device_type(value.device)} if hasattr(value, "device") else {}
        # Results repeat the names of tasks and models, in columns and metadata.
        place |= {"name": value.name} if isinstance(getattr(value, "name", None), str) else {}
        return {"type": kind, "fingerprint": mark} | place
    if package == "torch" and kind in ("device", "dtype"):
        return str(value)
    if package in ("torch", "numpy") and value.dtype != object:
        return {"array": str(value.dtype), "shape": list(value.shape), "sha256": content_hash(value)}
    if package == "datasets" and hasattr(value, "to_dict"):
        return {"dataset": digest(value.to_dict())}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {stored_name(field): getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"type": kind, "fields": {field: identity(item, name) for field, item in fields.items()}}
    raise SkillkitError(
        f"{name} is a {kind}, which has no content hash; give it a fingerprint or leave it out"
    )


def stored_name(field):
    """What a dataclass field is called in the store: its own name, or the one it had before it was renamed.

    >>> stored_name(dataclasses.field(metadata={"stored": "told"}))
    'told'
    """
    return field.metadata.get("stored", field.name)


def abbreviated(value):
    """A value as it is shown in `meta.json`: itself where that is short, else its type and hash.

    >>> abbreviated(bb)
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


def _array_bytes(array):
    if hasattr(array, "detach"):
        import torch  # start-up time: whoever has a tensor has loaded it

        array = array.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return array.tobytes()
