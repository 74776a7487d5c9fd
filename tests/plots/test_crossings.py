import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from skillkit.plots import crossings

TYPES = {"a": "sentiment", "x": "topic", "b": "sentiment", "y": "topic", "c": "sentiment"}
NAMES = list(TYPES)


def planted():
    """.9 within types and .4 between, a random row of .5."""
    same = [[0.9 if TYPES[one] == TYPES[other] else 0.4 for other in NAMES] for one in NAMES]
    return pd.DataFrame([*same, [0.5] * 5], index=[*NAMES, "random prompt"], columns=NAMES)


def test_tasks_of_one_type_stand_beside_each_other():
    found = crossings.clusters(planted())
    assert sorted(found) == sorted(NAMES)
    assert sum(TYPES[one] != TYPES[other] for one, other in zip(found, found[1:])) == 1
    assert crossings.clusters(planted().loc[["a", "x"], ["a", "x"]]) == ["a", "x"]


def test_the_matrix_shows_every_value_and_frames_pairs_of_one_type():
    table = planted()
    figure = crossings.matrix(table, TYPES, "relative accuracy")
    axes = figure.axes[0]
    rows = [tick.get_text().split(" · ")[0] for tick in axes.get_yticklabels()]
    columns = [tick.get_text() for tick in axes.get_xticklabels()]
    assert rows == [*columns, "random prompt"]
    texts = np.array([float(text.get_text()) for text in axes.texts]).reshape(6, 5)
    np.testing.assert_allclose(texts, table.loc[rows, columns])
    assert len(axes.patches) == 3 * 2 + 2 * 1
    plt.close(figure)


def test_transfer_against_an_indicator_rings_one_pair():
    table = planted()
    figure = crossings.against(2 * table, table, TYPES, "ON", pair=("a", "b"))
    alike, different, ring = figure.axes[0].lines
    assert len(alike.get_xdata()) == 3 * 2 + 2 * 1 and len(different.get_xdata()) == 20 - 8
    assert set(alike.get_ydata()) == {0.9} and set(different.get_xdata()) == {0.8}
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (1.8, 0.9)
    plt.close(figure)
