"""Suppression of neurons: zero, mean, a constant, or gaussian noise, while a context is open.

>>> with suppress(bb, skills, kind="gaussian", alpha=0.1):
...     evaluate(bb, task, prompt)
>>> with suppress(bb, skills, kind="mean", fill=probe, positions="prompt", layers=range(4, 6)):
...     evaluate(bb, task, prompt)

Whole curves over rates, against random neurons: `skillkit.neurons.suppression_curve`.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch

from skillkit.core.errors import SkillkitError, at_least
from skillkit.models import checked_layers, replace_neurons
from skillkit.neurons.probe import Probe
from skillkit.neurons.skill_neurons import checked_fill, checked_mask, probes_in

KINDS = ("zero", "mean", "constant", "gaussian")
PLACES = ("prompt", "text")


def suppress(
    bb, mask, kind="zero", alpha=0.1, fill=None, positions=None, layers=None, seed=0, shift=0.0, draw="example"
):  # fmt: skip
    """Context in which the neurons of `mask` are suppressed; outside, the backbone is as before, bit for bit.

    >>> with suppress(bb, skill_neurons(probe, 0.1)):
    ...     evaluate(bb, other_task, other_prompt).accuracy          # is the damage specific?

    mask       bool [layers, neurons], pairs (layer, neuron), a fact's `KnowledgeNeurons`, or a published file of a mask
               or of pairs; rankings take `neurons_from`
    kind       "zero"; "mean": each neuron's mean over training rows *where it stands*, at each slot of the prompt,
               at text tokens, in the decoder (template and special tokens are left alone); "constant": one value
               at all positions, which moves activations off their distribution; or "gaussian": noise of standard
               deviation `alpha` is added, one draw per example, shared by its positions (Wang et al. 2022,
               section 5.1)
    fill       "mean": a Probe, or several, to be averaged; with `text=True` unless positions="prompt". "constant":
               a Probe, values [layers, neurons] (`probe.fill`), or [layers, slots, neurons], to be averaged; or a
               file of such values (Skill-Neuron's `train_avg`, `.npy`)
    positions  None (all), "prompt" (the probed slots; a masked model's answer is one of them), "text" (text
               tokens only), "answer" (where a cloze is answered: EleutherAI's place), a Probe (each neuron at its own
               best slot: Robust-Neurons' max_mean_token), or positions as in `models.hooks.record`
    layers     only these layers, `range(low, high)` for a window; None: all
    seed       of the noise, which depends on it, the layer and the row number alone: neither batch size nor
               the other neurons in the mask change it. Outside `evaluate` and `predict`, rows count from 0 in
               every forward pass.
    shift      mean of the noise (Robust-Neurons: --mean)
    draw       "example": the noise is drawn for each example; "once": one value for each neuron, as there

    Contexts nest. Raises SkillkitError for a mask of the wrong shape, one that is empty in these layers or at
    these positions, a missing or unfit `fill`, and on a normal exit when the backbone was not used inside.
    """
    own, positions = (positions, None) if isinstance(positions, Probe) else (None, positions)
    mask, where = checked_mask(bb, mask), answer_positions(bb, positions, PLACES)
    chosen = checked_layers(bb, range(bb.num_layers) if layers is None else layers)
    if where == "text":  # a decoder reads no text
        chosen = [layer for layer in chosen if layer in bb.encoder_layers]
    at_least(0, seed=seed), at_least(0.0, alpha=alpha)
    chosen = [layer for layer in chosen if mask[layer].any()]
    if not chosen:
        which = f"the layers given{' that read text' * (where == 'text')}"
        raise SkillkitError(f"the mask selects no neuron in {which}; widen the layers or the mask")
    change = _change(bb, mask, kind, (alpha, shift, draw), fill, chosen, positions, seed)
    tokenwise = kind in ("zero", "constant") and positions is own is None
    change = change if own is None else _at_own_slots(bb, change, own.made_on(bb).slot)
    if isinstance(where, str):
        change, where = _at(bb, change, where), None
    functions = {layer: partial(change, layer) for layer in chosen}
    return replace_neurons(bb, functions, where, tokenwise=tokenwise)


def _change(bb, mask, kind, noisy, fill, layers, positions, seed):
    """Function of (layer, neurons [B, P, N]) that gives the suppressed neurons.

    They are multiplied by 0 and the others by 1, which is many times as fast as choosing one by one.
    """
    rows = {layer: mask[layer, : bb.widths[layer]].to(bb.device) for layer in layers}
    kept = {layer: ~row for layer, row in rows.items()}
    if kind == "zero":
        return lambda layer, neurons: neurons * kept[layer].to(neurons)
    if kind == "mean":
        return _position_wise_mean(bb, rows, fill, positions)
    if kind == "constant":
        if fill is None:
            raise SkillkitError("suppression by a constant needs fill=, such as probe.fill")
        fill = checked_fill(bb, fill, mask, layers)
        means = {layer: fill[layer, : len(row)].to(row.device).where(row, 0) for layer, row in rows.items()}
        return lambda layer, n: torch.addcmul(means[layer].to(n), n, kept[layer].to(n))
    if kind == "gaussian":
        alpha, shift, draw = noisy
        if not (alpha > 0 or shift) or draw not in ("example", "once"):
            rule = "give alpha above 0, or shift=, and draw 'example' or 'once'"
            raise SkillkitError(f"gaussian noise of alpha={alpha}, draw={draw!r} is none; {rule}")
        noise_of = partial(_noise_of, bb, seed, draw == "once")
        return lambda layer, neurons: neurons + (shift + alpha * noise_of(layer, neurons)) * rows[layer]
    raise SkillkitError(f"neurons are suppressed by {', '.join(KINDS)}, not {kind!r}")


def _position_wise_mean(bb, rows, fill, positions):
    """Function of (layer, neurons [B, T, N]): means of the slots, of the text, and of a decoder's only slot."""
    if positions not in (None, *PLACES):
        raise SkillkitError("means are of prompt and text; give positions 'prompt', 'text' or None")
    found = probes_in(fill) if isinstance(fill, Probe | list | tuple) else []
    if not found:
        takes = "fill=probe, which knows the mean at every slot and at the text"
        raise SkillkitError(f"suppression by the mean takes {takes}; one value everywhere is kind='constant'")
    found, text = [probe.made_on(bb) for probe in found], None
    slots = {layer: _slot_means(found, layer, len(row)) for layer, row in rows.items()}
    if positions != "prompt" and any(layer in bb.encoder_layers for layer in rows):
        text = torch.stack([probe.text_fill for probe in found]).mean(0)

    def change(layer, neurons):
        means, row = slots[layer].to(neurons), rows[layer]
        if layer in bb.decoder_layers:
            return torch.where(row, means[0], neurons)
        places = getattr(bb.now, "places", {})
        if "slot" not in places:
            raise SkillkitError("kind='mean' works inside evaluate and predict only; take another kind")
        there = torch.where(places["slot"][..., None] >= 0, means[places["slot"].clamp(0)], neurons)
        if text is not None:
            there = torch.where(places["text"][..., None], text[layer, : len(row)].to(neurons), there)
        return torch.where(row, there, neurons)

    return change


def _slot_means(probes, layer, width):
    """Means of a layer at the slots, averaged over probes, [slots, neurons]."""
    sides = [probe.side_of(layer) for probe in probes]
    if any(side.numbers != tuple(range(len(side.numbers))) for side, _ in sides):
        raise SkillkitError("the probe knows some of the slots only; probe all of them for their means")
    return torch.stack([side.mean[number, :, :width] for side, number in sides]).mean(0)


def _noise_of(bb, seed, once, layer, neurons):
    """Noise for the rows of the batch that is being read, [B, 1, N]."""
    index = range(len(neurons)) if bb.now is None else bb.now.index.tolist()
    index = [0] * len(neurons) if once else index
    return noise(seed, layer, index, neurons.shape[-1]).to(neurons)[:, None]


def noise(seed, layer, index, width):
    """Standard normal draws [rows, width] that depend on seed, layer and row number only.

    >>> torch.equal(noise(0, 3, [7, 8], 512)[1], noise(0, 3, [8], 512)[0])
    True
    """
    draws = [np.random.default_rng([seed, layer, row]).standard_normal(width, np.float32) for row in index]
    return torch.from_numpy(np.stack(draws))


def _at_own_slots(bb, change, slots):
    """The change of each neuron at its own slot alone, `slots` [layers, neurons] by their numbers."""

    def change_there(layer, neurons):
        if layer in bb.decoder_layers:  # its one slot
            return change(layer, neurons)
        places = getattr(bb.now, "places", {})
        if "slot" not in places:
            raise SkillkitError(
                "a neuron's own slot is for evaluate and predict only; give positions as numbers"
            )
        own = slots[layer, : neurons.shape[-1]].to(neurons.device)
        return torch.where(places["slot"][..., None] == own, change(layer, neurons), neurons)

    return change_there


def _at(bb, change, place):
    """The change at the prompt or at the text alone, as the batch that is being read has them."""

    def change_there(layer, neurons):
        if bb.now is None:
            raise SkillkitError(
                f"positions={place!r} is for evaluate and predict only; give positions as numbers"
            )
        if layer in bb.decoder_layers:
            return change(layer, neurons)
        where = bb.now.places[place]
        if place == "prompt" and not where.any():
            raise SkillkitError("there is no prompt in this input; suppress elsewhere")
        return torch.where(where[..., None], change(layer, neurons), neurons)

    return change_there


def answer_positions(bb, positions, others=()):
    """Positions for hooks: "answer" becomes the slots where the clozes of each pass are answered.

    >>> answer_positions(bb, slice(0, 1))
    slice(0, 1, None)

    Raises SkillkitError for another word or object; `others` are words that the caller knows besides.
    """
    words, text = ("answer", *others), isinstance(positions, str)
    if positions not in words if text else not isinstance(positions, slice | torch.Tensor | Mapping | None):
        known = f"None, {', '.join(map(repr, words))}, a slice or a tensor [batch, P] of numbers"
        raise SkillkitError(f"positions are {known}, not {positions!r}")
    return _AnswerSlots(bb) if text and positions == "answer" else positions


class _AnswerSlots(dict):
    """Where the pass now running is answered, by layer; looked up when a hook asks."""

    def __init__(self, bb):
        super().__init__()
        self.bb = bb

    def get(self, layer):  # type: ignore[override]
        places = getattr(self.bb.now, "places", {})
        if "answer" not in places:
            raise SkillkitError("only ask and what builds on it know where the answer stands; give numbers")
        return places["answer"][layer]
