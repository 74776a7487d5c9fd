"""Probing: which single neurons tell the classes of a task apart (Wang et al. 2022, section 4).

>>> chosen = probe(bb, task, prompt)                               # train gives baselines, validation counts
>>> report = probe(bb, task, prompt, split="test", carry=chosen)   # same slots and directions, unseen rows
>>> chosen.predictivity.max(), report.predictivity.flatten()[chosen.predictivity.argmax()]

One pass over the training split and one over the evaluated one serve every variant at once. Activations are
turned into sums and counts as they appear, so memory does not grow with the number of examples.
"""

from collections import defaultdict
from dataclasses import replace
from operator import itemgetter

import numpy as np
import torch

from skillkit.core.errors import SkillkitError, at_least, check_objects, of_kind, quoted, whole_numbers
from skillkit.core.store import artifact
from skillkit.models import checked_layers
from skillkit.neurons.medians import Medians
from skillkit.neurons.probe import Probe
from skillkit.prompts import POOLED, prepare

# How many training rows place the thresholds between which all are counted for a median.
MEDIAN_ROWS = 64


@artifact("probe", version=1, ignore=("batch_size",))
def probe(
    bb, task, prompt, split="validation", layers=None, slots=None, text=True, baseline="mean", balanced=False,
    carry=None, permutations=0, train_examples=None, examples=None, seed=0, batch_size=None,
) -> Probe:  # fmt: skip
    """Predictivity of every neuron: how often its activation, against its training baseline, tells the class.

    >>> found = probe(bb, task, prompt, split="validation", layers=[4, 5], permutations=20)
    >>> found.accuracy.shape, found.predictivity.shape, found.null.shape

    prompt          a SoftPrompt, a tuned BitFit or adapter, or None
    layers, slots   only these layers, only the slots with these numbers (of the answer's and the prompt's)
    text            also pool over the text tokens, by mean and by maximum; "special": over the text with its
                    special tokens (`<s>`, `</s>`, separators), as the published code does
    baseline        "mean" of the training activations (Wang et al., equation 3), or "median"
    balanced        accuracy is the mean over the two classes
    carry           a Probe whose baseline, slots, directions and options are used; train is not read
    permutations    how many times the labels of the split are permuted, for `Probe.null`
    train_examples, examples   at most so many rows, class-balanced, drawn with `seed`

    Padding never counts, and the batch size changes nothing. A task of more classes is probed through
    `task.subtasks()`. Raises SkillkitError for such a task, a split with one class only, activations that are
    NaN or infinite, and a carried probe of another backbone, layout or prompt.
    """
    check_objects(bb, task, prompt), at_least(0, permutations=permutations, seed=seed)
    at_least(1, examples=1 if examples is None else examples)
    if carry is not None:
        of_kind(Probe, carry=carry)
        carry.made_on(bb, prompt)
        layers, slots, text, balanced = itemgetter("layers", "slots", "text", "balanced")(carry.metadata)
    passes = _Passes(bb, task, prompt, layers, slots, text, seed, batch_size)
    base = passes.baselines(baseline, train_examples) if carry is None else _carried(carry, bb)
    rows = passes.rows(split, examples)
    labels = torch.cat([rows.labels[None], permuted_labels(rows.labels, permutations, seed)])
    above, hits = passes.count(rows, base["baseline"], labels)
    metadata = passes.metadata(rows, base, split, balanced, carry)

    def assembled(number):
        fired = {at: torch.stack([above[at] - mine[number], mine[number]]) for at, mine in hits.items()}
        return _assembled(metadata, base, fired, carry)

    null = [assembled(number).predictivity for number in range(1, len(labels))]
    return replace(assembled(0), null=torch.stack(null) if null else None)


class _Passes:
    """The forward passes: which layers and views (slots, and text pooled) are read, of which rows."""

    def __init__(self, bb, task, prompt, layers, slots, text, seed, batch_size):
        self.bb, self.task, self.prompt, self.seed = bb, task, prompt, seed
        self.layers = checked_layers(bb, range(bb.num_layers) if layers is None else layers)
        self.slots = None if slots is None else whole_numbers("slots", slots)
        self.text, self.batch_size = text, batch_size
        if text not in (True, False, "special"):
            raise SkillkitError(f"text is True, False or 'special', not {quoted(text)}")

    def rows(self, split, n):
        """A `Reading` of n rows of a split, after a check that they are of two classes."""
        rows, name = self.task.sample(split, n, self.seed), self.task.name
        labels = sorted(set(rows["label"][:]))
        if self.task.num_labels != 2:
            raise SkillkitError(f"{name} has {self.task.num_labels} classes; probe each of task.subtasks()")
        if labels != [0, 1]:
            raise SkillkitError(f"split {split!r} of {name} has labels {labels}; probing takes both classes")
        reading = prepare(self.bb, self.task, self.prompt, rows)
        known = len(reading.slot_names)
        if self.slots is not None and not all(0 <= slot < known for slot in self.slots or [-1]):
            raise SkillkitError(f"slots {self.slots} are not all in 0 … {known - 1} of this prompt")
        return reading

    def stream(self, reading, visit):
        reading.stream(self.layers, visit, self.slots, self.text, self.batch_size)

    def baselines(self, kind, examples):
        """One pass over the training rows: by layer class means [2, views, neurons] and baselines [views, neurons]."""
        if kind not in ("mean", "median"):
            raise SkillkitError(f"a baseline is mean or median, not {kind!r}")
        reading, sums, medians = self.rows("train", examples), defaultdict(int), None
        if kind == "median":
            medians = Medians(self.stream, self.rows("train", min(MEDIAN_ROWS, examples or MEDIAN_ROWS)))

        def visit(layer, values, batch):
            of = batch.labels.to(values.device)
            sums[layer] += torch.stack([values[of == c].sum(0, dtype=torch.float64) for c in (0, 1)])
            if medians:
                medians.visit(layer, values, batch)

        self.stream(reading, visit)
        counts = reading.labels.bincount(minlength=2).tolist()
        wide = torch.promote_types(self.bb.dtype, torch.float32)
        means = {at: (total / total.new_tensor(counts)[:, None, None]).to(wide) for at, total in sums.items()}
        whole = {at: (total.sum(0) / len(reading)).to(wide) for at, total in sums.items()}
        baselines = medians.values() if medians else whole
        return {"means": means, "baseline": baselines, "metadata": {"baseline": kind, "train_counts": counts}}

    def count(self, reading, baselines, labels):
        """By layer, how many rows are above the baseline, and how many of these are of class 1 by each labelling.

        labels [labellings, rows]; {layer: [views, neurons]}, {layer: [labellings, views, neurons]}.
        """
        above, hits = defaultdict(int), defaultdict(int)

        def visit(layer, values, batch):
            over = values > baselines[layer].to(values.device)
            mine = labels[:, batch.index].to(values)
            above[layer] += over.sum(0, dtype=torch.int32)
            hits[layer] += torch.einsum("rb,bvn->rvn", mine, over.to(values)).int()

        self.stream(reading, visit)
        return above, hits

    def sides(self, names):
        """{side: [layers, names of its slots, their numbers]}."""
        numbers = self.slots or list(range(len(names)))
        read = [names[number] for number in numbers], numbers
        views = {"decoder": (["answer"], [0]), "text": (list(POOLED), [0, 1])}
        stacks = self.bb.stacks | ({"text": self.bb.encoder_layers} if self.text else {})
        layers = {name: [layer for layer in self.layers if layer in stack] for name, stack in stacks.items()}
        return {name: [mine, *views.get(name, read)] for name, mine in layers.items() if mine}

    def metadata(self, reading, base, split, balanced, carry):
        """Where the counts come from, as plain values."""
        bb = self.bb
        return {
            "backbone": bb.name, "backbone_fingerprint": bb.fingerprint, "layout": reading.layout.name,
            "prompt": getattr(self.prompt, "fingerprint", None), "shape": [bb.num_layers, bb.num_neurons],
            "task": self.task.name, "task_fingerprint": self.task.fingerprint, "type": self.task.type,
            "labels": list(self.task.labels), "counts": reading.labels.bincount(minlength=2).tolist(),
            "layers": self.layers, "slots": self.slots, "text": self.text, "sides": self.sides(reading.slot_names),
            **base["metadata"], "split": split, "balanced": balanced, "carried": carry is not None,
        }  # fmt: skip


def _assembled(metadata, base, fired, carry):
    """A Probe from figures by layer: views become the slots of a stack, and of the pooled text."""
    tensors = {}
    for name, (layers, slots, _) in metadata["sides"].items():
        views = slice(-len(slots), None) if name == "text" else slice(len(slots))
        for part, figures in (("means", base["means"]), ("baseline", base["baseline"]), ("fired", fired)):
            tensors[f"{name}.{part}"] = _padded([figures[layer][..., views, :].cpu() for layer in layers])
        if carry:
            tensors[f"{name}.chosen"] = carry.sides[name].decided
    return Probe.of(metadata, tensors)


def _padded(tensors):
    """[…, slots, neurons] of each layer → […, layers, slots, widest]; NaN or 0 where a layer is narrower."""
    widest = max(tensor.shape[-1] for tensor in tensors)
    missing = torch.nan if tensors[0].is_floating_point() else 0
    pad = torch.nn.functional.pad
    return torch.stack([pad(one, (0, widest - one.shape[-1]), value=missing) for one in tensors], dim=-3)


def _carried(carry, bb):
    """Means and baselines of another probe, by layer again."""
    base = {"means": {}, "baseline": {}}
    for side in carry.sides.values():  # a layer has one side, and another one of the pooled text
        for number, layer in enumerate(side.layers):
            for part, found in base.items():
                views = getattr(side, part)[..., number, :, : bb.widths[layer]].to(bb.device)
                found[layer] = torch.cat([found[layer], views], -2) if layer in found else views
    return base | {"metadata": {name: carry.metadata[name] for name in ("baseline", "train_counts")}}


def permuted_labels(labels, permutations, seed):
    """Random permutations of labels [n]: [permutations, n].

    >>> permuted_labels(torch.tensor([0, 0, 0, 1]), 3, seed=0)
    tensor([[0, 0, 0, 1],
            [1, 0, 0, 0],
            [0, 1, 0, 0]])
    """
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(len(labels)), (permutations, 1)), axis=1)
    return labels[torch.from_numpy(orders)]
