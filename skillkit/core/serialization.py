"""Results on disk: tensors as safetensors, tables and plain values as JSON or parquet, never pickle.

>>> save_result({"accuracy": torch.rand(6, 17, 512), "layers": (0, 3)}, folder, function)
>>> load_result(folder, function)["layers"]
(0, 3)
"""

import dataclasses
import errno
import json
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from skillkit.core.errors import SkillkitError, short
from skillkit.core.files import as_path, changed, checksums, filling, read_json, write_json
from skillkit.core.hashing import stored_name


class Table(pd.DataFrame):
    """A pandas DataFrame with `save` and `load`, as return annotation of an `@artifact`; a slice of it is a DataFrame.

    >>> Table({"a": [1, 2]}).save("dir"); Table.load("dir")["a"].tolist()
    [1, 2]
    """

    @property
    def _constructor(self):
        return pd.DataFrame

    def save(self, folder):
        """Write the columns, with their types, into an existing folder."""
        self.to_parquet(Path(folder) / "table.parquet")

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote."""
        return cls(pd.read_parquet(Path(folder) / "table.parquet"))


def save_result(result, folder, function):
    """Write what `function` returned into `folder`, in the way that its return annotation asks for.

    >>> save_result(prompt, folder, tune_prompt)     # SoftPrompt has save and load

    Raises SkillkitError for a result that neither saves itself nor consists of tensors, tables and plain values.
    """
    kind = _return_type(function)
    if hasattr(kind, "load"):
        result.save(folder)
        return
    if dataclasses.is_dataclass(kind):
        fields = [field for field in dataclasses.fields(kind) if field.init]
        result = {stored_name(field): getattr(result, field.name) for field in fields}
    tensors = {}
    plain = _flatten(result, tensors, function.__name__)
    (folder / "result.json").write_text(json.dumps(plain), encoding="utf-8")
    if tensors:
        from safetensors.torch import save_file  # here and below for start-up time: it loads torch

        save_file(tensors, folder / "tensors.safetensors")


def load_result(folder, function):
    """Read what `save_result` wrote.

    >>> save_result(prompt, folder, tune_prompt); load_result(folder, tune_prompt).layout
    'mask-first'
    """
    kind = _return_type(function)
    if hasattr(kind, "load"):
        return kind.load(folder)
    tensors = {}
    if (folder / "tensors.safetensors").exists():
        from safetensors.torch import load_file

        tensors = load_file(folder / "tensors.safetensors")
    result = _restore(json.loads((folder / "result.json").read_text(encoding="utf-8")), tensors)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        names = {stored_name(field): field.name for field in dataclasses.fields(kind)}
        return kind(**{names[name]: value for name, value in result.items()})
    # A table with methods of its own is annotated with its class, a subclass of DataFrame.
    return kind(result) if isinstance(kind, type) and hasattr(kind, "itertuples") else result


def write_tensors(folder, name, tensors, plain):
    """Write tensors as `name`.safetensors and plain data as `name`.json into `folder`, both or neither.

    >>> write_tensors("dir", "vectors", {"weight": torch.ones(2)}, {"made": "by hand"})
    >>> sorted(path.name for path in Path("dir").glob("vectors*"))
    ['vectors.json', 'vectors.safetensors']
    """
    from safetensors.torch import save_file

    held = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with filling(folder, "choose another folder") as fresh:
        save_file(held, fresh / f"{name}.safetensors")
        write_json(fresh / f"{name}.json", plain | {"checksums": checksums(fresh)}, seal=True)


def read_tensors(folder, name, *needed, finite=False):
    """Read what `write_tensors` wrote: (tensors, plain data), which together hold all keys that are `needed`.

    >>> write_tensors("dir", "vectors", {"weight": torch.ones(2)}, {"made": "by hand"})
    >>> read_tensors("dir", "vectors", "weight")
    ({'weight': tensor([1., 1.])}, {'made': 'by hand'})

    Raises SkillkitError for files that are missing, damaged, or hold something else (`finite`: no number, too).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = as_path(folder)
    folder = folder.parent if folder.is_file() else folder  # one of the two files will do
    try:
        plain = read_json(folder / f"{name}.json")
        if plain is None:
            raise FileNotFoundError(errno.ENOENT, "", str(folder / f"{name}.json"))
        if isinstance(plain, dict) and "checksums" in plain:  # what has them was sealed
            read_json(folder / f"{name}.json", seal=True)
        tensors = load_file(folder / f"{name}.safetensors")
        if lost := changed(folder, plain.pop("checksums", {}) if isinstance(plain, dict) else {}):
            raise ValueError(f"{lost} has changed since it was saved")
        if finite and not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise ValueError("some of its values are no finite numbers")
        if lost := [key for key in needed if not isinstance(plain, dict) or key not in {*tensors, *plain}]:
            raise ValueError(f"{name}.json and {name}.safetensors lack {', '.join(lost)}")
        return tensors, plain
    except FileNotFoundError as error:
        missing = Path(error.filename or folder).name
        raise SkillkitError(f"{folder} holds no saved {name} ({missing} is missing)") from error
    except (OSError, SafetensorError, ValueError) as error:
        raise SkillkitError(f"the {name} in {folder} is empty or damaged ({error}); save it again") from error


@contextmanager
def made_from(folder, name):
    """Where an object is made of what `read_tensors` has read, which anybody may have written.

    >>> with made_from("dir", "vectors"): first, second = {"first": 1}["first"], [2][0]

    Whatever goes wrong is a SkillkitError that names folder and file.
    """
    try:
        yield
    except SkillkitError:
        raise
    except Exception as error:  # what is missing, or of another kind, depends on the file
        reason = f"{type(error).__name__}: {short(error)}"
        raise SkillkitError(
            f"the {name} in {folder} holds something else ({reason}); save it again"
        ) from error


def _return_type(function):
    """The class in the return annotation, also when that is written as a string."""
    annotation = function.__annotations__.get("return")
    return function.__globals__.get(annotation) if isinstance(annotation, str) else annotation


def _flatten(value, tensors, name):
    """JSON for `value`; tensors go aside under a running number."""
    inner = lambda item: _flatten(item, tensors, name)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "detach"):
        tensors[str(len(tensors))] = value.detach().cpu().contiguous().clone()  # views may share memory
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(value, list):
        return [inner(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [inner(item) for item in value]}
    if isinstance(value, dict):  # pairs, because JSON would turn every key into a string
        return {"dict": [[key, inner(item)] for key, item in value.items()]}
    if isinstance(value, pd.DataFrame):
        return {"table": [list(value.columns), inner([list(row) for row in value.itertuples(index=False)])]}
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy number
        return value.item()
    raise SkillkitError(
        f"{name} returned a {type(value).__name__}, which cannot be stored; return tensors, tables and "
        "plain values, or annotate a class with save and load"
    )


def _restore(plain, tensors):
    if isinstance(plain, list):
        return [_restore(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((tag, content),) = plain.items()
    if tag == "tensor":
        return tensors[content]
    if tag == "table":
        return pd.DataFrame(_restore(content[1], tensors), columns=content[0])
    if tag == "tuple":
        return tuple(_restore(content, tensors))
    return {key: _restore(item, tensors) for key, item in content}
