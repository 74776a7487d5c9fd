"""Do indicators predict transfer? Same against different types, and rank correlation with measured transfer.

>>> by_type(tables["C_average"], types)              # means within and between types, the area under the curve
>>> correlation = indicator_correlation(tables, transfer.absolute)           # Spearman ρ, targets × indicators
>>> correlation.summary()                            # averaged over the targets, with intervals
>>> same_task(tables["cosine_mean"], tasks, seeds).p_value        # same task, other seeds: a permutation test

Pairs that share a task are no separate evidence, so all intervals come from resampling whole tasks.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from skillkit.core import SkillkitError, mean_interval
from skillkit.core.errors import of_kind
from skillkit.neurons import SameType

FEWEST = 3  # sources that a rank correlation takes


def by_type(table, types, draws=2000, seed=0):
    """Means over pairs of tasks of one type and of different types, and how well the value separates the two.

    >>> by_type(transfer.relative, types)                          # types {"movies": "sentiment", …}
                value   low  high  pairs
    same type    ...  ...  ...      4
    different    ...  ...  ...      8
    difference   ...  ...  ...     12
    AUC          ...  ...  ...     12

    table: DataFrame, sources × targets (or symmetric); its diagonal and what is NaN are left out. A row whose name
    has no type (of random prompts) gets one of its own, its mean over the targets. AUC is the chance that a pair of one
    type scores above a pair of different types. low, high: 95 % of `draws` bootstrap samples of the tasks. Raises
    SkillkitError when there is no pair of one kind.
    """
    of_kind(pd.DataFrame, table=table)
    names = [name for name in table.columns if name in types and name in table.index]
    others = [name for name in table.index if name not in types]
    values = table.loc[names, names].to_numpy(dtype=float)
    kinds = np.unique([types[name] for name in names], return_inverse=True)[1]
    equal, apart = kinds[:, None] == kinds, ~np.eye(len(names), dtype=bool) & ~np.isnan(values)
    pairs = np.nonzero(equal & apart), np.nonzero(~equal & apart)
    counts = [len(pair[0]) for pair in pairs]
    if not all(counts):
        raise SkillkitError("the comparison needs two tasks of one type and one of another; add tasks")
    weights = np.random.default_rng(seed).multinomial(len(names), [1 / len(names)] * len(names), draws)
    weights = np.concatenate([np.ones((1, len(names))), weights])  # first the tasks as they are
    weigh = lambda pair: (weights[:, pair[0]] * weights[:, pair[1]]).astype(float)
    found = _measures(*(values[pair] for pair in pairs), *map(weigh, pairs))
    rest = [weights @ table.loc[name, names].to_numpy(dtype=float) / len(names) for name in others]
    found = np.stack([*found, *rest])
    low, high = np.nanquantile(found[:, 1:], [0.025, 0.975], axis=1)
    counts += [sum(counts)] * 2 + [len(names)] * len(others)
    columns = {"value": found[:, 0], "low": low, "high": high, "pairs": counts}
    return pd.DataFrame(columns, index=["same type", "different", "difference", "AUC", *others])


def _measures(same, different, same_weights, different_weights):
    """Means, their difference, AUC: [4, draws]; NaN for a draw without pairs of a kind."""
    above = (same[:, None] > different) + 0.5 * (same[:, None] == different)
    with np.errstate(invalid="ignore", divide="ignore"):
        one = same_weights / same_weights.sum(1, keepdims=True)
        other = different_weights / different_weights.sum(1, keepdims=True)
    means = one @ same, other @ different
    return np.stack([*means, means[0] - means[1], ((one @ above) * other).sum(1)])


class Correlation(pd.DataFrame):
    """Spearman's ρ of indicators with measured transfer, targets × indicators; see `indicator_correlation`.

    >>> correlation["ON"] - correlation["cosine_mean"]           # a paired difference for each target
    """

    @property
    def _constructor(self):
        return pd.DataFrame

    def summary(self):
        """Mean ρ over the targets with its 95 % interval: a row for each indicator.

        >>> correlation.summary()
          indicator    rho    low   high  targets
        0       ON    ...
        …

        The interval takes the sources as given, and ends where ρ does. Fewer than three targets with a ranking have
        none (NaN).
        """
        rows = []
        for name, column in self.items():
            ranked = column.dropna()
            rho, low, high = np.clip(mean_interval(ranked), -1, 1) if len(ranked) else [np.nan] * 3
            rows.append({"indicator": name, "rho": rho, "low": low, "high": high, "targets": len(ranked)})
        return pd.DataFrame(rows)


def indicator_correlation(tables, transfer):
    """How well every indicator ranks the sources of each target: Spearman's ρ, a `Correlation` table.

    >>> indicator_correlation(indicators(prompts, bb=bb), transfer.absolute).loc["movies", "C_average"]
    np.float64(...)

    tables: {indicator: DataFrame}, names × names; transfer: DataFrame, sources × targets. The target itself is
    left out of its sources, since its own prompt is nearest and best by construction. NaN where all sources
    score alike. Raises SkillkitError for fewer than three sources.
    """
    return Correlation({name: _per_target(table, transfer) for name, table in tables.items()})


def _per_target(table, transfer):
    found = {}
    for target in (name for name in transfer.columns if name in table.columns):
        sources = [name for name in transfer.index if name in table.index and name != target]
        if len(sources) < FEWEST:
            raise SkillkitError(f"{len(sources)} sources for {target} are no ranking; take {FEWEST} or more")
        pair = table.loc[sources, target], transfer.loc[sources, target]
        constant = any(values.nunique() < 2 for values in pair)
        found[target] = np.nan if constant else stats.spearmanr(*pair).statistic
    return pd.Series(found, dtype=float)


def same_task(table, tasks, seeds, permutations=9999, seed=0):
    """Are prompts of one task, tuned with different seeds, more similar? Means and a permutation test.

    >>> names = [f"{task}, seed {number}" for number in (33, 34) for task in ("SST2", "MNLI")]
    >>> same_task(table, dict(zip(names, ["SST2", "MNLI"] * 2)), dict(zip(names, [33, 33, 34, 34])))
    SameType(same=..., different=..., difference=..., p_value=...)

    table: symmetric DataFrame, prompts × prompts; tasks, seeds: {name of the prompt: its task, its seed}. Only
    pairs of different seeds count, since prompts of one seed share where they started. The test permutes the
    tasks of each seed, so that what is exchanged is a task and not a pair. The p-value is one-sided.
    Raises SkillkitError unless there are two tasks and two seeds, and a prompt for each of both.
    """
    names = {(tasks[name], seeds[name]): name for name in table.index}
    kinds, numbers = (sorted(set(values.values())) for values in (tasks, seeds))
    complete = len(names) == len(kinds) * len(numbers) == len(table)
    if min(len(kinds), len(numbers)) < 2 or not complete:
        remedy = "compare two tasks or more, each with one prompt for every one of two seeds or more"
        raise SkillkitError(f"{len(table)} prompts of {len(kinds)} tasks and {len(numbers)} seeds; {remedy}")
    order = [names[kind, number] for number in numbers for kind in kinds]
    shape = (len(numbers), len(kinds))
    blocks = table.loc[order, order].to_numpy(dtype=float).reshape(*shape, *shape)
    pairs = list(combinations(range(shape[0]), 2))

    def similarity(*orders, axis=-1):  # of the prompts at one place in the order of each seed
        return np.mean([blocks[a, orders[a], b, orders[b]].mean(axis) for a, b in pairs], axis=0)

    options = dict(permutation_type="pairings", alternative="greater", rng=np.random.default_rng(seed))
    orders = [np.arange(shape[1])] * shape[0]
    test = stats.permutation_test(orders, similarity, n_resamples=permutations, **options)
    same, everything = float(test.statistic), np.mean([blocks[a, :, b].mean() for a, b in pairs])
    different = float((everything * shape[1] - same) / (shape[1] - 1))
    return SameType(same, different, same - different, float(test.pvalue))
