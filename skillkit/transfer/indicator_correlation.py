"""Does an indicator foretell transfer? Types told apart, and rank correlation with what was measured.

>>> by_type(tables["C_average"], types)              # means within and between types, the area under the curve
>>> forecasts(tables, transfer.absolute)             # Spearman ρ of every indicator, averaged over the targets

Pairs that share a task are no separate evidence, so all intervals come from drawing whole tasks anew.
"""

import numpy as np
import pandas as pd
from scipy import stats

from skillkit.core.errors import SkillkitError

FEWEST = 3  # targets that an interval takes


def by_type(table, types, draws=2000, seed=0):
    """Means over pairs of tasks of one type and of different types, and how well the value tells them apart.

    >>> by_type(transfer.relative, types)                          # types {"movies": "sentiment", …}
                value   low  high  pairs
    same type    ...  ...  ...      4
    different    ...  ...  ...      8
    difference   ...  ...  ...     12
    AUC          ...  ...  ...     12

    table: DataFrame, sources × targets (or symmetric), without its diagonal. A row whose name has no type (of
    random prompts) gets a row of its own, its mean over the targets. AUC is the chance that a pair of one type
    scores above a pair of different types. low, high: 95 % of `draws` bootstrap samples of the tasks. Raises
    SkillkitError when there is no pair of one kind.
    """
    names = [name for name in table.columns if name in types and name in table.index]
    others = [name for name in table.index if name not in types]
    values = table.loc[names, names].to_numpy(dtype=float)
    kinds = np.unique([types[name] for name in names], return_inverse=True)[1]
    equal, apart = kinds[:, None] == kinds, ~np.eye(len(names), dtype=bool)
    pairs = np.nonzero(equal & apart), np.nonzero(~equal)
    if not all(len(pair[0]) for pair in pairs):
        raise SkillkitError("comparing same with different type takes pairs of both; add tasks")
    weights = np.random.default_rng(seed).multinomial(len(names), [1 / len(names)] * len(names), draws)
    weights = np.concatenate([np.ones((1, len(names))), weights])  # first the tasks as they are
    found = _measures(*(values[pair] for pair in pairs), *(_pair_weights(weights, pair) for pair in pairs))
    rest = [weights @ table.loc[name, names].to_numpy(dtype=float) / len(names) for name in others]
    found = np.stack([*found, *rest])
    low, high = np.nanquantile(found[:, 1:], [0.025, 0.975], axis=1)
    counts = [len(pair[0]) for pair in pairs] + [sum(len(pair[0]) for pair in pairs)] * 2
    columns = {"value": found[:, 0], "low": low, "high": high, "pairs": counts + [len(names)] * len(others)}
    return pd.DataFrame(columns, index=["same type", "different", "difference", "AUC", *others])


def _pair_weights(weights, pair):
    return (weights[:, pair[0]] * weights[:, pair[1]]).astype(float)


def _measures(same, different, same_weights, different_weights):
    """Means, their difference, AUC: [4, draws]; NaN for a draw without pairs of a kind."""
    above = (same[:, None] > different) + 0.5 * (same[:, None] == different)
    with np.errstate(invalid="ignore", divide="ignore"):
        one = same_weights / same_weights.sum(1, keepdims=True)
        other = different_weights / different_weights.sum(1, keepdims=True)
    means = one @ same, other @ different
    return np.stack([*means, means[0] - means[1], ((one @ above) * other).sum(1)])


def per_target(table, transfer):
    """Spearman correlation of an indicator with measured transfer, one for each target: Series.

    >>> per_target(tables["C_average"], transfer.absolute)["movies"]
    np.float64(1.0)

    Over the sources other than the target itself, whose own prompt is nearest and best by construction.
    NaN where all sources score alike. Raises SkillkitError for fewer than three sources.
    """
    targets = [name for name in transfer.columns if name in table.columns]
    found = {}
    for target in targets:
        sources = [name for name in transfer.index if name in table.index and name != target]
        if len(sources) < 3:
            raise SkillkitError(
                f"{len(sources)} sources for {target} have no rank correlation; take 3 or more"
            )
        pair = table.loc[sources, target], transfer.loc[sources, target]
        constant = any(values.nunique() < 2 for values in pair)
        found[target] = np.nan if constant else stats.spearmanr(*pair).statistic
    return pd.Series(found, dtype=float)


def forecasts(tables, transfer, draws=2000, seed=0):
    """How well every indicator ranks the sources of a target: mean Spearman ρ with a 95 % interval.

    >>> forecasts(indicator_tables(prompts, bb), transfer.absolute)
      indicator    rho    low   high  targets
    0  E_concat    ...
    …

    tables: {indicator: DataFrame}, names × names; transfer: DataFrame, sources × targets. The interval is of
    `draws` bootstrap samples of the targets, the same ones for every indicator. It takes the sources as given.
    Targets on which all sources do equally well have no ranking; of fewer than three that have one there is no
    interval (NaN).
    """
    rows = []
    for name, table in tables.items():
        found = per_target(table, transfer).dropna().to_numpy()
        low = high = np.nan
        if len(found) >= FEWEST:
            drawn = np.random.default_rng(seed).integers(len(found), size=(draws, len(found)))
            low, high = np.quantile(found[drawn].mean(1), [0.025, 0.975])
        mean = found.mean() if len(found) else np.nan
        rows.append({"indicator": name, "rho": mean, "low": low, "high": high, "targets": len(found)})
    return pd.DataFrame(rows)
