from itertools import product

import numpy as np
import pandas as pd
import pytest

from skillkit import plots

pytestmark = pytest.mark.usefixtures("figures_in_style")

REPEATED = pd.DataFrame(dict(step=[1, 1, 2, 2], score=[0.4, 0.6, 0.8, 1], seed=[0, 1, 0, 1], method="prompt"))


def band_of(axes):
    return axes.collections[0].get_paths()[0].vertices[:, 1]


@pytest.mark.parametrize("band", ["range", "sem"])
def test_the_band_spans_all_repetitions_or_one_standard_error(band):
    axes = plots.lines(REPEATED, "step", "score", "method", band=band).axes[0]
    assert axes.lines[0].get_ydata() == pytest.approx([0.5, 0.9])
    assert band_of(axes).min() == pytest.approx(0.4) and band_of(axes).max() == pytest.approx(1.0)
    single = plots.lines(REPEATED[REPEATED.seed == 0], "step", "score", "method", band="sem").axes[0]
    assert np.ptp(band_of(single)) == pytest.approx(0.4)  # the line itself


def test_a_repetition_that_ended_is_drawn_on_to_the_end():
    points = [("prompt", 0, 1, 0.9), ("prompt", 1, 1, 0.5), ("prompt", 1, 2, 0.7), ("bitfit", 0, 4, 0.6)]
    table = pd.DataFrame(points, columns=["method", "seed", "step", "score"])
    prompt, bitfit = plots.lines(table, "step", "score", "method", unit="seed").axes[0].lines
    assert prompt.get_xydata().tolist() == [pytest.approx(point) for point in ([1, 0.7], [2, 0.8], [4, 0.8])]
    assert bitfit.get_xydata().tolist() == [pytest.approx([4, 0.6])]


@pytest.fixture
def suppressed():
    rows = product(
        ("movies", "rooms"), (("skill", 20, 0.9), ("skill", 0, 0.6), ("random", 20, 0.9), ("random", 0, 0.8))
    )
    table = pd.DataFrame([(task, f"{kind} neurons", *point) for task, (kind, *point) in rows])
    table = table.set_axis(["task", "neurons", "rate", "accuracy"], axis=1)
    return table.assign(low=table.accuracy - 0.1, high=table.accuracy + 0.2)


def test_columns_give_the_interval_and_controls_are_dashed(suppressed):
    how = dict(panel="task", band=("low", "high"), chance={"movies": 0.5, "rooms": 0.4})
    figure = plots.lines(suppressed, "rate", "accuracy", "neurons", **how)
    assert [axes.get_title("left") for axes in figure.axes] == ["movies", "rooms"]
    for axes, chance in zip(figure.axes, (0.5, 0.4)):
        skill, random, level = axes.get_lines()
        assert skill.get_linestyle() == "-" and random.get_linestyle() != "-"
        assert list(skill.get_xdata()) == [0, 20] and list(skill.get_ydata()) == [0.6, 0.9]
        assert level.get_ydata()[0] == chance and band_of(axes).max() <= 1  # no accuracy beyond one
    assert len(figure.legends[0].get_texts()) == 3


def test_colour_and_dash_by_two_columns(suppressed):
    one = suppressed[suppressed.task == "movies"].assign(side="clean")
    both = pd.concat([one, one.assign(side="adversarial", accuracy=0.4)])
    axes = plots.lines(both, "rate", "accuracy", "side", dash="neurons", band="sem").axes[0]
    styles = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in axes.get_lines()}
    assert styles["clean, skill neurons"][0] == styles["clean, random neurons"][0]
    assert styles["clean, skill neurons"][1] == "-" != styles["clean, random neurons"][1]


def test_scatter_draws_every_row_and_rings_one():
    table = pd.DataFrame(
        dict(gap=[0.1, 0.2, 0.3], drop=[0.0, 0.1, 0.3], model=list("aab"), attack=list("xyx"))
    )
    axes = plots.scatter(table, "gap", "drop", "model", "attack", ring=2).axes[0]
    drawn = sorted(point for line in axes.lines for point in map(tuple, line.get_xydata()))
    assert drawn == [(0.1, 0.0), (0.2, 0.1), (0.3, 0.3), (0.3, 0.3)]
