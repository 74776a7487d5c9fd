"""Saved tensors and the plain data beside them: a damage is noticed wherever it is."""

import json

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.serialization import read_tensors, write_tensors


@pytest.fixture
def saved(tmp_path):
    write_tensors(tmp_path, "vectors", {"weight": torch.arange(3.0)}, {"made": "by hand"})
    return tmp_path


@pytest.mark.parametrize("name", ["vectors.json", "vectors.safetensors"])
def test_every_changed_bit_is_noticed(saved, name):
    raw = (saved / name).read_bytes()
    for bit in range(8 * len(raw)):
        (saved / name).write_bytes((int.from_bytes(raw, "little") ^ 1 << bit).to_bytes(len(raw), "little"))
        with pytest.raises(SkillkitError, match="empty or damaged"):
            read_tensors(saved, "vectors")
    for size in range(len(raw)):
        (saved / name).write_bytes(raw[:size])
        with pytest.raises(SkillkitError, match="empty or damaged"):
            read_tensors(saved, "vectors")
    (saved / name).write_bytes(raw)
    assert read_tensors(saved, "vectors", "weight", "made")[1] == {"made": "by hand"}


def test_files_without_checksums_as_of_an_earlier_version_are_read(saved):
    (saved / "vectors.json").write_text(json.dumps({"made": "by hand"}))
    assert read_tensors(saved, "vectors")[0]["weight"].tolist() == [0, 1, 2]
