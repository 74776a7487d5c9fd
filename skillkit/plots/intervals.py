"""Bars with intervals, and the published value beside each.

>>> bars(table, x="kind", hue="neurons", value="change", low="low", high="high", mark="published")
"""

import numpy as np
from matplotlib import pyplot as plt

from skillkit.plots.style import arms, color


def bars(table, x, hue, value, low=None, high=None, mark=None, ylabel=None, percent=False):
    """Grouped bars, one group per `x`, one colour per `hue`; returns the Figure.

    >>> bars(shares, "layer", "language", "share", ylabel="share of all knowledge neurons", percent=True)

    table: a DataFrame with a row per bar; `low` and `high` are columns with the ends of its interval, `mark` one
    with a published value (drawn as a diamond; NaN for none); `percent` writes the axis in per cent.
    """
    groups, hues = list(dict.fromkeys(table[x])), list(dict.fromkeys(table[hue]))
    figure, axes = plt.subplots(figsize=(max(5.5, 0.55 * len(groups) * len(hues) + 2.4), 3.6))
    width, labelled = 0.8 / len(hues), False
    for number, name in enumerate(hues):
        rows = table[table[hue] == name]
        at = np.array([groups.index(group) for group in rows[x]]) - 0.4 + width * (number + 0.5)
        reach = arms(rows, value, low, high) if low else None
        axes.bar(at, rows[value], 0.9 * width, yerr=reach, color=color(name, number), label=name, capsize=2.5,
                 error_kw={"lw": 1.2})  # fmt: skip
        if mark and rows[mark].notna().any():
            axes.plot(at, rows[mark], "D", ms=6, mfc="white", mec="black", mew=1.4, ls="none",
                      label=None if labelled else "published")  # fmt: skip
            labelled = True
    axes.axhline(0, color="#444444", lw=0.8)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel(ylabel or value)
    axes.grid(axis="x", visible=False)
    if percent:
        axes.yaxis.set_major_formatter("{x:.0%}")
    figure.legend(loc="outside upper center", ncols=min(5, len(hues) + labelled))
    return figure
