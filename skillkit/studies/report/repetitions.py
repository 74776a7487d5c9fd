"""What a sweep has measured, drawn over its seeds: every run a point, their mean with its interval.

>>> for drawing in drawings(summaries.measures("runs/seeds")):
...     drawing.figure.savefig("drawing.png")
"""

import re
import textwrap
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from skillkit.core.stats import mean_interval
from skillkit.plots import style as figures
from skillkit.studies.grid import text

SEEDS = ("seeds", "seed")  # axes whose values are repetitions of the same thing
MOST, LABELS = 24, 6  # figures of an overview, and labels that one figure can carry
INCHES = 0.09  # what a letter of a label takes
_BOUNDS = ("low", "high", "chance")  # columns that speak about a measure, and are none


@dataclass(frozen=True)
class Drawing:
    """One figure, the name of its file, what stands below it, and its numbers.

    >>> drawing = drawings(measures)[1]
    >>> drawing.name, drawing.caption
    ('01-accuracy-accuracy', 'accuracy: accuracy (small)')
    """

    name: str
    caption: str
    figure: Figure
    data: pd.DataFrame


def drawings(measures):
    """A figure for every claim and every metric that differs between cells; at most 24, the first ones.

    >>> [drawing.caption for drawing in drawings(summaries.measures("runs/seeds"))]

    measures: as `summaries.measures` gives them.
    """
    rows = with_settings(measures)
    groups = []
    for (notebook, kind), group in rows.groupby(["notebook", "kind"], sort=False):
        if kind == "claim":
            groups += [
                (notebook, label, one.assign(label="")) for label, one in group.groupby("label", sort=False)
            ]
        elif kind.rsplit(": ", 1)[-1] not in _BOUNDS and group["label"].nunique() <= LABELS:
            groups.append((notebook, kind, group))
    drawn = [(notebook, title, group) for notebook, title, group in groups if group["value"].nunique() > 1][
        :MOST
    ]
    names = [
        f"{i:02d}-{re.sub(r'[^a-z0-9]+', '-', title.lower())[:40]}" for i, (_, title, _) in enumerate(drawn)
    ]
    return [
        Drawing(name, f"{title} ({notebook})", over_seeds(group, title), tidy(group))
        for name, (notebook, title, group) in zip(names, drawn)
    ]


def with_settings(measures):
    """The measures with columns `seed` and `setting`: the two parts of their places in the grid, as text.

    >>> with_settings(measures)["setting"].unique().tolist()
    ['movies', 'news']

    With one axis beside the seeds the setting is its value, with several "axis=value …".
    """
    others = [
        {axis: text(value) for axis, value in point.items() if axis not in SEEDS}
        for point in measures["point"]
    ]
    alone = len({axis for other in others for axis in other}) == 1
    settings = [
        " ".join(value if alone else f"{axis}={value}" for axis, value in other.items()) for other in others
    ]
    seeds = [" ".join(text(point[axis]) for axis in SEEDS if axis in point) for point in measures["point"]]
    return measures.assign(setting=settings, seed=seeds)


def over_seeds(rows, title):
    """A figure of `value` by `setting`, a colour per `label`: small points for seeds, mean and 95 % interval.

    >>> over_seeds(with_settings(measures).query("kind == 'accuracy: accuracy'"), "accuracy")
    """
    settings, labels = list(dict.fromkeys(rows["setting"])), list(dict.fromkeys(rows["label"]))
    figures.set_style()
    width = max(5.5, 0.55 * len(settings) * max(2, len(labels)) + 1.5)
    figure, axes = plt.subplots(figsize=(width, 3.6))
    offsets = np.linspace(-0.3, 0.3, len(labels)) if len(labels) > 1 else [0.0]
    for number, (label, offset) in enumerate(zip(labels, offsets)):
        for place, setting in enumerate(settings):
            values = rows[(rows["label"] == label) & (rows["setting"] == setting)]["value"].astype(float)
            if len(values):
                _column(
                    axes, place + offset, values, figures.color(label, number), label if place == 0 else None
                )
    _name(axes, settings, room=(width - 1.5) / len(settings))
    axes.set_xlim(-0.5, len(settings) - 0.5)
    axes.set_ylabel("\n".join(textwrap.wrap(title, 40)))
    axes.grid(axis="x", visible=False)
    if len(labels) > 1:
        figure.legend(loc="outside upper center", ncols=min(3, len(labels)))
    plt.close(figure)
    return figure


def tidy(rows):
    """What `over_seeds` shows, as a table.

    >>> tidy(rows).columns.tolist()
    ['setting', 'label', 'n', 'mean', 'low', 'high']
    """
    groups = rows.groupby(["setting", "label"], sort=False)["value"]
    return pd.DataFrame(
        [(*key, len(values), *mean_interval(values)) for key, values in groups],
        columns=["setting", "label", "n", "mean", "low", "high"],
    )


def _name(axes, settings, room):
    """Name the settings below the axis, slanting where the `room` of each (inches) is too narrow."""
    names = [textwrap.fill(setting, 18, break_long_words=False) for setting in settings]
    longest = max(len(line) for name in names for line in name.split("\n"))
    slanting = dict(rotation=35, ha="right", rotation_mode="anchor") if INCHES * longest > room else {}
    axes.set_xticks(range(len(settings)), names, **slanting)
    if slanting:
        axes.figure.set_figheight(4.6)


def _column(axes, place, values, color, label):
    """The seeds of one setting as points, and beside them their mean with its interval."""
    mean, low, high = mean_interval(values)
    axes.plot([place] * len(values), values, "o", ms=4, color=color, alpha=0.35, mew=0)
    arms = [[mean - low], [high - mean]]
    axes.errorbar([place + 0.06], [mean], arms, fmt="o", ms=6.5, capsize=3, color=color, label=label, lw=1.4)
