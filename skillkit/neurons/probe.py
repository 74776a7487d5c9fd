"""A probe: how well each neuron alone tells two classes apart, at which slot, and how likely that is by chance.

>>> probe.accuracy.shape, probe.predictivity.shape       # [layers, slots, neurons], [layers, neurons]
>>> probe.slot[3, 17], probe.direction[3, 17]            # where neuron 17 of layer 3 does best, and its sign
>>> probe.save("dir"); Probe.load("dir")
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.hashing import content_hash
from skillkit.core.serialization import made_from, read_tensors, write_tensors
from skillkit.core.stats import discoveries, hypergeometric_tails
from skillkit.prompts import POOLED

_NEEDED = ("sides", "balanced", "shape", "counts", "train_counts", "backbone_fingerprint", "prompt")
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

    def __repr__(self):
        layers, slots, neurons = self.baseline.shape
        return f"Side({layers} layers × {slots} slots × {neurons} neurons, counts {self.counts})"

    @cached_property
    def accuracy(self):
        """Share of examples for which (activation > baseline) equals the label, [layers, slots, neurons]."""
        return self._share(torch.stack([self.counts[0] - self.fired[0], self.fired[1]])).float()

    def _share(self, right):
        """Accuracy in double precision, from how many of each class are right: equal counts, equal accuracies."""
        weights = [1 / n for n in self.counts] if self.balanced else [2 / sum(self.counts)] * 2
        # Weights rounded to single precision: accuracies of stored probes stay equal to the last bit.
        weights = torch.tensor(weights, dtype=torch.float64 if self.balanced else torch.float32).double()
        accuracy = (right.double() * weights.view(2, 1, 1, 1)).mean(0)
        return accuracy.masked_fill(self.baseline.isnan(), torch.nan)

    @property
    def decided(self):
        """The accuracy that decides on slots and directions, [layers, slots, neurons].

        >>> side.decided is side.accuracy                      # chosen on this very split
        True
        """
        return self.accuracy if self.chosen is None else self.chosen

    @cached_property
    def oriented(self):
        """Accuracy when each neuron's sign at each slot is taken as chosen, double [layers, slots, neurons].

        Made of counts: the rounding of 1 − accuracy would rank neurons that are right equally often.
        """
        right = torch.stack([self.counts[0] - self.fired[0], self.fired[1]])
        wrong = torch.tensor(self.counts).view(2, 1, 1, 1) - right
        return torch.where(self.decided >= 0.5, self._share(right), self._share(wrong))

    def predictivity(self, slots="max"):
        """Oriented accuracy at the best ("max") or worst ("min") slot, or its "mean", double [layers, neurons].

        >>> bool((side.predictivity("min") <= side.predictivity("max")).all())
        True
        """
        return self.oriented.mean(1) if slots == "mean" else self._at_slot(self.oriented, slots)

    def slot(self, slots="max"):
        """Number of the slot at which a neuron is best (or worst), [layers, neurons].

        >>> side.slot().shape
        torch.Size([6, 512])
        """
        strength = (self.decided - 0.5).abs()
        return (strength.max(1) if slots == "max" else strength.min(1)).indices

    @property
    def direction(self):
        """+1 where an activation above the baseline speaks for class 1 at the best slot, −1 for class 0.

        >>> side.direction.unique()
        tensor([-1,  1])
        """
        return torch.where(self._at_slot(self.decided) >= 0.5, 1, -1)

    @property
    def p_values(self):
        """Exact p-value of every neuron, [layers, neurons]; Bonferroni over the slots and directions chosen among.

        >>> bool((side.p_values <= 1).all()), side.p_values.shape
        (True, torch.Size([6, 512]))
        """
        hits, above = self.fired[1].numpy(), self.fired.sum(0).numpy()
        upper, lower = map(
            torch.from_numpy, hypergeometric_tails(hits, above, self.counts[1], sum(self.counts))
        )
        p = self._at_slot(torch.where(self.decided >= 0.5, upper, lower))
        if self.chosen is None:
            p = (torch.minimum(upper, lower).amin(1) * 2 * len(self.slots)).clamp(max=1)
        return p.masked_fill(self.baseline.isnan().all(1), torch.nan)

    @property
    def mean(self):
        """Mean activation over the training examples, [layers, slots, neurons].

        >>> torch.allclose(side.mean, side.means.mean(0), atol=1e-6)      # as many examples of either class
        True
        """
        shares = torch.tensor(self.train_counts).to(self.means) / sum(self.train_counts)
        return torch.einsum("c,clsn->lsn", shares, self.means)

    def _at_slot(self, values, slots="max"):
        return values.gather(1, self.slot(slots)[:, None])[:, 0]


@dataclass(frozen=True, eq=False)
class Probe:
    """Predictivity of every neuron on one split, from counts of examples; made by `skillkit.probe`.

    >>> probe.predictivity                    # [layers, neurons], NaN for layers that were not probed
    >>> probe.baseline, probe.accuracy        # [probed layers, slots, neurons]; of T5 a dict by side
    >>> probe.sides["text"].accuracy          # [probed layers, 2, neurons]: mean and maximum over the text
    >>> probe.metadata                        # backbone, task, prompt, split, counts, options

    `null` [permutations, layers, neurons] is the predictivity under permuted labels. A probe made with
    `carry` has slots and directions of the other probe: its figures are never maximised again.
    """

    sides: dict
    metadata: dict
    null: torch.Tensor | None = field(default=None)

    def __repr__(self):
        where = " ".join(self.metadata[key] for key in ("backbone", "task", "split"))
        shapes = " + ".join(f"{len(side.layers)} × {len(side.slots)}" for side in self.stacks.values())
        shape = f"layers × slots {shapes} × {self.metadata['shape'][1]} neurons"
        return f"Probe({where}, n = {self.n}, {shape}, best {self.predictivity.nan_to_num(0).max():.3f})"

    @classmethod
    def of(cls, metadata, tensors):
        """A probe from its metadata and the tensors by "side.part", as they are saved.

        >>> Probe.of(probe.metadata, probe.tensors).fingerprint == probe.fingerprint
        True
        """
        counts = {name: tuple(metadata[name]) for name in ("counts", "train_counts")}
        sides = {}
        for name, place in metadata["sides"].items():
            layers, slots, numbers = map(tuple, place)
            parts = {part: tensors.get(f"{name}.{part}") for part in _TENSORS} | counts
            sides[name] = Side(layers, slots, numbers, balanced=metadata["balanced"], **parts)
        return cls(sides, metadata, tensors.get("null"))

    @property
    def tensors(self):
        """Everything that was counted, by "side.part", and the null.

        >>> sorted(probe.tensors)[:3]
        ['layer.baseline', 'layer.fired', 'layer.means']
        """
        parts = {
            f"{name}.{part}": getattr(side, part) for name, side in self.sides.items() for part in _TENSORS
        }
        return {name: tensor for name, tensor in (parts | {"null": self.null}).items() if tensor is not None}

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

    def side_of(self, layer):
        """The side that a layer belongs to, and the layer's number in it.

        >>> probe.side_of(5)[1]
        5
        """
        side = next(side for side in self.stacks.values() if layer in side.layers)
        return side, side.layers.index(layer)

    @property
    def baseline(self):
        return self._by_side("baseline")

    @property
    def accuracy(self):
        return self._by_side("accuracy")

    @cached_property
    def predictivity(self):
        """max over slots of max(accuracy, 1 − accuracy), [layers, neurons]."""
        return self.score("max")

    def score(self, slots="max", dtype=torch.float32):
        """Predictivity with the slots reduced by "max", "mean" or "min", [layers, neurons].

        >>> bool((probe.score("min") <= probe.score("mean")).all())
        True

        dtype: torch.float64 for means over probes, in which equal counts stay equal.
        """
        if slots not in ("max", "mean", "min"):
            raise SkillkitError(f"slots are reduced by max, mean or min, not {slots!r}")
        return self._whole(lambda side: side.predictivity(slots)).to(dtype)

    def text_predictivity(self, kind="mean"):
        """Predictivity of the activations pooled over the text by "mean" or "max", [layers, neurons].

        >>> probe.text_predictivity("max").shape
        torch.Size([6, 512])

        NaN for decoder layers, which read no text. SkillkitError when the text was not probed.
        """
        if f"text {kind}" not in POOLED:
            raise SkillkitError(f"the text is pooled by mean or max, not {kind!r}")
        kind = POOLED.index(f"text {kind}")
        return self._whole(lambda side: side.oriented[:, kind], self._text()).float()

    @property
    def slot(self):
        """Number of each neuron's best slot, [layers, neurons]; −1 where nothing was probed.

        >>> probe.slot.min() >= 0, probe.slot.max() <= 4       # the mask is slot 0
        (tensor(True), tensor(True))
        """
        return self._whole(lambda side: torch.tensor(side.numbers)[side.slot()], missing=-1)

    @property
    def direction(self):
        """+1 or −1: the class that an activation above the baseline speaks for; 0 where not probed.

        >>> probe.direction.unique()
        tensor([-1,  1])
        """
        return self._whole(lambda side: side.direction, missing=0)

    @cached_property
    def p_values(self):
        """Exact (hypergeometric) p-values, [layers, neurons], corrected for the choice of slot and sign."""
        return self._whole(lambda side: side.p_values)

    def discoveries(self, rate=0.05):
        """Neurons that tell the classes apart at a false discovery rate, bool [layers, neurons].

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
        side, number = self.side_of(layer)
        return side.baseline[number, side.numbers.index(slot), neuron]

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
        """Hash of all counts and of the metadata.

        >>> len(probe.fingerprint)
        64
        """
        tensors = (part for named in sorted(self.tensors.items()) for part in named)
        return content_hash(self.metadata, *tensors)

    def made_on(self, bb, *prompt):
        """The probe itself, or SkillkitError when it belongs to another backbone (or prompt, if given).

        >>> probe.made_on(bb, prompt) is probe
        True
        """
        name, task = self.metadata["backbone"], self.metadata["task"]
        if self.metadata["backbone_fingerprint"] != bb.fingerprint:
            raise SkillkitError(f"this probe was made on {name}, whose weights are not those of {bb.name}")
        if any(self.metadata["prompt"] != getattr(one, "fingerprint", None) for one in prompt):
            raise SkillkitError(f"this probe was made with another prompt, of {task}; probe with this one")
        return self

    def save(self, folder):
        """Write probe.safetensors and probe.json into `folder`.

        >>> probe.save("dir"); Probe.load("dir").metadata == probe.metadata
        True
        """
        write_tensors(folder, "probe", self.tensors, self.metadata)

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote; SkillkitError when it is missing or damaged.

        >>> probe.save("dir"); Probe.load("dir").fingerprint == probe.fingerprint
        True
        """
        tensors, metadata = read_tensors(folder, "probe", *_NEEDED)
        with made_from(folder, "probe"):
            found = cls.of(metadata, tensors)
            if list(found.predictivity.shape) != metadata["shape"] or not 0 < found.majority <= 1:
                raise ValueError("its counts and its shape do not belong together")
            return found

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
        found = [(side.layers, figure(side)) for side in (sides or self.stacks).values()]
        whole = torch.full((layers, neurons), missing, dtype=found[0][1].dtype)
        for mine, part in found:
            whole[list(mine), : part.shape[1]] = part
        return whole
