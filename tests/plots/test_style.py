"""Figures: what is drawn is what the table says; a name keeps its colour."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from skillkit.plots import style as figures

pytestmark = pytest.mark.usefixtures("figures_in_style")


TABLE = pd.DataFrame(
    dict(
        task=["a", "a", "b", "b"], method=["prompt", "bitfit"] * 2, accuracy=[0.9, 0.8, 0.7, 0.6], chance=0.5
    )
).assign(low=lambda t: t.accuracy - 0.05, high=lambda t: t.accuracy + 0.05)


def test_dots_draw_every_value_with_its_interval():
    axes = figures.dots(TABLE, "task", "method", chance="chance").axes[0]
    drawn = {container.get_label(): container[0].get_ydata() for container in axes.containers}
    assert drawn["prompt"] == pytest.approx([0.9, 0.7]) and drawn["bitfit"] == pytest.approx([0.8, 0.6])
    arms = axes.containers[0][2][0].get_segments()
    assert [segment[:, 1] for segment in arms][0] == pytest.approx([0.85, 0.95])
    assert axes.get_ylabel()


def test_a_missing_interval_is_no_arm_and_no_error():
    figures.dots(TABLE.assign(low=np.nan, high=np.nan), "task", "method")


def test_the_axis_ends_where_shares_end():
    shares = figures.dots(TABLE.assign(low=-2.0, high=3.0), "task", "method").axes[0]
    assert shares.get_ylim() == pytest.approx((-0.03, 1.03))
    others = figures.dots(TABLE.assign(accuracy=2.0, low=1.0, high=3.0), "task", "method").axes[0]
    assert others.get_ylim()[1] > 3


def test_curves_draw_the_mean_and_all_repetitions():
    table = pd.DataFrame(
        dict(step=[1, 1, 2, 2], score=[0.4, 0.6, 0.8, 1.0], seed=[0, 1, 0, 1], method="prompt")
    )
    axes = figures.curves(table, "step", "score", "method").axes[0]
    assert axes.lines[0].get_ydata() == pytest.approx([0.5, 0.9])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(0.4) and band.max() == pytest.approx(1.0)


def test_curves_draw_a_repetition_that_ended_on_to_the_end():
    points = [("prompt", 0, 1, 0.9), ("prompt", 1, 1, 0.5), ("prompt", 1, 2, 0.7), ("bitfit", 0, 4, 0.6)]
    table = pd.DataFrame(points, columns=["method", "seed", "step", "score"])
    prompt, bitfit = figures.curves(table, "step", "score", "method", unit="seed").axes[0].lines
    assert prompt.get_xydata().tolist() == [pytest.approx(point) for point in ([1, 0.7], [2, 0.8], [4, 0.8])]
    assert bitfit.get_xydata().tolist() == [pytest.approx([4, 0.6])]


def test_a_heatmap_writes_its_numbers():
    table = pd.DataFrame([[0.1, 0.9]], index=["row"], columns=["x", "y"])
    axes = figures.heatmap(table, "share").axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.10", "0.90"]


def test_models_and_methods_have_colours_of_their_own():
    models = [figures.color(f"embedded/{name}") for name in ("roberta", "bert", "t5", "gpt2")]
    assert len(set(models)) == 4
    assert [figures.color(name, 5) for name in ("roberta", "bert", "t5", "gpt2")] == models
    assert figures.color("prompt", 3) == figures.color("prompt", 0)
    assert figures.color("random neurons, other facts", 3) == figures.color("random neurons")
    assert np.ptp(to_rgb(figures.color("random prompt"))) == 0  # controls are grey
