"""Files of numbers of the published code: thresholds and accuracies, in and out.

>>> save_figures(probe, "info"); read_scores("info/dev_perf.npy").shape         # what `skill_neurons` takes
torch.Size([6, 512])
"""

import json
from pathlib import Path

import numpy as np
import torch

from skillkit.core.errors import SkillkitError, quoted
from skillkit.core.files import filling
from skillkit.prompts import POOLED

# Skill-Neuron's names of the splits, and of the slots' figures, the mean's and the maximum's over the text.
_SPLITS = {"validation": "dev", "test": "test", "train": "train"}
_VIEWS = {"": None} | {f"{pooled.removeprefix('text ')}_": pooled for pooled in POOLED}


def read_numbers(path):
    """What a file of the published code holds: torch, `.npy` or `.json`; pickles are read as data alone.

    >>> save_figures(probe, "info"); read_numbers("info/train_avg.npy").shape    # [layers, slots, neurons]
    (6, 5, 512)

    Raises SkillkitError for a file that is missing, damaged or more than data.
    """
    path = Path(path)
    try:
        if path.suffix == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SkillkitError(f"there is no file of neurons {quoted(str(path))}") from error
    except Exception as error:  # what a damaged file raises depends on its bytes
        raise SkillkitError(
            f"{quoted(str(path))} is damaged, or holds more than numbers, so it is not read"
        ) from error


def read_scores(path):
    """Predictivity [layers, neurons] of a published file of accuracies, for `skill_neurons`.

    >>> save_figures(probe, "info"); scores = read_scores("info/dev_perf.npy")
    >>> torch.equal(skill_neurons(scores, 0.05), skill_neurons(probe, 0.05))
    True

    [layers, slots, neurons], as `dev_perf`: the best slot of either sign; [layers, neurons]: either sign; with an axis
    of T5's two stacks in front (Robust-Neurons): of the encoder, whose are the only ones that are filled.
    """
    found = torch.as_tensor(np.asarray(read_numbers(path)))
    found = found[0] if found.dim() == 4 else found
    if found.dim() not in (2, 3) or not found.is_floating_point():
        shape = f"{found.dtype} {list(found.shape)}"
        raise SkillkitError(f"accuracies are [layers, (slots,) neurons]; {quoted(str(path))} holds {shape}")
    # Rounded, so that neurons that are right equally often stay ties, whatever their sign.
    oriented = 0.5 + (found.double() - 0.5).abs().round(decimals=6)
    return oriented.amax(1) if found.dim() == 3 else oriented


def save_figures(probe, folder, suffix=".npy"):
    """Write a probe's baselines and accuracies as Skill-Neuron's files, in the shapes of both published code bases.

    >>> save_figures(probe, "info"); sorted(path.name for path in Path("info").glob("*_*"))[:3]
    ['dev_max_perf.npy', 'dev_mean_perf.npy', 'dev_perf.npy']

    train_avg, dev_perf (of a probe of the test split test_perf)      [layers, slots, neurons]
    train_mean_avg, dev_mean_perf, train_max_avg, dev_max_perf        [layers, neurons], where the text was probed

    Of T5 the first two are [2, layers, slots, neurons], the decoder's zeros but for its answer, as in Robust-Neurons,
    whose `baseline_activations` and `neuron_accuracy` they are. suffix: ".npy", or "" for torch files, which
    Skill-Neuron's scripts read. Accuracies are those before a sign is chosen.
    """
    dev, figures = _SPLITS[probe.metadata["split"]], {}
    for view, pooled in _VIEWS.items():
        for name, part in ((f"train_{view}avg", "baseline"), (f"{dev}_{view}perf", "accuracy")):
            if pooled is None:
                figures[name] = _stacked([getattr(side, part) for side in probe.stacks.values()])
            elif "text" in probe.sides:
                figures[name] = getattr(probe.sides["text"], part)[:, POOLED.index(pooled)]
    with filling(folder, "choose another folder") as fresh:
        for name, values in figures.items():
            if suffix == ".npy":
                np.save(fresh / f"{name}.npy", values.numpy())
            else:
                torch.save(values, fresh / name)


def _stacked(parts):
    """The only stack's figures, or those of two as [2, layers, slots, neurons], the shorter one's filled with zeros."""
    if len(parts) == 1:
        return parts[0]
    whole = torch.zeros(len(parts), *(max(sizes) for sizes in zip(*(part.shape for part in parts))))
    for place, part in zip(whole, parts, strict=True):
        place[: part.shape[0], : part.shape[1], : part.shape[2]] = part
    return whole
