"""Speed of backbones: wall time of forward passes, measured in turns, beside their size.

>>> table = compare_speed({"full": bb, "pruned": small}, batch_sizes=(1,), length=16, rounds=2)
>>> table[["model", "batch_size", "faster", "low", "high", "parameters"]]
"""

import math
import statistics
import time

import pandas as pd
import torch

from skillkit.core.errors import SkillkitError, listed, of_kind
from skillkit.core.progress import progress as steps
from skillkit.core.stats import mean_interval
from skillkit.models import networks


def compare_speed(
    backbones, batch_sizes=(1, 8, 32), length=64, rounds=7, passes=3, seed=0, progress=True, single=False
):
    """Wall time of forward passes, in turns on the same random tokens, and size of each backbone: DataFrame.

    >>> compare_speed({"full": bb, "2 % kept": small}, batch_sizes=(1,), length=16, rounds=2)

    backbones  by name; the first is what the others are compared with. One of a vocabulary of its own gets
               ids below the smallest one
    length     tokens in each text; there is no padding
    rounds     in each, every backbone has its turn at each batch size, in an order that turns round
    passes     in a turn, of which the quickest counts: interruptions make a pass longer, nothing shorter

    One row per backbone and batch size: seconds (median over rounds), faster (geometric mean over the rounds of the
    first one's time divided by this one's, with its 95 % interval low, high), parameters (shared ones count once),
    multiply_adds of the feed-forward networks per token (of an encoder–decoder, one token through both).
    single=True: one row per backbone, batch size and round, with its seconds. A pass is `Backbone.run`: all layers,
    no head; of an encoder–decoder with one decoder token. What else runs on the machine slows all of them, so look
    at the ratios; they hold for this machine and threads.
    """
    of_kind(dict, backbones=backbones)
    batch_sizes = listed(batch_sizes)
    if not backbones or rounds < 1:
        raise SkillkitError("a comparison needs at least one backbone and one round")
    smallest = min(len(bb.tokenizer) for bb in backbones.values())
    draw, names = torch.Generator().manual_seed(int(seed)), list(backbones)
    ids = {batch: torch.randint(smallest, (batch, length), generator=draw) for batch in batch_sizes}
    times = {(name, batch): [] for batch in batch_sizes for name in names}
    for turn in steps(range(-1, rounds), "timing", disable=not progress):  # the first one warms up
        for batch in batch_sizes:
            for name in names if turn % 2 else names[::-1]:
                taken = min(_seconds(backbones[name], ids[batch]) for _ in range(passes))
                times[name, batch] += [taken] if turn >= 0 else []
    if single:
        rows = [(*key, turn, taken) for key, own in times.items() for turn, taken in enumerate(own)]
        return pd.DataFrame(rows, columns=["model", "batch_size", "round", "seconds"])
    return pd.DataFrame([
        dict(model=name, batch_size=batch, **_faster(times[names[0], batch], own), **size(backbones[name]))
        for (name, batch), own in times.items()
    ])  # fmt: skip


def size(bb):
    """Parameters of a backbone, and multiply–adds of its feed-forward networks per token.

    >>> size(bb)
    {'parameters': ..., 'multiply_adds': 786432}
    """
    matrices = [(*network.into, network.out) for network in networks(bb.model.base_model, bb.row)]
    adds = sum(matrix.weight.numel() for layer in matrices for matrix in layer)
    return {"parameters": bb.model.num_parameters(), "multiply_adds": adds}


@torch.inference_mode()
def _seconds(bb, ids):
    """Seconds of one forward pass."""
    inputs = {"input_ids": ids.to(bb.device), "attention_mask": torch.ones_like(ids, device=bb.device)}
    if bb.family == "seq2seq":
        inputs["decoder_input_ids"] = inputs["input_ids"][:, :1]
    _wait(bb)
    began = time.perf_counter()
    bb.run(inputs)
    _wait(bb)
    return time.perf_counter() - began


def _wait(bb):
    if bb.device.type == "cuda":  # still busy when the call that gave it work returns
        torch.cuda.synchronize()


def _faster(first, own):
    """Median seconds, and how many times faster: the geometric mean over paired rounds."""
    ratios = [math.log(theirs / mine) for theirs, mine in zip(first, own, strict=True)]
    faster, low, high = (math.exp(end) for end in mean_interval(ratios))
    return {"seconds": statistics.median(own), "faster": faster, "low": low, "high": high}
