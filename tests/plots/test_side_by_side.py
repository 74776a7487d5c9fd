"""Panels by model: what is drawn is what the tables hold."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from skillkit.plots import side_by_side
from skillkit.plots.style import color

MODELS = ["embedded/roberta", "embedded/gpt2"]


@pytest.fixture(autouse=True)
def plain_backend():
    matplotlib.use("agg")
    yield
    plt.close("all")


def panels(figure):
    return [axes for axes in figure.axes if axes.get_title(loc="left") or axes.get_title()]


def test_heatmaps_write_every_number_in_one_scale():
    tables = {
        name: pd.DataFrame([[0.5, 1.0], [number / 10, 0.7]], ["a", "b"], ["a", "c"])
        for number, name in enumerate(MODELS)
    }
    figure = side_by_side.heatmaps(tables, "relative accuracy", rows="source")
    assert [panel.get_ylabel() for panel in panels(figure)] == ["source", ""]
    assert [text.get_text() for text in panels(figure)[1].texts] == ["0.50", "1.00", "0.10", "0.70"]
    assert len(figure.axes) == 3 and figure.axes[2].get_ylabel() == "relative accuracy"
    assert len({panel.collections[0].get_clim() for panel in panels(figure)}) == 1


def test_boxes_beside_accuracies():
    scores = {
        (m, t, s): np.linspace(0.4, 0.9, 50) for m in MODELS for t in "xy" for s in ("clean", "adversarial")
    }
    scores[MODELS[0], "x", "clean"] = np.array([[0.5, np.nan], [0.7, 0.9]])
    points = pd.DataFrame([dict(model=m, task=t, side=s, accuracy=0.8) for m, t, s in scores])
    first, second = panels(side_by_side.boxes(scores, points))
    assert len(first.patches) == 4 and [tick.get_text() for tick in second.get_xticklabels()] == ["x", "y"]
    assert first.lines[-1].get_ydata().tolist() == [0.8, 0.8]


def test_lines_are_means_with_dashes_for_random_neurons():
    rows = [
        dict(panel=m, rate=rate, side="clean", neurons=kind, accuracy=0.9 - rate * (kind == "skill") - task / 10)
        for m in MODELS for rate in (0.0, 0.1) for kind in ("skill", "random") for task in (0, 1)
    ]  # fmt: skip
    figure = side_by_side.lines(pd.DataFrame(rows), "rate", "accuracy", "side", "panel", "neurons")
    skill, random = panels(figure)[0].lines
    assert skill.get_ydata() == pytest.approx([0.85, 0.75]) and random.get_ydata() == pytest.approx(
        [0.85, 0.85]
    )
    assert skill.get_linestyle() == "-" and random.get_linestyle() == "--"
    assert skill.get_color() == random.get_color() == color("clean")
    band = panels(figure)[0].collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(0.85 + 0.05) and band.min() == pytest.approx(0.75 - 0.05)


def test_ranges_keep_rows_together_and_mark_chance():
    rows = [
        dict(model=m, view=view, side=side, accuracy=0.6, low=0.5, high=0.8, chance=chance)
        for m in MODELS for view, chance in (("a", 0.5), ("b", 0.25)) for side in ("clean", "adversarial")
    ]  # fmt: skip
    figure = side_by_side.ranges(pd.DataFrame(rows), "view", "side", "model", chance="chance")
    axes = panels(figure)[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"] and axes.yaxis_inverted()
    drawn = {
        round(x, 2) for line in axes.collections for path in line.get_paths() for x in path.vertices[:, 0]
    }
    assert {0.5, 0.8, 0.25} <= drawn


def test_points_have_a_colour_by_model_and_a_marker_by_attack():
    table = pd.DataFrame(
        dict(gap=[0.1, 0.5, 0.3], drop=[0.0, 0.2, 0.1], model=[*MODELS, MODELS[0]], attack=["x", "x", "y"])
    )
    axes = side_by_side.points(table, "gap", "drop", "model", "attack").axes[0]
    drawn = {(line.get_color(), line.get_marker()) for line in axes.lines[:3]}
    assert len(drawn) == 3 and {hue for hue, _ in drawn} == {color(model) for model in MODELS}
    assert axes.get_xlabel() == "gap" and axes.get_ylabel() == "drop"
