import numpy as np
import pandas as pd
import pytest

from skillkit.plots.lines import declines


@pytest.fixture
def table():
    rows = [
        (task, rate, neurons, accuracy, accuracy - 0.1, accuracy + 0.1)
        for task in ("movies", "rooms")
        for neurons, accuracies in (("skill", (0.9, 0.6)), ("random", (0.9, 0.8)))
        for rate, accuracy in zip((0.0, 0.2), accuracies)
    ]
    return pd.DataFrame(rows, columns=["task", "rate", "neurons", "accuracy", "low", "high"])


def test_skill_neurons_are_solid_and_random_ones_dashed(table):
    figure = declines(table, chance={"movies": 0.5, "rooms": 0.4})
    assert [axes.get_title() for axes in figure.axes] == ["movies", "rooms"]
    for axes, chance in zip(figure.axes, (0.5, 0.4)):
        skill, random, level = axes.get_lines()
        assert skill.get_linestyle() == "-" and random.get_linestyle() != "-"
        assert list(skill.get_xdata()) == [0, 20] and list(skill.get_ydata()) == [0.9, 0.6]
        assert list(random.get_ydata()) == [0.9, 0.8] and level.get_ydata()[0] == chance
        assert len(axes.collections) == 2  # the bands
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "skill neurons",
        "random neurons",
        "chance",
    ]


def test_a_single_value_has_no_band(table):
    figure = declines(table.assign(low=np.nan, high=np.nan))
    band = figure.axes[0].collections[0].get_paths()
    assert not band or np.isnan(band[0].vertices).all() or len(band[0].vertices) == 0
