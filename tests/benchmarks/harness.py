"""Two and more ways to do one job take turns in one process; the medians over the rounds count.

>>> bench.run(Job("probing", "RoBERTa-base, 48 texts", {"plain": plain, "ours": ours}, [Mark("plain", "ours", 5)]))

Every way gives back what it found, and all of them must have found the same. On one thread a way's time is the
processor's, which other programs on the machine do not lengthen; on all threads, and on a GPU, it is the wall's.
"""

import ctypes
import gc
import json
import math
import os
import re
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from operator import itemgetter, truediv
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import psutil
import torch

from skillkit.core.provenance import usable_cores

ROUNDS, _THREADS = 3, torch.get_num_threads()
_MMAP_THRESHOLD = -3  # of glibc's mallopt: larger pieces are taken from the system, and given back to it


class Mark(NamedTuple):
    """How many times faster than `slow` the way `quick` is to be; None: only reported."""

    slow: str
    quick: str
    at_least: float | None = None


@dataclass
class Job:
    """What is done in several ways.

    >>> Job("suppression", "…", {"plain": one_rate, "ours": all_rates}, marks, scale={"plain": 11})

    ways         functions without arguments
    close        (found, expected) → bool: whether a way found what the first of the ways found
    multiply_adds   of what the job needs, for its floor; in the dtype that each way multiplies in
    dtypes       by way, where that is not float32
    scale        by way, how many times its work the whole job is
    rounds       whose median counts
    """

    name: str
    shape: str
    ways: dict[str, Callable]
    marks: list[Mark]
    close: Callable | None = None
    multiply_adds: float = math.nan
    dtypes: dict = field(default_factory=dict)
    scale: dict = field(default_factory=dict)
    rounds: int = ROUNDS


class Bench:
    """Collects what is measured, in a file that the next run on this machine goes on with.

    >>> bench.run(job); bench.rows[-1]["ratio"]
    """

    def __init__(self, folder, machine, write):
        self.file, self.machine, self.write = folder / "bench.json", machine, write
        self.rows, self.grown, self.words = [], [], {}  # words: {heading: {what: text}}
        known = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}
        if known.get("machine") == machine:
            vars(self).update(known)

    def note(self, heading, what, text):
        """Put a paragraph into the report, in place of one about the same."""
        self.words.setdefault(heading, {})[what] = text
        self.keep()

    def keep(self):
        """Write what is known so far."""
        known = {name: getattr(self, name) for name in ("machine", "rows", "grown", "words")}
        self.file.write_text(json.dumps(known, indent=1, ensure_ascii=False), encoding="utf-8")
        self.write(self)

    def run(self, job):
        """Time a job on one thread and on all (or on the GPU), and keep the table after each; then hold the marks."""
        missed = []
        for threads in places():
            with on(threads):
                times, speeds = rounds(job, threads)
            rows = [_row(job, mark, threads, times, speeds) for mark in job.marks]
            about = itemgetter("job", "shape", "threads")
            self.rows = [row for row in self.rows if about(row) != about(rows[0])] + rows
            self.keep()
            missed += [row for row in rows if row["mark"] and row["ratio"] < row["mark"]]
        assert not missed, [f"{row['quick']}: {row['ratio']:.2f}, to reach {row['mark']}" for row in missed]


def rounds(job, threads):
    """{way: seconds in each round} and {way: speeds of a product around it}.

    The speeds are measured before and after each turn of a way, since a machine wanders from minute to minute.
    """
    times, speeds = ({name: [] for name in job.ways} for _ in range(2))
    expected = None
    for name, way in job.rounds * [*job.ways.items()]:
        speed = partial(product_speed, job.dtypes.get(name, torch.float32))
        before, (seconds, found), after = speed(), clocked(way, threads), speed()
        times[name].append(seconds * job.scale.get(name, 1))
        speeds[name].append((before + after) / 2)
        expected = found if expected is None else expected
        assert job.close is None or job.close(found, expected), f"{name} finds something else"
    return times, speeds


def _row(job, mark, threads, times, speeds):
    slow, quick = (statistics.median(times[name]) for name in (mark.slow, mark.quick))
    ratios = sorted(a / b for a, b in zip(times[mark.slow], times[mark.quick], strict=True))
    needed = [
        2 * job.multiply_adds / speed for speed in speeds[mark.quick]
    ]  # seconds, for the multiply–adds alone
    return {
        "job": job.name, "shape": job.shape, "threads": threads, "slow": mark.slow, "seconds slow": slow,
        "quick": mark.quick, "seconds": quick, "ratio": slow / quick, "lowest": ratios[0], "highest": ratios[-1],
        "mark": mark.at_least, "share": statistics.median(map(truediv, needed, times[mark.quick])),
        "product speed": statistics.median(speeds[mark.quick]),
        "day": f"{datetime.now():%Y-%m-%d %H:%M}", "load": os.getloadavg()[0],
    }  # fmt: skip


def places():
    """Numbers of threads to time with (OMP_NUM_THREADS=1: one alone); where there is a GPU, that alone."""
    return ["cuda"] if torch.cuda.is_available() else sorted({1, min(usable_cores(), _THREADS)})


@contextmanager
def on(threads):
    """So many threads for the length of a block."""
    torch.set_num_threads(_THREADS if threads == "cuda" else threads)
    try:
        yield
    finally:
        torch.set_num_threads(_THREADS)


def clocked(way, threads):
    """(seconds, what the way found)."""
    clock = time.process_time if threads == 1 else time.perf_counter
    wait = torch.cuda.synchronize if threads == "cuda" else lambda: None
    wait()
    began = clock()
    found = way()
    wait()
    return clock() - began, found


def peak_memory(way):
    """Bytes that a way takes at most beyond what is held before; None where the system does not say."""
    gc.collect()
    try:
        libc = ctypes.CDLL("libc.so.6")
        # What is freed goes back at once: gaps that malloc keeps do not count, and taking memory again shows.
        libc.mallopt(_MMAP_THRESHOLD, 2**16)
        libc.malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    before = psutil.Process().memory_info().rss
    way()
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    libc.mallopt(_MMAP_THRESHOLD, 2**25)
    return 1024 * int(peak[1]) - before


def product_speed(dtype=torch.float32, size=(1024, 768, 3072)):
    """Floating-point operations per second of a large product of two matrices here."""
    rows, inner, columns = size
    where = "cuda" if torch.cuda.is_available() else torch.get_num_threads()
    device = "cuda" if where == "cuda" else "cpu"
    x, weight = (torch.randn(n, inner, device=device, dtype=dtype) for n in (rows, columns))
    multiply = lambda: torch.nn.functional.linear(x, weight)
    return 2 * rows * inner * columns / statistics.median(clocked(multiply, where)[0] for _ in range(15))


# The same way of doing a job without what only saves time.
plainly = patch.dict(os.environ, SKILLKIT_PLAIN="1")


def near(tolerance):
    """Whether two tensors differ by no more than so much of the largest value."""
    return lambda found, expected: (found - expected).abs().max() <= tolerance * expected.abs().max()
