"""How alike the neurons of two tasks are, and whether tasks of one type are more alike than others.

>>> specificity(probe_movies, probe_gadgets).nanmean()                # Spearman ρ, mean over layers
>>> overlap(skills_movies, skills_gadgets)                            # (0.31, 0.05): shared, by chance
>>> alike = pairwise(probes, mean_specificity)                        # DataFrame, tasks × tasks
>>> same_type(alike, types).difference, same_type(alike, types).p_value
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import stats

from skillkit.core.errors import SkillkitError
from skillkit.neurons.probe import Probe
from skillkit.neurons.skill_neurons import together


def specificity(first, second):
    """Spearman correlation of two tasks' predictivities, one per layer: float64 [layers].

    >>> specificity(probe_a, probe_b)                # Wang et al. 2022, section 5.2
    tensor([...], dtype=torch.float64)

    Takes Probes, or scores [layers, neurons]. A layer that was not probed, or in which all neurons score
    alike, gives NaN. Raises SkillkitError for probes of different backbones or layouts.
    """
    first, second = _scores(first, second)
    return torch.tensor([_spearman(*pair) for pair in zip(first.numpy(), second.numpy(), strict=True)])


def mean_specificity(first, second):
    """Specificity averaged over the layers (Ackermann & Ohmer 2024).

    >>> mean_specificity(probe_a, probe_a), mean_specificity(probe_a, probe_b)
    (1.0, 0...)
    """
    return float(specificity(first, second).nanmean())


def overlap(first, second, widths=None):
    """Share of neurons that two masks of one size have in common, and the share expected by chance.

    >>> overlap(skill_neurons(probe_a, 0.05), skill_neurons(probe_b, 0.05))
    (..., ...)

    |A ∩ B| / k, against Σ k_A k_B / N over the layers, / k: what random neurons with these counts in each
    layer would share. widths: neurons of each layer, for a pruned backbone whose layers differ (`bb.widths`).
    Raises SkillkitError for masks of different shape or size, or empty ones.
    """
    if first.shape != second.shape or first.sum() != second.sum() or not first.any():
        raise SkillkitError(
            f"overlap compares masks of one shape and as many neurons, not {int(first.sum())} of "
            f"{list(first.shape)} with {int(second.sum())} of {list(second.shape)}"
        )
    size = int(first.sum())
    neurons = torch.tensor(widths or [first.shape[1]] * len(first))
    chance = (first.sum(1) * second.sum(1) / neurons).sum() / size
    return int((first & second).sum()) / size, float(chance)


def pairwise(items, measure):
    """A symmetric table of a measure between all pairs: DataFrame, names × names.

    >>> pairwise({"movies": probe_a, "news": probe_b}, mean_specificity)
    >>> pairwise(masks, lambda a, b: overlap(a, b)[0])
    """
    table = pd.DataFrame(1.0, index=list(items), columns=list(items))
    for number, one in enumerate(items):
        for other in list(items)[number:]:
            table.loc[one, other] = table.loc[other, one] = measure(items[one], items[other])
    return table


@dataclass(frozen=True)
class SameType:
    """Mean likeness within and between types, their difference, and how often chance gives as large a one.

    >>> found = same_type(alike, types)
    >>> round(found.same, 2), round(found.different, 2), found.p_value
    (0.6, 0.5, 0.333...)
    """

    same: float
    different: float
    difference: float
    p_value: float


def same_type(table, types, permutations=9999, seed=0):
    """Are tasks of one type more alike? A permutation test over tasks.

    >>> same_type(alike, types)                            # types {"movies": "sentiment", …}
    SameType(same=..., different=..., difference=..., p_value=...)

    The types are dealt to the tasks anew, `permutations` times or in all orders if there are fewer: pairs
    that share a task depend on each other, so pairs must not be counted as if they were separate evidence.
    The p-value is one-sided. Raises SkillkitError when there is no pair of one kind.
    """
    values = table.to_numpy()
    kinds = np.unique([types[name] for name in table.index], return_inverse=True)[1]
    pairs = np.triu_indices(len(kinds), 1)

    def means(kinds):
        same = kinds[pairs[0]] == kinds[pairs[1]]
        if same.all() or not same.any():
            raise SkillkitError("comparing same with different type takes pairs of both; add tasks")
        return values[pairs][same].mean(), values[pairs][~same].mean()

    test = stats.permutation_test(
        (kinds,),
        lambda kinds: np.subtract(*means(kinds)),
        permutation_type="pairings",
        alternative="greater",
        n_resamples=permutations,
        vectorized=False,
        random_state=np.random.default_rng(seed),
    )
    same, different = map(float, means(kinds))
    return SameType(same, different, float(test.statistic), float(test.pvalue))


def _scores(*probes):
    if all(isinstance(probe, Probe) for probe in probes):
        together(list(probes), task=False)
    scores = [probe.predictivity if isinstance(probe, Probe) else probe for probe in probes]
    if scores[0].shape != scores[1].shape:
        raise SkillkitError(
            f"scores of shapes {list(scores[0].shape)} and {list(scores[1].shape)} belong to different "
            "backbones; compare those of one"
        )
    return scores


def _spearman(first, second):
    known = ~(np.isnan(first) | np.isnan(second))
    first, second = first[known], second[known]
    constant = len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0
    return np.nan if constant else stats.spearmanr(first, second).statistic
