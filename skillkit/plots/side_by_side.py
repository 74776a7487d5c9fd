"""Figures with one panel per model, so that families can be compared at a glance.

>>> run.figure(side_by_side.heatmaps({"embedded/roberta": a, "embedded/gpt2": b}, "relative accuracy"), "transfer")
>>> run.figure(side_by_side.lines(table, "top", "overlap", hue="layer", panel="model"), "overlap", table)
"""

import numpy as np
import seaborn
from matplotlib import pyplot as plt

from skillkit.plots.style import MARKERS, arms, color

DASHES = {"random": (0, (3, 2)), "random neurons": (0, (3, 2)), "by chance": (0, (1, 2))}


def heatmaps(tables, label, limits=(0.0, 1.0), fmt=".2f", rows="", columns=""):
    """A matrix per model, in one scale of colours, with its numbers in the cells; returns the Figure.

    >>> side_by_side.heatmaps({"embedded/roberta": a}, "accuracy relative to the target's own prompt")

    tables {model: DataFrame}; label: meaning and unit of the colour; rows, columns: what stands there.
    """
    height, width = next(iter(tables.values())).shape
    size = (len(tables) * (0.62 * width + 0.4) + 2.6, 0.42 * height + 2.0)
    figure, grid = plt.subplots(1, len(tables), figsize=size, sharey=True, squeeze=False)
    for number, (axes, (name, table)) in enumerate(zip(grid[0], tables.items(), strict=True)):
        last = number == len(tables) - 1
        options = dict(annot=True, fmt=fmt, annot_kws={"size": 8.5}, cmap="viridis", cbar=last)
        options |= dict(cbar_kws={"label": label}) if last else {}
        seaborn.heatmap(table.astype(float), vmin=limits[0], vmax=limits[1], ax=axes, **options)
        axes.set(title=name, xlabel=columns, ylabel=rows * (number == 0))
        axes.set_xticklabels(axes.get_xticklabels(), rotation=35, ha="right")
        axes.tick_params(axis="y", rotation=0, length=0)
    return figure


def boxes(scores, points, ylabel="predictivity, accuracy"):
    """Box plots of neurons' scores by task and side, the whole model's accuracy as a diamond; a panel per model.

    >>> side_by_side.boxes({("embedded/gpt2", "movies", "clean"): probe.predictivity}, accuracies)

    scores {(model, task, side): [layers, neurons]}; points: a DataFrame with model, task, side, accuracy. The
    box holds the middle half of the neurons, the whiskers all but 1 % at either end; dots are neurons beyond.
    """
    models = list(dict.fromkeys(model for model, _, _ in scores))
    tasks, sides = (list(dict.fromkeys(key[at] for key in scores)) for at in (1, 2))
    size = (len(models) * (0.9 * len(tasks) + 1.0) + 1.0, 3.6)
    figure, grid = plt.subplots(1, len(models), figsize=size, sharey=True, squeeze=False)
    for axes, model in zip(grid[0], models, strict=True):
        for number, side in enumerate(sides):
            shift = 0.38 * (number - (len(sides) - 1) / 2)
            values = [_known(scores[model, task, side]) for task in tasks]
            at, hue = np.arange(len(tasks)) + shift, color(side, number)
            axes.boxplot(
                values, positions=at, widths=0.3, whis=(1, 99), patch_artist=True, manage_ticks=False,
                boxprops=dict(facecolor=hue + "44", edgecolor=hue), medianprops=dict(color="#222222"),
                whiskerprops=dict(color=hue), capprops=dict(color=hue),
                flierprops=dict(marker=".", ms=2.5, mec=hue, alpha=0.4),
            )  # fmt: skip
            mine = points[(points["model"] == model) & (points["side"] == side)].set_index("task")
            axes.plot(at, mine.loc[tasks, "accuracy"], "D", ms=5.5, mfc=hue, mec="black", mew=0.8, label=side)
        axes.set_xticks(range(len(tasks)), tasks, rotation=20, ha="right")
        axes.set(title=model)
        axes.grid(axis="x", visible=False)
    grid[0][0].set_ylabel(ylabel)
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=len(sides))
    return figure


def lines(table, x, y, hue, panel, style=None, xlabel=None, ylabel=None):
    """Mean curves with a band of ± one standard error, a panel per value of `panel`; returns the Figure.

    >>> side_by_side.lines(table, "rate", "accuracy", hue="side", panel="model", style="neurons")

    hue and style are columns: a colour and a dash each (random neurons dashed). A single value has no band.
    """
    panels = list(dict.fromkeys(table[panel]))
    figure, grid = plt.subplots(
        1, len(panels), figsize=(3.0 * len(panels) + 1.0, 3.3), sharey=True, squeeze=False
    )
    keys = [hue, style] if style else [hue]
    hues = list(dict.fromkeys(table[hue]))
    for axes, name in zip(grid[0], panels, strict=True):
        for key, rows in table[table[panel] == name].groupby(keys, sort=False):
            spread = rows.groupby(x)[y].agg(["mean", "sem"])
            hued, dash = color(key[0], hues.index(key[0])), DASHES.get(key[-1], "-")
            axes.plot(spread.index, spread["mean"], color=hued, ls=dash, label=", ".join(map(str, key)))
            low, high = (spread["mean"] + sign * spread["sem"].fillna(0) for sign in (-1, 1))
            axes.fill_between(spread.index, low, high, color=hued, alpha=0.15, lw=0)
        axes.set(title=name, xlabel=xlabel or x)
    grid[0][0].set_ylabel(ylabel or y)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)))
    return figure


def ranges(
    table, row, hue, panel, value="accuracy", low="low", high="high", chance=None, xlabel="accuracy on test"
):
    """Points with their intervals, one line of text per `row`, a colour per `hue`, a panel per `panel`.

    >>> side_by_side.ranges(table, row="view", hue="side", panel="model", chance="chance")

    chance: a column, drawn as a dashed line over its row. Returns the Figure.
    """
    panels, rows, hues = (list(dict.fromkeys(table[column])) for column in (panel, row, hue))
    size = (2.5 * len(panels) + 2.4, 0.3 * len(rows) + 1.3)
    figure, grid = plt.subplots(1, len(panels), figsize=size, sharex=True, sharey=True, squeeze=False)
    offsets = np.linspace(-0.22, 0.22, len(hues)) if len(hues) > 1 else [0.0]
    for axes, name in zip(grid[0], panels, strict=True):
        for number, (kind, offset) in enumerate(zip(hues, offsets, strict=True)):
            mine = table[(table[panel] == name) & (table[hue] == kind)]
            at = np.array([rows.index(one) for one in mine[row]]) + offset
            marker = MARKERS[number % len(MARKERS)]
            axes.errorbar(
                mine[value],
                at,
                xerr=arms(mine, value, low, high),
                fmt=marker,
                ms=5,
                capsize=2,
                lw=1.3,
                color=color(kind, number),
                label=kind,
            )
        if chance:
            levels = table.drop_duplicates(row)[chance]
            axes.vlines(
                levels,
                np.arange(len(rows)) - 0.45,
                np.arange(len(rows)) + 0.45,
                colors=color("chance"),
                ls=(0, (3, 2)),
                lw=1,
                label="chance",
            )
        axes.set_yticks(range(len(rows)), rows)
        axes.set(title=name, xlabel=xlabel, ylim=(len(rows) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(6, len(labels)))
    return figure


def points(table, x, y, hue, mark, xlabel=None, ylabel=None):
    """A scatter plot: a colour per `hue` (the model), a marker per `mark` (the attack); returns the Figure.

    >>> side_by_side.points(table, "gap", "drop", hue="model", mark="attack")
    """
    hues, marks = (list(dict.fromkeys(table[column])) for column in (hue, mark))
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    for (name, kind), rows in table.groupby([hue, mark], sort=False):
        marker = MARKERS[marks.index(kind) % len(MARKERS)]
        axes.plot(rows[x], rows[y], marker, ms=6.5, color=color(name, hues.index(name)), mec="white", mew=0.6)
    for number, name in enumerate(hues):
        axes.plot([], [], "s", color=color(name, number), label=name)
    for number, kind in enumerate(marks):
        axes.plot([], [], MARKERS[number % len(MARKERS)], color="#444444", mfc="none", label=kind)
    axes.axhline(0, color="#444444", lw=0.8)
    axes.axvline(0, color="#444444", lw=0.8)
    axes.set(xlabel=xlabel or x, ylabel=ylabel or y)
    figure.legend(loc="outside right upper")
    return figure


def _known(values):
    values = np.asarray(values, dtype=float)
    return values[~np.isnan(values)]
