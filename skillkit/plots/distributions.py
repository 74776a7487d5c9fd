"""Distributions: activations by class, predictivities against chance, and all of them beside the accuracy.

>>> run.figure(distributions.by_class(panels, labels, task.labels), "activations")
>>> run.figure(distributions.against_null(probe.predictivity, probe.null, probe.majority), "null")
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from skillkit.plots.style import arms, color, legend, panel_row, unique, within_shares

CLASSES = ("#D55E00", "#0072B2")


def by_class(panels, labels, names, bins=40):
    """Activations of one neuron per panel, a histogram for either class, the baseline as a dashed line.

    >>> distributions.by_class({"layer 5, neuron 17": (seen.values[:, 0], baseline)}, seen.labels, task.labels)

    panels {title: (values [n], baseline)}; labels [n], 0 or 1; names: of the two classes. Returns the Figure.
    """
    labels = np.asarray(labels)
    figure, grid = plt.subplots(1, len(panels), figsize=(3.3 * len(panels) + 0.6, 3.0), squeeze=False)
    for axes, (title, (values, baseline)) in zip(grid[0], panels.items()):
        values = np.asarray(values, dtype=float)
        edges = np.histogram_bin_edges(values, bins)
        for number, name in enumerate(names):
            options = dict(color=CLASSES[number], label=name, histtype="stepfilled", alpha=0.45)
            axes.hist(values[labels == number], edges, **options)
        axes.axvline(float(baseline), color="#222222", ls=(0, (4, 2)), lw=1.4, label="baseline")
        axes.set(title=title, xlabel="activation")
    grid[0][0].set_ylabel("texts")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def against_null(found, null, majority, bins=25):
    """Predictivity of all neurons, and of the same neurons under permuted labels, as shares of neurons.

    >>> distributions.against_null(probe.predictivity, probe.null, probe.majority)

    found [layers, neurons]; null [permutations, layers, neurons]; majority: what a dead neuron scores, drawn
    as a dotted line. The dashed line is the best of all neurons in the luckiest permutation. Returns the
    Figure.
    """
    found, null = (np.asarray(part, dtype=float) for part in (found, null))
    found, luck = found[~np.isnan(found)], null[~np.isnan(null)]
    edges = np.histogram_bin_edges(np.concatenate([found, luck]), bins)
    figure, axes = plt.subplots(figsize=(6.4, 3.3))
    for values, label, name in (
        (luck, "labels permuted", "random neurons"),
        (found, "true labels", "skill neurons"),
    ):
        weights = np.full(len(values), 1 / len(values))
        axes.hist(values, edges, weights=weights, histtype="step", lw=1.8, color=color(name), label=label)
    axes.axvline(luck.max(), color=color("random neurons"), ls=(0, (4, 2)), lw=1.3, label="luckiest of all")
    axes.axvline(majority, color=color("chance"), ls=":", lw=1.3, label="majority share")
    axes.set(xlabel="predictivity", ylabel="share of neurons", yscale="log")
    axes.legend()
    return figure


def boxes(scores, accuracy, ylabel="predictivity, accuracy"):
    """Box plot of the predictivities of every task's neurons, beside the whole model's accuracy.

    >>> distributions.boxes({"movies": scores}, accuracy)       # accuracy: columns task, accuracy, low, high

    scores {task: [layers, neurons]}. The box holds the middle half of the neurons, the whiskers all but 1 % at
    either end; dots are neurons beyond, the best on top. Returns the Figure.
    """
    values = [np.asarray(one, dtype=float) for one in scores.values()]
    figure, axes = plt.subplots(figsize=(max(5.5, 1.1 * len(values) + 2.2), 3.6))
    axes.boxplot(
        [one[~np.isnan(one)] for one in values], whis=(1, 99), widths=0.45, patch_artist=True,
        boxprops=dict(facecolor="#CFE3F1", edgecolor=color("skill neurons")), medianprops=dict(color="#222222"),
        flierprops=dict(marker=".", ms=3, mec=color("skill neurons"), alpha=0.5),
        whiskerprops=dict(color=color("skill neurons")), capprops=dict(color=color("skill neurons")),
    )  # fmt: skip
    rows = accuracy.set_index("task").loc[list(scores)]
    options = dict(fmt="D", ms=5, capsize=2.5, color=color("whole model"), label="whole model, test")
    axes.errorbar(np.arange(1, len(rows) + 1) + 0.36, rows.accuracy, arms(rows, "accuracy"), **options)
    axes.set_xticks(range(1, len(rows) + 1), list(scores), rotation=25, ha="right")
    axes.set_ylabel(ylabel)
    within_shares(axes)
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside upper center")
    return figure


def histogram(groups, xlabel, ylabel="texts", bins=30, marks=None, share=False):
    """Overlaid step histograms.

    >>> figure = histogram({"clean": [0.1, 0.2], "adversarial": [0.8, 0.9]}, "activation", bins=4)
    >>> [name.get_text() for name in figure.legends[0].get_texts()]
    ['clean', 'adversarial']

    groups  {name: values}, or {title: {name: values}} for panels
    marks   {name: x}, or {title: {name: x}}: dashed lines, such as a baseline
    share   heights are shares of all values of a name, on a log axis

    Returns the Figure.
    """
    panels = groups if isinstance(next(iter(groups.values())), dict) else {"": groups}
    marks = marks if marks and "" not in panels else {"": marks or {}}
    figure, row = panel_row(list(panels), 3.3 if len(panels) > 1 else 5, 3.2, sharey=share)
    for title, axes in row:
        given = {name: _finite(values) for name, values in panels[title].items()}
        edges = np.histogram_bin_edges(np.concatenate(list(given.values())), bins)
        for number, (name, values) in enumerate(given.items()):
            weights = np.full(len(values), 1 / len(values)) if share else None
            axes.hist(
                values, edges, weights=weights, histtype="step", lw=1.8, color=color(name, number), label=name
            )
        for name, place in marks.get(title, {}).items():
            axes.axvline(float(place), color=color(name, 6), ls=(0, (4, 2)), lw=1.3, label=name)
        axes.set(xlabel=xlabel, yscale="log" if share else "linear")
    row[0][1].set_ylabel(ylabel)
    legend(figure)
    return figure


def boxplot(scores, points, ylabel="predictivity, accuracy"):
    """Box plots of the scores of all neurons, task beside task, the whole model's accuracy as a diamond.

    >>> figure = boxplot({"movies": scores}, pd.DataFrame(dict(task=["movies"], accuracy=0.9, low=0.8, high=1.0)))
    >>> figure.axes[0].get_ylabel()
    'predictivity, accuracy'

    scores  {task: [layers, neurons]}, or {(model, task, side): …}: a panel per model, a colour per side
    points  a DataFrame with task, accuracy (, low, high) (, model, side)

    A box holds the middle half of the neurons, its whiskers all but 1 % at either end; dots are neurons beyond.
    Returns the Figure.
    """
    scores = {key if isinstance(key, tuple) else ("", key, "whole model"): one for key, one in scores.items()}
    models, tasks, sides = (unique(key[at] for key in scores) for at in range(3))
    points = {
        "model": "",
        "side": "whole model",
        "low": points["accuracy"],
        "high": points["accuracy"],
    } | dict(points)
    points = pd.DataFrame(points).set_index(["model", "side", "task"])
    figure, row = panel_row(models, 0.95 * len(tasks) + 1.0, 3.6, sharey=True)
    for model, axes in row:
        for number, side in enumerate(sides):
            at, shade = np.arange(len(tasks)) + 0.38 * (number - (len(sides) - 1) / 2), color(side, number)
            shade = color("skill neurons") if len(sides) == 1 else shade
            _boxes(axes, [_finite(scores[model, task, side]) for task in tasks], at, shade)
            rows = points.loc[[(model, side, task) for task in tasks]]
            axes.errorbar(at, rows["accuracy"], arms(rows, "accuracy"), fmt="D", ms=5.5, mfc=shade, ecolor="black",
                          mec="black", mew=0.8, capsize=2.5, label=side)  # fmt: skip
        axes.set_xticks(range(len(tasks)), tasks, rotation=20, ha="right")
        axes.grid(axis="x", visible=False)
    row[0][1].set_ylabel(ylabel)
    within_shares(row[0][1])
    legend(figure)
    return figure


def _boxes(axes, values, at, shade):
    axes.boxplot(
        values, positions=at, widths=0.3, whis=(1, 99), patch_artist=True, manage_ticks=False,
        boxprops=dict(facecolor=shade + "44", edgecolor=shade), medianprops=dict(color="#222222"),
        whiskerprops=dict(color=shade), capprops=dict(color=shade),
        flierprops=dict(marker=".", ms=2.5, mec=shade, alpha=0.4),
    )  # fmt: skip


def _finite(values):
    values = np.asarray(values, dtype=float).ravel()
    return values[~np.isnan(values)]
