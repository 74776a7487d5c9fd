"""Heat maps: every neuron of a model at once, and how alike tasks are, clustered.

>>> run.figure(maps.neurons(probe.predictivity, bb.layers, "predictivity"), "map", caption="All neurons.")
>>> run.figure(maps.clustered(alike, types, "specificity (Spearman ρ)"), "specificity", alike)
"""

from itertools import product

import matplotlib as mpl
import numpy as np
import seaborn
from matplotlib import pyplot as plt
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from skillkit.plots.style import color, panel_row

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

    >>> maps.clustered(similarity(probes).table, types, "Spearman ρ")      # types {"movies": "sentiment", …}

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


def heatmap(tables, label, limits=(0.0, 1.0), fmt=".2f", types=None, rows="", columns=""):
    """A matrix with its numbers in the cells, or several beside each other in one scale of colours.

    >>> figure = heatmap(table.pivot(index="task", columns="method", values="accuracy"), "accuracy on test")
    >>> [cell.get_text() for cell in figure.axes[0].texts], figure.axes[1].get_ylabel()
    (['0.90'], 'accuracy on test')

    tables   a DataFrame, or {title: DataFrame}
    label    meaning and unit of the colour
    types    {name: type} of tasks that are rows and columns: they stand in the order of their clusters (average linkage
             on the mean of both directions), pairs of one type are framed; rows that are no columns come last
    rows, columns   what stands there

    Returns the Figure.
    """
    tables = tables if isinstance(tables, dict) else {"": tables}
    height, width = next(iter(tables.values())).shape
    figure, row = panel_row(list(tables), 0.64 * width + 1.2, 0.42 * height + 2.0, sharey=types is None)
    for (name, axes), table in zip(row, tables.values()):
        last = axes is row[-1][1]
        if types:
            table = _by_cluster(table)
            _frame_pairs(axes, table, types)
            table = table.rename(
                **dict.fromkeys(("index", "columns"), {one: f"{one} · {types[one]}" for one in types})
            )
        options = dict(annot=True, fmt=fmt, annot_kws={"size": 9}, cmap="viridis", cbar=last)
        options |= dict(cbar_kws={"label": label}) if last else {}
        seaborn.heatmap(table.astype(float), vmin=limits[0], vmax=limits[1], ax=axes, **options)
        axes.set(title=name, xlabel=columns, ylabel=rows if axes is row[0][1] else "")
        axes.set_xticklabels(axes.get_xticklabels(), rotation=35, ha="right")
        axes.tick_params(axis="y", rotation=0, length=0)
    return figure


def _by_cluster(table):
    """Names that are rows and columns in the order of their clusters, then the other rows."""
    names = [name for name in table.columns if name in table.index]
    if len(names) > 2:
        values = table.loc[names, names].to_numpy(dtype=float)
        near = (values + values.T) / 2
        apart = np.nanmax(near) - near
        np.fill_diagonal(apart, 0)
        tree = hierarchy.linkage(
            squareform(np.nan_to_num(apart, nan=np.nanmax(apart)), checks=False), "average"
        )
        names = [names[at] for at in hierarchy.leaves_list(tree)]
    return table.loc[names + [name for name in table.index if name not in names], names]


def _frame_pairs(axes, table, types):
    """Frame the cells of two different tasks of one type."""
    for (i, one), (j, other) in product(enumerate(table.index), enumerate(table.columns)):
        if one != other and one in types and types[one] == types[other]:
            axes.add_patch(
                plt.Rectangle((j + 0.03, i + 0.03), 0.94, 0.94, fill=False, ec="#D55E00", lw=2, zorder=2)
            )
