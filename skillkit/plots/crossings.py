"""Plots of transfer: sources × targets, tasks that transfer alike beside each other.

>>> run.figure(crossings.matrix(transfer.relative, types, "relative accuracy"), "transfer", transfer.relative)
"""

import numpy as np
from matplotlib import pyplot as plt
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from skillkit.plots import style as figures


def matrix(table, types, label, fmt=".2f", limits=(0.0, 1.0)):
    """Sources × targets as a heat map in the order of clusters, pairs of one type framed; returns the Figure.

    >>> crossings.matrix(transfer.absolute, types, "accuracy")             # types {"movies": "sentiment", …}

    Average linkage on how far transfer, averaged over both directions, stays behind the best pair; a row that
    is no column (random prompts) comes last. Axis labels name the type of each task.
    """
    order = clusters(table)
    others = [name for name in table.index if name not in order]
    named = {name: f"{name} · {types[name]}" for name in order}
    shown = table.loc[order + others, order].rename(index=named)
    kind_of = {**types, **{long: types[name] for name, long in named.items()}}

    def one_type(source, target):
        return source != named[target] and kind_of.get(source) == kind_of[target]

    figure = figures.heatmap(shown, label, fmt, limits, one_type)
    figure.axes[0].set(xlabel="target", ylabel="source")
    return figure


def against(near, transfer, types, label, pair=None):
    """Measured transfer against an indicator, a point per source and target; returns the Figure.

    >>> crossings.against(tables["ON"], transfer.relative, types, "ON", pair=("movies", "gadgets"))

    near, transfer: DataFrames of sources × targets; `label` names the indicator; a `pair` is ringed.
    """
    figure, axes = plt.subplots(figsize=(5.6, 3.6))
    names = [name for name in near.columns if name in near.index]
    pairs = [(source, target) for source in names for target in names if source != target]
    for kind, alike in (("same type", True), ("different types", False)):
        chosen = [one for one in pairs if (types[one[0]] == types[one[1]]) == alike]
        places = np.array([(near.loc[one], transfer.loc[one]) for one in chosen]).reshape(-1, 2)
        axes.plot(*places.T, "os"[not alike], color=figures.color(kind, not alike), label=kind, alpha=0.7)
    if pair:
        axes.plot(
            near.loc[pair], transfer.loc[pair], "o", ms=13, mfc="none", mec="black", label=" → ".join(pair)
        )
    axes.set(xlabel=label, ylabel="relative accuracy")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def clusters(table):
    """Names that are rows and columns, in an order that puts those beside each other that transfer alike.

    >>> clusters(transfer.relative)
    ['movies', 'gadgets', …]
    """
    names = [name for name in table.columns if name in table.index]
    if len(names) < 3:
        return names
    values = table.loc[names, names].to_numpy(dtype=float)
    near = (values + values.T) / 2
    apart = np.nanmax(near) - near
    np.fill_diagonal(apart, 0)
    tree = hierarchy.linkage(squareform(np.nan_to_num(apart, nan=np.nanmax(apart)), checks=False), "average")
    return [names[at] for at in hierarchy.leaves_list(tree)]
