"""What probing found: how well each neuron alone tells two classes apart, and at which slot.

>>> probe.accuracy.shape, probe.predictivity.shape       # [layers, slots, neurons], [layers, neurons]
>>> probe.slot[3, 17], probe.direction[3, 17]            # where neuron 17 of layer 3 does best, and its sign
>>> probe.save("dir"); Probe.load("dir")
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.hashing import content_hash
from skillkit.core.serialization import read_tensors, write_tensors
from skillkit.core.stats import discoveries, hypergeometric_tails
from skillkit.prompts import POOLED

REDUCTIONS = ("max", "mean", "min")
_TENSORS = ("baseline", "means", "fired", "chosen")


@dataclass(frozen=True, eq=False)
class Side:
    """Counts of one stack's neurons at its slots, and what follows from them.

    >>> probe.sides["layer"].accuracy        # or "encoder", "decoder"; "text": pooled over the text tokens

    layers     indices into `bb.layers`
    slots      names of the slots;  numbers: their numbers among all slots of the prompt
    baseline   [layers, slots, neurons], over the training examples; NaN where a narrower layer has no neuron
    means      [2, layers, slots, neurons], mean activation of each class, over the training examples
    fired      [2, layers, slots, neurons], how many evaluated examples of each class lie above the baseline
    counts     evaluated examples of class 0 and class 1;  train_counts: those behind the means
    chosen     accuracy on the split on which slots and directions were chosen; None: on this one
    """

    layers: tuple[int, ...]
    slots: tuple[str, ...]
    numbers: tuple[int, ...]
    baseline: torch.Tensor
    means: torch.Tensor
    fired: torch.Tensor
    counts: tuple[int, int]
    train_counts: tuple[int, int]
    balanced: bool = False
    chosen: torch.Tensor | None = None

    @cached_property
    def accuracy(self):
        """Share of examples for which (activation > baseline) equals the label, [layers, slots, neurons]."""
        negatives, positives = self.counts
        right = torch.stack([negatives - self.fired[0], self.fired[1]]).double()
        weights = torch.tensor(
            [1 / negatives, 1 / positives] if self.balanced else [2 / sum(self.counts)] * 2
        )
        accuracy = (right * weights.double().view(2, 1, 1, 1)).mean(0).float()
        return accuracy.masked_fill(self.baseline.isnan(), torch.nan)

    @cached_property
    def oriented(self):
        """Accuracy when each neuron's sign at each slot is taken as chosen, [layers, slots, neurons]."""
        return torch.where(self.decided >= 0.5, self.accuracy, 1 - self.accuracy)

    def predictivity(self, slots="max"):
        """Oriented accuracy at the best ("max") or worst ("min") slot, or its "mean", [layers, neurons].

        >>> bool((side.predictivity("min") <= side.predictivity("max")).all())
        True
        """
        if slots == "mean":
            return self.oriented.mean(1)
        return self.oriented.gather(1, self.slot(slots)[:, None])[:, 0]

    def slot(self, slots="max"):
        """Number of the slot at which a neuron is best (or worst), [layers, neurons].

        >>> side.slot().shape
        torch.Size([6, 512])
        """
        strength = (self.decided - 0.5).abs()
        return (strength.max(1) if slots == "max" else strength.min(1)).indices

    @property
    def direction(self):
        """+1 where firing speaks for class 1 at the best slot, −1 where it speaks for class 0.

        >>> side.direction.unique()
        tensor([-1,  1])
        """
        decided = self.decided.gather(1, self.slot()[:, None])[:, 0]
        return torch.where(decided >= 0.5, 1, -1)

    @property
    def p_values(self):
        """Exact p-value of every neuron, [layers, neurons]; Bonferroni over what was chosen among.

        >>> bool((side.p_values <= 1).all()), side.p_values.shape
        (True, torch.Size([6, 512]))
        """
        fires, hits = self.fired.sum(0).numpy(), self.fired[1].numpy()
        upper, lower = hypergeometric_tails(hits, fires, self.counts[1], sum(self.counts))
        if self.chosen is None:
            p = np.minimum(1, np.minimum(upper, lower).min(1) * 2 * len(self.slots))
        else:
            tail = np.where(self.decided >= 0.5, upper, lower)
            p = np.take_along_axis(tail, self.slot()[:, None].numpy(), 1)[:, 0]
        return torch.from_numpy(p).masked_fill(self.baseline.isnan().all(1), torch.nan)

    @property
    def mean(self):
        """Mean activation over the training examples, [layers, slots, neurons].

        >>> torch.allclose(side.mean, side.means.mean(0), atol=1e-6)      # as many examples of either class
        True
        """
        shares = torch.tensor(self.train_counts).to(self.means) / sum(self.train_counts)
        return torch.einsum("c,clsn->lsn", shares, self.means)

    @property
    def decided(self):
        """The accuracy that decides on slots and directions, [layers, slots, neurons].

        >>> side.decided is side.accuracy                      # chosen on this very split
        True
        """
        return self.accuracy if self.chosen is None else self.chosen


@dataclass(frozen=True, eq=False)
class Probe:
    """Every neuron's counts on one split, and where they come from; made by `skillkit.probe`.

    >>> probe.predictivity                    # [layers, neurons], NaN for layers that were not probed
    >>> probe.baseline, probe.accuracy        # [probed layers, slots, neurons]; of T5 a dict by side
    >>> probe.sides["text"].accuracy          # [probed layers, 2, neurons]: mean and maximum over the text
    >>> probe.metadata                            # backbone, task, prompt, split, counts, options

    `null` [permutations, layers, neurons] is the predictivity under permuted labels. A probe made with
    `carry` has slots and directions of the other probe: its figures are never maximised again.
    """

    sides: dict
    metadata: dict
    null: torch.Tensor | None = field(default=None, repr=False)

    @property
    def stacks(self):
        """The sides that are stacks of layers: all but the pooled text.

        >>> list(probe.stacks)                                 # of T5 ['encoder', 'decoder']
        ['layer']
        """
        return {name: side for name, side in self.sides.items() if name != "text"}

    @property
    def layers(self):
        """The probed layers, as indices into `bb.layers`.

        >>> probe.layers
        (0, 1, 2, 3, 4, 5)
        """
        return tuple(layer for side in self.stacks.values() for layer in side.layers)

    @property
    def baseline(self):
        return self._by_side("baseline")

    @property
    def accuracy(self):
        return self._by_side("accuracy")

    @property
    def class_means(self):
        """Mean activation of each class over the training examples, [2, layers, slots, neurons].

        >>> probe.class_means.shape                            # mask and four vectors
        torch.Size([2, 6, 5, 512])
        """
        return self._by_side("means")

    @cached_property
    def predictivity(self):
        """max over slots of max(accuracy, 1 − accuracy), [layers, neurons]."""
        return self.score("max")

    def score(self, slots="max"):
        """Predictivity with the slots reduced by "max", "mean" or "min", [layers, neurons].

        >>> bool((probe.score("min") <= probe.score("mean")).all())
        True
        """
        if slots not in REDUCTIONS:
            raise SkillkitError(f"slots are reduced by {', '.join(REDUCTIONS)}, not {slots!r}")
        return self._whole(lambda side: side.predictivity(slots))

    def pooled(self, kind="mean"):
        """Predictivity of the activations pooled over the text by "mean" or "max", [layers, neurons].

        >>> probe.pooled("max").shape
        torch.Size([6, 512])

        NaN for decoder layers, which read no text. SkillkitError when the text was not probed.
        """
        if f"text {kind}" not in POOLED:
            raise SkillkitError(f"the text is pooled by mean or max, not {kind!r}")
        return self._whole(lambda side: side.oriented[:, POOLED.index(f"text {kind}")], self._text())

    @property
    def slot(self):
        """Number of each neuron's best slot, [layers, neurons]; −1 where nothing was probed.

        >>> probe.slot.min() >= 0, probe.slot.max() <= 4       # the mask is slot 0
        (tensor(True), tensor(True))
        """
        return self._whole(lambda side: torch.tensor(side.numbers)[side.slot()], missing=-1)

    @property
    def direction(self):
        """+1 or −1: what firing speaks for at the best slot, [layers, neurons]; 0 where not probed.

        >>> probe.direction.unique()
        tensor([-1,  1])
        """
        return self._whole(lambda side: side.direction, missing=0)

    @cached_property
    def p_values(self):
        """Exact (hypergeometric) p-values, [layers, neurons], corrected for the choice of slot and sign."""
        return self._whole(lambda side: side.p_values)

    def discoveries(self, rate=0.05):
        """Neurons that tell the classes apart, bool [layers, neurons], false discoveries held at `rate`.

        >>> bool((probe.discoveries(0.01) <= probe.discoveries(0.2)).all())
        True
        """
        return torch.from_numpy(discoveries(self.p_values.numpy(), rate))

    def best(self, k=1):
        """The k most predictive neurons, best first: [(layer, best slot, neuron), …].

        >>> layer, slot, neuron = probe.best()[0]
        >>> bool(probe.predictivity[layer, neuron] == probe.predictivity.max())
        True
        """
        scores, slot = self.predictivity, self.slot
        order = scores.flatten().nan_to_num(-1).argsort(descending=True, stable=True)
        known = int((~scores.isnan()).sum())
        found = [divmod(at, scores.shape[1]) for at in order[: min(k, known)].tolist()]
        return [(layer, int(slot[layer, neuron]), neuron) for layer, neuron in found]

    def baseline_at(self, layer, slot, neuron):
        """Baseline of one neuron at one slot, numbered as in `best`.

        >>> probe.baseline_at(5, 0, 17) == probe.baseline[5, 0, 17]
        tensor(True)
        """
        side = next(side for side in self.stacks.values() if layer in side.layers)
        return side.baseline[side.layers.index(layer), side.numbers.index(slot), neuron]

    @property
    def fill(self):
        """Mean training activation over the probed slots, [layers, neurons]; for mean ablation, pruning.

        >>> torch.equal(probe.fill, side.mean.mean(1))
        True
        """
        return self._whole(lambda side: side.mean.mean(1))

    @property
    def text_fill(self):
        """The same over the text tokens; a decoder's layers, which read no text, keep their answer slot's.

        >>> probe.text_fill.shape
        torch.Size([6, 512])
        """
        decoder = {name: side for name, side in self.sides.items() if name == "decoder"}
        return self._whole(lambda side: side.mean[:, 0], self._text() | decoder)

    @property
    def n(self):
        """How many examples were evaluated.

        >>> probe.n
        16
        """
        return sum(self.metadata["counts"])

    @property
    def majority(self):
        """Accuracy of always saying the more frequent class: what a dead neuron scores.

        >>> probe.majority
        0.5
        """
        return 0.5 if self.metadata["balanced"] else max(self.metadata["counts"]) / self.n

    @property
    def fingerprint(self):
        """Hash of all counts and of where they come from.

        >>> len(probe.fingerprint)
        64
        """
        tensors = (part for named in sorted(self._tensors().items()) for part in named)
        return content_hash(self.metadata, *tensors)

    def made_on(self, bb, *prompt):
        """The probe itself, or SkillkitError when it belongs to another backbone (or prompt, if given).

        >>> probe.made_on(bb, prompt) is probe
        True
        """
        if self.metadata["backbone_fingerprint"] != bb.fingerprint:
            raise SkillkitError(
                f"this probe was made on {self.metadata['backbone']}, whose weights are not those of {bb.name}; "
                "probe that backbone"
            )
        if any(self.metadata["prompt"] != getattr(one, "fingerprint", None) for one in prompt):
            raise SkillkitError(
                f"this probe was made with another prompt (layout {self.metadata['layout']}, task "
                f"{self.metadata['task']}), whose slots mean something else; probe with this one"
            )
        return self

    def save(self, folder):
        """Write probe.safetensors and probe.json into `folder`.

        >>> probe.save("dir"); Probe.load("dir").metadata == probe.metadata
        True
        """
        write_tensors(folder, "probe", self._tensors(), self.metadata)

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote; SkillkitError when it is missing or damaged.

        >>> probe.save("dir"); Probe.load("dir").fingerprint == probe.fingerprint
        True
        """
        tensors, metadata = read_tensors(folder, "probe", "sides", "balanced")
        sides = {}
        for name, held_by in metadata["sides"].items():
            layers, slots, numbers = map(tuple, held_by)
            held = {part: tensors.get(f"{name}.{part}") for part in _TENSORS}
            counts = {part: tuple(metadata[part]) for part in ("counts", "train_counts")}
            sides[name] = Side(layers, slots, numbers, balanced=metadata["balanced"], **counts, **held)
        return cls(sides, metadata, tensors.get("null"))

    def _tensors(self):
        held = {
            f"{name}.{part}": getattr(side, part) for name, side in self.sides.items() for part in _TENSORS
        }
        return {name: tensor for name, tensor in (held | {"null": self.null}).items() if tensor is not None}

    def _text(self):
        if "text" not in self.sides:
            raise SkillkitError("this probe did not pool over the text; make it with text=True")
        return {"text": self.sides["text"]}

    def _by_side(self, part):
        parts = {name: getattr(side, part) for name, side in self.stacks.items()}
        return parts.get("layer", parts)

    def _whole(self, figure, sides=None, missing=torch.nan):
        """A figure of each side, put together: [all layers, neurons of the widest]."""
        layers, neurons = self.metadata["shape"]
        found = {name: figure(side) for name, side in (sides or self.stacks).items()}
        whole = torch.full((layers, neurons), missing, dtype=next(iter(found.values())).dtype)
        for name, part in found.items():
            whole[list(self.sides[name].layers), : part.shape[1]] = part
        return whole


def stacks(bb, layers):
    """Layers by stack: {"layer": […]}, of an encoder–decoder {"encoder": […], "decoder": […]}; none empty.

    >>> stacks(t5, [0, 6])
    {'encoder': [0], 'decoder': [6]}
    """
    parts = {"encoder" if bb.decoder_layers else "layer": bb.encoder_layers, "decoder": bb.decoder_layers}
    found = {name: [layer for layer in sorted(layers) if layer in part] for name, part in parts.items()}
    return {name: mine for name, mine in found.items() if mine}


def stacked(tensors):
    """[…, slots, neurons] of each layer → […, layers, slots, widest]; NaN or 0 where a layer is narrower.

    >>> stacked([torch.ones(1, 2), torch.zeros(1, 3)])
    tensor([[[1., 1., nan]],
            [[0., 0., 0.]]])
    """
    widest = max(tensor.shape[-1] for tensor in tensors)
    missing = torch.nan if tensors[0].is_floating_point() else 0
    pad = torch.nn.functional.pad
    return torch.stack([pad(one, (0, widest - one.shape[-1]), value=missing) for one in tensors], dim=-3)
