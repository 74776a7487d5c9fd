"""Pruning: a backbone that is really smaller, the means of the pruned neurons folded into the output bias.

>>> small = prune(bb, skill_neurons(probe, top=0.02), fill=probe, layers=range(1, 6))
>>> small.widths, evaluate(small, task, prompt).accuracy
>>> small.save("small"); load_backbone("small")

A neuron that always has the same value adds the same vector to the output of its network. So `b + W_dropped · fill`
takes the place of the output bias b, the dropped rows and columns go, and what is computed stays what it would be
with those neurons clamped to `fill` (Wang et al. 2022, section 6.1). What that costs: `skillkit.neurons.pruning_curve`.
"""

import copy

import torch

from skillkit.core.errors import SkillkitError, check_objects, quoted
from skillkit.models import checked_layers, from_model, hooked, networks
from skillkit.neurons.skill_neurons import checked_fill, checked_mask

WIDTHS = ("ragged", "uniform")


def prune(bb, mask, fill, layers=None, width="ragged"):
    """A smaller copy of a backbone that keeps, in some layers, the neurons of `mask` only.

    >>> small = prune(bb, skills, fill=probe.fill, layers=range(1, 4))
    >>> small.save("dir"); load_backbone("dir").widths == small.widths
    True

    mask    bool [layers, neurons]: what is kept; only rows of `layers` count
    fill    value of each neuron that is left out: a Probe (its mean training activation at the probed slots),
            [layers, neurons], or [layers, slots, neurons] whose slots are averaged. None: no constants, the
            neurons are left out as if they were always 0
    layers  indices into `bb.layers`; None: all. The others stay as they are
    width   "ragged": every layer has its own width; `load_backbone` alone reads such a folder again.
            "uniform": every layer has the same, and the folder is one for `AutoModel….from_pretrained` too

    Constants need an output bias; where an architecture has none (T5, most Llama-likes), one is added. A layer
    may lose all its neurons (not in GPT-2): its network becomes a constant. The backbone that is given stays
    as it is; the result is a `Backbone` like any other, for prompts, probes, interventions, more pruning.

    Raises SkillkitError for a mask or fill of another shape, a mask that keeps nothing anywhere, a Probe of
    another backbone, a fill that is NaN for a neuron to be left out, and, with "uniform", for layers
    of different widths or constants that need a new bias.
    """
    check_objects(bb)
    if width not in WIDTHS:
        raise SkillkitError(f"width is {' or '.join(map(repr, WIDTHS))}, not {quoted(width)}")
    layers = checked_layers(bb, range(bb.num_layers) if layers is None else layers)
    mask = checked_mask(bb, mask)
    dropped = torch.zeros_like(mask)
    for layer in layers:
        dropped[layer, : bb.widths[layer]] = ~mask[layer, : bb.widths[layer]]
    fill = None if fill is None else checked_fill(bb, fill, dropped, layers)
    constant = [] if fill is None else [layer for layer in layers if dropped[layer].any()]
    biases = {layer for layer in constant if bb.value_matrices[layer].bias is None}
    biases |= set((getattr(bb.model.config, "pruned", None) or {"biases": []})["biases"])
    widths = [total - int(gone) for total, gone in zip(bb.widths, dropped.sum(1), strict=True)]
    _check_widths(bb, widths, biases, width)
    model = _copy(bb)
    cut = networks(model.base_model, bb.row)
    for layer in layers:
        gone = dropped[layer, : bb.widths[layer]]
        added = _constant(bb, layer, gone, fill) if layer in constant else None
        cut[layer].keep((~gone).nonzero().flatten(), added)
    # What a loader must know.
    model.config.__dict__.pop("pruned", None)
    pruned = ("pruned", {"widths": widths, "biases": sorted(biases)})
    setattr(model.config, *((bb.row.width, widths[0]) if width == "uniform" else pruned))
    return from_model(model, bb.tokenizer, f"{bb.name}, pruned")


def magnitude(bb):
    """The length of all weights of a neuron, into it and out of it, [layers, neurons]: a control for skill.

    >>> prune(bb, skill_neurons(magnitude(bb), top=0.02), fill=probe)

    The Euclidean norm of the group that a neuron's removal takes away (as Li et al. 2017 do for filters);
    NaN where a narrower layer has no neuron. What `skill_neurons` takes for scores.
    """
    lengths = torch.full((bb.num_layers, bb.num_neurons), torch.nan)
    for layer, network in enumerate(networks(bb.model.base_model, bb.row)):
        matrices = [matrix.weight.T if bb.row.transposed else matrix.weight for matrix in network.into]
        squares = [matrix.float().square().sum(1) for matrix in matrices]
        squares.append(bb.value_weight(layer).float().square().sum(0))
        lengths[layer, : network.width] = torch.stack(squares).sum(0).sqrt().cpu()
    return lengths


def pruned_layers(bb):
    """The layers that `pruning_curve` prunes by default: all but the lowest quarter of each stack.

    >>> pruned_layers(bb)                     # of 6 layers; of 12 they are 3 to 11
    [1, 2, 3, 4, 5]

    As in Wang et al. 2022, who keep the lowest three of twelve whole: few skill neurons are there.
    """
    return [at for stack in (bb.encoder_layers, bb.decoder_layers) for at in stack[len(stack) // 4 :]]


def _constant(bb, layer, gone, fill):
    """What the neurons that go always add to the output, [hidden] in double precision."""
    weight, gone = bb.value_weight(layer), gone.to(bb.value_weight(layer).device)
    values = fill[layer, : bb.widths[layer]].to(weight.device, torch.float64)
    return weight[:, gone].double() @ values[gone]


def _check_widths(bb, widths, biases, width):
    if bb.row.transposed and 0 in widths:  # a limit of the Conv1D of `transformers`
        empty = (
            f"{bb.layers[widths.index(0)]} would keep no neuron, which {bb.model_type} cannot compute with"
        )
        raise SkillkitError(f"{empty}; keep at least one in every layer")
    if width == "uniform" and len(set(widths)) > 1:
        remedy = "choose as many neurons in each of all layers, or take width='ragged'"
        raise SkillkitError(f"a uniform width needs one count in every layer, not {widths}; {remedy}")
    if width == "uniform" and biases:
        reason = "no output bias to fold constants into, and plain transformers would not load an added one"
        raise SkillkitError(f"the networks of {bb.name} have {reason}; take width='ragged', or fill=None")


def _copy(bb):
    """A copy of the model without the hooks of an open context, which would stay in it for ever."""
    if hooked(bb):
        raise SkillkitError(f"{bb.name} is being recorded or changed; prune it outside of the with block")
    return copy.deepcopy(bb.model)
