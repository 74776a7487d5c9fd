"""Two and more ways to do one job take turns in one process; the medians over the rounds count.

>>> bench.run(Job("probing", "RoBERTa-base, 48 texts", {"plain": plain, "ours": ours}, [Mark("plain", "ours", 5)]))

Every way gives back what it found, and all of them must have found the same. On one thread a way's time is the
processor's, which other programs on the machine do not lengthen; on all threads, and on a GPU, it is the wall's.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd
import torch

from skillkit import matrices
from skillkit.provenance import usable_cores

ROUNDS = 3


class Mark(NamedTuple):
    """How many times faster than `slow` the way `quick` is to be; None: only told."""

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
    """

    name: str
    shape: str
    ways: dict[str, Callable]
    marks: list[Mark]
    close: Callable | None = None
    multiply_adds: float | None = None
    dtypes: dict = field(default_factory=dict)
    scale: dict = field(default_factory=dict)
    rounds: int = ROUNDS


class Bench:
    """Collects the rows of the table.

    >>> bench.run(job); bench.table[["job", "quick", "ratio"]]
    """

    def __init__(self, folder, write):
        self.rows, self.pages, self.folder, self.write = [], {}, folder, write

    @property
    def table(self):
        return pd.DataFrame(self.rows)

    def run(self, job):
        """Time a job on one thread and on all (or on the GPU), and keep the table after each."""
        for threads in places():
            with on(threads):
                speeds = {dtype: product_speed(dtype) for dtype in {torch.float32, *job.dtypes.values()}}
                times = rounds(job, threads)
            self.rows += [_row(job, mark, threads, times, speeds) for mark in job.marks]
            self.write(self)


def rounds(job, threads):
    """{way: seconds in each round}; first one that is not counted, later on half as many."""
    times = {name: [] for name in job.ways}
    expected = None
    first = threads in (1, "cuda")
    for turn in range(-1, job.rounds) if first else range(-(-job.rounds // 2)):
        for name, way in job.ways.items():
            seconds, found = clocked(way, threads)
            if turn >= 0:
                times[name].append(seconds * job.scale.get(name, 1))
            elif expected is None:
                expected = found
            else:
                assert job.close is None or job.close(found, expected), f"{name} finds something else"
    return times


def _row(job, mark, threads, times, speeds):
    slow, quick = (statistics.median(times[name]) for name in (mark.slow, mark.quick))
    ratios = sorted(a / b for a, b in zip(times[mark.slow], times[mark.quick], strict=True))
    speed = speeds[job.dtypes.get(mark.quick, torch.float32)]
    floor = None if job.multiply_adds is None else 2 * job.multiply_adds / speed
    return {
        "job": job.name, "shape": job.shape, "threads": threads, "slow": mark.slow, "seconds slow": slow,
        "quick": mark.quick, "seconds": quick, "ratio": slow / quick, "lowest": ratios[0], "highest": ratios[-1],
        "mark": mark.at_least, "floor": floor, "share": floor and floor / quick,
        "product speed": speed,
    }  # fmt: skip


def places():
    """Numbers of threads to time with; where there is a GPU, that alone."""
    return ["cuda"] if torch.cuda.is_available() else sorted({1, usable_cores()})


@contextmanager
def on(threads):
    """So many threads for the length of a block."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before if threads == "cuda" else threads)
        yield
    finally:
        torch.set_num_threads(before)


def clocked(way, threads):
    """(seconds, what the way found)."""
    clock = time.process_time if threads == 1 else time.perf_counter
    _wait()
    began = clock()
    found = way()
    _wait()
    return clock() - began, found


def _wait():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def product_speed(dtype=torch.float32, size=(1024, 768, 3072)):
    """Floating-point operations per second of the machine's fastest product of two matrices, on these threads."""
    rows, inner, columns = size
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, weight = (torch.randn(n, inner, device=device, dtype=dtype) for n in (rows, columns))
    ways = [lambda: torch.nn.functional.linear(x, weight)]
    if matrices._worth_while(x, weight):
        ways.append(lambda: matrices.linear(x, weight))
    threads = device if device == "cuda" else torch.get_num_threads()
    quickest = min(statistics.median(clocked(way, threads)[0] for _ in range(15)) for way in ways)
    return 2 * rows * inner * columns / quickest


@contextmanager
def plain_products():
    """Linear layers as PyTorch has them: what other code gets."""
    before, matrices._ABLE = matrices._ABLE, False
    try:
        yield
    finally:
        matrices._ABLE = before


def plainly(way):
    """The same way of doing a job with `plain_products`."""

    def run():
        with plain_products():
            return way()

    return run


def near(tolerance):
    """Whether tensors (in lists, dicts) differ by no more than so much of the largest value."""

    def close(found, expected):
        pairs = zip(_tensors(found), _tensors(expected), strict=True)
        return all((a - b).abs().max() <= tolerance * b.abs().max() for a, b in pairs)

    return close


def _tensors(value):
    if isinstance(value, torch.Tensor):
        return [value.float().cpu()]
    items = value.values() if isinstance(value, dict) else value
    return [tensor for item in items for tensor in _tensors(item)]
