"""How fast a backbone does a task, beside how well: what pruning is for.

>>> speed(bb, task, prompt)["seconds"] / speed(small, task, prompt)["seconds"]
1.4
"""

import statistics
import time

import torch

from skillkit.evaluation import Evaluation
from skillkit.reading import prepare


def speed(bb, task, prompt, split="test", repeats=3, batch_size=None):
    """Time and accuracy of a backbone on a split, as plain values.

    >>> speed(bb, task, prompt)
    {'accuracy': 0.94, 'low': 0.92, 'high': 0.95, 'n': 1000, 'seconds': 1.9, 'per_second': 526.3, …}

    seconds is the median of `repeats` passes over the tokenised rows, after one more that is not counted; low
    and high bound the accuracy (95 %); parameters are all of the model's, shared ones once.
    """
    reading, words = prepare(bb, task, prompt, task[split]), task.label_ids(bb)
    result = Evaluation(reading.logits(words, batch_size), reading.labels, task.labels, task.metric)
    times = [_seconds(lambda: reading.logits(words, batch_size)) for _ in range(repeats)]
    seconds = statistics.median(times)
    low, high = result.interval
    return {
        "accuracy": result.accuracy, "low": low, "high": high, "n": result.n, "seconds": seconds,
        "per_second": result.n / seconds, "parameters": sum(p.numel() for p in bb.model.parameters()),
    }  # fmt: skip


def _seconds(work):
    _wait()
    began = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - began


def _wait():
    # A GPU is still busy when the call that gave it work returns.
    if torch.cuda.is_available():
        torch.cuda.synchronize()
