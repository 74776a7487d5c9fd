"""Bars and strips show every number they are given, where it belongs."""

import numpy as np
import pandas
import pytest
from matplotlib import pyplot as plt

from skillkit.plots.intervals import bars
from skillkit.plots.neurons import strips

TABLE = pandas.DataFrame({
    "place": ["own", "own", "other", "other"],
    "neurons": ["fact", "random", "fact", "random"],
    "change": [-0.4, 0.0, -0.01, 0.01],
    "low": [-0.5, -0.1, -0.02, 0.0],
    "high": [-0.3, 0.1, 0.0, 0.02],
    "published": [-0.37, np.nan, -0.004, np.nan],
})  # fmt: skip


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_every_bar_stands_in_its_group_with_its_interval():
    (axes,) = bars(TABLE, "place", "neurons", "change", "low", "high", "published", percent=True).axes
    groups = [container for container in axes.containers if hasattr(container, "patches")]
    heights = [[patch.get_height() for patch in group.patches] for group in groups]
    assert heights == [[-0.4, -0.01], [0.0, 0.01]]
    centres = [patch.get_x() + patch.get_width() / 2 for group in groups for patch in group.patches]
    assert np.round(centres).tolist() == [0, 1, 0, 1]
    ends = [segment[:, 1].tolist() for group in groups for segment in group.errorbar[2][0].get_segments()]
    np.testing.assert_allclose(ends, [[-0.5, -0.3], [-0.02, 0.0], [-0.1, 0.1], [0.0, 0.02]])
    (marks,) = [line for line in axes.lines if line.get_label() == "published"]
    np.testing.assert_allclose(marks.get_ydata(), [-0.37, -0.004])


def test_bars_without_interval_or_mark():
    (axes,) = bars(TABLE, "place", "neurons", "change", ylabel="change").axes
    assert axes.get_ylabel() == "change" and len(axes.patches) == 4
    assert not [line for line in axes.lines if line.get_label() == "published"]


def test_every_neuron_is_a_dot_of_its_layer():
    scores = np.arange(12.0).reshape(3, 4)
    (axes,) = strips(scores, scores > 9, level=9.5).axes
    others, chosen, threshold = axes.lines
    assert sorted(chosen.get_ydata()) == [10, 11] and len(others.get_ydata()) == 10
    assert (np.round(chosen.get_xdata()) == 2).all() and threshold.get_ydata()[0] == 9.5
