"""Which neurons a prompt sets off by itself: read at the answer slot, with no text in the input.

>>> firing = activated_neurons(bb, prompt)
>>> firing.before.shape, firing.after.shape, firing.fires.float().mean()      # [layers, neurons] twice; a share
>>> shared_firing(firing, activated_neurons(bb, other_prompt))                # (0.83, 0.61): ON, by chance

A prompt is a way to stimulate a model (Su et al. 2022, section 6): prompts that set off the same neurons
should be good for the same tasks. Encoder–decoders answer in the decoder, so its layers are the ones read.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.stats import share_interval
from skillkit.core.store import artifact
from skillkit.models import checked_layers
from skillkit.neurons import random_neurons, skill_neurons, suppress
from skillkit.prompts import evaluate, prepare


@dataclass(frozen=True, eq=False)
class Firing:
    """Every neuron at the answer slot for one prompt and an empty text.

    >>> firing.after[3].topk(5)                # what the prompt excites most in layer 3
    >>> firing.fires[3].float().mean()         # the share of layer 3 that fires

    before  [layers, neurons], input of the activation function (in a gated network: of the gate's)
    after   [layers, neurons], the neurons themselves; both NaN in layers that were not read, and where a
            narrower layer has no neuron
    told    backbone, its fingerprint, layout
    """

    before: torch.Tensor
    after: torch.Tensor
    told: dict

    @property
    def fires(self):
        """Where the neuron is above 0, bool [layers, neurons]."""
        return self.after > 0


@torch.no_grad()
def activated_neurons(bb, prompt, layers=None):
    """Read all neurons at the answer slot for a prompt and an empty text: a `Firing`.

    >>> activated_neurons(bb, prompt, layers=range(3, 6)).after[3:6]

    layers: indices into `bb.layers`; None: all that have an answer slot (of an encoder–decoder, the decoder's).
    Su et al. 2022, section 6.1. Raises SkillkitError for a prompt that does not fit the backbone, and for
    encoder layers of an encoder–decoder.
    """
    answering = list(bb.decoder_layers or bb.encoder_layers)
    layers = checked_layers(bb, answering if layers is None else layers)
    if not set(layers) <= set(answering):
        raise SkillkitError(
            f"{bb.name} answers in its decoder, so its encoder has no answer slot; choose layers from "
            f"{answering[0]} to {answering[-1]}"
        )
    attached = next(iter(prepare(bb, None, prompt, {"text": [""]}).batches()))[0]
    slot = attached.answer[:, None]
    with bb.record(layers, slot, before=True) as before, bb.record(layers, slot) as after:
        bb.run(attached.inputs)
    told = {"backbone": bb.name, "backbone_fingerprint": bb.fingerprint, "layout": prompt.layout}
    return Firing(_gathered(bb, before), _gathered(bb, after), told)


def _gathered(bb, acts):
    values = torch.full((bb.num_layers, bb.num_neurons), torch.nan)
    for layer, neurons in acts.items():
        values[layer, : bb.widths[layer]] = neurons[0, 0].float().cpu()
    return values


def shared_firing(first, second, layers=None):
    """ON, the cosine of two patterns of firing neurons, and the ON that chance would give: (ON, √(pq)).

    >>> shared_firing(activated_neurons(bb, prompt_a), activated_neurons(bb, prompt_b), layers=[5])
    (..., ...)

    cos(1[x > 0], 1[y > 0]) = |A ∩ B| / √(|A| |B|) over the neurons of `layers` (None: all that were read); p
    and q are the shares that fire. Independent patterns share p · q of all neurons: √(pq) is what their ON is
    on average. A pattern without a firing neuron gives NaN. Su et al. 2022, equation 5; the chance level is
    ours. Raises SkillkitError for firings of different backbones, and for layers that were not read.
    """
    if first.told["backbone_fingerprint"] != second.told["backbone_fingerprint"]:
        raise SkillkitError(
            f"firing neurons of {first.told['backbone']} and {second.told['backbone']} are not the same "
            "neurons; compare prompts of one backbone"
        )
    both = ~(first.after.isnan() | second.after.isnan())
    rows = both.any(1).nonzero().flatten().tolist() if layers is None else list(layers)
    if not rows or not both[rows].any(1).all():
        raise SkillkitError(f"not all of layers {rows} were read; choose among those of both firings")
    read = both[rows]
    one, other = first.fires[rows][read], second.fires[rows][read]
    size = math.sqrt(int(one.sum()) * int(other.sum()))
    return (int((one & other).sum()) / size, size / len(one)) if size else (math.nan, math.nan)


def by_layer(firings, types):
    """ON of every two prompts in every layer, told by kind: of one type, of different types, with a random prompt.

    >>> by_layer({"movies": firing_a, "gadgets": firing_b, "random": untrained}, types)

    firings {name: Firing}; types {name: type}, names without one are random prompts. A DataFrame with a row for each
    two prompts and layer; columns one, other, layer, pair, ON, chance. Two random prompts are no pair (nearly equal
    vectors fire alike). Layers that were not read, and those where one of the two fires no neuron, are missing.
    """
    rows = []
    for one, other in combinations(firings, 2):
        if one not in types and other not in types:
            continue
        pair = _pair(types.get(one), types.get(other))
        for layer in firings[one].after.isfinite().any(1).nonzero().flatten().tolist():
            shared, chance = shared_firing(firings[one], firings[other], [layer])
            rows.append(dict(one=one, other=other, layer=layer, pair=pair, ON=shared, chance=chance))
    return pd.DataFrame(rows).dropna(ignore_index=True)


def _pair(one, other):
    if None in (one, other):
        return "random prompt"
    return "same type" if one == other else "different types"


def most_activated(firing, share=0.2, per_layer=True):
    """The neurons that a prompt excites most, as a mask: bool [layers, neurons].

    >>> with sk.suppress(bb, most_activated(activated_neurons(bb, prompt), 0.2)):
    ...     sk.evaluate(bb, task, prompt)                  # against random_neurons(mask): does it hurt more?

    The top `share` of every layer that was read (or of all of them together), by activation. It is the
    `mask_activated_neuron` of Su et al. 2022. Raises SkillkitError for a share that selects nothing.
    """
    return skill_neurons(firing.after, share, per_layer)


@artifact("silenced", version=1)
def silenced(bb, task, prompts, share=0.2, draws=2, rows=None):
    """Accuracy with the neurons off that each prompt excites most, and with as many random ones off: DataFrame.

    >>> silenced(bb, task, [prompt_of_seed_0, prompt_of_seed_1], share=0.1)
              neurons  accuracy   low  high   n
    0            none       ...
    1  most activated       ...
    2  random neurons       ...

    prompts: a list (seeds), each with a mask of its own; random neurons: mean over `draws`; rows: only so many
    test rows. The interval (Wilson, 95 %) is over the rows, for the mean of prompts and draws.
    """
    correct = {"none": [], "most activated": [], "random neurons": []}
    for prompt in prompts:
        mask = most_activated(activated_neurons(bb, prompt), share)
        others = [random_neurons(mask, draw, bb.widths) for draw in range(draws)]
        for kind, masks in zip(correct, ([None], [mask], others), strict=True):
            for off in masks:
                with nullcontext() if off is None else suppress(bb, off):
                    correct[kind].append(evaluate(bb, task, prompt, rows=rows).correct.double())
    return pd.DataFrame([_with_interval(kind, torch.stack(found)) for kind, found in correct.items()])


def _with_interval(kind, correct):
    mean, n = float(correct.mean()), correct.shape[1]
    low, high = share_interval(mean * n, n)
    return {"neurons": kind, "accuracy": mean, "low": low, "high": high, "n": n}
