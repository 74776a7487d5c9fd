"""Executors of jobs: a pool on this machine, a Dask cluster, or jobs of SLURM.

>>> with local(cells=40) as pool:                                           # doctest: +SKIP
...     future = pool.executor.submit(run_on_worker, job, Environment.current(pool.threads))
...     future.result().state
'done'

Each is a `concurrent.futures` executor. The pool on this machine is made of threads, because each notebook runs in a
process of its own anyway, its kernel.
"""

import logging
import os
import shutil
import socket
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from skillkit.core import store
from skillkit.core.errors import SkillkitError, at_least, quoted, short
from skillkit.core.provenance import runs_folder, usable_cores
from skillkit.studies import job

CONNECT_TIMEOUT = 10  # seconds that a scheduler has to answer
MOST = 1024  # workers, and threads of each
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
    began = time.monotonic()
    try:
        return job.run_job(one, force=force, watch=watch, cwd=environment.cwd)
    except Exception as error:  # of the disk or of this machine; it concerns this job alone
        return job.Outcome("failed", time.monotonic() - began, short(error) or type(error).__name__)


@contextmanager
def local(cells, workers=None, threads=None, memory=2.0):
    """A pool on this machine, sized to its cores, its free memory and the number of cells.

    >>> with local(cells=40, workers=2, threads=1) as pool: ...

    workers:  cells at once; None: as many as cores and free memory (`memory` GB for each) allow, but one at a
              time on a GPU, whose memory only its user can divide.
    threads:  of each cell's numerical libraries; None: OMP_NUM_THREADS, else its share of the cores.
    """
    import torch  # takes seconds, which other commands spare

    _check_sizes(workers, threads, memory)
    cores, free, alone = usable_cores(), free_memory(), cells == 1 or torch.cuda.is_available()
    workers = min(cells, workers or (1 if alone else max(1, min(cores, int(free // memory)))))
    threads = threads or asked_threads() or max(1, cores // workers)
    executor = ThreadPoolExecutor(workers)
    size = f"{count(workers, 'worker')} with {count(threads, 'thread')} each"
    description = f"{size} on {count(cores, 'core')}, {free:.0f} GB free"
    try:
        yield Pool(executor, lambda: workers, threads, description, partial(_stop, executor))
    finally:
        executor.shutdown()


def asked_threads():
    """The threads that OMP_NUM_THREADS asks for, of "2,1" the first number; None where it asks for nothing.

    >>> asked_threads()
    1

    Raises SkillkitError for what is no number.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked and not (asked.isdecimal() and 0 < int(asked[:9]) <= MOST):
        raise SkillkitError(f"OMP_NUM_THREADS is {quoted(asked)}; make it a number of threads, or unset it")
    return int(asked) if asked else None


def _check_sizes(workers, threads, memory):
    at_least(0.01, memory=memory)
    for name, value in {"workers": workers, "threads": threads}.items():
        if value is not None:
            at_least(1, **{name: value})
        if value and value > MOST:
            raise SkillkitError(f"{name} cannot be {quoted(value)}; give at most {MOST:,}")


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
def slurm(cells, workers=None, threads=None, memory=2.0, interface=None):
    """Jobs of SLURM, one cell at a time each; queue, account and the like come from dask-jobqueue's own file.

    >>> with slurm(cells=40, workers=8, threads=4, memory=16, interface="ib0") as pool: ...  # doctest: +SKIP

    workers:    jobs; None: one per cell, at most 16. threads: cores of a job. memory: of a job, in GB.
    interface:  of the network by which jobs reach this machine; without one, here or in that file, the scheduler
                listens to this machine alone. All connections are encrypted and need a certificate; the jobs find
                theirs in the folder of runs.
    """
    _check_sizes(workers, threads, memory)
    if not shutil.which("sbatch"):
        raise SkillkitError(
            "there is no sbatch on this machine; start --slurm where one submits jobs of SLURM"
        )
    workers, threads = min(workers or 16, cells), threads or 1
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(_cluster(threads, memory, interface))
            cluster.scale(jobs=workers)
        except ImportError:
            raise SkillkitError(f"--slurm needs dask-jobqueue and cryptography; {_INSTALL}") from None
        except (OSError, RuntimeError, ValueError) as error:
            raise SkillkitError(
                f"SLURM does not take jobs from here ({short(error)}); see its settings"
            ) from error
        client = stack.enter_context(_client(cluster, cluster.security))
        yield _dask_pool(client, f"in {count(workers, 'job')} of SLURM", threads)


def _cluster(threads, memory, interface):
    from dask import config  # here: it is an extra
    from dask_jobqueue import SLURMCluster
    from distributed.security import Security

    interface = interface or config.get("jobqueue.slurm.interface", None)
    listening = {"interface": interface} if interface else {"host": "127.0.0.1"}
    listening |= config.get("jobqueue.slurm.scheduler-options", None) or {}
    options = listening | {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    runs_folder().mkdir(parents=True, exist_ok=True)
    return SLURMCluster(
        # cores=1: one cell at a time in a job; job_cpu: what SLURM is asked for
        cores=1, processes=1, job_cpu=threads, memory=f"{memory}GB", interface=interface, scheduler_options=options,
        security=Security.temporary(), shared_temp_directory=str(runs_folder().absolute()),
    )  # fmt: skip


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


def _client(address, security=None):
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise SkillkitError(f"--scheduler needs dask.distributed; {_INSTALL}") from None
    try:
        for name in ("distributed", "distributed.client", "tornado"):  # our one sentence is enough
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False, security=security)
    except (OSError, ValueError) as error:  # a time-out is an OSError too
        remedy = "start one with `dask scheduler`, or leave out --scheduler"
        reason = short(error) or type(error).__name__
        raise SkillkitError(f"no Dask scheduler answers at {short(address)} ({reason}); {remedy}") from None


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
