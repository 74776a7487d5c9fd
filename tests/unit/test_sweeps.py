"""Sweeps: each cell once, failures told and kept, killed kernels tried again, continued after anything."""

import signal
import subprocess
import sys
import time

import nbformat
import pandas as pd
import pytest

from skillkit import params, runs
from skillkit.sweeps import run_sweep
from tests import studies
from tests.helpers import REPOSITORY

# The same as `python -m skillkit sweep SWEEP --out OUT` in a process that knows the small notebook.
COMMAND = (
    "import sys; from pathlib import Path; from tests import studies; "
    "studies.install(Path(sys.argv.pop(1))); studies.runs.source_hash = lambda: 'this code'; "
    "from skillkit.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture(autouse=True)
def notebooks(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "NOTEBOOKS", None)
    monkeypatch.setattr(runs, "source_hash", lambda: "this code")
    monkeypatch.setattr(params, "NOTEBOOKS", {})
    monkeypatch.setenv("SMALL_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    studies.install(tmp_path / "notebooks")


def started(tmp_path):
    """What the cells in the middle have written down."""
    return sorted((tmp_path / "log").read_text().split()) if (tmp_path / "log").exists() else []


def command(tmp_path, path, *words):
    line = [
        sys.executable,
        "-c",
        COMMAND,
        tmp_path / "notebooks",
        "sweep",
        path,
        "--out",
        tmp_path / "out",
        *words,
    ]
    return subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(happened, process=None):
    """Wait for something to happen, at most two minutes, or until the process has ended."""
    end = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < end and (process is None or process.poll() is None), (
            process and process.communicate()
        )
        time.sleep(0.05)


def states(ran):
    return [outcome.state for outcome in ran[1].values()]


def test_a_failure_is_told_kept_and_alone(tmp_path, capsys):
    wrong = [{"where": {"size": 2}, "set": {"action": "fail"}}]
    path, out = studies.sweep(tmp_path, grid={"size": [1, 2]}, overrides=wrong), tmp_path / "out"
    assert sorted(states(run_sweep(path, out))) == ["done", "failed"]
    told = capsys.readouterr()
    assert "small size=2: FAILED" in told.err and "RuntimeError: it went <wrong>" in told.err
    assert "tiny: 2/2 cells" in told.err and "1 failed" in told.err
    (copy,) = out.glob("cells/small/*/small.failed.ipynb")
    assert nbformat.read(copy, 4).cells
    table = pd.read_parquet(out / "summary.parquet")
    assert table["state"].tolist() == ["done", "failed"] and table["size"].tolist() == [1, 2]
    assert table["error"].isna()[0] and table["error"][1] == "RuntimeError: it went <wrong>"
    path = studies.sweep(tmp_path, grid={"size": [1, 2]})
    assert states(run_sweep(path, out)) == ["kept", "done"] and started(tmp_path) == ["1", "2", "2"]


def test_a_killed_kernel_is_tried_again_twice(tmp_path, capsys):
    path = studies.sweep(tmp_path, notebooks={"small": {"action": "die once"}}, grid={"size": [1]})
    assert states(run_sweep(path, tmp_path / "out")) == ["done"] and started(tmp_path) == ["1", "1"]
    assert (
        "the kernel died; it was killed, or ran out of memory; trying again (1 of 2)"
        in capsys.readouterr().err
    )
    path = studies.sweep(tmp_path, notebooks={"small": {"action": "die"}}, grid={"size": [2]})
    assert states(run_sweep(path, tmp_path / "out2")) == ["failed"] and started(tmp_path) == [
        "1",
        "1",
        "2",
        "2",
        "2",
    ]


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_ended_sweep_continues(tmp_path, number, status):
    held = [{"where": {"size": 2}, "set": {"action": "hold"}}]
    path = studies.sweep(tmp_path, grid={"size": [1, 2, 3]}, overrides=held)
    process = command(tmp_path, path, "--workers", "2", "--threads", "1")
    done = tmp_path / "out" / "cells"
    until(
        lambda: len(list(done.glob("*/*/manifest.json"))) == 2 and (tmp_path / "log.parent").exists(), process
    )
    process.send_signal(number)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == status and "Traceback" not in errors
    (tmp_path / "log.go").touch()
    process = command(tmp_path, path)
    told, errors = process.communicate(timeout=100)
    assert process.returncode == 0 and "tiny: 3 cells, 2 done already, 1 to run" in told, errors
    assert started(tmp_path) == ["1", "2", "2", "3"]
