"""The identity of a value is its content."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.hashing import abbreviated, content_hash, digest, identity, path_hash
from tests.helpers import REPOSITORY


@dataclass
class Recipe:
    rate: float
    steps: int


Renamed = make_dataclass("Recipe", [("speed", float, field(metadata={"stored": "rate"})), ("steps", int)])


class Model:
    name, fingerprint = "a/model", "0123456789abcdef"

    def __init__(self, dtype="float32", device="cpu"):
        self.dtype, self.device = dtype, device


def key(value):
    return digest(identity(value))


def texts(*those):
    return datasets.Dataset.from_dict({"text": list(those)})


@pytest.mark.parametrize(("a", "b"), [
    ([1, 2], (1, 2)), (range(1, 3), [1, 2]), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({1, 2, 3}, {3, 2, 1}),
    (Path("a/b"), "a/b"), (Recipe(0.1, 3), Recipe(0.1, 3)), (Recipe(0.1, 3), Renamed(0.1, 3)),
    (torch.ones(2), torch.ones(4)[::2]), (Model(device="cuda:0"), Model(device=torch.device("cuda", 1))),
    (torch.float32, torch.float32), (texts("a"), texts("a", "b").select([0])),
])  # fmt: skip
def test_same(a, b):
    assert key(a) == key(b)


@pytest.mark.parametrize(("a", "b"), [
    (1, "1"), (1, True), (None, "None"), ([1, [2]], [[1], 2]), ({"a": 1}, {1: "a"}), ("a", b"a".hex()),
    (slice(0, 2), [0, 2]), (Recipe(0.1, 3), Recipe(0.1, 4)), (torch.zeros(4), torch.zeros(2, 2)),
    (torch.zeros(2), torch.zeros(2, dtype=torch.float64)), (torch.ones(2), torch.zeros(2)),
    (torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.float16)), (np.zeros(2), np.ones(2)),
    (Model(), Model(dtype="bfloat16")), (Model(), Model(device="cuda")), (torch.float32, torch.float16),
    (texts("a"), texts("b")), (torch.tensor(3), torch.tensor(4)), (np.int64(3), np.int64(4)),
])  # fmt: skip
def test_different(a, b):
    assert key(a) != key(b)


def test_parts_are_hashed_one_after_another():
    arrays = torch.tensor([True, False]), np.arange(3)[::2], torch.ones(1, dtype=torch.bfloat16)
    raw = b'a[1, {"b": 1, "c": 2}]' + b"\1\0" + np.array([0, 2]).tobytes() + b"\x80\x3f"
    assert content_hash("a", [1, {"c": 2, "b": 1}], *arrays) == hashlib.sha256(raw).hexdigest()


def test_the_same_in_every_process():
    script = "from skillkit.core.hashing import *; print(digest(identity({'a': {'x', 'y', 'z'}, 'b': 0.1})))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == key({"a": {"x", "y", "z"}, "b": 0.1}) + "\n"


@pytest.mark.parametrize("value", [object(), lambda: 1, np.array([object()])])
def test_a_value_without_a_content_hash_is_an_error(value):
    with pytest.raises(SkillkitError, match="^model is a"):
        identity({"a": [value]}, "model")


def test_abbreviations_are_short():
    assert abbreviated(Model()) == "a/model (Model 01234567)" and abbreviated(16) == 16
    assert abbreviated(list(range(1000))).startswith("list ")


def test_a_path_counts_by_what_lies_there(tmp_path):
    file, folder = tmp_path / "a.csv", tmp_path / "data"
    folder.mkdir()
    seen = {key(folder)}
    for change in (lambda: (folder / "train.csv").write_text("a,1"), lambda: (folder / "train.csv").write_text("a,2"),
                   lambda: (folder / "train.csv").rename(folder / "test.csv")):  # fmt: skip
        change()
        seen.add(key(folder))
    assert len(seen) == 4
    kept = key(folder)
    (folder / ".hidden").write_text("")
    (folder / "cache-12.arrow").write_text("")  # what datasets leaves
    (folder / "out").mkdir()
    (folder / "out" / "result.csv").write_text("")
    assert key(folder) != kept and path_hash(folder, [folder / "out"]) == path_hash(
        folder, [tmp_path, folder / "out"]
    )
    assert path_hash(folder / "out", [folder / "out"]) is not None and path_hash(file) is None
    file.write_text("a")
    assert path_hash(file) != path_hash(folder / "test.csv")


def test_results_repeat_names_so_that_names_count():
    other = Model()
    other.name = "another"
    assert key(other) != key(Model())
