"""Computed or loaded, also when processes meet, die or find damaged folders and full disks."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from skillkit.core import store
from skillkit.core.errors import SkillkitError
from skillkit.core.store import artifact, cached, fault, find
from tests.helpers import REPOSITORY

# What a second process runs: `slow` says that it began, waits, and returns a tensor.
OTHER = """
import sys, time, torch
from pathlib import Path
from skillkit.core.store import artifact, cached

@artifact("slow", version=1)
def slow(size, seed):
    with open(sys.argv[1], "a") as file:
        file.write("began\\n")
    time.sleep(float(sys.argv[2]))
    return torch.full((size,), seed)

print(cached(slow, int(sys.argv[3]), 7).sum().item())
"""


class Prompt:
    """The smallest thing that saves and loads itself and has a fingerprint."""

    def __init__(self, weight, name="a prompt"):
        self.weight, self.name = weight, name

    @property
    def fingerprint(self):
        return f"{self.weight.sum().item():.6f}" + "0" * 8

    def save(self, folder):
        save_file({"weight": self.weight}, folder / "prompt.safetensors")

    @classmethod
    def load(cls, folder):
        return cls(load_file(folder / "prompt.safetensors")["weight"])


@dataclass
class Score:
    accuracy: float
    interval: tuple = field(metadata={"stored": "ends"})  # renamed
    logits: torch.Tensor


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def calls():
    return []


@pytest.fixture
def tune(calls):
    @artifact("prompt", version=1)
    def tune(length, seed=0, progress=True) -> Prompt:
        calls.append(seed)
        return Prompt(torch.full((length, 2), float(seed)))

    return tune


def other(tmp_path, seconds=0, size=3, first=""):
    """Start the other process, with some statements run before it asks for its artifact."""
    code = OTHER.replace("print(", f"{first}\nprint(")
    command = [sys.executable, "-c", code, tmp_path / "began", str(seconds), str(size)]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_every_argument_counts_except_ignored_ones(tune, calls):
    first, second = cached(tune, 4, seed=3), cached(tune, length=4, seed=3, progress=False)
    assert calls == [3] and torch.equal(first.weight, second.weight)
    for arguments in [dict(length=4), dict(length=5), dict(length=4, seed=1), dict(length=4, progress=False)]:
        cached(tune, **arguments)
    assert len(calls) == 4 and len(find("prompt")) == 4


def test_version_and_resolved_arguments_count(calls):
    for version, dtype in [(1, "float32"), (2, "float32"), (2, "bfloat16")]:
        resolve = lambda arguments, dtype=dtype: {"dtype": dtype}
        cached(artifact("number", version, resolve=resolve)(lambda dtype="auto": calls.append(0) or 1.5))
    assert len(calls) == 3


def test_plain_results_come_back_as_they_were(calls):
    mask = torch.tensor([True])
    table = pd.DataFrame({"neurons": [1, "model"], "accuracy": [0.25, 1.0], "n": [7, 8]})
    result = {
        "share": np.float64(0.5),
        3: (1, None, "é"),
        "nested": [{"mask": mask}],
        "empty": {},
        "table": table,
    }
    make = artifact("tree")(lambda: calls.append(0) or result)
    assert cached(make)["empty"] == {} and len(calls) == 1
    back = cached(make)
    assert len(calls) == 1 and back["share"] == 0.5 and back[3] == (1, None, "é")
    assert torch.equal(back["nested"][0]["mask"], mask)
    pd.testing.assert_frame_equal(back["table"], table)
    nothing = artifact("nothing")(lambda: calls.append(0))
    assert cached(nothing) is None and cached(nothing) is None and len(calls) == 2


def test_dataclass_results_come_back_as_dataclasses():
    @artifact("score")
    def evaluate() -> Score:
        return Score(0.5, (0.4, 0.6), torch.eye(2))

    score = cached(evaluate)
    assert isinstance(score, Score) and score.interval == (0.4, 0.6)
    assert torch.equal(score.logits, torch.eye(2))
    assert '"ends"' in next(find("score")[0].glob("result.json")).read_text()


def test_meta_names_upstream_artifacts_and_provenance(tune):
    cached(artifact("score")(lambda prompt, others: 0.5), cached(tune, 4, seed=3), [cached(tune, 4, seed=5)])
    meta = json.loads((find("score")[0] / "meta.json").read_text())
    assert meta["upstream"] == sorted(f"prompt/{path.name}" for path in find("prompt"))
    assert {"torch", "skillkit", "python"} <= set(meta["provenance"]["versions"]) and meta["seconds"] >= 0
    assert json.loads((find("prompt")[0] / "meta.json").read_text())["seed"] in (3, 5)


@pytest.mark.parametrize("damage", ["changed", "lost", "no meta", "cut meta", "other meta"])
def test_damaged_artifacts_are_computed_again_with_a_warning(tune, calls, damage):
    cached(tune, 4)
    [folder] = find("prompt")
    result, meta = folder / "prompt.safetensors", folder / "meta.json"
    if damage == "changed":
        result.write_bytes(result.read_bytes()[:-1] + b"!")
    elif damage in ("lost", "no meta"):
        (result if damage == "lost" else meta).unlink()
    else:
        meta.write_text("" if damage == "cut meta" else '"text"')
    reason = "prompt.safetensors has changed" if damage in ("changed", "lost") else "meta.json"
    with pytest.warns(UserWarning, match=reason):
        cached(tune, 4)
    assert len(calls) == 2 and fault(folder) is None


def test_an_exception_leaves_nothing_and_is_not_taken_for_a_full_disk(folder):
    @artifact("broken")
    def broken(error):
        raise {"no": RuntimeError, "file": FileNotFoundError}[error](error)

    for name, error in (("no", RuntimeError), ("file", FileNotFoundError)):
        with pytest.raises(error, match=name):
            cached(broken, name)
    assert not find() and not list(folder.glob(".tmp/*"))


@pytest.mark.slow
def test_two_processes_compute_once(tmp_path):
    processes = [other(tmp_path, seconds=0.5) for _ in range(2)]
    outputs = [process.communicate(timeout=100) for process in processes]
    assert [out.strip() for out, _ in outputs] == ["21", "21"], outputs
    assert (tmp_path / "began").read_text() == "began\n"


@pytest.mark.slow
def test_killed_while_computing_frees_the_lock(tmp_path):
    killed = other(tmp_path, seconds=1000)
    while not (tmp_path / "began").exists() and killed.poll() is None:
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL and not find()
    out, _ = other(tmp_path).communicate(timeout=100)
    assert out.strip() == "21" and len(find("slow")) == 1


@pytest.mark.slow
def test_killed_while_writing_leaves_no_result_and_is_swept(tmp_path, folder, tune):
    killed = other(tmp_path, first="import os; os.replace = lambda *paths: os.kill(os.getpid(), 9)")
    assert killed.wait() == -signal.SIGKILL and len(list(folder.glob(".tmp/*"))) == 1 and not find()
    with store._lock("slow/1"):
        (folder / ".tmp" / "slow-1").mkdir(parents=True)
        cached(tune, 4)  # quite another artifact
        assert [path.name for path in folder.glob(".tmp/*")] == ["slow-1"] and len(find()) == 1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits are a POSIX matter")
def test_full_disk_is_one_sentence(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    _, errors = other(tmp_path, size=100_000, first=limit).communicate(timeout=100)
    last = errors.strip().splitlines()[-1]
    assert last.startswith("skillkit.core.errors.SkillkitError: the store") and "SKILLKIT_STORE" in last
    assert not find()


def test_store_that_cannot_be_written_is_refused_before_computing(tmp_path, monkeypatch, tune, calls):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path / "file" / "store"))
    with pytest.raises(SkillkitError, match="cannot be written"):
        cached(tune, 4)
    assert not calls


def test_what_cannot_be_cached_is_named():
    with pytest.raises(SkillkitError, match="@artifact"):
        cached(len, [1])
    with pytest.raises(SkillkitError, match="returned a object, which cannot be stored"):
        cached(artifact("odd")(lambda: object()))
    with pytest.raises(SkillkitError, match="model is a object"):
        cached(artifact("odd")(lambda model: 1), object())
    assert not find()
