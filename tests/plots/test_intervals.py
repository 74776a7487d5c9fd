import numpy as np
import pandas as pd
import pytest

from skillkit import plots

pytestmark = pytest.mark.usefixtures("figures_in_style")

METHODS, ACCURACY = ["prompt", "bitfit"] * 2, np.array([0.9, 0.8, 0.7, 0.6])
ENDS = dict(low=ACCURACY - 0.05, high=ACCURACY + 0.05)
TABLE = pd.DataFrame(dict(task=list("aabb"), method=METHODS, accuracy=ACCURACY, chance=0.5, **ENDS))


@pytest.mark.parametrize("horizontal", [False, True])
def test_every_value_has_its_interval(horizontal):
    axes = plots.points(TABLE, "task", "method", chance="chance", horizontal=horizontal).axes[0]
    values = {one.get_label(): one[0].get_xydata()[:, 1 - horizontal] for one in axes.containers}
    assert values["prompt"] == pytest.approx([0.9, 0.7]) and values["bitfit"] == pytest.approx([0.8, 0.6])
    arm = axes.containers[0][2][0].get_segments()[0]
    assert arm[:, 1 - horizontal] == pytest.approx([0.85, 0.95])


def test_the_axis_ends_where_shares_end():
    shares = plots.points(TABLE.assign(low=-2.0, high=3.0), "task", "method").axes[0]
    assert shares.get_ylim() == pytest.approx((-0.03, 1.03))
    others = plots.points(TABLE.assign(accuracy=2.0, low=1.0, high=3.0), "task", "method").axes[0]
    assert others.get_ylim()[1] > 3


def test_a_panel_per_model_with_the_same_groups():
    both = pd.concat([TABLE.assign(model="t5"), TABLE[TABLE.task == "b"].assign(model="bert")])
    figure = plots.points(both, "task", "method", panel="model", horizontal=True)
    assert [axes.get_title("left") for axes in figure.axes] == ["t5", "bert"]
    assert figure.axes[1].containers[0][0].get_xdata() == pytest.approx([0.7])


def test_bars_are_as_high_as_their_values():
    axes = plots.bars(TABLE, "task", "method", "accuracy", "low", "high", percent=True).axes[0]
    heights = {one.get_label(): [bar.get_height() for bar in one] for one in axes.containers if len(one) == 2}
    assert heights["prompt"] == pytest.approx([0.9, 0.7])


def test_panels_of_other_units_have_their_own_scale():
    both = pd.concat([TABLE.assign(unit="share"), TABLE.assign(unit="count", accuracy=90, low=80, high=99)])
    how = dict(panel="unit", horizontal=True, same_scale=False)
    share, count = plots.points(both, "task", "method", **how).axes
    assert share.get_xlim()[1] < 1.1 and count.get_xlim()[0] > 1 and share.get_ylim() == count.get_ylim()
