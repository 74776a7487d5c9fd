"""Heat maps: every neuron of a model at once, and how alike tasks are, clustered.

>>> run.figure(maps.neurons(probe.predictivity, bb.layers, "predictivity"), "map", caption="All neurons.")
>>> run.figure(maps.clustered(alike, types, "specificity (Spearman ρ)"), "specificity", alike)
"""

import matplotlib as mpl
import numpy as np
import seaborn
from matplotlib import pyplot as plt
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from skillkit.plots.style import color

COLUMNS = 512  # what a page shows apart


def neurons(scores, layers, label, places=(), low=0.5):
    """A layer × neuron map: `scores` [layers, neurons] as colours, the last layer on top.

    >>> maps.neurons(probe.predictivity, bb.layers, "predictivity", places=probe.best(5), low=probe.majority)

    layers: their names; places: (layer, slot, neuron) to be circled; low: the lower end of the colours. What
    was not probed stays white. Where there are more neurons than a page shows apart, a column shows the best
    of several, so that no single neuron is lost.
    """
    values = np.asarray(scores, dtype=float)
    shown = _best_of_several(values)
    figure, axes = plt.subplots(figsize=(8.5, 0.3 * len(values) + 1.5))
    extent = (-0.5, values.shape[1] - 0.5, -0.5, len(values) - 0.5)
    options = dict(aspect="auto", origin="lower", interpolation="nearest", cmap="viridis", extent=extent)
    drawn = axes.imshow(shown, vmin=low, vmax=max(np.nanmax(values), low + 1e-3), **options)
    for layer, _, neuron in places:
        axes.plot(neuron, layer, "o", ms=9, mfc="none", mec=color("adversarial"), mew=1.6)
    axes.set_yticks(range(len(layers)), layers)
    axes.set(xlabel="neuron", ylabel="layer")
    axes.grid(visible=False)
    figure.colorbar(drawn, label=label, pad=0.01)
    return figure


def _best_of_several(values):
    if values.shape[1] <= COLUMNS:
        return values
    parts = np.array_split(values, COLUMNS, axis=1)
    return np.stack([np.fmax.reduce(part, axis=1) for part in parts], axis=1)


def clustered(table, types, label, limits=(0.0, 1.0), fmt=".2f"):
    """A symmetric table, tasks × tasks, in the order of its clusters, pairs of one type framed.

    >>> maps.clustered(pairwise(probes, mean_specificity), types, "Spearman ρ")      # types {"movies": "sentiment", …}

    Average linkage on 1 − likeness; the stripe on the left has a colour for every type. Two tasks or fewer
    are not clustered. Returns the Figure.
    """
    kinds = list(dict.fromkeys(types[name] for name in table.index))
    stripe = [color(kind, kinds.index(kind)) for kind in (types[name] for name in table.index)]
    tree = _tree(table)
    side = 0.72 * len(table) + 2.6
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        grid = seaborn.clustermap(
            table.astype(float), row_linkage=tree, col_linkage=tree, row_cluster=tree is not None,
            col_cluster=tree is not None, row_colors=stripe, vmin=limits[0], vmax=limits[1], cmap="viridis",
            annot=True, fmt=fmt, annot_kws={"size": 9}, figsize=(side + 0.8, side), dendrogram_ratio=0.14,
            cbar_kws={"label": label, "orientation": "horizontal"},
        )  # fmt: skip
    _name_types(grid, dict(zip((types[name] for name in table.index), stripe)))
    order = grid.dendrogram_row.reordered_ind if tree is not None else range(len(table))
    _frame(grid.ax_heatmap, [types[table.index[at]] for at in order])
    return grid.figure


def _tree(table):
    if len(table) < 3:
        return None
    apart = 1 - table.to_numpy(dtype=float)
    np.fill_diagonal(apart, 0)
    return hierarchy.linkage(squareform(np.clip(apart, 0, None), checks=False), "average")


def _name_types(grid, colours):
    """A legend of the types, and tick labels that can be read."""
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
    place = dict(loc="upper center", bbox_to_anchor=(0.48, 0.87))
    grid.figure.legend(handles, colours, ncols=min(4, len(colours)), frameon=False, **place)
    grid.figure.subplots_adjust(bottom=0.27, top=0.9, right=0.76)
    grid.ax_cbar.set_position([0.24, 0.06, 0.5, 0.025])  # what comes before moves it
    grid.ax_col_dendrogram.set_visible(False)
    axes = grid.ax_heatmap
    axes.set(xlabel="", ylabel="")
    axes.set_xticklabels(axes.get_xticklabels(), rotation=35, ha="right")
    axes.set_yticklabels(axes.get_yticklabels(), rotation=0)


def _frame(axes, kinds):
    """Frame the cells of two different tasks of one type."""
    for row, column in np.ndindex(len(kinds), len(kinds)):
        if row != column and kinds[row] == kinds[column]:
            cell = plt.Rectangle((column + 0.03, row + 0.03), 0.94, 0.94, fill=False, ec="#D55E00", lw=2.4)
            axes.add_patch(cell)
