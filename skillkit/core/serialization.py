"""Results on disk: tensors to safetensors, everything else to JSON, nothing to pickle.

>>> save_result({"accuracy": torch.rand(6, 17, 512), "layers": (0, 3)}, folder, function)
>>> load_result(folder, function)["layers"]
(0, 3)
"""

import dataclasses
import json
from pathlib import Path

from skillkit.core.errors import SkillkitError
from skillkit.core.files import filling, write_json
from skillkit.core.hashing import stored_name


def save_result(result, folder, function):
    """Write what `function` returned into `folder`, in the way that its return annotation asks for.

    >>> save_result(prompt, folder, tune_prompt)     # SoftPrompt has save and load

    Raises SkillkitError for a result that neither saves itself nor consists of tensors and plain values.
    """
    import torch
    from safetensors.torch import save_file

    kind = _return_type(function)
    if hasattr(kind, "load"):
        result.save(folder)
        return
    if dataclasses.is_dataclass(kind):
        fields = [field for field in dataclasses.fields(kind) if field.init]
        result = {stored_name(field): getattr(result, field.name) for field in fields}
    tensors = {}
    plain = _flatten(result, tensors, torch.Tensor, function.__name__)
    (folder / "result.json").write_text(json.dumps(plain), encoding="utf-8")
    if tensors:
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
    result = _grow(json.loads((folder / "result.json").read_text(encoding="utf-8")), tensors)
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
        write_json(fresh / f"{name}.json", plain)


def read_tensors(folder, name, *needed):
    """Read what `write_tensors` wrote: (tensors, plain data), which together hold all keys that are `needed`.

    >>> write_tensors("dir", "vectors", {"weight": torch.ones(2)}, {"made": "by hand"})
    >>> read_tensors("dir", "vectors", "weight")
    ({'weight': tensor([1., 1.])}, {'made': 'by hand'})

    Raises SkillkitError for files that are missing, damaged, or hold something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        plain = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / f"{name}.safetensors")
        lost = [key for key in needed if not isinstance(plain, dict) or key not in {*tensors, *plain}]
        if lost:
            raise ValueError(f"{name}.json and {name}.safetensors lack {', '.join(lost)}")
        return tensors, plain
    except FileNotFoundError as error:
        raise SkillkitError(
            f"{folder} holds no saved {name} ({Path(error.filename or folder).name} is missing)"
        ) from error
    except (OSError, SafetensorError, ValueError) as error:
        raise SkillkitError(f"the {name} in {folder} is empty or damaged ({error}); save it again") from error


def _return_type(function):
    """The class in the return annotation, also when that is written as a string."""
    annotation = function.__annotations__.get("return")
    return function.__globals__.get(annotation) if isinstance(annotation, str) else annotation


def _flatten(value, tensors, tensor_type, name):
    """JSON for `value`; tensors go aside under a running number."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tensor_type):
        tensors[str(len(tensors))] = value.detach().cpu().contiguous().clone()  # views may share memory
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(value, list):
        return [_flatten(item, tensors, tensor_type, name) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_flatten(item, tensors, tensor_type, name) for item in value]}
    if isinstance(value, dict):  # pairs, because JSON would turn every key into a string
        return {"dict": [[key, _flatten(item, tensors, tensor_type, name)] for key, item in value.items()]}
    if hasattr(value, "itertuples"):  # a pandas table, whose rows are numbered
        rows = [list(row) for row in value.itertuples(index=False)]
        return {"table": [list(value.columns), _flatten(rows, tensors, tensor_type, name)]}
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy number
        return value.item()
    raise SkillkitError(
        f"{name} returned a {type(value).__name__}, which cannot be stored; return tensors, tables and "
        "plain values, or annotate a class with save and load"
    )


def _grow(plain, tensors):
    if isinstance(plain, list):
        return [_grow(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((tag, content),) = plain.items()
    if tag == "tensor":
        return tensors[content]
    if tag == "table":
        import pandas as pd

        return pd.DataFrame(_grow(content[1], tensors), columns=content[0])
    if tag == "tuple":
        return tuple(_grow(item, tensors) for item in content)
    return {key: _grow(item, tensors) for key, item in content}
