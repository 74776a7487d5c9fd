"""Style of all figures: a colour for every model, method and control, readable on light and dark pages.

>>> set_style()
>>> color("prompt")
'#0072B2'
"""

import matplotlib as mpl
import numpy as np
import seaborn
from matplotlib import pyplot as plt

# Okabe & Ito (2008): told apart by colour-blind readers. A name keeps its colour through all chapters.
PALETTE = {
    "embedded/roberta": "#0072B2", "embedded/bert": "#56B4E9", "embedded/t5": "#D55E00", "embedded/gpt2": "#009E73",
    "prompt": "#0072B2", "bitfit": "#D55E00", "adapter": "#CC79A7", "random prompt": "#999999", "no prompt": "#BBBBBB",
    "random backbone": "#666666", "whole model": "#000000", "skill neurons": "#0072B2", "random neurons": "#999999",
    "largest weights": "#D55E00", "the relation's neurons": "#0072B2", "knowledge neurons": "#0072B2",
    "clean": "#0072B2", "adversarial": "#D55E00", "true labels": "#0072B2", "labels permuted": "#999999",
    "luckiest of all": "#999999", "majority share": "#444444", "baseline": "#222222",
    "english": "#0072B2", "second": "#E69F00", "seen": "#0072B2", "unseen": "#E69F00", "chance": "#444444",
}  # fmt: skip
DASHES = {
    "random": (0, (3, 2)),
    "chance": (0, (1, 2)),
    "by chance": (0, (1, 2)),
}  # by the first word of a name
_OTHERS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
MARKERS = "osD^vP"


def set_style():
    """Set matplotlib's defaults for every figure of the house.

    >>> set_style()
    >>> mpl.rcParams["figure.facecolor"]
    'white'

    The background is white, also on a dark page: a transparent one would hide black text there.
    """
    mpl.rcParams.update({
        "figure.dpi": 110, "savefig.dpi": 150, "figure.constrained_layout.use": True, "font.size": 10.5,
        "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white",
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#E5E5E5",
        "axes.axisbelow": True, "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
        "legend.frameon": False, "svg.fonttype": "none", "svg.hashsalt": "skillkit", "lines.linewidth": 1.8,
    })  # fmt: skip


def color(name, number=0):
    """The colour of a model, method or control, also where more follows its name; others get one by number.

    >>> color("prompt"), color("gpt2") == color("embedded/gpt2"), color("a method of your own", 1)
    ('#0072B2', True, '#D55E00')
    """
    known = (PALETTE.get(one) for one in (name, f"embedded/{name}", str(name).split(", ")[0]))
    return next(filter(None, known), _OTHERS[number % len(_OTHERS)])


def line_style(name):
    """Line style of a curve: controls (random neurons, chance) are dashed, so that colour is not all that tells them.

    >>> line_style("skill neurons"), line_style("random neurons")
    ('-', (0, (3, 2)))
    """
    return next((style for start, style in DASHES.items() if str(name).startswith(start)), "-")


def panel_row(names, width, height, **shared):
    """A figure with a row of axes, one per name: (figure, [(name, axes), …]).

    >>> figure, row = panel_row(["movies", "rooms"], 3.2, 3.3)
    >>> [axes.get_title("left") for _, axes in row]
    ['movies', 'rooms']
    """
    figure, grid = plt.subplots(
        1, len(names), figsize=(width * len(names) + 1.2, height), squeeze=False, **shared
    )
    for name, axes in zip(names, grid[0]):
        axes.set_title(name)
    return figure, list(zip(names, grid[0]))


def legend(figure, columns=5):
    """One legend above all panels, each label once.

    >>> figure = plt.figure()
    >>> figure.subplots().plot([0, 1], label="prompt")
    >>> legend(figure)
    """
    pairs = [pair for axes in figure.axes for pair in zip(*axes.get_legend_handles_labels())]
    handles = {label: handle for handle, label in reversed(pairs)}
    labels = unique(label for _, label in pairs)
    room = figure.get_figwidth() / (0.085 * max(map(len, labels)) + 0.55)  # inches, at the size of our font
    columns = max(1, min(columns, len(labels), int(room)))
    figure.legend([handles[label] for label in labels], labels, loc="outside upper center", ncols=columns)


def unique(values):
    """Different values, in the order in which they come first.

    >>> unique(["b", "a", "b"])
    ['b', 'a']
    """
    return list(dict.fromkeys(values))


def dots(table, x, hue, value="accuracy", low="low", high="high", chance=None, ylabel="accuracy on test"):
    """Points with their intervals, one group per `x`, one colour per `hue`.

    >>> figure = dots(table, x="task", hue="method", chance="chance")
    >>> [group.get_text() for group in figure.axes[0].get_xticklabels()], figure.axes[0].get_ylabel()
    (['movies'], 'accuracy on test')

    table: a DataFrame with a row per point and the columns named; `chance`: a column drawn as a dashed line
    over its group. Returns the Figure.
    """
    groups, hues = list(dict.fromkeys(table[x])), list(dict.fromkeys(table[hue]))
    figure, axes = plt.subplots(figsize=(max(5.5, 1.25 * len(groups) + 2.2), 3.6))
    offsets = np.linspace(-0.28, 0.28, len(hues)) if len(hues) > 1 else [0.0]
    for number, (name, offset) in enumerate(zip(hues, offsets)):
        rows = table[table[hue] == name].set_index(x)
        at = [groups.index(group) + offset for group in rows.index]
        axes.errorbar(at, rows[value], arms(rows, value, low, high), fmt=MARKERS[number % len(MARKERS)], ms=6,
                      capsize=2.5, color=color(name, number), label=name, lw=1.4)  # fmt: skip
    if chance:
        for place, group in enumerate(groups):
            level = table[table[x] == group][chance].iloc[0]
            axes.hlines(level, place - 0.4, place + 0.4, colors=color("chance"), ls=(0, (3, 2)), lw=1,
                        label="chance" if place == 0 else None)  # fmt: skip
    axes.set_xticks(range(len(groups)), groups, rotation=20 if len(groups) > 5 else 0)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_ylabel(ylabel)
    if table[value].between(0, 1).all():
        within_shares(axes)
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside upper center", ncols=min(5, len(hues) + 1))
    return figure


def arms(rows, value, low="low", high="high"):
    """How far the intervals of some rows reach below and above a column: [2, rows], NaN where there is none.

    >>> arms(pd.DataFrame(dict(accuracy=[0.5], low=[0.25], high=[1.0])), "accuracy").tolist()
    [[0.25], [0.5]]
    """
    return np.clip([rows[value] - rows[low], rows[high] - rows[value]], 0, None)


def within_shares(axes, which="y"):
    """End the axis where shares end: the interval over two seeds may be longer.

    >>> axes = dots(table, x="task", hue="method").axes[0]
    >>> axes.set_ylim(-0.5, 1.5)
    >>> within_shares(axes)
    >>> [round(float(end), 2) for end in axes.get_ylim()]
    [-0.03, 1.03]
    """
    low, high = getattr(axes, f"get_{which}lim")()
    axes.set(**{f"{which}lim": (max(low, -0.03), min(high, 1.03))})


def curves(table, x, y, hue, panel=None, unit=None, xlabel=None, ylabel=None, chance=None):
    """Mean curves with a band from the lowest to the highest repetition, one panel per value of `panel`.

    >>> accuracies = table.assign(step=1, seed=0), table.assign(step=1, seed=1, accuracy=0.7)
    >>> figure = curves(pd.concat(accuracies), x="step", y="accuracy", hue="method", unit="seed")
    >>> figure.axes[0].lines[0].get_ydata()                # the mean of the seeds
    array([0.8])

    `unit` is the column of repetitions (seeds); the band shows all of them, so nothing is smoothed away. With it, a
    repetition that ended before others is drawn on at its last value.
    """
    panels = list(dict.fromkeys(table[panel])) if panel else [None]
    figure, grid = plt.subplots(
        1, len(panels), figsize=(3.4 * len(panels) + 1.2, 3.2), sharey=True, squeeze=False
    )
    for axes, name in zip(grid[0], panels):
        rows = table[table[panel] == name] if panel else table
        for number, one in enumerate(dict.fromkeys(table[hue])):
            mine = rows[rows[hue] == one]
            spread = _drawn_on(mine, x, y, unit, table[x].max()).groupby(x)[y].agg(["mean", "min", "max"])
            axes.plot(spread.index, spread["mean"], color=color(one, number), label=one, marker=".")
            axes.fill_between(
                spread.index, spread["min"], spread["max"], color=color(one, number), alpha=0.18, lw=0
            )
        if chance is not None:
            axes.axhline(rows[chance].iloc[0], color=color("chance"), ls=(0, (3, 2)), lw=1, label="chance")
        axes.set(xlabel=xlabel or x, title=name or "")
    grid[0][0].set_ylabel(ylabel or y)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(5, len(labels)))
    return figure


def _drawn_on(table, x, y, unit, end):
    """The table with every repetition carried on to `end`; as it is without a column of repetitions."""
    if unit is None or table.empty:
        return table
    wide = table.pivot(index=x, columns=unit, values=y)
    wide = wide.reindex(wide.index.union([end], sort=True)).ffill()
    return wide.melt(ignore_index=False, value_name=y).reset_index(names=x)


def heatmap(table, label, fmt=".2f", limits=(0.0, 1.0), mark=None):
    """A matrix with its numbers written in the cells; `table` a DataFrame, `label` the meaning and unit of the colour.

    >>> figure = heatmap(table.pivot(index="task", columns="method", values="accuracy"), "accuracy on test")
    >>> [cell.get_text() for cell in figure.axes[0].texts], figure.axes[1].get_ylabel()
    (['0.90'], 'accuracy on test')

    mark: a function (row name, column name) → bool; marked cells get a frame.
    """
    figure, axes = plt.subplots(figsize=(0.72 * table.shape[1] + 2.6, 0.42 * table.shape[0] + 1.8))
    low, high = limits
    options = dict(annot=True, fmt=fmt, annot_kws={"size": 9}, cbar_kws={"label": label})
    seaborn.heatmap(table.astype(float), vmin=low, vmax=high, cmap="viridis", ax=axes, **options)
    for i, j in np.ndindex(table.shape):
        if mark and mark(table.index[i], table.columns[j]):
            axes.add_patch(plt.Rectangle((j + 0.02, i + 0.04), 0.96, 0.92, fill=False, ec="#D55E00", lw=1.6))
    axes.set(xlabel="", ylabel="")
    axes.set_xticklabels(axes.get_xticklabels(), rotation=30, ha="right")
    axes.set_yticklabels(axes.get_yticklabels(), rotation=0)
    return figure


def histogram(groups, xlabel, ylabel="texts", bins=30):
    """Overlaid step histograms of {name: values}.

    >>> figure = histogram({"clean": [0.1, 0.2], "adversarial": [0.8, 0.9]}, "activation", bins=4)
    >>> [name.get_text() for name in figure.axes[0].get_legend().get_texts()]
    ['clean', 'adversarial']
    """
    figure, axes = plt.subplots(figsize=(6, 3.2))
    edges = np.histogram_bin_edges(
        np.concatenate([np.asarray(values, float) for values in groups.values()]), bins
    )
    for number, (name, values) in enumerate(groups.items()):
        axes.hist(values, edges, histtype="step", lw=1.8, color=color(name, number), label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend()
    return figure
