import numpy as np
import pytest

from skillkit import plots

pytestmark = pytest.mark.usefixtures("figures_in_style")


def test_no_neuron_is_lost_in_a_wide_map():
    scores = np.full((2, 5000), 0.5)
    scores[1, 4321] = 0.99
    for place in ((1, 0, 4321), (1, 4321)):
        axes = plots.neuron_map(scores, ["one", "two"], "predictivity", places=[place]).axes[0]
        assert axes.images[0].get_array().shape == (2, 512) and axes.images[0].get_array().max() == 0.99
        assert axes.lines[0].get_xydata().tolist() == [[4321, 1]]


def test_chosen_neurons_stand_out_in_their_layer():
    scores = np.arange(12.0).reshape(3, 4)
    axes = plots.neuron_strips(scores, scores > 9, level=9.5).axes[0]
    others, chosen, level = axes.lines
    assert len(others.get_xdata()) == 10 and sorted(chosen.get_ydata()) == [10, 11]
    assert set(np.round(chosen.get_xdata())) == {2} and level.get_ydata()[0] == 9.5
