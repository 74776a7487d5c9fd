"""Sweeps: each cell once, failures told and kept, killed kernels tried again, continued after anything."""

import resource
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import nbformat
import pandas as pd
import pytest

from skillkit.__main__ import main
from skillkit.core.errors import SkillkitError
from skillkit.core.files import write_json
from skillkit.studies import executors as workers
from skillkit.studies import job as units
from skillkit.studies.executors import local
from skillkit.studies.job import Outcome
from skillkit.studies.sweep import run_sweep
from tests import small_studies as studies
from tests.helpers import interruptible

pytestmark = pytest.mark.usefixtures("small_notebooks")


def started(tmp_path):
    """What the cells in the middle have written down."""
    return sorted((tmp_path / "log").read_text().split()) if (tmp_path / "log").exists() else []


def command(tmp_path, path, *words):
    line = [
        sys.executable,
        "-c",
        studies.COMMAND,
        tmp_path / "notebooks",
        "sweep",
        path,
        "--out",
        tmp_path / "out",
        *words,
    ]
    return interruptible(line, tmp_path)


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


@pytest.fixture
def ran(monkeypatch):
    """Cells take no time, and are noted in the order in which they end."""
    noted = []

    def run_unit(unit, force=False, **options):
        name = f"{unit.name} {unit.parameters.size}"
        if unit.parameters.action == "fail":
            raise SkillkitError("no room on the disk")
        noted.append(name)
        unit.folder.mkdir(parents=True, exist_ok=True)
        write_json(
            unit.folder / "manifest.json", {"state": "done", "key": unit.key(), "files": [], "seconds": 0}
        )
        return Outcome("done")

    monkeypatch.setattr(units, "run_unit", run_unit)
    return noted


def test_a_dry_run_tells_and_does_nothing(tmp_path, ran, capsys):
    path, out = studies.sweep(tmp_path, grid={"size": [1, 2]}), tmp_path / "out"
    run_sweep(path, out, dry=True)
    assert not ran and not out.exists()
    run_sweep(path, out, only=["size=2"])
    capsys.readouterr()
    run_sweep(path, out, dry=True)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("tiny: 2 cells, 1 done already, 1 to run into")
    assert told[1:] == ["  to run  small size=1", "  done    small size=2"]


def test_only_limit_force_and_resume(tmp_path, ran):
    path, out = (
        studies.sweep(tmp_path, notebooks={"small": {}, "again": {}}, grid={"size": [1, 2, 3]}),
        tmp_path / "out",
    )
    run_sweep(path, out, only=["again", "size=1", "size=3"], team=partial(local, workers=1))
    assert ran == ["again 1", "again 3"]
    run_sweep(path, out, limit=2, team=partial(local, workers=1))
    assert ran[2:] == ["small 1", "small 2"]
    _, outcomes = run_sweep(path, out, team=partial(local, workers=1))
    assert (
        ran[4:] == ["small 3", "again 2"] and len(outcomes) == 6 and outcomes["again size=1"].state == "kept"
    )
    run_sweep(path, out, only=["size=1"], force=True, team=partial(local, workers=1))
    assert ran[6:] == ["small 1", "again 1"]
    assert pd.read_csv(out / "summary.csv")["state"].tolist() == ["done"] * 6


def test_a_notebook_waits_for_what_it_needs(tmp_path, ran):
    path = studies.sweep(
        tmp_path, notebooks={"small": {}, "again": {}}, grid={"size": [1, 2, 3]}, after={"small": "again"}
    )
    run_sweep(path, tmp_path / "out", team=partial(local, workers=3))
    assert all(ran.index(f"again {size}") < ran.index(f"small {size}") for size in (1, 2, 3))


def test_a_cell_that_cannot_be_written_is_one_failure(tmp_path, ran, capsys):
    wrong = [{"where": {"size": 2}, "set": {"action": "fail"}}]
    path = studies.sweep(tmp_path, grid={"size": [1, 2, 3]}, overrides=wrong)
    assert main(["sweep", str(path), "--out", str(tmp_path / "out"), "--workers", "1"]) == 1
    assert ran == ["small 1", "small 3"]
    told = capsys.readouterr().err
    assert "no room on the disk" in told and told.endswith(
        "small size=2 failed; the same command tries again\n"
    )


@pytest.mark.parametrize("words, sentence", [
    (["--only", "size=9"], "--only size=9: no cell fits; there are 1, 2"), (["--only", "sise=1"], "the axes are size"),
    (["--only", "smal"], "there are small"), (["--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers at"),
    (["--out", "study"], "holds the study 'precious'; give another folder"), (["--out", "file"], "cannot be written"),
])  # fmt: skip
def test_bad_input_is_one_sentence_and_runs_nothing(tmp_path, ran, capsys, monkeypatch, words, sentence):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").write_text('{"name": "precious"}')
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "ANSWER", 1)
    path = studies.sweep(tmp_path, grid={"size": [1, 2]})
    assert main(["sweep", str(path), *(["--out", "out"] if "--out" not in words else []), *words]) == 2
    assert sentence in capsys.readouterr().err and not ran and (tmp_path / "file").read_text() == ""


def test_a_full_disk_is_told_and_damages_nothing(tmp_path, ran, capsys):
    path, out = studies.sweep(tmp_path, grid={"size": [1, 2]}), tmp_path / "out"
    run_sweep(path, out)
    before = (out / "summary.csv").read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(SkillkitError, match="cannot be written"):
            run_sweep(path, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (out / "summary.csv").read_text() == before and set(states(run_sweep(path, out))) == {"kept"}


def test_two_sweeps_that_share_a_store_make_an_artifact_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path / "store"))
    path = studies.sweep(tmp_path, notebooks={"small": {"action": "share"}}, grid={"size": [3]})
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(run_sweep, [path, path], [tmp_path / "one", tmp_path / "two"]))
    assert [states(one) for one in ended] == [["done"], ["done"]], ended
    assert started(tmp_path) == ["3", "3", "made"]


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
    assert len(list(done.glob("*/*/manifest.json"))) == 2
    (tmp_path / "log.go").touch()
    process = command(tmp_path, path)
    told, errors = process.communicate(timeout=100)
    assert process.returncode == 0 and "tiny: 3 cells, 2 done already, 1 to run" in told, errors
    assert started(tmp_path) == ["1", "2", "2", "3"]
