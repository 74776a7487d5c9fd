"""Plots: one function per kind of plot, one colour per model, method and control, intervals on every value."""

from skillkit.plots.distributions import boxplot, histogram
from skillkit.plots.heatmaps import heatmap
from skillkit.plots.intervals import bars, points
from skillkit.plots.lines import lines, scatter
from skillkit.plots.neurons import neuron_map, neuron_strips
from skillkit.plots.style import color, set_style
from skillkit.plots.widgets import explorer

__all__ = [
    "bars", "boxplot", "color", "explorer", "heatmap", "histogram", "lines", "neuron_map", "neuron_strips", "points",
    "scatter", "set_style",
]  # fmt: skip
