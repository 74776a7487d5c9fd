"""What the plots of price and gain show."""

import pandas as pd
import pytest

from skillkit.plots.tradeoffs import faster, tradeoff


def table(tuned):
    kinds = ("skill neurons", "random neurons")
    points = [(kind, share, 0.8 + share) for kind in kinds for share in (0.1, 0.02)]
    return pd.DataFrame([
        dict(share=share, neurons=kind, tuned=tuned, accuracy=mean, low=mean - 0.02, high=mean + 0.02)
        for kind, share, mean in [("all", 1.0, 0.95), *points]
    ])  # fmt: skip


SPEEDS = pd.DataFrame(
    dict(share=[1.0, 0.1, 0.02], faster=[1, 1.4, 1.7], low=[1, 1.2, 1.5], high=[1, 1.6, 1.9])
)


def test_accuracy_over_ordered_shares_with_the_speed_at_the_right():
    figure = tradeoff(pd.concat([table("before"), table("further")]), SPEEDS)
    left, further, right, last = figure.axes
    assert left.get_title() == "prompt as it was" and "tuned further" in further.get_title()
    assert [label.get_text() for label in left.get_xticklabels()] == ["2%", "10%", "100%"]
    skill = left.containers[0]
    assert skill.get_label() == "skill neurons"
    assert list(skill.lines[0].get_ydata()) == pytest.approx([0.82, 0.9])
    assert list(right.containers[0].lines[0].get_ydata()) == pytest.approx([1.7, 1.4, 1])
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["skill neurons", "random neurons", "all neurons", "speed (right axis)"]
    assert last.get_ylabel() == "times faster" and not right.get_ylabel()


def test_without_speeds_there_is_no_second_axis():
    assert len(tradeoff(table("before")).axes) == 1


def test_how_much_faster_by_batch_size():
    rows = [("full", 8, 1.0), ("full", 1, 1.0), ("2% kept", 8, 1.6), ("2% kept", 1, 1.1)]
    timed = pd.DataFrame([
        dict(model=model, batch_size=batch, faster=ratio, low=ratio, high=float("nan"), shape=shape)
        for shape in ("a", "b") for model, batch, ratio in rows
    ])  # fmt: skip
    figure = faster(timed, panel="shape")
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    (line,) = figure.axes[0].containers
    assert line.get_label() == "2% kept" and list(line.lines[0].get_ydata()) == [1.1, 1.6]
