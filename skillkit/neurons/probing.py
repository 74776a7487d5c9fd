"""Probing: which single neurons tell the classes of a task apart (Wang et al. 2022, section 4).

>>> chosen = probe(bb, task, prompt)                               # train gives baselines, validation counts
>>> report = probe(bb, task, prompt, split="test", carry=chosen)   # same slots and directions, unseen rows
>>> chosen.predictivity.max(), report.predictivity.flatten()[chosen.predictivity.argmax()]

One pass over the training split and one over the evaluated one serve every variant at once. Activations are
turned into sums and counts as they appear, so memory does not grow with the number of examples.
"""

from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.store import artifact
from skillkit.models import checked_layers
from skillkit.neurons.medians import Medians
from skillkit.neurons.probe import Probe, Side, stacked, stacks
from skillkit.prompts import POOLED, prepare

BASELINES = ("mean", "median")
# How many training rows place the thresholds between which all are counted for a median.
MEDIAN_ROWS = 64


@artifact("probe", version=1, ignore=("batch_size",))
def probe(
    bb,
    task,
    prompt,
    split="validation",
    layers=None,
    slots=None,
    text=True,
    baseline="mean",
    balanced=False,
    carry=None,
    permutations=0,
    train_examples=None,
    examples=None,
    seed=0,
    batch_size=None,
) -> Probe:
    """Compare every neuron at every probed slot with its training baseline, and count how often it is right.

    >>> found = probe(bb, task, prompt, split="validation", layers=[4, 5], permutations=20)
    >>> found.accuracy.shape, found.predictivity.shape, found.null.shape

    prompt          a SoftPrompt, a tuned BitFit or adapter, or None
    layers, slots   only these layers, only the slots with these numbers (of the answer's and the prompt's)
    text            also pool over the text tokens, by mean and by maximum
    baseline        "mean" of the training activations (Wang et al., equation 3), or "median"
    balanced        accuracy is the mean over the two classes
    carry           a Probe whose baseline, slots, directions and options are used; train is not read
    permutations    how many times the labels of the split are permuted, for `Probe.null`
    train_examples, examples   at most so many rows, class-balanced, drawn with `seed`

    Padding never counts, and the batch size changes nothing. A task of more classes is probed through
    `task.subtasks()`. Raises SkillkitError for such a task, a split with one class only, activations that are
    no numbers, and a carried probe of another backbone, layout or prompt.
    """
    if carry is not None:
        carry.made_on(bb, prompt)
        layers, slots, text, balanced = (
            carry.metadata[name] for name in ("layers", "slots", "text", "balanced")
        )
    plan = _Plan(bb, task, prompt, layers, slots, text, seed, batch_size)
    base = plan.baselines(baseline, train_examples) if carry is None else _carried(carry, bb)
    rows = plan.rows(split, examples)
    fired, hits = plan.count(rows, base.thresholds, permuted_labels(rows.labels, permutations, seed))
    metadata = (
        plan.metadata(rows)
        | base.metadata
        | {"split": split, "balanced": balanced, "carried": carry is not None}
    )
    found = _assembled(metadata, base, fired, carry)
    null = [
        _assembled(metadata, base, _relabelled(fired, hits, number), carry).predictivity
        for number in range(permutations)
    ]
    return replace(found, null=torch.stack(null)) if null else found


class _Base(NamedTuple):
    """By layer: class means [2, views, neurons] and baselines [views, neurons], over the training rows."""

    means: dict
    thresholds: dict
    metadata: dict


class _Plan:
    """What is read: which layers and views (slots, and text pooled), of which rows."""

    def __init__(self, bb, task, prompt, layers, slots, text, seed, batch_size):
        self.bb, self.task, self.prompt, self.seed = bb, task, prompt, seed
        self.layers = checked_layers(bb, range(bb.num_layers) if layers is None else layers)
        self.slots = None if slots is None else list(slots)
        self.text, self.batch_size = text, batch_size

    def rows(self, split, n):
        """A `Reading` of n rows of a split, after a check that they are of two classes."""
        rows = self.task.sample(split, n, self.seed)
        labels = sorted(set(rows["label"][:]))
        if self.task.num_labels != 2:
            raise SkillkitError(
                f"{self.task.name} has {self.task.num_labels} classes and a neuron tells two apart; "
                "probe each of task.subtasks()"
            )
        if labels != [0, 1]:
            raise SkillkitError(
                f"split {split!r} of {self.task.name} holds labels {labels} only; "
                "probing needs examples of both classes"
            )
        reading = prepare(self.bb, self.task, self.prompt, rows)
        known = len(reading.slot_names)
        if self.slots is not None and not all(0 <= slot < known for slot in self.slots or [-1]):
            raise SkillkitError(f"slots {self.slots} are not all in 0 … {known - 1} of this prompt")
        return reading

    def stream(self, reading, visit):
        reading.stream(self.layers, visit, self.slots, self.text, self.batch_size)

    def baselines(self, kind, examples):
        """Means of the classes and the baselines, in one pass over the training rows."""
        if kind not in BASELINES:
            raise SkillkitError(f"a baseline is {' or '.join(BASELINES)}, not {kind!r}")
        reading = self.rows("train", examples)
        sums, middle = defaultdict(int), self._medians(examples) if kind == "median" else None

        def visit(layer, values, batch):
            of = batch.labels.to(values.device)
            sums[layer] += torch.stack([values[of == c].sum(0, dtype=torch.float64) for c in (0, 1)])
            if middle:
                middle.visit(layer, values, batch)

        self.stream(reading, visit)
        counts = _class_counts(reading.labels)
        wide = torch.promote_types(self.bb.dtype, torch.float32)
        means = {at: (total / total.new_tensor(counts)[:, None, None]).to(wide) for at, total in sums.items()}
        whole = {at: (total.sum(0) / len(reading)).to(wide) for at, total in sums.items()}
        thresholds = middle.values() if middle else whole
        return _Base(means, thresholds, {"baseline": kind, "train_counts": counts})

    def _medians(self, examples):
        return Medians(self.stream, self.rows("train", min(MEDIAN_ROWS, examples or MEDIAN_ROWS)))

    def count(self, reading, thresholds, shuffled):
        """Of every layer, how often neurons fire: [2, views, neurons] by class, and on permuted class 1."""
        fired, hits = defaultdict(int), defaultdict(int)

        def visit(layer, values, batch):
            fires, of = values > thresholds[layer].to(values.device), batch.labels.to(values.device)
            fired[layer] += torch.stack([fires[of == c].sum(0, dtype=torch.int32) for c in (0, 1)])
            if len(shuffled):
                mine = shuffled[:, batch.index].to(values)
                hits[layer] += torch.einsum("rb,bvn->rvn", mine, fires.to(values)).int()

        self.stream(reading, visit)
        return fired, hits

    def sides(self, names):
        """{side: [layers, names of its slots, their numbers]}."""
        numbers = self.slots or list(range(len(names)))
        layers = stacks(self.bb, self.layers)
        encoder = [layer for layer in self.layers if layer in self.bb.encoder_layers]
        layers |= {"text": encoder} if self.text and encoder else {}
        views = {"decoder": (["answer"], [0]), "text": (list(POOLED), [0, 1])}
        slots = [names[number] for number in numbers], numbers
        return {name: [mine, *views.get(name, slots)] for name, mine in layers.items()}

    def metadata(self, reading):
        """Where the counts come from, as plain values."""
        bb = self.bb
        return {
            "backbone": bb.name, "backbone_fingerprint": bb.fingerprint, "layout": reading.layout.name,
            "prompt": getattr(self.prompt, "fingerprint", None), "shape": [bb.num_layers, bb.num_neurons],
            "task": self.task.name, "task_fingerprint": self.task.fingerprint, "type": self.task.type,
            "labels": list(self.task.labels), "counts": _class_counts(reading.labels), "layers": self.layers,
            "slots": self.slots, "text": self.text, "sides": self.sides(reading.slot_names),
        }  # fmt: skip


def _assembled(metadata, base, fired, carry):
    """A Probe from figures by layer: views become the slots of a stack, and of the pooled text."""
    sides = {}
    for name, held in metadata["sides"].items():
        layers, slots, numbers = map(tuple, held)
        views = slice(-len(slots), None) if name == "text" else slice(len(slots))
        parts = {
            part: stacked([figures[layer][..., views, :].cpu() for layer in layers])
            for part, figures in (("means", base.means), ("baseline", base.thresholds), ("fired", fired))
        }
        counts = {part: tuple(metadata[part]) for part in ("counts", "train_counts")}
        decided = carry.sides[name].decided if carry else None
        sides[name] = Side(
            layers, slots, numbers, chosen=decided, balanced=metadata["balanced"], **counts, **parts
        )
    return Probe(sides, metadata)


def _carried(carry, bb):
    """Baselines and means of another probe, by layer again."""
    means, thresholds = defaultdict(list), defaultdict(list)
    for side in carry.sides.values():
        for number, layer in enumerate(side.layers):
            means[layer].append(side.means[:, number, :, : bb.widths[layer]].to(bb.device))
            thresholds[layer].append(side.baseline[number, :, : bb.widths[layer]].to(bb.device))
    metadata = {name: carry.metadata[name] for name in ("baseline", "train_counts")}
    joined = lambda one: {layer: torch.cat(parts, dim=-2) for layer, parts in one.items()}
    return _Base(joined(means), joined(thresholds), metadata)


def _relabelled(fired, hits, number):
    """Counts by class under permutation `number`: how often a neuron fires stays as it is."""
    return {at: torch.stack([both.sum(0) - hits[at][number], hits[at][number]]) for at, both in fired.items()}


def _class_counts(labels):
    return torch.bincount(labels, minlength=2).tolist()


def permuted_labels(labels, permutations, seed):
    """Labels [n] in random orders, [permutations, n].

    >>> permuted_labels(torch.tensor([0, 0, 0, 1]), 3, seed=0)
    tensor([[0, 0, 0, 1],
            [1, 0, 0, 0],
            [0, 1, 0, 0]])
    """
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(len(labels)), (permutations, 1)), axis=1)
    return labels[torch.from_numpy(orders)]
