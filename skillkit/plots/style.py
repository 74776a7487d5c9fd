"""Style of all figures: a colour for every model, method and control, readable on light and dark pages.

>>> set_style()
>>> color("prompt")
'#0072B2'
"""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from skillkit.core.errors import SkillkitError

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
    """Set matplotlib's defaults for every figure of the package.

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


def frame(table, *columns):
    """A table as a DataFrame: columns by name or a list of rows will do.

    >>> frame([{"task": "movies", "accuracy": 0.9}], "task", "accuracy")["accuracy"].tolist()
    [0.9]

    Raises SkillkitError for a table without rows, and for columns (None: not asked for) that it lacks.
    """
    table = table if isinstance(table, pd.DataFrame) else pd.DataFrame(table)
    lost = [name for name in columns if name is not None and name not in table]
    if lost or table.empty:
        wanted = f"the column {lost[0]!r}" if lost else "rows"
        raise SkillkitError(f"a table of {len(table)} rows with {', '.join(map(str, table))} needs {wanted}")
    return table


def rows_of(table, hue, x, value, *ends):
    """The rows of {x: value} or {name: {x: value}}, plain numbers; any other table as it is.

    >>> rows_of({"skill": {0.0: 0.9, 0.1: 0.6}}, "neurons", "rate", "accuracy")
    [{'neurons': 'skill', 'rate': 0.0, 'accuracy': 0.9}, {'neurons': 'skill', 'rate': 0.1, 'accuracy': 0.6}]

    ends: columns of an interval, which are the value itself: where there is one number, nothing tells how sure it is.
    """
    if not isinstance(table, Mapping) or {x, value} & set(table):
        return table
    named = table if all(isinstance(one, Mapping) for one in table.values()) else {"": table}
    numbers = [(name, at, one) for name, row in named.items() for at, one in row.items()]
    if not all(np.ndim(one) == 0 for *_, one in numbers):
        return table
    return [{hue: name, x: at, value: one} | dict.fromkeys(ends, one) for name, at, one in numbers]


def panel_row(names, width, height, **shared):
    """A figure with a row of axes, one per name: (figure, [(name, axes), …]).

    >>> figure, row = panel_row(["movies", "rooms"], 3.2, 3.3)
    >>> [axes.get_title("left") for _, axes in row]
    ['movies', 'rooms']
    """
    size = (width * len(names) + 1.2, height)
    figure, grid = plt.subplots(1, len(names), figsize=size, squeeze=False, **shared)
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


def arms(rows, value, low="low", high="high"):
    """How far the intervals of some rows reach below and above a column: [2, rows], NaN where there is none.

    >>> arms(pd.DataFrame(dict(accuracy=[0.5], low=[0.25], high=[1.0])), "accuracy").tolist()
    [[0.25], [0.5]]
    """
    return np.clip([rows[value] - rows[low], rows[high] - rows[value]], 0, None)


def within_shares(axes, which="y"):
    """End the axis where shares end: the interval over two seeds may be longer.

    >>> axes = plt.figure().subplots()
    >>> axes.set_ylim(-0.5, 1.5)
    >>> within_shares(axes)
    >>> [round(float(end), 2) for end in axes.get_ylim()]
    [-0.03, 1.03]
    """
    low, high = getattr(axes, f"get_{which}lim")()
    axes.set(**{f"{which}lim": (max(low, -0.03), min(high, 1.03))})
