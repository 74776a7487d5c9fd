"""Studies: each cell once, failures reported and kept, killed kernels tried again, continued after anything."""

import json
import resource
import signal
import sys
import time
from functools import partial

import nbformat
import pandas as pd
import pytest

from skillkit.__main__ import main
from skillkit.core.errors import SkillkitError
from skillkit.core.files import own
from skillkit.studies import executors, job, run_study
from skillkit.studies.executors import local
from skillkit.studies.job import Outcome
from tests import small_studies as studies
from tests.helpers import interruptible

pytestmark = pytest.mark.usefixtures("small_notebooks")
BOTH, FAIL = {"small": {}, "again": {}}, {"action": "fail"}
one_worker = partial(local, workers=1)


def started(tmp_path):
    """What the cells in the middle have written down."""
    return (tmp_path / "log").read_text().split() if (tmp_path / "log").exists() else []


def command(tmp_path, path, *words):
    line = [sys.executable, "-c", studies.COMMAND, tmp_path / "notebooks", "run", path]
    return interruptible([*line, "--out", tmp_path / "out", *words], tmp_path)


def until(happened, process=None):
    """Wait for something to happen, at most two minutes, or until the process has ended."""
    end = time.monotonic() + 120
    while not happened():
        running = process is None or process.poll() is None
        assert time.monotonic() < end and running, process and process.communicate()
        time.sleep(0.05)


def states(ran):
    return [outcome.state for outcome in ran[1].values()]


@pytest.fixture
def ran(monkeypatch):
    """Cells take no time, and are noted in the order in which they end."""
    noted = []

    def run_job(one, force=False, **options):
        if one.parameters["action"] == "fail":
            raise SkillkitError("no room on the disk")
        noted.append(f"{one.name} {one.parameters['size']}")
        one.folder.mkdir(parents=True, exist_ok=True)
        studies.finish(one.folder, key=one.key())
        return Outcome("done")

    monkeypatch.setattr(job, "run_job", run_job)
    return noted


# Without kernels.


def test_a_dry_run_lists_and_does_nothing(tmp_path, ran, capsys):
    path, out = studies.sweep(tmp_path, grid={"size": [1, 2]}), tmp_path / "out"
    run_study(path, out, dry=True)
    assert not ran and not out.exists()
    run_study(path, out, only=["size=2"])
    capsys.readouterr()
    run_study(path, out, dry=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tiny: 2 cells, 1 done already, 1 to run into")
    assert lines[1:] == ["  to run  small size=1", "  done    small size=2"]


def test_only_limit_force_and_resume(tmp_path, ran):
    path, out = studies.sweep(tmp_path, notebooks=BOTH, grid={"size": [1, 2, 3]}), tmp_path / "out"
    run_study(path, out, one_worker, only=["again", "size=1", "size=3"])
    assert ran == ["again 1", "again 3"]
    run_study(path, out, one_worker, limit=2)
    assert ran[2:] == ["small 1", "small 2"]
    _, outcomes = run_study(path, out, one_worker)
    assert ran[4:] == ["small 3", "again 2"] and outcomes["again size=1"].state == "kept"
    run_study(path, out, one_worker, only=["size=1"], force=True)
    assert ran[6:] == ["small 1", "again 1"]
    assert pd.read_csv(out / "summary.csv")["state"].tolist() == ["done"] * 6


@pytest.mark.parametrize("grid", [{}, {"size": [1, 2, 3]}])
def test_a_notebook_waits_for_what_it_needs(tmp_path, ran, grid):
    path = studies.sweep(tmp_path, notebooks=BOTH, grid=grid, after={"small": "again"})
    run_study(path, tmp_path / "out", partial(local, workers=3))
    assert all(ran.index(f"again {size}") < ran.index(f"small {size}") for size in grid.get("size", [3]))


def test_a_cell_that_cannot_be_written_is_one_failure(tmp_path, ran, capsys):
    wrong = [{"where": {"size": 2}, "set": FAIL}]
    path = studies.sweep(tmp_path, grid={"size": [1, 2, 3]}, overrides=wrong)
    assert main(["sweep", str(path), "--out", str(tmp_path / "out"), "--workers", "1"]) == 1
    errors = capsys.readouterr().err
    assert ran == ["small 1", "small 3"] and "no room on the disk" in errors
    assert errors.endswith("small size=2 failed; the same command tries again\n")


@pytest.mark.parametrize("words, sentence", [
    (["--only", "size=9"], "--only size=9: no cell fits; there are 1, 2"), (["--only", "sise=1"], "the axes are size"),
    (["--only", "smal"], "there are small"), (["--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers at"),
    (["--out", "study"], "holds the study 'precious'"), (["--out", "file"], "not made by skillkit"),
])  # fmt: skip
def test_bad_input_is_one_sentence_and_runs_nothing(tmp_path, ran, capsys, monkeypatch, words, sentence):
    studies.describe(own(tmp_path / "study", ""), name="precious")
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(executors, "CONNECT_TIMEOUT", 1)
    path = studies.sweep(tmp_path, grid={"size": [1, 2]})
    assert main(["sweep", str(path), *(["--out", "out"] if "--out" not in words else []), *words]) == 2
    assert sentence in capsys.readouterr().err and not ran and (tmp_path / "file").read_text() == ""


def test_a_full_disk_is_reported_and_damages_nothing(tmp_path, ran, capsys):  # which captures without a file
    path, out = studies.sweep(tmp_path, grid={"size": [1, 2]}), tmp_path / "out"
    run_study(path, out)
    before, limits = (out / "summary.csv").read_text(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(SkillkitError, match="cannot be written"):
            run_study(path, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (out / "summary.csv").read_text() == before and set(states(run_study(path, out))) == {"kept"}


# With kernels.


@pytest.mark.slow
def test_a_study_runs_once_and_again_only_what_changed(tmp_path, monkeypatch, caplog):
    out, path = tmp_path / "out", studies.study(tmp_path, small={}, again={"size": 4})
    assert states(run_study(path, out)) == ["done", "done"] and "unknown parameter" not in caplog.text
    assert (out / "small/size.txt").read_text() == f"3 {sys.executable}"  # the kernel is this interpreter
    assert states(run_study(path, out)) == ["kept", "kept"]
    assert states(run_study(studies.study(tmp_path, small={}, again={"size": 5}), out)) == ["kept", "done"]
    assert sorted(started(tmp_path)) == ["3", "4", "5"]
    manifest = json.loads((out / "again" / "manifest.json").read_text())
    assert manifest["parameters"]["size"] == 5 and list(manifest["files"]) == ["again.ipynb", "size.txt"]
    (out / "again/size.txt").unlink()
    assert states(run_study(path, out)) == ["kept", "done"]  # a file is lost
    source = tmp_path / "notebooks" / "small.ipynb"
    notebook = nbformat.read(source, 4)
    notebook.metadata["remark"] = "no change to what runs"
    nbformat.write(notebook, source)
    assert states(run_study(path, out)) == ["kept", "kept"]
    notebook.cells[0].source += "!"
    nbformat.write(notebook, source)
    assert states(run_study(path, out)) == ["done", "kept"]
    monkeypatch.setattr(job, "source_hash", lambda: "other code")
    assert states(run_study(path, out)) == ["done", "done"]


@pytest.mark.slow
def test_a_failure_is_reported_kept_and_does_not_stop_the_others(tmp_path, capsys):
    path, out = studies.study(tmp_path, small=FAIL, again={"action": "refuse"}), tmp_path / "out"
    assert states(run_study(path, out)) == ["failed", "failed"]
    shown, errors = capsys.readouterr()
    assert "small: FAILED" in shown and "small.failed.ipynb" in errors
    assert "RuntimeError: it went <wrong>" in errors and 'raise RuntimeError("it went' in errors
    refused = errors.split("again: FAILED")[1].split("small: FAILED")[0]
    assert "  no such model; name another\n" in refused and "Traceback" not in refused  # a user's mistake
    assert not (out / "small/small.ipynb").exists()
    assert nbformat.read(out / "small/small.failed.ipynb", 4).cells
    assert json.loads((out / "small/manifest.json").read_text())["state"] == "failed"
    assert states(run_study(studies.study(tmp_path, small={}, again=FAIL), out)) == ["done", "failed"]
    assert not (out / "small/small.failed.ipynb").exists()


@pytest.mark.slow
def test_a_failed_cell_of_a_grid_is_in_the_summary(tmp_path, capsys):
    wrong = [{"where": {"size": 2}, "set": FAIL}]
    path, out = studies.sweep(tmp_path, grid={"size": [1, 2]}, overrides=wrong), tmp_path / "out"
    assert states(run_study(path, out)) == ["done", "failed"]
    errors = capsys.readouterr().err
    assert "small size=2: FAILED" in errors and "tiny: 2/2 cells" in errors and "1 failed" in errors
    table = pd.read_parquet(out / "summary.parquet")
    assert table["state"].tolist() == ["done", "failed"] and table["size"].tolist() == [1, 2]
    assert table["error"].isna()[0] and table["error"][1] == "RuntimeError: it went <wrong>"
    assert states(run_study(studies.sweep(tmp_path, grid={"size": [1, 2]}), out)) == ["kept", "done"]


@pytest.mark.slow
def test_killed_kernel_is_tried_again_and_then_a_failure(tmp_path, capsys):
    path = studies.study(tmp_path, small={"action": "die"}, again={"action": "die once"})
    ran = run_study(path, tmp_path / "out")
    assert states(ran) == ["failed", "done"] and "the kernel died" in ran[1]["small"].error
    assert started(tmp_path).count("3") == 5 and "trying again (2 of 2)" in capsys.readouterr().err


@pytest.mark.slow
def test_notebooks_run_at_once(tmp_path):
    """The first waits for what the second does."""
    path = studies.study(tmp_path, small={"action": "hold"}, again={"action": "release"})
    assert states(run_study(path, tmp_path / "out", partial(local, workers=2))) == ["done", "done"]


@pytest.mark.slow
@pytest.mark.parametrize("number, status", [
    (signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)
])  # fmt: skip
def test_a_run_that_was_ended_continues(tmp_path, number, status):
    held = [{"where": {"size": 2}, "set": {"action": "hold"}}]
    path = studies.sweep(tmp_path, grid={"size": [1, 2, 3]}, overrides=held)
    process = command(tmp_path, path, "--workers", "2", "--threads", "1")
    cells = tmp_path / "out" / "cells"
    manifests = lambda: len(list(cells.glob("*/*/manifest.json")))
    until(lambda: manifests() == 2 and (tmp_path / "log.parent").exists(), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == status and "Traceback" not in errors and manifests() == 2
    assert status < 0 or errors.endswith("interrupted; the same command continues where this one stopped\n")
    assert any(cells.glob("*/size=2-*/small.*.ipynb"))  # as far as it got
    (tmp_path / "log.go").touch()
    process = command(tmp_path, path)
    shown, errors = process.communicate(timeout=100)
    assert process.returncode == 0 and "tiny: 3 cells, 2 done already, 1 to run" in shown, errors
    assert sorted(started(tmp_path)) == ["1", "2", "2", "3"] and not any(cells.glob("*/*/*.partial.ipynb"))


@pytest.mark.slow
def test_two_processes_run_a_notebook_once(tmp_path):
    path = studies.study(tmp_path, small={})
    processes = [command(tmp_path, path) for _ in range(2)]
    shown = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert started(tmp_path) == ["3"] and sum("kept" in one or "1 done already" in one for one in shown) == 1
