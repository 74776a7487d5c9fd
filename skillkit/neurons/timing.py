"""How fast a backbone is, beside how well it does a task: what pruning is for.

>>> speed(bb, task, prompt)["seconds"]
>>> table = compare({"full": bb, "pruned": small}, batch_sizes=(1,), length=16, rounds=2)
>>> table[["model", "batch_size", "faster", "low", "high"]]
"""

import math
import statistics
import time
from functools import partial

import pandas as pd
import torch
import transformers

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress as steps
from skillkit.core.stats import mean_interval
from skillkit.models import networks
from skillkit.prompts import Evaluation, prepare


def speed(bb, task, prompt, split="test", repeats=3, batch_size=None):
    """Time and accuracy of a backbone on a split, as plain values.

    >>> speed(bb, task, prompt)
    {'accuracy': ..., 'low': ..., 'high': ..., 'n': ..., 'seconds': ..., 'per_second': ..., …}

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


def size(bb):
    """What a backbone holds and does: parameters, and multiply–adds of its feed-forward networks per token.

    >>> size(bb)
    {'parameters': ..., 'multiply_adds': 786432}

    Shared parameters count once. Of an encoder–decoder it is one token through both.
    """
    matrices = [(*network.into, network.out) for network in networks(bb.model.base_model, bb.row)]
    return {
        "parameters": sum(weight.numel() for weight in bb.model.parameters()),
        "multiply_adds": sum(matrix.weight.numel() for layer in matrices for matrix in layer),
    }


def compare(backbones, batch_sizes=(1, 8, 32), length=64, rounds=7, passes=3, seed=0, progress=True):
    """Wall time of forward passes, in turns on the same random tokens: DataFrame.

    >>> compare({"full": bb, "2 % kept": small}, batch_sizes=(1,), length=16, rounds=2)

    backbones  by name; the first is what the others are compared with. One of a vocabulary of its own gets
               ids below the smallest one
    length     tokens in each text; there is no padding
    rounds     in each, every backbone has its turn at each batch size, in an order that turns round
    passes     in a turn, of which the quickest counts: interruptions make a pass longer, nothing shorter

    One row per backbone and batch size: seconds (median over rounds), faster (geometric mean over the rounds
    of the first one's time divided by this one's, with its 95 % interval low, high), parameters, multiply_adds
    (`size`). A pass is `Backbone.run`: all layers, no head; of an encoder–decoder with one decoder token.
    What else runs on the machine slows both, so ratios are told, and they hold for this machine and threads.
    """
    if not backbones or rounds < 1:
        raise SkillkitError("a comparison needs at least one backbone and one round")
    smallest = min(len(bb.tokenizer) for bb in backbones.values())
    draw, names = torch.Generator().manual_seed(seed), list(backbones)
    ids = {batch: torch.randint(smallest, (batch, length), generator=draw) for batch in batch_sizes}
    times = {(name, batch): [] for batch in batch_sizes for name in names}
    for turn in steps(range(-1, rounds), "timing", disable=not progress):  # the first one warms up
        for batch in batch_sizes:
            for name in names if turn % 2 else names[::-1]:
                work = partial(_pass, backbones[name], ids[batch])
                taken = min(_seconds(work) for _ in range(passes))
                times[name, batch] += [taken] if turn >= 0 else []
    told = {name: size(bb) for name, bb in backbones.items()}
    return pd.DataFrame([
        dict(model=name, batch_size=batch, **_faster(times[names[0], batch], own), **told[name])
        for (name, batch), own in times.items()
    ])  # fmt: skip


def base_shaped(tokenizer, seed=0):
    """A random backbone of the shape of RoBERTa-base, to measure speed where no weights are at hand.

    >>> size(base_shaped(bb.tokenizer))["parameters"]          # doctest: +SKIP
    124697433
    """
    from skillkit.models.backbone import from_model  # takes seconds, for the classes of models

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = transformers.RobertaConfig(max_position_embeddings=514, type_vocab_size=1)
        model = transformers.RobertaForMaskedLM(config)
    return from_model(model, tokenizer, "random, RoBERTa-base shape")


@torch.inference_mode()
def _pass(bb, ids):
    inputs = {"input_ids": ids.to(bb.device), "attention_mask": torch.ones_like(ids, device=bb.device)}
    if bb.family == "seq2seq":
        inputs["decoder_input_ids"] = inputs["input_ids"][:, :1]
    bb.run(inputs)


def _faster(first, own):
    """Median seconds, and how many times faster: the geometric mean over paired rounds."""
    ratios = [math.log(theirs / mine) for theirs, mine in zip(first, own, strict=True)]
    faster, low, high = (math.exp(end) for end in mean_interval(ratios))
    return {"seconds": statistics.median(own), "faster": faster, "low": low, "high": high}


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
