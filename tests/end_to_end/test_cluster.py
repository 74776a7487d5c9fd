"""A sweep on a real Dask scheduler with real workers, all of which are killed in turn."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests import small_studies as studies
from tests.helpers import REPOSITORY
from tests.studies.test_runner import command, started, until

OPTIONS = {
    "scheduler": ["--host", "127.0.0.1", "--no-show"],
    "worker": ["--no-nanny", "--nthreads", "1", "--preload", "tests.fixed_code"],
}


@pytest.fixture
def dask(tmp_path, monkeypatch):
    """Starts schedulers and workers, and ends those that are left."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("SMALL_LOG", str(tmp_path / "log"))
    processes = []

    def start(kind, *words):
        line = [sys.executable, "-m", "dask", kind, "--no-dashboard", *OPTIONS[kind], *words]
        with open(tmp_path / f"{kind}{len(processes)}.log", "w") as log:
            processes.append(subprocess.Popen(line, cwd=tmp_path, stdout=log, stderr=log))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def scheduler(dask, tmp_path, name):
    process = dask("scheduler", "--port", "0", "--scheduler-file", str(tmp_path / name))
    until(lambda: (tmp_path / name).exists() and (tmp_path / name).read_text().endswith("}"))
    return process, json.loads((tmp_path / name).read_text())["address"]


def test_whoever_is_killed_nothing_is_lost_and_nothing_done_twice(small_notebooks, dask, tmp_path):
    held = [{"where": {"size": 2}, "set": {"action": "hold"}}]
    path = studies.sweep(tmp_path, grid={"size": [1, 2, 3]}, overrides=held)
    boss, address = scheduler(dask, tmp_path, "first.json")
    for _ in range(2):
        dask("worker", address)
    parent = tmp_path / "log.parent"

    driver = command(tmp_path, path, "--scheduler", address)
    until(parent.exists, driver)
    driver.kill()
    driver.wait()

    worker = int(parent.read_text())
    parent.unlink()
    driver = command(tmp_path, path, "--scheduler", address)
    assert driver.stdout.readline().startswith("tiny: 3 cells")
    assert driver.stdout.readline().startswith("2 workers at tcp://")
    os.kill(worker, signal.SIGKILL)
    until(parent.exists, driver)

    boss.kill()
    shown, errors = driver.communicate(timeout=200)
    assert driver.returncode == 2 and "connection to the scheduler was lost" in errors, errors
    assert not [word for word in ("Traceback", "distributed.", "tornado") if word in errors], errors

    Path(str(tmp_path / "log.go")).touch()
    _, address = scheduler(dask, tmp_path, "second.json")
    dask("worker", address)
    driver = command(tmp_path, path, "--scheduler", address)
    shown, errors = driver.communicate(timeout=200)
    assert driver.returncode == 0, errors
    assert pd.read_csv(tmp_path / "out" / "summary.csv")["state"].tolist() == ["done"] * 3
    assert started(tmp_path).count("1") == started(tmp_path).count("3") == 1
