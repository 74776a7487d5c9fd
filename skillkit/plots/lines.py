"""Curves that fall: accuracy as more and more neurons are suppressed.

>>> run.figure(declines(summary(curves), chance={"movies": 0.5}), "curves", summary(curves))
"""

from matplotlib import pyplot as plt

from skillkit.plots.style import color

STYLES = {"skill": ("skill neurons", "-"), "random": ("random neurons", (0, (4, 2)))}


def declines(table, value="accuracy", chance=None, ylabel="accuracy on test"):
    """Accuracy (`value`) against the rate of suppressed neurons, a panel per task; random neurons are dashed.

    >>> declines(summary([curve_of_seed_0, curve_of_seed_1, curve_of_seed_2]))

    table: of `curves.summary`; the band is its interval, and missing where there is none. chance {task:
    accuracy} is drawn dotted. Returns the Figure.
    """
    tasks, bounds = list(dict.fromkeys(table.task)), (0, 1) if value == "accuracy" else ()
    figure, grid = plt.subplots(
        1, len(tasks), figsize=(3.2 * len(tasks) + 1.2, 3.3), sharey=True, squeeze=False
    )
    for axes, task in zip(grid[0], tasks):
        for neurons, (label, dashes) in STYLES.items():
            rows = table[(table.task == task) & (table.neurons == neurons)].sort_values("rate")
            shade = color(label) if neurons == "skill" else "#666666"  # a line of light grey would be faint
            axes.plot(100 * rows.rate, rows[value], color=shade, ls=dashes, marker=".", label=label)
            low, high = (end.clip(*bounds) for end in (rows.low, rows.high))
            axes.fill_between(100 * rows.rate, low, high, color=shade, alpha=0.18, lw=0)
        if chance:
            axes.axhline(chance[task], color=color("chance"), ls=":", lw=1.2, label="chance")
        axes.set(title=task, xlabel="suppressed in every layer (%)")
    grid[0][0].set_ylabel(ylabel)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure
