"""Plots of what is paid for what is gained: accuracy against size, with the speed on a second axis.

>>> tradeoff(table, speeds)                        # tables of `shrinkage.summary` and `speed.compare`
"""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from skillkit.plots.style import MARKERS, arms, color

_NAMES = {"before": "prompt as it was", "further": "prompt tuned further on the pruned model"}
_SPEED = "#8A6D00"


def tradeoff(table, speeds=None):
    """Accuracy against the share of neurons kept, one panel per tuning; how much faster on the right axis.

    >>> tradeoff(summary(tables), speeds)

    table   columns share, neurons, tuned, accuracy, low, high; "all" is the unpruned model, at share 1
    speeds  columns share, faster, low, high: the dotted line, over the unpruned model; None: no second axis

    Shares stand at equal distances. Returns the Figure.
    """
    shares = sorted(set(table.share))
    panels = [name for name in _NAMES if name in set(table.tuned)]
    kinds = [kind for kind in dict.fromkeys(table.neurons) if kind != "all"]
    figure, grid = plt.subplots(
        1, len(panels), figsize=(4.4 * len(panels) + 1.2, 3.7), sharey=True, squeeze=False
    )
    right = [axes.twinx() for axes in grid[0]] if speeds is not None else []
    for axes, name in zip(grid[0], panels):
        _accuracies(axes, table[table.tuned == name], shares, kinds)
        axes.set_title(_NAMES[name])
        axes.set_xticks(range(len(shares)), [f"{share:.0%}" for share in shares])
        axes.set_xlabel("neurons kept in the pruned layers")
        axes.grid(axis="x", visible=False)
    for axes in right:
        _speeds(axes, speeds, shares, labelled=axes is right[-1])
    grid[0][0].set_ylabel("accuracy on test")
    # Over a few seeds, an interval may reach to where no accuracy can be.
    ends = table[["accuracy", "low", "high"]].clip(0, 1)
    grid[0][0].set_ylim(ends.min(axis=None) - 0.02, ends.max(axis=None) + 0.02)
    _legend(figure, (grid[0][0], *right[:1]))
    return figure


def faster(table, panel=None):
    """How many times faster than the first model, against the batch size, with intervals; one panel per `panel`.

    >>> faster(compare(backbones, (1, 8), length=16, rounds=2))
    """
    panels = list(dict.fromkeys(table[panel])) if panel else [None]
    figure, grid = plt.subplots(
        1, len(panels), figsize=(3.6 * len(panels) + 1, 3.2), sharey=True, squeeze=False
    )
    for axes, name in zip(grid[0], panels):
        rows = table[table[panel] == name] if panel else table
        sizes = sorted(set(rows.batch_size))
        for number, model in enumerate(list(dict.fromkeys(rows.model))[1:]):
            own = rows[rows.model == model].set_index("batch_size").loc[sizes]
            axes.errorbar(range(len(sizes)), own.faster, arms(own, "faster"), fmt=MARKERS[number] + "-", ms=5,
                          capsize=2.5, color=color(model, number), label=model)  # fmt: skip
        axes.axhline(1, color=color("chance"), ls=(0, (3, 2)), lw=1, label="as fast as the full model")
        axes.set_xticks(range(len(sizes)), sizes)
        axes.set(xlabel="batch size", title=name or "")
    grid[0][0].set_ylabel("times faster than the full model")
    grid[0][0].set_ylim(0, max(2, 1.3 * table.faster.max()))
    _legend(figure, grid[0])
    return figure


def _accuracies(axes, table, shares, kinds):
    """One line per kind of neurons, each ending in the unpruned model."""
    whole = table[table.neurons == "all"]
    for number, (kind, offset) in enumerate(zip(kinds, np.linspace(-0.08, 0.08, len(kinds)))):
        rows = table[table.neurons == kind].sort_values("share")
        if rows.empty:  # of a kind that was not tuned further
            continue
        places = [shares.index(share) + offset for share in rows.share]
        axes.errorbar(places, rows.accuracy, arms(rows, "accuracy"), fmt=MARKERS[number] + "-", ms=5, capsize=2.5,
                      color=color(kind, number), label=kind)  # fmt: skip
        ends = [places[-1], len(shares) - 1], [rows.accuracy.iloc[-1], *whole.accuracy]
        axes.plot(*ends, color=color(kind, number), lw=1, alpha=0.5)
    axes.errorbar(
        len(shares) - 1,
        whole.accuracy,
        arms(whole, "accuracy"),
        fmt="k*",
        ms=9,
        capsize=2.5,
        label="all neurons",
    )


def _speeds(axes, speeds, shares, labelled):
    rows = speeds.sort_values("share")
    places = [shares.index(share) for share in rows.share]
    axes.errorbar(
        places,
        rows.faster,
        arms(rows, "faster"),
        fmt="x:",
        capsize=2.5,
        lw=1.2,
        color=_SPEED,
        label="speed (right axis)",
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.spines.right.set_visible(True)
    axes.tick_params(axis="y", colors=_SPEED, labelright=labelled)
    axes.set_ylim(0, max(2, 1.2 * rows.faster.max()))
    axes.grid(visible=False)
    if labelled:
        axes.set_ylabel("times faster", color=_SPEED)


def _legend(figure, grid):
    """One legend over all panels, each label once."""
    found = [pair for axes in grid for pair in zip(*axes.get_legend_handles_labels())]
    handles = {label: handle for handle, label in found}
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=3)
