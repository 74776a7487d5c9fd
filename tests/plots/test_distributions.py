import numpy as np
import pandas as pd
import pytest

from skillkit import plots

pytestmark = pytest.mark.usefixtures("figures_in_style")


def heights(patch):
    return patch.get_xy()[:, 1].max()


def test_a_panel_per_neuron_with_its_baseline():
    seen = {"layer 5": {"bad": [0.0, 0.1, 0.1], "good": [1.0, 1.0]}, "layer 6": {"bad": [0.0], "good": [2.0]}}
    figure = plots.histogram(seen, "activation", bins=4, marks={name: {"baseline": 0.5} for name in seen})
    assert [axes.get_title("left") for axes in figure.axes] == list(seen)
    assert [heights(patch) for patch in figure.axes[0].patches] == [3, 2]
    assert all(axes.lines[0].get_xdata()[0] == 0.5 for axes in figure.axes)


def test_shares_are_of_each_name_alone():
    found = {"labels permuted": np.full(100, 0.5), "true labels": np.array([0.5, np.nan, 0.9, 0.9])}
    axes = plots.histogram(found, "predictivity", marks={"majority share": 0.6}, share=True).axes[0]
    assert [heights(patch) for patch in axes.patches] == pytest.approx([1.0, 2 / 3])
    assert axes.get_yscale() == "log"


def test_boxes_of_tasks_beside_the_model():
    points = pd.DataFrame(dict(task=["b", "a"], accuracy=[0.8, 0.9], low=0.5, high=1.0))
    scores = {"a": np.linspace(0, 1, 12).reshape(3, 4), "b": np.full((3, 4), np.nan)}
    axes = plots.boxplot(scores, points).axes[0]
    assert axes.containers[0][0].get_ydata() == pytest.approx([0.9, 0.8])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b"]


def test_boxes_with_a_panel_per_model_and_a_colour_per_side():
    keys = [(model, task, side) for model in "mn" for task in "ab" for side in ("clean", "adversarial")]
    points = [
        dict(model=m, task=t, side=s, accuracy=0.5 + 0.1 * (s == "clean"), best=0.7) for m, t, s in keys
    ]
    figure = plots.boxplot({key: np.linspace(0.4, 0.6, 12) for key in keys}, points)
    assert [axes.get_title("left") for axes in figure.axes] == ["m", "n"]
    diamonds = {one.get_label(): one[0].get_ydata()[0] for one in figure.axes[1].containers}
    assert diamonds == {"clean": 0.6, "adversarial": 0.5}
    circles = [
        line.get_ydata().tolist()
        for line in figure.axes[0].lines
        if line.get_markersize() == 6 and line.get_marker() == "o"
    ]
    assert circles == [[0.7, 0.7]] * 2
