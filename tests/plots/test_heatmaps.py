"""Heat maps: every neuron is there, clusters stand together, pairs of one type are framed."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.patches import Rectangle

from skillkit.plots import heatmaps as maps

TYPES = {"a": "sentiment", "x": "topic", "b": "sentiment", "y": "topic", "z": "pairs"}


pytestmark = pytest.mark.usefixtures("figures_in_style")


def alike(names):
    rows = [
        [1.0 if one == other else 0.8 if TYPES[one] == TYPES[other] else 0.1 for other in names]
        for one in names
    ]
    return pd.DataFrame(rows, index=names, columns=names)


def test_a_map_shows_every_score_and_circles_places():
    scores = torch.tensor([[0.5, 0.9, 0.6], [0.7, torch.nan, 0.5]])
    axes = maps.neurons(scores, ["layer.0", "layer.1"], "predictivity", places=[(0, 2, 1)]).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array().filled(np.nan), scores.numpy())
    assert axes.lines[0].get_xydata().tolist() == [[1, 0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["layer.0", "layer.1"]


def test_a_wide_map_loses_no_single_neuron():
    scores = torch.full((2, 3 * maps.COLUMNS + 5), 0.5)
    scores[1, 1234], scores[0, :7] = 0.99, torch.nan
    shown = maps.neurons(scores, ["a", "b"], "predictivity").axes[0].images[0].get_array()
    assert shown.shape == (2, maps.COLUMNS) and shown[1].max() == pytest.approx(0.99)
    assert (shown[1] > 0.9).sum() == 1


def test_clusters_stand_together_and_pairs_of_one_type_are_framed():
    figure = maps.clustered(alike(list(TYPES)), TYPES, "Spearman ρ")
    axes = next(axes for axes in figure.axes if axes.get_yticklabels() and len(axes.texts) == 25)
    order = [label.get_text() for label in axes.get_yticklabels()]
    at = {name: order.index(name) for name in order}
    assert abs(at["a"] - at["b"]) == 1 and abs(at["x"] - at["y"]) == 1
    framed = {tuple(int(x) for x in patch.get_xy()) for patch in axes.patches if isinstance(patch, Rectangle)}
    assert framed == {(at[one], at[two]) for one, two in (("a", "b"), ("b", "a"), ("x", "y"), ("y", "x"))}


@pytest.mark.parametrize("names", [["a"], ["a", "x"]])
def test_too_few_to_cluster(names):
    assert maps.clustered(alike(names), TYPES, "Spearman ρ").axes
