"""Figures of a grid over its seeds: every cell a small point, their mean with its interval.

>>> for drawing in drawings(numbers_table(load_run("runs/seeds")["cells"])):
...     drawing.figure.savefig("drawing.png")
"""

import re
import textwrap
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from skillkit import plots
from skillkit.core.stats import mean_interval

MAX_FIGURES, MAX_LABELS = 24, 6  # of a report, and of one figure
_BOUNDS = ("low", "high", "chance")  # columns that speak about a measure, and are none


@dataclass(frozen=True)
class Drawing:
    """One figure, the name of its file, what stands below it, and its numbers.

    >>> drawing = drawings(numbers)[1]
    >>> drawing.name, drawing.caption
    ('01-accuracy-accuracy', 'accuracy: accuracy (small)')
    """

    name: str
    caption: str
    figure: Figure
    data: pd.DataFrame


def drawings(numbers):
    """A figure for every claim and every metric that differs between cells; at most 24, the first ones.

    >>> [drawing.caption for drawing in drawings(numbers)]
    […, 'accuracy: accuracy (small)']

    numbers: as `tables.numbers_table` gives them.
    """
    groups = []
    for (notebook, kind), group in numbers.groupby(["notebook", "kind"], sort=False):
        if kind == "claim":
            by_claim = group.groupby("label", sort=False)
            groups += [(notebook, label, one.assign(label="mean")) for label, one in by_claim]
        elif kind.rsplit(": ", 1)[-1] not in _BOUNDS and group["label"].nunique() <= MAX_LABELS:
            groups.append((notebook, kind, group.assign(label=group["label"].replace("", "mean"))))
    drawn = [(notebook, title, group) for notebook, title, group in groups if group["value"].nunique() > 1]
    made = []
    for i, (notebook, title, group) in enumerate(drawn[:MAX_FIGURES]):
        name = f"{i:02d}-{re.sub(r'[^a-z0-9]+', '-', title.lower())[:40]}"
        made.append(Drawing(name, f"{title} ({notebook})", over_seeds(group, title), means(group)))
    return made


def over_seeds(rows, title):
    """A figure of `value` by `setting`, a colour per `label`: small points for cells, mean and 95 % interval.

    >>> over_seeds(numbers.query("kind == 'accuracy: accuracy'"), "accuracy")
    """
    plots.set_style()
    settings, labels = rows["setting"].unique().tolist(), rows["label"].unique().tolist()
    longest = max(map(len, settings))
    wide = longest > 12
    title = "\n".join(textwrap.wrap(title, 40))
    figure = plots.points(means(rows), "setting", "label", "mean", horizontal=wide, label=title)
    figure.set_figwidth(5 + 0.09 * longest if wide else figure.get_figwidth())
    offsets = np.linspace(-0.28, 0.28, len(labels)) if len(labels) > 1 else [0.0]
    at = rows["setting"].map(settings.index) + rows["label"].map(dict(zip(labels, offsets)))
    colors = [plots.color(label, labels.index(label)) for label in rows["label"]]
    places = (rows["value"], at) if wide else (at, rows["value"])
    figure.axes[0].scatter(*places, s=16, c=colors, alpha=0.35, lw=0)
    plt.close(figure)
    return figure


def means(rows):
    """What `over_seeds` shows, as a table.

    >>> means(numbers).columns.tolist()
    ['setting', 'label', 'n', 'mean', 'low', 'high']
    """
    groups = rows.groupby(["setting", "label"], sort=False)["value"]
    shown = [(*key, len(values), *mean_interval(values)) for key, values in groups]
    return pd.DataFrame(shown, columns=["setting", "label", "n", "mean", "low", "high"])
