"""Executors: sizes that fit the machine, workers with the same code, schedulers that answer."""

import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from skillkit.core.errors import SkillkitError
from skillkit.core.provenance import usable_cores
from skillkit.studies import executors, params
from skillkit.studies.executors import Environment, free_memory, local, run_on_worker, scheduler, slurm
from skillkit.studies.job import NotebookJob
from tests.helpers import REPOSITORY


@pytest.fixture
def unit(tmp_path, small_notebooks):
    return NotebookJob.create("small", params.validate("small", {}), tmp_path / "out")


@pytest.mark.parametrize("cells, memory, options, expected", [
    (40, 1.0, {}, (8, 1)), (3, 1.0, {}, (3, 2)), (40, 5.0, {}, (2, 4)), (40, 100.0, {}, (1, 8)),
    (40, 100.0, {"workers": 4}, (4, 2)), (40, 1.0, {"threads": 3}, (8, 3)),
])  # fmt: skip
def test_pool_fits_cores_memory_and_cells(monkeypatch, cells, memory, options, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(executors, "usable_cores", lambda: 8)
    monkeypatch.setattr(executors, "free_memory", lambda: 12.0)
    with local(cells, memory=memory, **options) as pool:
        assert (pool.slots(), pool.threads) == expected


@pytest.mark.slow
def test_stopping_ends_what_runs_and_forgets_what_waits():
    """In a process of its own, since all children of the process are killed."""
    program = """if True:
        import subprocess, sys, time, psutil
        from skillkit.studies.executors import local
        sleep = lambda: subprocess.run([sys.executable, "-c", "import time; time.sleep(100)"]).returncode
        with local(3, workers=1) as pool:
            futures = [pool.executor.submit(sleep) for _ in range(3)]
            while not psutil.Process().children():
                time.sleep(0.05)
            pool.stop(futures)
        print(futures[0].result(), [future.cancelled() for future in futures])
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["-9", "[False,", "True,", "True]"], done.stderr


def test_threads_asked_for_by_the_environment_are_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5,1")  # a number for each level of threads within threads
    with local(1) as pool:
        assert pool.threads == 5 and pool.slots() <= usable_cores()
    assert Environment.current(3).variables["OMP_NUM_THREADS"] == "3"
    assert "OMP_NUM_THREADS" not in Environment.current().variables
    assert 0 < free_memory() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


@pytest.mark.parametrize("pool, sizes, threads, sentence", [
    (local, {}, "abc", "OMP_NUM_THREADS is 'abc'"), (local, {}, "9" * 5000, "OMP_NUM_THREADS is"),
    (local, {"workers": 100_000}, "2,1", "workers cannot be 100000"),
    (local, {"threads": -1}, "2", "threads cannot be -1"),
    (local, {"memory": math.nan}, "2", "memory cannot be nan"), (local, {"memory": 1e-320}, "2", "memory cannot be"),
    (slurm, {}, "2", "there is no sbatch on this machine"),
])  # fmt: skip
def test_sizes_that_cannot_be_are_told_before_anything_waits(monkeypatch, pool, sizes, threads, sentence):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SkillkitError, match=sentence), pool(3, **sizes):
        pass


def test_a_worker_with_other_code_or_without_the_files_refuses(unit, tmp_path):
    with pytest.raises(SkillkitError, match="another version of skillkit"):
        run_on_worker(unit, Environment("other code", str(Path.cwd()), {}))
    with pytest.raises(SkillkitError, match="does not see .*small.ipynb"):
        run_on_worker(unit, Environment("this code", str(tmp_path / "elsewhere"), {}))


@pytest.mark.parametrize(
    "address", [pytest.param("tcp://127.0.0.1:9", marks=pytest.mark.slow), "nonsense://x", "tcp://"]
)
def test_a_scheduler_that_does_not_answer_is_told(monkeypatch, address):
    monkeypatch.setattr(executors, "CONNECT_TIMEOUT", 1)
    with pytest.raises(SkillkitError, match="no Dask scheduler answers at"), scheduler(address, 1):
        pass


SBATCH = """#!/bin/sh
. {environment}
cp "$1" {log}.sh  # the file is gone as soon as the job is submitted
setsid sh {log}.sh >{log} 2>&1 & echo "Submitted batch job $!"
"""


@pytest.mark.slow
def test_cells_run_in_jobs_of_slurm(unit, tmp_path, monkeypatch):
    """`sbatch` and `scancel` that start and end the job on this machine."""
    line = f"export PYTHONPATH={REPOSITORY} DASK_DISTRIBUTED__WORKER__PRELOAD=tests.fixed_code\n"
    (tmp_path / "environment").write_text(line)
    scripts = {"sbatch": SBATCH.format(environment=tmp_path / "environment", log=tmp_path / "job.log"),
               "scancel": '#!/bin/sh\nkill -9 -- "-$1"\n'}  # fmt: skip
    for name, script in scripts.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with slurm(cells=1, workers=1, threads=2, memory=3) as pool:
        assert "1 job of SLURM" in pool.description
        future = pool.executor.submit(run_on_worker, unit, Environment.current(pool.threads))
        outcome = future.result(timeout=200)
    assert outcome.state == "done" and (tmp_path / "out" / "size.txt").read_text() == f"3 {sys.executable}"
