"""Heat maps with their numbers: sources × targets, tasks × tasks, several models beside each other.

>>> heatmap(table.pivot(index="task", columns="method", values="accuracy"), "accuracy on test")
"""

from itertools import product

import numpy as np
import pandas as pd
import seaborn
from matplotlib import pyplot as plt
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from skillkit.plots.style import frame, panel_row


def heatmap(tables, label, limits=(0.0, 1.0), fmt=".2f", types=None, rows="", columns=""):
    """A matrix with its numbers in the cells, or several beside each other in one scale of colours.

    >>> figure = heatmap(table.pivot(index="task", columns="method", values="accuracy"), "accuracy on test")
    >>> [cell.get_text() for cell in figure.axes[0].texts], figure.axes[1].get_ylabel()
    (['0.90'], 'accuracy on test')

    tables   a DataFrame (or {column: {row: number}}, or an array), or {title: DataFrame}
    label    meaning and unit of the colour
    types    {name: type} of tasks that are rows and columns: they stand in the order of their clusters (average linkage
             on the mean of both directions), pairs of one type are framed; rows that are no columns come last
    rows, columns   what stands there

    Returns the Figure.
    """
    several = isinstance(tables, dict) and tables and all(np.ndim(one) == 2 for one in tables.values())
    tables = {name: _matrix(one) for name, one in (tables if several else {"": tables}).items()}
    height, width = next(iter(tables.values())).shape
    figure, row = panel_row(list(tables), 0.64 * width + 1.2, 0.42 * height + 2.0, sharey=types is None)
    for (name, axes), table in zip(row, tables.values()):
        last = axes is row[-1][1]
        if types:
            table = _by_cluster(table)
            _frame_pairs(axes, table, types)
            table = table.rename(index={one: f"{one} · {types[one]}" for one in types})
        options = dict(annot=True, fmt=fmt, annot_kws={"size": 9}, cmap="viridis", cbar=last)
        options |= dict(cbar_kws={"label": label}) if last else {}
        seaborn.heatmap(table, vmin=limits[0], vmax=limits[1], ax=axes, **options)
        axes.set(title=name, xlabel=columns, ylabel=rows if axes is row[0][1] else "")
        axes.set_xticklabels(axes.get_xticklabels(), rotation=35, ha="right")
        axes.tick_params(axis="y", rotation=0, length=0)
    return figure


def _matrix(table):
    """A table as a DataFrame of numbers."""
    return frame(table if isinstance(table, pd.DataFrame | dict) else np.asarray(table)).astype(float)


def _by_cluster(table):
    """Names that are rows and columns in the order of their clusters, then the other rows."""
    names = [name for name in table.columns if name in table.index]
    if len(names) > 2:
        values = table.loc[names, names].to_numpy()
        near = (values + values.T) / 2
        apart = np.nanmax(near) - near
        np.fill_diagonal(apart, 0)
        apart = squareform(np.nan_to_num(apart, nan=np.nanmax(apart)), checks=False)
        tree = hierarchy.linkage(apart, "average")
        names = [names[at] for at in hierarchy.leaves_list(tree)]
    return table.loc[names + [name for name in table.index if name not in names], names]


def _frame_pairs(axes, table, types):
    """Frame the cells of two different tasks of one type."""
    for (i, one), (j, other) in product(enumerate(table.index), enumerate(table.columns)):
        if one != other and one in types and types[one] == types[other]:
            for shade, width in (
                ("black", 3),
                ("white", 1.5),
            ):  # seen on every colour, and the colour of nothing else
                look = dict(fill=False, ec=shade, lw=width, zorder=2)
                axes.add_patch(plt.Rectangle((j + 0.03, i + 0.03), 0.94, 0.94, **look))
