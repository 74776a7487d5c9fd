"""Lines with a band, and scatter plots.

>>> lines(table, "task", "accuracy", hue="method")
"""

from matplotlib import pyplot as plt

from skillkit.plots.style import MARKERS, color, frame, legend, line_style, panel_row, rows_of, unique


def lines(
    table, x, y, hue, panel=None, dash=None, band="range", unit=None, chance=None, xlabel=None, ylabel=None,
    same_scale=True,
):  # fmt: skip
    """Mean curves with a band (learning, suppression, counts), one colour per `hue`, one panel per value of `panel`.

    >>> runs = pd.concat([table.assign(step=1, seed=0), table.assign(step=1, seed=1, accuracy=0.7)])
    >>> figure = lines(runs, x="step", y="accuracy", hue="method", unit="seed")
    >>> figure.axes[0].lines[0].get_ydata()                # the mean of the seeds
    array([0.8])

    table    a DataFrame, rows, or {name of a curve: {x: y}}
    band     "range": lowest to highest repetition; "sem": ± one standard error; ("low", "high"): columns of the table
    unit     column of repetitions (seeds); one that ended before others is drawn on at its last value
    dash     column whose controls ("random …") are dashed; without it the names of `hue` decide
    chance   a dotted line: a column, or {panel: level}
    same_scale   False: every panel has a y-axis of its own

    Returns the Figure.
    """
    ends = band if not isinstance(band, str) else ()
    ends = [*ends, chance] if isinstance(chance, str) else ends
    table = frame(rows_of(table, hue, x, y), x, y, hue, panel, dash, unit, *ends)
    hues, keys = unique(table[hue]), [hue, dash] if dash else [hue]
    figure, row = panel_row(unique(table[panel]) if panel else [""], 3.2, 3.3, sharey=same_scale)
    bounds = (0, 1) if table[y].between(0, 1).all() else (None, None)
    for name, axes in row:
        rows = table[table[panel] == name] if panel else table
        for key, mine in rows.groupby(keys, sort=False):
            spread = _spread(mine, x, y, band, unit, table[x].max())
            look = dict(color=color(key[0], hues.index(key[0])), ls=line_style(key[-1]))
            axes.plot(spread.index, spread["mean"], marker=".", label=", ".join(map(str, key)), **look)
            ends = (spread[end].clip(*bounds) for end in ("low", "high"))
            axes.fill_between(spread.index, *ends, color=look["color"], alpha=0.18, lw=0)
        if chance is not None:
            level = chance[name] if isinstance(chance, dict) else rows[chance].iloc[0]
            axes.axhline(level, color=color("chance"), ls=":", lw=1.2, label="chance")
        axes.set_xlabel(xlabel or x)
    row[0][1].set_ylabel(ylabel or y)
    legend(figure)
    return figure


def _spread(rows, x, y, band, unit, end):
    """Mean, low and high of one curve by `x`."""
    if not isinstance(band, str):
        return rows.set_index(x).sort_index()[[y, *band]].set_axis(["mean", "low", "high"], axis=1)
    if unit is not None and len(rows):  # every repetition is carried on to the end
        wide = rows.pivot(index=x, columns=unit, values=y)
        wide = wide.reindex(wide.index.union([end], sort=True)).ffill()
        rows = wide.melt(ignore_index=False, value_name=y).reset_index(names=x)
    spread = rows.groupby(x)[y].agg(["mean", "min", "max", "sem"])
    if band == "range":
        return spread.rename(columns={"min": "low", "max": "high"})
    error = spread["sem"].fillna(0)
    return spread.assign(low=spread["mean"] - error, high=spread["mean"] + error)


def scatter(table, x, y, hue, mark=None, ring=None, xlabel=None, ylabel=None):
    """Points: a colour per `hue`, a marker per `mark`; the row with the index `ring` is circled and named.

    >>> figure = scatter(pd.DataFrame(dict(gap=[0.1], drop=[0.2], model="bert")), "gap", "drop", "model")
    >>> figure.axes[0].get_xlabel()
    'gap'

    Returns the Figure.
    """
    table = frame(table, x, y, hue, mark)
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    hues, marks = unique(table[hue]), unique(table[mark or hue])
    shades = {name: color(name, number) for number, name in enumerate(hues)}
    shapes = {kind: MARKERS[number % len(MARKERS)] for number, kind in enumerate(marks)}
    for (name, kind), rows in table.groupby([table[hue], table[mark or hue]], sort=False):
        axes.plot(rows[x], rows[y], shapes[kind], ms=6.5, color=shades[name], mec="white", mew=0.6)
    for name in hues:
        axes.plot([], [], "s" if mark else shapes[name], color=shades[name], label=name)
    for kind in marks if mark else []:
        axes.plot([], [], shapes[kind], color="#444444", mfc="none", label=kind)
    if ring is not None:
        name = " → ".join(ring) if isinstance(ring, tuple) else str(ring)
        axes.plot(*table.loc[ring, [x, y]], "o", ms=13, mfc="none", mec="black", label=name)
    axes.set(xlabel=xlabel or x, ylabel=ylabel or y)
    figure.legend(loc="outside right upper")
    return figure
