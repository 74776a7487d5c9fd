"""Points and bars with intervals.

>>> points(table, x="task", hue="method", chance="chance")
"""

import numpy as np

from skillkit.plots.style import (
    MARKERS,
    arms,
    color,
    frame,
    legend,
    panel_row,
    rows_of,
    unique,
    within_shares,
)


def bars(table, x, hue, value, low=None, high=None, ylabel=None, percent=False):
    """Grouped bars, one group per `x`, one colour per `hue`; returns the Figure.

    >>> bars(shares, "layer", "language", "share", ylabel="share of all knowledge neurons", percent=True)

    table: a DataFrame, or what makes one, with a row per bar, or {hue: {x: value}}; `low` and `high` are columns with
    the ends of its interval; `percent` writes the axis in per cent.
    """
    table = frame(rows_of(table, hue, x, value), x, hue, value, low, high)
    groups, hues = unique(table[x]), unique(table[hue])
    figure, [(_, axes)] = panel_row([""], max(4.3, 0.55 * len(groups) * len(hues) + 1.2), 3.6)
    width = 0.8 / len(hues)
    for number, name in enumerate(hues):
        rows = table[table[hue] == name]
        at = np.array([groups.index(group) for group in rows[x]]) - 0.4 + width * (number + 0.5)
        reach = arms(rows, value, low, high) if low else None
        axes.bar(at, rows[value], 0.9 * width, yerr=reach, color=color(name, number), label=name, capsize=2.5,
                 error_kw={"lw": 1.2})  # fmt: skip
    axes.axhline(0, color="#444444", lw=0.8)
    _name_groups(axes, groups, False, ylabel or value)
    if percent:
        axes.yaxis.set_major_formatter("{x:.0%}")
    legend(figure)
    return figure


def points(
    table, x, hue, value="accuracy", low="low", high="high", chance=None, panel=None, horizontal=False,
    label="accuracy on test", same_scale=True,
):  # fmt: skip
    """Points with their intervals, one group per `x`, one colour per `hue`, one panel per value of `panel`.

    >>> figure = points(table, x="task", hue="method", chance="chance")
    >>> [group.get_text() for group in figure.axes[0].get_xticklabels()], figure.axes[0].get_ylabel()
    (['movies'], 'accuracy on test')

    table: a DataFrame, or what makes one, with a row per point, or {hue: {x: value}}. `chance` is a column, drawn
    as a dashed line over its group; horizontal: a group is a line of text; same_scale=False: every panel has an
    axis of its own for its values. Returns the Figure.
    """
    table = frame(rows_of(table, hue, x, value, low, high), x, hue, value, low, high, chance, panel)
    groups, hues = unique(table[x]), unique(table[hue])
    offsets = np.linspace(-0.28, 0.28, len(hues)) if len(hues) > 1 else [0.0]
    width, height = (2.9, 0.3 * len(groups) + 1.4) if horizontal else (max(4.3, 1.25 * len(groups) + 1), 3.6)
    scales = dict(sharex=same_scale or not horizontal, sharey=same_scale or horizontal)
    figure, row = panel_row(unique(table[panel]) if panel else [""], width, height, **scales)
    for name, axes in row:
        rows = table[table[panel] == name] if panel else table
        for number, (kind, offset) in enumerate(zip(hues, offsets)):
            mine = rows[rows[hue] == kind]
            at = np.array([groups.index(group) for group in mine[x]]) + offset
            place = {"y": at, "x": mine[value]} if horizontal else {"x": at, "y": mine[value]}
            place["xerr" if horizontal else "yerr"] = arms(mine, value, low, high)
            look = dict(
                fmt=MARKERS[number % len(MARKERS)], color=color(kind, number), ms=5.5, capsize=2.5, lw=1.4
            )
            axes.errorbar(**place, **look, label=kind)
        if chance:
            _draw_chance(axes, table.drop_duplicates(x)[chance], horizontal)
        _name_groups(axes, groups, horizontal, label if horizontal or axes is row[0][1] else None)
    if table[value].between(0, 1).all():
        within_shares(row[0][1], "x" if horizontal else "y")
    legend(figure)
    return figure


def _draw_chance(axes, levels, horizontal):
    at, draw = np.arange(len(levels)), axes.vlines if horizontal else axes.hlines
    draw(levels, at - 0.42, at + 0.42, colors=color("chance"), ls=(0, (3, 2)), lw=1, label="chance")


def _name_groups(axes, groups, horizontal, label):
    one, other = ("y", "x") if horizontal else ("x", "y")
    limits = (-0.5, len(groups) - 0.5)[:: -1 if horizontal else 1]
    axes.set(**{f"{one}ticks": range(len(groups)), f"{other}label": label or ""})
    axes.set(**{f"{one}ticklabels": groups, f"{one}lim": limits})
    axes.tick_params("x", rotation=20 if len(groups) > 5 and not horizontal else 0)
    axes.grid(axis=one, visible=False)
