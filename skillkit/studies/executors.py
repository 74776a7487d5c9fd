"""Who executes notebooks: a pool on this machine, a Dask cluster, or jobs of SLURM.

>>> with local(cells=40) as team:                                           # doctest: +SKIP
...     future = team.executor.submit(work, unit, Place.here(team.threads))
...     future.result().state
'done'

Each is a `concurrent.futures` executor. The pool on this machine is made of threads, because the work of a cell
is done in a process of its own anyway, its kernel.
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
from skillkit.studies import job as units

ANSWER = 10  # seconds that a scheduler has to answer
_INSTALL = "pip install 'skillkit[cluster]'"


@dataclass(frozen=True)
class Team:
    """Those who work: an executor, how many cells they run at once, threads of each, a line about them.

    >>> with local(cells=40, workers=2, threads=1) as team:
    ...     team.slots(), team.threads
    (2, 1)

    `stop(futures)` ends what runs, in the middle of it where that is possible.
    """

    executor: Executor
    slots: Callable[[], int]
    threads: int | None
    words: str
    stop: Callable[[list], None]


@dataclass(frozen=True)
class Place:
    """What a worker takes over from the process that began the sweep: code, working folder, environment.

    >>> Place.here(threads=2).environment["OMP_NUM_THREADS"]
    '2'
    """

    code: str
    cwd: str
    environment: dict

    @classmethod
    def here(cls, threads=None):
        """The place of this process; `threads` of each cell, None for what the worker's own environment says."""
        folders = {"SKILLKIT_RUNS": runs_folder(), "SKILLKIT_STORE": store.root()}
        environment = {name: str(folder.absolute()) for name, folder in folders.items()}
        environment |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
        return cls(units.source_hash(), str(Path.cwd()), environment)


def work(unit, place, force=False, watch=None):
    """Execute one unit where this is called; returns its Outcome.

    >>> work(unit, Place.here(threads=1)).state        # doctest: +SKIP
    'done'

    Raises SkillkitError when this machine has other code, or does not see the notebook.
    """
    if units.source_hash() != place.code:
        raise SkillkitError(
            f"the worker on {socket.gethostname()} runs another version of skillkit; install the same and restart it"
        )
    if not unit.source.is_file() or not Path(place.cwd).is_dir():
        raise SkillkitError(
            f"{socket.gethostname()} does not see {unit.source}; "
            "repository and results must lie where all machines see them"
        )
    os.environ.update(place.environment)
    return units.run_unit(unit, force=force, watch=watch, cwd=place.cwd)


@contextmanager
def local(cells, workers=None, threads=None, memory=2.0):
    """A pool on this machine, sized to its cores, its free memory and the number of cells.

    >>> with local(cells=40, workers=2, threads=1) as team: ...

    workers:  cells at once; None: as many as there are cores, and parts of `memory` (GB) that are free, but
              one at a time on a GPU, whose memory only its user can share out.
    threads:  of each cell's numerical libraries; None: OMP_NUM_THREADS, else its share of the cores.
    """
    cores, free = usable_cores(), free_memory()
    workers = workers or (1 if cells == 1 or _has_gpu() else max(1, min(cells, cores, int(free // memory))))
    threads = threads or int(os.environ.get("OMP_NUM_THREADS") or max(1, cores // workers))
    pool = ThreadPoolExecutor(workers)
    size = f"{count(workers, 'worker')} with {count(threads, 'thread')} each"
    words = f"{size} on {count(cores, 'core')}, {free:.0f} GB free"
    try:
        yield Team(pool, lambda: workers, threads, words, partial(_stop, pool))
    finally:
        pool.shutdown()


@contextmanager
def scheduler(address, cells, threads=None):
    """The workers of a Dask scheduler that runs already.

    >>> with scheduler("tcp://10.0.0.1:8786", cells=40) as team: ...        # doctest: +SKIP

    Raises SkillkitError when dask.distributed is not installed, or nobody answers within ten seconds.
    """
    client = _client(address)
    with client:
        yield _dask_team(client, f"at {address}", threads)


@contextmanager
def slurm(cells, workers=None, threads=None, memory=2.0):
    """Jobs of SLURM, one cell at a time each; queue, account and the like come from dask-jobqueue's own file.

    >>> with slurm(cells=40, workers=8, threads=4, memory=16) as team: ...  # doctest: +SKIP

    workers: jobs; None: one per cell, at most 16. threads: cores of a job. memory: of a job, in GB.
    """
    try:
        from dask_jobqueue import SLURMCluster
    except ModuleNotFoundError:
        raise SkillkitError(f"--slurm needs dask-jobqueue; {_INSTALL}") from None
    workers, threads = workers or min(cells, 16), threads or 1
    cluster = SLURMCluster(
        cores=1,
        processes=1,
        job_cpu=threads,
        memory=f"{memory}GB",
        scheduler_options={"dashboard_address": None},
    )  # cores=1: one cell at a time in a job; job_cpu: what SLURM is asked for
    with cluster:
        try:
            cluster.scale(jobs=workers)
        except (OSError, RuntimeError) as error:
            raise SkillkitError(f"SLURM does not take jobs from here ({error}); is sbatch there?") from None
        with _client(cluster) as client:
            yield _dask_team(client, f"in {count(workers, 'job')} of SLURM", threads)


def free_memory():
    """GB of memory that processes started here may take: of the machine, and of the control group we are in.

    >>> free_memory() > 0
    True
    """
    free = psutil.virtual_memory().available
    try:
        group = Path("/sys/fs/cgroup")
        free = min(
            free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
        )
    except (OSError, ValueError):  # no control group, or one without a limit ("max")
        pass
    return free / 1e9


def _has_gpu():
    import torch

    return torch.cuda.is_available()


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
        raise SkillkitError(
            f"no Dask scheduler answers at {address} ({reason}); "
            "start one with `dask scheduler`, or leave out --scheduler"
        ) from None


def _dask_team(client, where, threads):
    def slots():
        return sum(client.nthreads().values()) if client.status == "running" else 0

    words = f"no worker yet {where}"
    if slots():
        words = f"{count(len(client.nthreads()), 'worker')} {where}, {count(slots(), 'cell')} at once"
    executor = client.get_executor(pure=False)
    return Team(executor, slots, threads, words, lambda futures: executor.shutdown(wait=False))


def _stop(pool, futures):
    """End the cells that run: their kernels are killed, which the threads of the pool then notice."""
    pool.shutdown(wait=False, cancel_futures=True)
    # Those that had not begun are done now, but `wait` would wait for them.
    while running := [future for future in futures if not future.done()]:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        wait(running, timeout=0.2)
