"""Probing every neuron at every slot, and pooled over the text by mean and by maximum.

The plain version is how the published code does it: a pass over both splits for each of the three kinds, batches in
random order, the head at every position, the activations of all examples kept, and loops over layers in numpy.
"""

from math import nan

import numpy as np
import pytest
import torch

from skillkit.neurons import probe
from skillkit.prompts import prepare, random_prompt
from tests.benchmarks.harness import Job, Mark, plainly
from tests.benchmarks.shapes import base, called, counted, lengths, shuffled, task_of

BATCH, LENGTH, ROWS = 8, 16, 16
POOLS = {
    "slots": lambda neurons, attached: neurons[torch.arange(len(neurons))[:, None], attached.slots],
    "mean": lambda neurons, attached: _mean(neurons, attached.text[..., None]),
    "max": lambda neurons, attached: neurons.where(attached.text[..., None], -torch.inf).amax(1, True),
}


@pytest.mark.parametrize("kind", ["roberta", "smollm2"])
def test_all_views(bench, kind):
    bb, task = base(kind), task_of(lengths(ROWS))
    prompt = random_prompt(bb, LENGTH, 0)
    readings = [prepare(bb, task, prompt, task[split]) for split in ("train", "validation")]
    ways = {
        "as published": lambda: as_published(bb, readings),
        "ours": lambda: ours(bb, task, prompt),
        "bare forward": lambda: bare_forward(readings, lambda inputs: bb.model.base_model(**inputs)),
        "bare forward, packed": lambda: bare_forward(readings, bb.run),
        "ours, SKILLKIT_PLAIN=1": plainly(lambda: ours(bb, task, prompt)),
    }
    wanted = {"as published": 5.0} | ({"bare forward": 1 / 1.15} if kind == "roberta" else {})
    marks = [Mark(name, "ours", wanted.get(name)) for name in ways if name != "ours"]
    slots = [count + LENGTH + 1 for count in lengths(ROWS)]
    whole, _ = counted(bb, slots)
    up = sum(slots) * bb.hidden_size * bb.num_neurons  # the last layer's neurons, and nothing after them
    needed = 2 * (whole * bb.num_layers - up) if kind == "roberta" else nan
    shape = f"{called(kind)}, 2 × {ROWS} texts of 8–56 tokens, {LENGTH} slots, all layers"
    bench.run(Job("probing", shape, ways, marks, close, needed))


def ours(bb, task, prompt):
    sides = probe(bb, task, prompt, batch_size=BATCH).sides.values()  # slots, text
    return tuple(torch.cat([getattr(side, of) for side in sides], 1) for of in ("baseline", "accuracy"))


@torch.inference_mode()
def bare_forward(readings, read):
    """The second yardstick: the same batches through the layers, without head and without looking."""
    for reading in readings:
        for attached, _ in reading.batches(BATCH):
            read(attached.inputs)


@torch.inference_mode()
def as_published(bb, readings):
    """Baselines and accuracies, [layers, slots and pools, neurons]."""
    parts = [_one_kind(bb, readings, pool) for pool in POOLS.values()]
    return tuple(torch.cat(part, 1) for part in zip(*parts, strict=True))


def _one_kind(bb, readings, pool):
    (train, _), (seen, labels) = (_activations(bb, reading, pool) for reading in readings)
    baselines = [np.mean(layer, axis=0) for layer in train]
    accuracies = []
    for layer, baseline in zip(seen, baselines, strict=True):
        right = np.zeros_like(baseline)
        for example, label in zip(layer, labels, strict=True):
            right += (example > baseline) == label
        accuracies.append(right / len(labels))
    return torch.from_numpy(np.stack(baselines)), torch.from_numpy(np.stack(accuracies)).float()


def _activations(bb, reading, pool):
    """Of every layer the pooled neurons of every example, and the labels."""
    kept, labels = [], []
    for attached, batch in shuffled(reading, BATCH):
        with bb.record() as acts:
            bb.model(**attached.inputs)
        kept.append([pool(neurons, attached).cpu().numpy() for neurons in acts.values()])
        labels += batch.labels.bool().tolist()
    return [np.concatenate(layer) for layer in zip(*kept, strict=True)], labels


def _mean(neurons, text):
    return (neurons * text).sum(1, True) / text.sum(1, True)


def close(found, expected):
    """Baselines agree, and so do accuracies but where an activation lies within rounding of its baseline."""
    if found is None:  # the bare forward pass looks for nothing
        return True
    (baseline, accuracy), (plain_baseline, plain_accuracy) = found, expected
    apart = (baseline - plain_baseline).abs().max() / plain_baseline.abs().max()
    return apart < 1e-4 and ((accuracy - plain_accuracy).abs() > 1e-6).float().mean() < 1e-3
