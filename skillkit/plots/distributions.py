"""Histograms and box plots.

>>> histogram({"clean": [0.1, 0.2], "adversarial": [0.8, 0.9]}, "activation", bins=4)
"""

import numpy as np

from skillkit.core.errors import SkillkitError
from skillkit.plots.style import arms, color, frame, legend, panel_row, rows_of, unique, within_shares


def histogram(groups, xlabel, ylabel="texts", bins=30, marks=None, share=False):
    """Overlaid step histograms.

    >>> figure = histogram({"clean": [0.1, 0.2], "adversarial": [0.8, 0.9]}, "activation", bins=4)
    >>> [name.get_text() for name in figure.legends[0].get_texts()]
    ['clean', 'adversarial']

    groups  {name: values}, or {title: {name: values}} for panels
    marks   {name: x}, or {title: {name: x}}: dashed lines, such as a baseline
    share   heights are shares of all values of a name, on a log axis

    Returns the Figure. Raises SkillkitError for values without a name.
    """
    if not isinstance(groups, dict) or not groups:
        raise SkillkitError(f"a histogram is drawn of {{name: values}}, not of a {type(groups).__name__}")
    panels = groups if isinstance(next(iter(groups.values())), dict) else {"": groups}
    marks = marks if marks and "" not in panels else {"": marks or {}}
    figure, row = panel_row(list(panels), 3.3 if len(panels) > 1 else 5, 3.2, sharey=share)
    for title, axes in row:
        given = {name: _finite(values) for name, values in panels[title].items()}
        edges = np.histogram_bin_edges(np.concatenate(list(given.values())), bins)
        for number, (name, values) in enumerate(given.items()):
            weights = np.full(len(values), 1 / len(values)) if share else None
            look = dict(histtype="step", lw=1.8, color=color(name, number), label=name)
            axes.hist(values, edges, weights=weights, **look)
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
    points  {task: accuracy}; or a DataFrame with task, accuracy (, low, high) (, model, side) (, best: a chosen neuron,
            drawn as a circle)

    A box holds the middle half of the neurons, its whiskers all but 1 % at either end; dots are neurons beyond.
    Returns the Figure.
    """
    scores = {key if isinstance(key, tuple) else ("", key, "whole model"): one for key, one in scores.items()}
    models, tasks, sides = (unique(key[at] for key in scores) for at in range(3))
    points = frame(rows_of(points, "model", "task", "accuracy"), "task", "accuracy")
    others = {"model": "", "side": "whole model", "low": points["accuracy"], "high": points["accuracy"]}
    points = points.assign(**{name: points.get(name, other) for name, other in others.items()})
    points = points.set_index(["model", "side", "task"])
    figure, row = panel_row(models, 0.95 * len(tasks) + 1.0, 3.6, sharey=True)
    for model, axes in row:
        for number, side in enumerate(sides):
            at, shade = np.arange(len(tasks)) + 0.38 * (number - (len(sides) - 1) / 2), color(side, number)
            shade = color("skill neurons") if len(sides) == 1 else shade
            _boxes(axes, [_finite(scores[model, task, side]) for task in tasks], at, shade)
            rows = points.loc[[(model, side, task) for task in tasks]]
            axes.errorbar(at, rows["accuracy"], arms(rows, "accuracy"), fmt="D", ms=5.5, mfc=shade, ecolor="black",
                          mec="black", mew=0.8, capsize=2.5, elinewidth=1.2, label=side)  # fmt: skip
            if "best" in rows:
                axes.plot(at, rows["best"], "o", ms=6, mfc="white", mec=shade, mew=1.8, zorder=3)
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
