"""Executors of jobs: a pool on this machine, a Dask cluster, or jobs of SLURM.

>>> with local(cells=40) as pool:                                           # doctest: +SKIP
...     future = pool.executor.submit(run_on_worker, job, Environment.current(pool.threads))
...     future.result().state
'done'

Each is a `concurrent.futures` executor. The pool on this machine is made of threads, because each notebook runs in a
process of its own anyway, its kernel.
"""

import os
import socket
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from skillkit.core import store
from skillkit.core.errors import SkillkitError
from skillkit.core.provenance import runs_folder, usable_cores
from skillkit.studies import job

ANSWER = 10  # seconds that a scheduler has to answer
_INSTALL = "pip install 'skillkit[cluster]'"


@dataclass(frozen=True)
class Pool:
    """An executor, how many cells it runs at once, threads of each, and a description in one line.

    >>> with local(cells=40, workers=2, threads=1) as pool:
    ...     pool.slots(), pool.threads
    (2, 1)

    `stop(futures)` ends what runs, in the middle of it where that is possible.
    """

    executor: Executor
    slots: Callable[[], int]
    threads: int | None
    description: str
    stop: Callable[[list], None]


@dataclass(frozen=True)
class Environment:
    """What a worker takes over from the process that started the study: code, working folder, environment variables.

    >>> Environment.current(threads=2).variables["OMP_NUM_THREADS"]
    '2'
    """

    code: str
    cwd: str
    variables: dict

    @classmethod
    def current(cls, threads=None):
        """That of this process; `threads` of each cell, None for what the worker's own environment says."""
        folders = {"SKILLKIT_RUNS": runs_folder(), "SKILLKIT_STORE": store.root()}
        variables = {name: str(folder.absolute()) for name, folder in folders.items()}
        variables |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
        return cls(job.source_hash(), str(Path.cwd()), variables)


def run_on_worker(one, environment, force=False, watch=None):
    """Execute one job where this is called; returns its Outcome.

    >>> run_on_worker(job, Environment.current(threads=1)).state        # doctest: +SKIP
    'done'

    Raises SkillkitError when this machine has other code, or does not see the notebook.
    """
    host = socket.gethostname()
    if job.source_hash() != environment.code:
        raise SkillkitError(f"{host} has another version of skillkit; install the same, restart the worker")
    if not one.source.is_file() or not Path(environment.cwd).is_dir():
        where = "repository and results must lie where all machines see them"
        raise SkillkitError(f"{host} does not see {one.source}; {where}")
    os.environ.update(environment.variables)
    return job.run_job(one, force=force, watch=watch, cwd=environment.cwd)


@contextmanager
def local(cells, workers=None, threads=None, memory=2.0):
    """A pool on this machine, sized to its cores, its free memory and the number of cells.

    >>> with local(cells=40, workers=2, threads=1) as pool: ...

    workers:  cells at once; None: as many as cores and free memory (`memory` GB for each) allow, but one at a
              time on a GPU, whose memory only its user can divide.
    threads:  of each cell's numerical libraries; None: OMP_NUM_THREADS, else its share of the cores.
    """
    import torch  # takes seconds, which other commands spare

    cores, free = usable_cores(), free_memory()
    alone = cells == 1 or torch.cuda.is_available()
    workers = workers or (1 if alone else max(1, min(cells, cores, int(free // memory))))
    threads = threads or int(os.environ.get("OMP_NUM_THREADS") or max(1, cores // workers))
    executor = ThreadPoolExecutor(workers)
    size = f"{count(workers, 'worker')} with {count(threads, 'thread')} each"
    description = f"{size} on {count(cores, 'core')}, {free:.0f} GB free"
    try:
        yield Pool(executor, lambda: workers, threads, description, partial(_stop, executor))
    finally:
        executor.shutdown()


@contextmanager
def scheduler(address, cells, threads=None):
    """The workers of a Dask scheduler that runs already.

    >>> with scheduler("tcp://10.0.0.1:8786", cells=40) as pool: ...        # doctest: +SKIP

    Raises SkillkitError when dask.distributed is not installed, or no answer comes within ten seconds.
    """
    client = _client(address)
    with client:
        yield _dask_pool(client, f"at {address}", threads)


@contextmanager
def slurm(cells, workers=None, threads=None, memory=2.0):
    """Jobs of SLURM, one cell at a time each; queue, account and the like come from dask-jobqueue's own file.

    >>> with slurm(cells=40, workers=8, threads=4, memory=16) as pool: ...  # doctest: +SKIP

    workers: jobs; None: one per cell, at most 16. threads: cores of a job. memory: of a job, in GB.
    """
    try:
        from dask_jobqueue import SLURMCluster
    except ModuleNotFoundError:
        raise SkillkitError(f"--slurm needs dask-jobqueue; {_INSTALL}") from None
    workers, threads = workers or min(cells, 16), threads or 1
    # cores=1: one cell at a time in a job; job_cpu: what SLURM is asked for
    sizes = dict(cores=1, processes=1, job_cpu=threads, memory=f"{memory}GB")
    cluster = SLURMCluster(**sizes, scheduler_options={"dashboard_address": None})
    with cluster:
        try:
            cluster.scale(jobs=workers)
        except (OSError, RuntimeError) as error:
            raise SkillkitError(f"SLURM does not take jobs from here ({error}); is sbatch there?") from None
        with _client(cluster) as client:
            yield _dask_pool(client, f"in {count(workers, 'job')} of SLURM", threads)


def free_memory():
    """GB of memory that processes started here may take: of the machine, and of the control group we are in.

    >>> free_memory() > 0
    True
    """
    free = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):  # no control group, or one without a limit ("max")
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used)
    return free / 1e9


def count(number, thing):
    """A number with its noun.

    >>> count(2, "worker")
    '2 workers'
    """
    return f"{number:,} {thing}{'s' * (number != 1)}"


def _client(address):
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise SkillkitError(f"--scheduler needs dask.distributed; {_INSTALL}") from None
    try:
        return Client(address, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:  # a time-out is an OSError too
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "start one with `dask scheduler`, or leave out --scheduler"
        raise SkillkitError(f"no Dask scheduler answers at {address} ({reason}); {remedy}") from None


def _dask_pool(client, where, threads):
    def slots():
        return sum(client.nthreads().values()) if client.status == "running" else 0

    description = f"no worker yet {where}"
    if slots():
        description = f"{count(len(client.nthreads()), 'worker')} {where}, {count(slots(), 'cell')} at once"
    executor = client.get_executor(pure=False)
    return Pool(executor, slots, threads, description, lambda futures: executor.shutdown(wait=False))


def _stop(executor, futures):
    """End the cells that run: their kernels are killed, which the threads of the pool then notice."""
    executor.shutdown(wait=False, cancel_futures=True)
    # Those that had not begun are done now, but `wait` would wait for them.
    while running := [future for future in futures if not future.done()]:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        wait(running, timeout=0.2)
