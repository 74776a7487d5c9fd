"""Every neuron of a model in one figure: as a heat map, or as dots by layer.

>>> neuron_map(probe.predictivity, bb.layers, "predictivity")
"""

import numpy as np
from matplotlib import pyplot as plt

from skillkit.core.errors import SkillkitError
from skillkit.plots.style import color, legend

COLUMNS = 512  # what a page shows apart


def neuron_map(scores, layers, label, places=(), low=0.5):
    """Heat map of every neuron, layer × neuron, the last layer on top.

    >>> neuron_map(probe.predictivity, bb.layers, "predictivity", places=probe.best(5), low=probe.majority)

    scores: [layers, neurons]; layers: their names; places: (layer, slot, neuron) or (layer, neuron) to be circled;
    low: the lower end of the colours. What was not probed stays white. Where there are more neurons than a page shows
    apart, a column shows the best of several. Returns the Figure.
    """
    values = _by_layer(scores)
    figure, axes = plt.subplots(figsize=(8.5, 0.3 * len(values) + 1.5))
    extent = (-0.5, values.shape[1] - 0.5, -0.5, len(values) - 0.5)
    options = dict(aspect="auto", origin="lower", interpolation="nearest", cmap="viridis", extent=extent)
    options |= dict(vmin=low, vmax=max(np.nanmax(values), low + 1e-3))
    drawn = axes.imshow(_best_of_several(values), **options)
    for layer, *_, neuron in places:
        axes.plot(neuron, layer, "o", ms=9, mfc="none", mec=color("adversarial"), mew=1.6)
    axes.set_yticks(range(len(layers)), layers)
    axes.set(xlabel="neuron", ylabel="layer")
    axes.grid(visible=False)
    figure.colorbar(drawn, label=label, pad=0.01)
    return figure


def _by_layer(scores):
    values = np.asarray(scores, float)
    if values.ndim != 2:
        raise SkillkitError(f"scores of neurons are [layers, neurons], not {list(values.shape)}")
    return values


def _best_of_several(values):
    parts = np.array_split(values, min(COLUMNS, values.shape[1]), axis=1)
    return np.stack([np.fmax.reduce(part, axis=1) for part in parts], axis=1)


def neuron_strips(scores, chosen, level=None, ylabel="score", label="knowledge neurons", layers=None):
    """Every neuron as a dot, layer beside layer, those of a mask in colour.

    >>> neuron_strips(scores, chosen=coarse_neurons(bb, scores, adaptive=0.2))

    scores, chosen: [layers, neurons]; level: where to draw a threshold; layers: their names. Dots stand
    beside one another by chance, so that they do not hide. Returns the Figure.
    """
    scores, chosen = _by_layer(scores), np.asarray(chosen)
    if chosen.dtype != bool or chosen.shape != scores.shape:
        raise SkillkitError(f"chosen is a mask, bool {[*scores.shape]}, not {chosen.dtype} {[*chosen.shape]}")
    numbers = np.arange(len(scores))
    at = numbers[:, None] + np.random.default_rng(0).uniform(-0.3, 0.3, scores.shape)
    figure, axes = plt.subplots(figsize=(max(5.5, 0.6 * len(scores) + 2), 3.4))
    axes.plot(at[~chosen], scores[~chosen], ".", color="#999999", ms=3, alpha=0.6, label="other neurons")
    axes.plot(at[chosen], scores[chosen], "o", color="#D55E00", ms=5, label=label)
    if level is not None:
        axes.axhline(float(level), color="#444444", lw=1, ls=(0, (3, 2)), label="threshold")
    axes.set(xlabel="layer", ylabel=ylabel)
    axes.set_xticks(numbers, numbers if layers is None else layers)
    axes.grid(axis="x", visible=False)
    legend(figure)
    return figure
