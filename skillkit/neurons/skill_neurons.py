"""Skill neurons: the most predictive ones, as a mask; and random neurons to compare them with.

>>> skills = skill_neurons(probe, top=0.05)              # bool [layers, neurons]
>>> control = random_neurons(skills, seed=0)             # as many in every layer, none of them a skill neuron
>>> skills.sum(1)                                        # how many in each layer
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from skillkit.core.errors import (
    SkillkitError,
    at_least,
    check_objects,
    is_number,
    listed,
    of_kind,
    quoted,
    whole_numbers,
)
from skillkit.core.store import artifact
from skillkit.neurons.number_files import read_numbers
from skillkit.neurons.probe import Probe


# 2: neurons that are right equally often are ties; 3: the shares of sub-tasks by halves are the published ones.
@artifact("skill_neurons", version=3)
def skill_neurons(probes, top=0.05, per_layer=True, seeds="mean", slots="max", subtasks="turns"):
    """Skill neurons, the most predictive ones: a mask, bool [layers, neurons] (Wang et al. 2022, section 3.2).

    >>> skill_neurons(probe, top=0.05)
    >>> skill_neurons([probe_of_seed_0, probe_of_seed_1], top=0.05, seeds="min")
    >>> skill_neurons({"pn": probe_of_seed_0, "neu": probe_of_seed_1}, top=0.05)

    probes     a Probe; a list of probes of one task, whose predictivities are reduced by `seeds`, "mean" or
               "min"; a dict of either by sub-task, each of which then gives an equal share of the neurons (a
               neuron wanted by several is taken once, and the next best takes its place); or, in the place of
               a probe, a tensor or array of scores [layers, neurons], NaN where a neuron cannot be chosen
    top        share of the neurons: int(top · neurons) of every layer, or of all layers together
    per_layer  whether every layer gives its share, or the best of the whole model are taken
    slots      how predictivity reduces the slots: "max", "mean" or "min"
    subtasks   "turns": sub-tasks take one neuron each in turn; "halves": the first takes its whole share, then
               the next one its own of those left, and an odd one too, as in the published code

    Layers that were not probed give none. Ties go to the lower number. Raises SkillkitError for a rate
    outside [0, 1], a rate above 0 that selects no neuron, a mask, and probes that do not belong together.
    """
    given = listed(top)
    top = given[0] if len(given) == 1 else given
    count_of(top, 0)
    if subtasks not in ("turns", "halves"):
        raise SkillkitError(f"sub-tasks choose in 'turns' or by 'halves', not {quoted(subtasks)}")
    if isinstance(probes, Mapping) and not probes:
        raise SkillkitError("no probe was given, so there is nothing to choose neurons by")
    scores = list(all_scores(probes if isinstance(probes, Mapping) else {"": probes}, seeds, slots).values())
    if scores[0].dtype == torch.bool:
        raise SkillkitError("a mask says nothing about which neurons come first; give probes or scores")
    mask = torch.zeros(scores[0].shape, dtype=torch.bool)
    groups = mask if per_layer else mask.view(1, -1)
    for row, group in enumerate(groups):
        rankings = [_ranking(part.reshape(groups.shape)[row]) for part in scores]
        group[_merged(rankings, count_of(top, min(map(len, rankings))), subtasks == "halves")] = True
    if float(top) > 0 and not mask.any():
        raise SkillkitError(f"top={top} of {mask.shape[1]} selects no neuron; choose a higher rate")
    return mask


def count_of(top, neurons):
    """How many a share of the neurons is, rounded down; SkillkitError for what is no share.

    >>> count_of(0.29, 100)                                 # though 0.29 · 100 is 28.999… in floating point
    29
    """
    if not (is_number(top) and 0 <= top <= 1):
        raise SkillkitError(f"top is a share of the neurons between 0 and 1, not {quoted(top)}")
    return int(float(top) * neurons + 1e-9)


def _ranking(scores):
    """Neuron numbers, best first, without those that have no score."""
    order = scores.nan_to_num(-torch.inf).argsort(descending=True, stable=True)
    return order[: int((~scores.isnan()).sum())].tolist()


def _merged(rankings, count, halves):
    """`count` numbers, each the best of a ranking that is not taken yet; rankings take turns, or one share each."""
    taken, turns = set(), [iter(ranking) for ranking in rankings]
    while len(taken) < count:
        share = (len(turns) * (len(taken) + 1) - 1) // count  # an odd one goes to the last
        turn = turns[share if halves else len(taken) % len(turns)]
        taken.add(next(number for number in turn if number not in taken))
    return list(taken)


def _parts(ranking):
    """All probes and scores of what `skill_neurons` takes, in one list."""
    if isinstance(ranking, Probe | torch.Tensor | np.ndarray):
        return [ranking]
    if not isinstance(ranking, Mapping | list | tuple):
        kind = type(ranking).__name__
        raise SkillkitError(f"neurons are ranked by probes, or scores [layers, neurons], not by a {kind}")
    parts = ranking.values() if isinstance(ranking, Mapping) else ranking
    return [one for part in parts for one in _parts(part)]


def probes_in(ranking):
    """All probes of what `skill_neurons` takes, in one list; none of a tensor of scores.

    >>> len(probes_in({"pn": [probe_of_seed_0, probe_of_seed_1], "neu": probe}))
    3
    """
    return [part for part in _parts(ranking) if isinstance(part, Probe)]


def scores_of(probes, seeds="mean", slots="max"):
    """One score per neuron from one or several probes of a task (or scores): [layers, neurons].

    >>> scores_of([probe_of_seed_0, probe_of_seed_1], seeds="min")
    """
    if seeds not in ("mean", "min"):
        raise SkillkitError(f"several probes are reduced by mean or min, not {quoted(seeds)}")
    reduce = {"mean": torch.mean, "min": torch.amin}[seeds]
    parts = _parts(probes)
    if not parts or probes_in(parts):
        checked_probes(probes_in(parts))
    whole = lambda part: (
        part.score(slots, torch.float64) if isinstance(part, Probe) else torch.as_tensor(part)
    )
    scores = [whole(part) for part in parts]
    for one in scores:
        if one.shape != scores[0].shape or one.dim() != 2:
            raise SkillkitError(
                f"scores are [layers, neurons], alike for all, not of shape {list(one.shape)}"
            )
    if isinstance(probes, torch.Tensor | np.ndarray):
        return scores[0]
    return reduce(torch.stack([one.double() for one in scores]), 0).float()


def all_scores(items, seeds="mean", slots="max"):
    """Scores by name, of several tasks or sub-tasks of one backbone: {name: [layers, neurons]}.

    >>> all_scores({"movies": [probe_of_seed_0, probe_of_seed_1], "gadgets": other_probe})["gadgets"].shape
    torch.Size([6, 512])

    items: {name: what `scores_of` takes}. SkillkitError for different backbones, layouts or probed layers.
    """
    of_kind(Mapping, items=items)
    if probes := probes_in(items):
        checked_probes(probes, task=False)
    scores = {name: scores_of(item, seeds, slots) for name, item in items.items()}
    if len(shapes := {tuple(one.shape) for one in scores.values()}) > 1:
        raise SkillkitError(f"shapes {sorted(shapes)} are of different backbones; compare those of one")
    return scores


def checked_probes(probes, task=True):
    """The probes, or SkillkitError when there are none, or they are of different backbones, layouts (or tasks).

    >>> [one.metadata["task"] for one in checked_probes([probe, other_probe], task=False)]
    ['world/movies', 'world/gadgets']
    """
    if not probes:
        raise SkillkitError("no probe was given, so there is nothing to choose neurons by")
    for key in ("backbone", "layout", "layers", *["task"] * task):
        found = {str(one.metadata.get(f"{key}_fingerprint", one.metadata[key])) for one in probes}
        if len(found) > 1:
            names = f"{key.rstrip('s')}s ({', '.join(sorted({str(one.metadata[key]) for one in probes}))})"
            raise SkillkitError(f"the probes are of different {names}; combine those of one")
    return probes


def random_neurons(skills, seed=0, widths=None, refill=False, among="layer"):
    """Random control: as many neurons in every layer as `skills` has, drawn among the others, bool [layers, neurons].

    >>> controls = [random_neurons(skills, seed) for seed in range(5)]      # one draw proves nothing

    widths: neurons of each layer, for a pruned backbone whose layers differ (`bb.widths`). refill: where a layer has
    too few others, all of them and, to make up the number, some of `skills`; else that is a SkillkitError.
    among="model": Robust-Neurons' rule, as many draws over the whole model, with replacement, so that layers get
    other numbers, some neurons come twice (and count once), and skill neurons come, too.
    """
    skills = bool_mask(skills)
    at_least(0, seed=seed)
    widths = None if widths is None else whole_numbers("widths", widths)
    if widths and len(widths) != len(skills):
        raise SkillkitError(
            f"widths are of {len(skills)} layers, not of {len(widths)}; give those of the mask's backbone"
        )
    if among not in ("layer", "model"):
        raise SkillkitError(
            f"random neurons are among those of a 'layer' or the 'model', not {quoted(among)}"
        )
    if among == "model":
        return _anywhere(skills, seed, widths)
    mask = torch.zeros_like(skills)
    for layer, row in enumerate(skills):
        mine, others = (
            part.nonzero().flatten().numpy() for part in (row, ~row[: widths[layer] if widths else None])
        )
        missing = len(mine) - len(others)
        if missing > 0 and not refill:
            few = f"only {len(others)} others for {len(mine)}"
            raise SkillkitError(f"layer {layer} has {few}; choose a lower rate")
        draw = np.random.default_rng([seed, layer])
        mask[layer, draw.choice(others, min(len(mine), len(others)), replace=False)] = True
        mask[layer, draw.choice(mine, max(missing, 0), replace=False)] = True
    return mask


def _anywhere(skills, seed, widths):
    """As many draws, with replacement, among all neurons there are."""
    mask, width = torch.zeros_like(skills), skills.shape[1]
    there = torch.arange(width) < torch.tensor(widths or [width] * len(skills))[:, None]
    drawn = np.random.default_rng(seed).integers(int(there.sum()), size=int(skills.sum()))
    mask[tuple(there.nonzero()[drawn].T)] = True
    return mask


def bool_mask(given):
    """A mask, of an array too, or a fact's: a bool tensor [layers, neurons]; SkillkitError for anything else.

    >>> bool_mask(skills.numpy()).shape
    torch.Size([6, 512])
    """
    mask = as_tensor(given)
    if mask is None or mask.dtype != torch.bool or mask.dim() != 2:
        raise SkillkitError(f"a mask is a bool tensor [layers, neurons], not {_shown(given)}")
    return mask


def as_tensor(given):
    """The tensor of a mask, a fact or an array; None of what cannot be one.

    >>> as_tensor([(3, 17)]), as_tensor("mask")
    (tensor([[ 3, 17]]), None)
    """
    try:
        return torch.as_tensor(getattr(given, "mask", given)).cpu()
    except (TypeError, ValueError, RuntimeError):
        return None


def _shown(given):
    tensor = as_tensor(given)
    return type(given).__name__ if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"


def checked_mask(bb, given):
    """The mask for a backbone: bool [layers, neurons], of an array too, a fact's, of places (layer, neuron), or a file.

    >>> checked_mask(bb, skills).shape, int(checked_mask(bb, [(3, 17), (5, 4)]).sum())
    (torch.Size([6, 512]), 2)

    Raises SkillkitError for another shape, neurons that are not there, and an empty mask.
    """
    check_objects(bb)
    given = read_numbers(given) if isinstance(given, str | Path) else given
    shape, mask = (bb.num_layers, bb.num_neurons), as_tensor(given)
    if mask is not None and mask.dtype in (torch.int32, torch.int64) and mask.shape[1:] == (2,):
        for layer, neuron in mask.tolist():
            if not (0 <= layer < bb.num_layers and 0 <= neuron < bb.widths[layer]):
                raise SkillkitError(f"no neuron {neuron} in layer {layer} of {bb.name}; widths: {bb.widths}")
        mask = torch.zeros(shape, dtype=torch.bool).index_put(tuple(mask.T), torch.tensor(True))
    if mask is None or mask.dtype != torch.bool or mask.shape != shape:
        kinds = f"a bool tensor {list(shape)}, or pairs (layer, neuron)"
        raise SkillkitError(f"a mask for {bb.name} is {kinds}, not {_shown(given)}")
    if any(mask[layer, width:].any() for layer, width in enumerate(bb.widths)):
        raise SkillkitError(f"the mask has neurons that {bb.name} lacks; its widths are {bb.widths}")
    if not mask.any():
        raise SkillkitError("the mask is empty; select at least one neuron")
    return mask


def checked_fill(bb, fill, mask, layers):
    """Values to replace the neurons of `mask` by, [layers, neurons]: of probes, an array or its file, slots averaged.

    >>> checked_fill(bb, probe, mask, layers=[4, 5])

    Raises SkillkitError for a probe of another backbone or another shape, and where the value of a neuron in
    these layers is NaN.
    """
    probes = [fill] if isinstance(fill, Probe) else fill
    if isinstance(probes, list | tuple) and all(isinstance(one, Probe) for one in probes):
        fill = torch.stack([one.made_on(bb).fill for one in checked_probes(probes, task=False)]).mean(0)
    fill = as_tensor(read_numbers(fill) if isinstance(fill, str | Path) else fill)
    if fill is None:
        raise SkillkitError("fill is a Probe, values [layers, neurons], or a file of them; use probe.fill")
    fill = fill.mean(1) if fill.dim() == 3 else fill
    if fill.shape != mask.shape:
        raise SkillkitError(f"fill has shape {list(fill.shape)}, the mask {list(mask.shape)}; use probe.fill")
    if fill[layers][mask[layers]].isnan().any():
        raise SkillkitError("fill is NaN for some of these neurons; probe all the layers they are in")
    return fill
