"""How many more cells per minute two workers finish than one, on cells of one thread.

Six cells that compute for about five seconds each, besides the start of their kernels: the wall time that one worker
takes, and two. Only an otherwise idle machine with two cores or more gives a meaningful figure.
"""

import time
from functools import partial

import pytest

from skillkit.core.provenance import usable_cores
from skillkit.studies import params, run_study
from skillkit.studies.executors import local
from tests import small_studies as studies
from tests.helpers import REPOSITORY


@pytest.mark.skipif(usable_cores() < 2, reason="one core")
def test_two_workers_finish_more(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr(params, "FOLDER", None)
    studies.install(tmp_path / "notebooks")
    path = studies.sweep(
        tmp_path, notebooks={"small": {"action": "compute"}}, grid={"size": [1, 2, 3, 4, 5, 6]}
    )
    seconds = {1: 0.0, 2: 0.0}
    for workers in seconds:
        began = time.perf_counter()
        _, outcomes = run_study(
            path, tmp_path / str(workers), pool=partial(local, workers=workers, threads=1)
        )
        seconds[workers] = time.perf_counter() - began
        assert {outcome.state for outcome in outcomes.values()} == {"done"}
    ratio = seconds[1] / seconds[2]
    said = f"{ratio:.2f} times as many cells per minute (at least 1.6)"
    bench.note("Sweeps", "workers", f"One worker {seconds[1]:.1f} s, two {seconds[2]:.1f} s: {said}.")
    assert ratio >= 1.6
