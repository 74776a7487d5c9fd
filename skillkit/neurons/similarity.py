"""Similarity of tasks by their neurons: specificity, overlap, and the same-type permutation test.

>>> alike = similarity({"movies": probe_movies, "gadgets": probe_gadgets})    # Spearman ρ, mean over layers
>>> alike.table, alike.by_layer[3]                                            # DataFrames, tasks × tasks
>>> similarity(probes).same_type(types).p_value
>>> overlap(skills_movies, skills_gadgets).share                              # of two masks
"""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import stats

from skillkit.core.errors import SkillkitError
from skillkit.neurons.skill_neurons import all_scores, bool_mask

Overlap = namedtuple("Overlap", "share chance shared expected union")
SameType = namedtuple("SameType", "same different difference p_value")


def overlap(first, second, widths=None):
    """Overlap of two masks, bool [layers, neurons], and the overlap expected by chance.

    >>> overlap(skill_neurons(probe_a, 0.05), skill_neurons(probe_b, 0.05))
    Overlap(share=..., chance=..., shared=..., expected=..., union=...)

    share      neurons in both, over the neurons of the smaller mask: |A ∩ B| / min(|A|, |B|); NaN if it is empty
    chance     the share of random masks with as many neurons in every layer
    shared     neurons in both;  expected: in both of such random masks, Σ k_A k_B / N over the layers
    union      neurons in both, over neurons in either (Jaccard)

    widths: neurons of each layer, for a pruned backbone whose layers differ (`bb.widths`). Raises
    SkillkitError for masks of different shape.
    """
    first, second = bool_mask(first), bool_mask(second)
    if first.shape != second.shape:
        raise SkillkitError(f"masks of one backbone have one shape, not {[*first.shape]}, {[*second.shape]}")
    neurons = torch.tensor(widths or [first.shape[1]] * len(first))
    shared, expected = int((first & second).sum()), float((first.sum(1) * second.sum(1) / neurons).sum())
    smaller, either = int(min(first.sum(), second.sum())), int((first | second).sum())
    share, chance = (shared / smaller, expected / smaller) if smaller else (np.nan, np.nan)
    return Overlap(share, chance, shared, expected, shared / either if either else np.nan)


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
    items = all_scores(items)
    first = next(iter(items.values()))
    layers = [{name: one[layer : layer + 1] for name, one in items.items()} for layer in range(len(first))]
    if first.dtype == torch.bool:
        return Similarity(_shares(items), [_shares(layer) for layer in layers])
    tables = [pd.DataFrame({name: one[0].numpy() for name, one in layer.items()}) for layer in layers]
    by_layer = [table.corr("spearman") for table in tables]
    return Similarity(pd.concat(by_layer).groupby(level=0, sort=False).mean(), by_layer)


def _shares(masks):
    shares = [[overlap(one, other).share for other in masks.values()] for one in masks.values()]
    return pd.DataFrame(shares, index=list(masks), columns=list(masks))


@dataclass(frozen=True, eq=False)
class Similarity:
    """How similar the neurons of every two tasks are; made by `similarity`.

    >>> Similarity(alike).same_type(types)                            # of any symmetric table

    table: DataFrame, names × names; by_layer: the same for each layer alone, a list.
    """

    table: pd.DataFrame
    by_layer: list | tuple = ()

    def __repr__(self):
        values = self.table.where(~np.eye(len(self.table), dtype=bool)).stack()
        return f"Similarity({len(self.table)} tasks, between {values.min():.2f} and {values.max():.2f})"

    def same_type(self, types, permutations=9999, seed=0):
        """Same-type permutation test: are tasks of one type more similar than tasks of different types?

        >>> similarity(probes).same_type(types)                       # types {"movies": "sentiment", …}
        SameType(same=..., different=..., difference=..., p_value=...)

        Mean similarity within and between types, their difference, and its one-sided p-value. The types are
        permuted over the tasks, `permutations` times or in all orders if there are fewer: pairs that share a
        task depend on each other, so pairs must not be counted as if they were separate evidence. Raises
        SkillkitError when there is no pair of one kind.
        """
        kinds = np.unique([types[name] for name in self.table.index], return_inverse=True)[1]
        pairs = np.triu_indices(len(kinds), 1)
        values = self.table.to_numpy()[pairs]

        def means(kinds):
            same = kinds[pairs[0]] == kinds[pairs[1]]
            if same.all() or not same.any():
                raise SkillkitError(
                    "the comparison needs two tasks of one type and one of another; add tasks"
                )
            return float(values[same].mean()), float(values[~same].mean())

        test = stats.permutation_test(
            (kinds,), lambda kinds: np.subtract(*means(kinds)), permutation_type="pairings", vectorized=False,
            n_resamples=permutations, alternative="greater", random_state=np.random.default_rng(seed),
        )  # fmt: skip
        same, different = means(kinds)
        return SameType(same, different, float(test.statistic), float(test.pvalue))
