"""Strips: every neuron is a dot, layer beside layer.

>>> strips(attribution.scores, chosen=mask, level=0.2 * attribution.scores.max(), ylabel="score")
"""

import numpy as np
from matplotlib import pyplot as plt


def strips(scores, chosen, level=None, ylabel="score", label="knowledge neurons"):
    """All values [layers, neurons] as dots, those of the mask `chosen` in colour; returns the Figure.

    >>> strips(scores, chosen=coarse_neurons(bb, scores, adaptive=0.2))

    level: where to draw a threshold. Dots stand beside one another by chance, so that they do not hide.
    """
    scores, chosen = np.asarray(scores, float), np.asarray(chosen, bool)
    layers = np.broadcast_to(np.arange(len(scores))[:, None], scores.shape)
    at = layers + np.random.default_rng(0).uniform(-0.3, 0.3, scores.shape)
    figure, axes = plt.subplots(figsize=(max(5.5, 0.6 * len(scores) + 2), 3.4))
    axes.plot(at[~chosen], scores[~chosen], ".", color="#999999", ms=3, alpha=0.6, label="other neurons")
    axes.plot(at[chosen], scores[chosen], "o", color="#D55E00", ms=5, label=label)
    if level is not None:
        axes.axhline(float(level), color="#444444", lw=1, ls=(0, (3, 2)), label="threshold")
    axes.set(xlabel="layer", ylabel=ylabel, xticks=range(len(scores)))
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside upper center", ncols=3)
    return figure
