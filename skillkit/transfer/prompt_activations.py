"""Neurons activated by a prompt alone: read at the answer slot, with no text in the input.

>>> acts = activated_neurons(bb, prompt)
>>> acts.before.shape, acts.after.shape, acts.active.float().mean()           # [layers, neurons] twice; a share
>>> acts.overlap(activated_neurons(bb, other_prompt))                         # (0.83, 0.61): ON, by chance

A prompt is a way to stimulate a model (Su et al. 2022, section 6): prompts that activate the same neurons
should be good for the same tasks. Encoder–decoders answer in the decoder, so its layers are the ones read.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass

import pandas as pd
import torch

from skillkit.core import SkillkitError, artifact, share_interval
from skillkit.core.errors import check_objects, listed, of_kind
from skillkit.models import checked_layers
from skillkit.neurons import random_neurons, skill_neurons, suppress
from skillkit.prompts import SoftPrompt, evaluate, prepare


@dataclass(frozen=True, eq=False, repr=False)
class PromptActivations:
    """Activations of all neurons at the answer slot, for one prompt and an empty text.

    >>> acts.after[3].topk(5)                  # the neurons of layer 3 with the highest activation
    >>> acts.active[3].float().mean()          # the share of layer 3 that is active

    before    [layers, neurons], input of the activation function (in a gated network: of the gate's)
    after     [layers, neurons], the neurons themselves; both NaN in layers that were not read, and where a
              narrower layer has no neuron
    metadata  backbone, its fingerprint, layout
    """

    before: torch.Tensor
    after: torch.Tensor
    metadata: dict

    def __repr__(self):
        share = self.active.sum() / self.after.isfinite().sum()
        about = f"{len(self.layers)} of {len(self.after)} layers × {self.after.shape[1]} neurons"
        return f"PromptActivations({self.metadata['backbone']}, {about}, {share:.0%} active)"

    @property
    def active(self):
        """Where the neuron is above 0, bool [layers, neurons]."""
        return self.after > 0

    @property
    def layers(self):
        """Indices of the layers that were read."""
        return self.after.isfinite().any(1).nonzero().flatten().tolist()

    def overlap(self, other, layers=None):
        """ON, the cosine of two patterns of active neurons, and the ON expected by chance: (ON, √(pq)).

        >>> acts.overlap(activated_neurons(bb, other_prompt), layers=[5])
        (..., ...)

        cos(1[x > 0], 1[y > 0]) = |A ∩ B| / √(|A| |B|) over the neurons of `layers` (None: all that were read);
        p and q are the active shares. Independent patterns share p · q of all neurons: √(pq) is their mean ON.
        A pattern without an active neuron gives NaN. Su et al. 2022, equation 5; the chance level is ours.
        Raises SkillkitError for activations of different backbones, and for layers that were not read.
        """
        both = ~(self.after.isnan() | self._of_one_backbone(other).after.isnan())
        rows = both.any(1).nonzero().flatten().tolist() if layers is None else list(layers)
        if not rows or not both[rows].any(1).all():
            raise SkillkitError(f"not all of layers {rows} were read for both prompts; choose others")
        mine, theirs = self.active[rows][both[rows]], other.active[rows][both[rows]]
        size = math.sqrt(int(mine.sum()) * int(theirs.sum()))
        return (int((mine & theirs).sum()) / size, size / len(mine)) if size else (math.nan, math.nan)

    def cosine(self, other):
        """Cosine of the inputs of the activation functions, layer by layer: [layers], NaN where one was not read.

        >>> acts.cosine(activated_neurons(bb, other_prompt)).shape
        torch.Size([6])

        PromptHub's `neuron_similarity` (Su et al. 2022). Raises SkillkitError for activations of another backbone.
        """
        mine, theirs = self.before, self._of_one_backbone(other).before
        cosine = torch.cosine_similarity(mine.nan_to_num(), theirs.nan_to_num(), dim=1)
        return cosine.masked_fill((mine.isnan() | theirs.isnan()).all(1), torch.nan)

    def _of_one_backbone(self, other):
        if self.metadata["backbone_fingerprint"] != other.metadata["backbone_fingerprint"]:
            both = f"{self.metadata['backbone']} and {other.metadata['backbone']}"
            raise SkillkitError(f"neurons of {both} are not the same; compare prompts of one backbone")
        return other

    def most_activated(self, share=0.2, per_layer=False):
        """The neurons with the highest input of their activation function, as a mask: bool [layers, neurons].

        >>> with sk.suppress(bb, acts.most_activated(0.2)):
        ...     sk.evaluate(bb, task, prompt)              # beside random_neurons(mask): does it hurt more?

        The top `share` of all layers that were read together (or of each). It is the `mask_activated_neuron` of
        Su et al. 2022: ranked before the non-linearity, behind which a ReLU's silent neurons are all equal.
        Raises SkillkitError for a share that selects nothing.
        """
        return skill_neurons(self.before, share, per_layer)


@torch.no_grad()
def activated_neurons(bb, prompt, layers=None):
    """Read all neurons at the answer slot for a prompt and an empty text: `PromptActivations`.

    >>> activated_neurons(bb, prompt, layers=range(3, 6)).after[3:6]

    layers: indices into `bb.layers`; None: all that have an answer slot (of an encoder–decoder, the decoder's).
    Su et al. 2022, section 6.1. Raises SkillkitError for a prompt that does not fit the backbone, and for
    encoder layers of an encoder–decoder.
    """
    check_objects(bb), of_kind(SoftPrompt, prompt=prompt)
    answering = list(bb.decoder_layers or bb.encoder_layers)
    layers = checked_layers(bb, answering if layers is None else layers)
    if not set(layers) <= set(answering):
        remedy = f"choose layers from {answering[0]} to {answering[-1]}"
        raise SkillkitError(f"{bb.name} answers in its decoder, so its encoder has no answer slot; {remedy}")
    reading = prepare(bb, None, prompt, {"text": [""]})
    # <s> without </s>, as in the published code.
    if bb.family == "masked" and reading.layout.name != "prefix":
        for column in filter(None, (reading.encoded.ids, reading.encoded.token_types)):
            del column[0][1:]
    attached = next(iter(reading.batches()))[0]
    slot = attached.answer[:, None]
    with bb.record(layers, slot, before=True) as before, bb.record(layers, slot) as after:
        bb.run(attached.inputs)
    metadata = {"backbone": bb.name, "backbone_fingerprint": bb.fingerprint, "layout": prompt.layout}
    return PromptActivations(_gathered(bb, before), _gathered(bb, after), metadata)


def _gathered(bb, acts):
    values = torch.full((bb.num_layers, bb.num_neurons), torch.nan)
    for layer, neurons in acts.items():
        values[layer, : bb.widths[layer]] = neurons[0, 0].float().cpu()
    return values


# 2: read after <s> alone; ranked before the non-linearity, over all layers.
@artifact("silenced", version=2)
def suppress_activated(bb, task, prompts, share=0.2, draws=2, rows=None):
    """Accuracy with each prompt's most activated neurons suppressed, and with as many random ones: DataFrame.

    >>> suppress_activated(bb, task, [prompt_of_seed_0, prompt_of_seed_1], share=0.1)
              neurons  accuracy   low  high   n
    0            none       ...
    1  most activated       ...
    2  random neurons       ...

    prompts: a list (seeds), each with a mask of its own, or one; random neurons: mean over `draws`, as many in every
    layer (where most of one are among the most activated, they include some of those); rows: only so many test rows.
    The interval (Wilson, 95 %) is over the rows, for the mean of prompts and draws.
    """
    correct = {"none": [], "most activated": [], "random neurons": []}
    for prompt in listed(prompts):
        mask = activated_neurons(bb, prompt).most_activated(share)
        others = [random_neurons(mask, draw, bb.widths, refill=True) for draw in range(draws)]
        for kind, masks in zip(correct, ([None], [mask], others), strict=True):
            for off in masks:
                with nullcontext() if off is None else suppress(bb, off):
                    correct[kind].append(evaluate(bb, task, prompt, rows=rows).correct.double())
    rows = []
    for kind, found in correct.items():
        mean, n = float(torch.stack(found).mean()), len(found[0])
        low, high = share_interval(mean * n, n)
        rows.append({"neurons": kind, "accuracy": mean, "low": low, "high": high, "n": n})
    return pd.DataFrame(rows)
