"""Similarity of tasks by their neurons: specificity, overlap, and the same-type permutation test.

>>> alike = similarity({"movies": probe_movies, "gadgets": probe_gadgets})    # Spearman ρ, mean over layers
>>> alike.table, alike.by_layer[3]                                            # DataFrames, tasks × tasks
>>> similarity(probes).same_type(types).p_value
>>> overlap(skills_movies, skills_gadgets).share                              # of two masks
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import stats

from skillkit.core.errors import SkillkitError
from skillkit.neurons.skill_neurons import checked_probes, probes_in, scores_of


class SameType(NamedTuple):
    """Mean similarity within and between types, their difference, and its one-sided p-value.

    >>> found = similarity(probes).same_type(types)
    >>> found.difference == found.same - found.different
    True
    """

    same: float
    different: float
    difference: float
    p_value: float


@dataclass(frozen=True, eq=False)
class Similarity:
    """How similar the neurons of every two tasks are; made by `similarity`.

    >>> Similarity(alike).same_type(types)                            # of any symmetric table

    table: DataFrame, names × names; by_layer: the same for each layer alone, a list.
    """

    table: pd.DataFrame
    by_layer: list = ()

    def __repr__(self):
        values = self.table.to_numpy()[np.triu_indices(len(self.table), 1)]
        low, high = np.min(values, initial=1), np.max(values, initial=-1)
        return f"Similarity({len(self.table)} tasks, between {low:.2f} and {high:.2f})"

    def same_type(self, types, permutations=9999, seed=0):
        """Same-type permutation test: are tasks of one type more similar than tasks of different types?

        >>> similarity(probes).same_type(types)                       # types {"movies": "sentiment", …}
        SameType(same=..., different=..., difference=..., p_value=...)

        The types are permuted over the tasks, `permutations` times or in all orders if there are fewer: pairs
        that share a task depend on each other, so pairs must not be counted as if they were separate evidence.
        The p-value is one-sided. Raises SkillkitError when there is no pair of one kind.
        """
        kinds = np.unique([types[name] for name in self.table.index], return_inverse=True)[1]
        pairs = np.triu_indices(len(kinds), 1)
        values = self.table.to_numpy()[pairs]

        def means(kinds):
            same = kinds[pairs[0]] == kinds[pairs[1]]
            if same.all() or not same.any():
                raise SkillkitError("comparing same with different type takes pairs of both; add tasks")
            return float(values[same].mean()), float(values[~same].mean())

        test = stats.permutation_test(
            (kinds,),
            lambda kinds: np.subtract(*means(kinds)),
            permutation_type="pairings",
            alternative="greater",
            n_resamples=permutations,
            vectorized=False,
            random_state=np.random.default_rng(seed),
        )
        return SameType(*means(kinds), float(test.statistic), float(test.pvalue))


def similarity(items):
    """Similarity of every two tasks: specificity of their predictivities, or overlap of their skill neurons.

    >>> similarity({"movies": probe_a, "news": probe_b}).table.loc["movies", "news"]
    >>> similarity({"movies": skills_movies, "gadgets": skills_gadgets}).table

    Of {name: Probe, list of probes, or scores [layers, neurons]}, the specificity: Spearman correlation of the
    scores of a layer's neurons, averaged over the layers (Wang et al. 2022, section 5.2; Ackermann & Ohmer
    2024). A layer that was not probed, or in which all neurons score alike, gives NaN and is left out of the
    mean. Of {name: mask}, the share of neurons in common, as `overlap` gives it.

    Raises SkillkitError for items of different backbones or layouts.
    """
    probes = [probe for item in items.values() for probe in probes_in(item)]
    if probes:
        checked_probes(probes, task=False)
    items = {name: scores_of(item) for name, item in items.items()}
    shapes = {tuple(one.shape) for one in items.values()}
    if len(shapes) > 1:
        raise SkillkitError(f"shapes {sorted(shapes)} belong to different backbones; compare those of one")
    rows = range(shapes.pop()[0])
    if all(one.dtype == torch.bool for one in items.values()):
        layers = [{name: one[layer : layer + 1] for name, one in items.items()} for layer in rows]
        return Similarity(_shares(items), [_shares(layer) for layer in layers])
    layers = [pd.DataFrame({name: one[layer].numpy() for name, one in items.items()}) for layer in rows]
    by_layer = [layer.corr("spearman") for layer in layers]
    return Similarity(pd.concat(by_layer).groupby(level=0, sort=False).mean(), by_layer)


def _shares(masks):
    shares = [[overlap(one, other).share for other in masks.values()] for one in masks.values()]
    return pd.DataFrame(shares, index=list(masks), columns=list(masks))


class Overlap(NamedTuple):
    """What two masks have in common, and what random masks would; made by `overlap`.

    >>> overlap(mask, mask).share, overlap(mask, mask).union
    (1.0, 1.0)

    share     neurons in both, over the number of neurons of the smaller mask: |A ∩ B| / min(|A|, |B|)
    chance    the share of random masks with as many neurons in every layer
    shared    neurons in both;  expected: neurons in both of such random masks, Σ k_A k_B / N over the layers
    union     neurons in both, over neurons in either (Jaccard)
    """

    share: float
    chance: float
    shared: int
    expected: float
    union: float


def overlap(first, second, widths=None):
    """Overlap of two masks, bool [layers, neurons], and the overlap expected by chance: an `Overlap`.

    >>> overlap(skill_neurons(probe_a, 0.05), skill_neurons(probe_b, 0.05))
    Overlap(share=..., chance=..., shared=..., expected=..., union=...)

    widths: neurons of each layer, for a pruned backbone whose layers differ (`bb.widths`). Shares of an empty
    mask are NaN. Raises SkillkitError for masks of different shape.
    """
    if first.shape != second.shape:
        raise SkillkitError(
            f"overlap compares masks of one shape, not {list(first.shape)} with {list(second.shape)}"
        )
    shared, union, smaller = (
        int(count)
        for count in ((first & second).sum(), (first | second).sum(), min(first.sum(), second.sum()))
    )
    neurons = torch.tensor(widths or [first.shape[1]] * len(first))
    expected = float((first.sum(1) * second.sum(1) / neurons).sum())
    share, chance = (shared / smaller, expected / smaller) if smaller else (np.nan, np.nan)
    return Overlap(share, chance, shared, expected, shared / union if union else np.nan)
