"""Masks in files: ours, and those that the published code writes and reads.

>>> save_neurons(skills, "dir", bb); load_neurons("dir", bb)
>>> save_published(probe, "info/sst2"); neurons_from("info/sst2/0.05", bb)      # Skill-Neuron: torch files
>>> neurons_from("bert-base-uncased_pararel_neurons_0.json", bb)                # doctest: +SKIP
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import torch

from skillkit.core.errors import SkillkitError, check_objects, quoted
from skillkit.core.files import as_path, filling
from skillkit.core.serialization import read_tensors, write_tensors
from skillkit.neurons.number_files import read_numbers
from skillkit.neurons.skill_neurons import as_tensor, bool_mask, checked_mask, count_of, skill_neurons

PUBLISHED_RATES = tuple(percent / 100 for percent in range(21))


def save_neurons(mask, folder, bb):
    """Write a mask into `folder` (safetensors and JSON), with the backbone it belongs to.

    >>> save_neurons(skills, "dir", bb); load_neurons("dir", bb)
    """
    metadata = {"backbone": bb.name, "backbone_fingerprint": bb.fingerprint}
    write_tensors(folder, "neurons", {"mask": checked_mask(bb, mask)}, metadata)


def load_neurons(folder, bb):
    """Read what `save_neurons` wrote; SkillkitError when it is missing, damaged or of another backbone.

    >>> save_neurons(skills, "dir", bb)
    >>> torch.equal(load_neurons("dir", bb), skills)
    True
    """
    tensors, metadata = read_tensors(folder, "neurons", "mask", "backbone_fingerprint")
    if metadata["backbone_fingerprint"] != bb.fingerprint:
        raise SkillkitError(f"the neurons in {folder} are those of {metadata['backbone']}, not of {bb.name}")
    return tensors["mask"]


def pairs(mask):
    """(layer, neuron) of each neuron of a mask, in order: the form of EleutherAI's knowledge-neurons.

    >>> pairs(torch.tensor([[False, True], [True, False]]))
    [(0, 1), (1, 0)]
    """
    return [tuple(pair) for pair in bool_mask(mask).nonzero().tolist()]


def neurons_from(source, bb, top=None):
    """Neurons in any published form as a mask, bool [layers, neurons]; of a dict of them, a dict of masks.

    >>> neurons_from([[3, 17], [5, 4]], bb).sum().item()
    2
    >>> neurons_from("skill_neuron_across_layer/SST2PromptRoberta_mean.npy", bb, top=0.05)     # doctest: +SKIP

    source  a mask (0 and 1, or False and True); pairs (layer, neuron); a dict of either, such as {fact: pairs}; or a
            file of one of these: a torch file (Skill-Neuron's `info/sst2/0.05`), `.npy` or `.json`; or a folder of
            `save_neurons`
    top     of pairs that rank all neurons, best first (Robust-Neurons): which share to take, of every layer where they
            are [layers, neurons, 2], of the whole model where they are [all neurons, 2]

    A mask may be empty, as the published file 0.0 is. Raises SkillkitError for a file that is missing, damaged or more
    than data, neurons that the backbone lacks, a ranking without `top`, and `top` without a ranking.
    """
    check_objects(bb)
    if isinstance(source, str | Path):
        path = as_path(source)
        if path.is_dir() or path.suffix == ".safetensors":
            return load_neurons(path, bb)
        source = read_numbers(path)
    if isinstance(source, Mapping):
        return {key: neurons_from(one, bb, top) for key, one in source.items()}
    given = as_tensor(source)
    if given is None:
        forms = "a mask [layers, neurons] or pairs (layer, neuron)"
        raise SkillkitError(f"neurons are {forms}, not {quoted(source)}")
    given = _without_ranks(bb, _without_numbers(bb, given), top)
    if given.numel() == 0 or (given.dtype == torch.bool and not given.any()):
        return torch.zeros(bb.num_layers, bb.num_neurons, dtype=torch.bool)
    return checked_mask(bb, given)


def _without_numbers(bb, given):
    """A mask of 0 and 1 as one of False and True; other forms as they are."""
    if given.dtype == torch.bool or given.shape != (bb.num_layers, bb.num_neurons):
        return given
    if not ((given == 0) | (given == 1)).all():
        scores = "these are scores and no mask (values other than 0 and 1)"
        raise SkillkitError(f"{scores}; sk.skill_neurons takes them")
    return given.bool()


def _without_ranks(bb, given, top):
    """The first share of the pairs of a ranking, cut as the published code cuts it; other forms as they are."""
    every = bb.num_layers * bb.num_neurons
    ranked = given.shape in ((bb.num_layers, bb.num_neurons, 2), (every, 2))
    if not ranked and top is None:
        return given
    if not ranked:
        raise SkillkitError("these neurons are no ranking: top is for a ranking of all")
    if top is None:
        raise SkillkitError("these pairs rank all neurons: say which share to take, top=0.05")
    return given[..., : count_of(top, given.shape[-2]), :].reshape(-1, 2).long()


def save_published(probes, folder, rates=PUBLISHED_RATES, **options):
    """Write the skill neurons at each rate as Skill-Neuron does: torch files "0.0", "0.01", … "0.2", one mask in each.

    >>> save_published(probe, "info/sst2")                  # its mask.py takes --info_path info/sst2/0.05
    >>> save_published(probe, "info/sst2", rates=[0.02])    # one for its prune.py

    probes, options: as `skill_neurons` takes them (several classes: `subtasks="halves"`).
    """
    masks = {str(float(rate)): skill_neurons(probes, rate, **options) for rate in rates}
    with filling(folder, "choose another folder") as fresh:
        for name, mask in masks.items():
            content = BytesIO()  # on a full disk torch itself does not say what is wrong
            torch.save(mask, content)
            (fresh / name).write_bytes(content.getvalue())
