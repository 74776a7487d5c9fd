"""A name keeps its colour through all chapters; a table may be given in any way that makes a DataFrame."""

import numpy as np
import pandas as pd
import pytest

from skillkit import plots
from skillkit.plots import bars, boxplot, lines, points
from skillkit.plots.style import color, line_style, rows_of
from tests.helpers import refused

COLUMNS = dict(task=["a", "b"], method=["x", "y"], accuracy=[0.5, 0.6], low=[0.4, 0.5], high=[0.6, 0.7])
TABLE = pd.DataFrame(COLUMNS)
SCORES = {"a": [0.1, 0.2], "b": [0.3, 0.4]}
DRAWN = {
    "lines": lambda table: plots.lines(table, "task", "accuracy", "method", band=("low", "high")),
    "scatter": lambda table: plots.scatter(table, "low", "accuracy", "method"),
    "bars": lambda table: plots.bars(table, "task", "method", "accuracy", "low", "high"),
    "points": lambda table: plots.points(table, "task", "method"),
    "boxplot": lambda table: plots.boxplot(SCORES, table),
}


def test_models_and_methods_have_colours_of_their_own():
    models = [color(f"embedded/{name}") for name in ("roberta", "bert", "t5", "gpt2")]
    assert len(set(models)) == 4
    assert [color(name, 5) for name in ("roberta", "bert", "t5", "gpt2")] == models
    assert color("prompt", 3) == color("prompt", 0)
    assert color("random neurons, other facts", 3) == color("random neurons")
    assert line_style("random prompt") != "-" == line_style("prompt")


def data_of(figure):
    axes = figure.axes[0]
    return [line.get_xydata().tolist() for line in axes.lines], [
        patch.get_path().vertices.tolist() for patch in axes.patches
    ]


@pytest.mark.usefixtures("figures_in_style")
@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_plain_columns_and_rows_are_tables(draw):
    expected = data_of(draw(TABLE))
    assert data_of(draw(COLUMNS)) == data_of(draw(TABLE.to_dict("records"))) == expected
    refused("needs the column 'accuracy'", draw, TABLE.drop(columns="accuracy"))
    refused("needs rows", draw, TABLE[:0])


@pytest.mark.usefixtures("figures_in_style")
def test_plain_values_are_heat_maps_and_what_is_no_table_is_refused():
    matrix = pd.DataFrame(SCORES)
    cells = lambda tables: [text.get_text() for text in plots.heatmap(tables, "share").axes[0].texts]
    assert all(
        cells(one) == cells(matrix) for one in (SCORES, matrix.to_dict(), matrix.to_numpy(), {"t": matrix})
    )
    refused("needs rows", plots.heatmap, {}, "share")
    for wrong in ([0.1, 0.2], matrix, {}):
        refused("name: values", plots.histogram, wrong, "x")
    refused(r"\[layers, neurons\], not \[2\]", plots.neuron_map, [0.1, 0.2], ["one"], "share")
    for chosen in ([(0, 1)], [[True, False]], None):
        refused("chosen is a mask", plots.neuron_strips, matrix, chosen)


def test_plain_numbers_are_tables(figures_in_style):
    curve = {"skill": {0.0: 0.9, 0.1: 0.6}, "random": {0.0: 0.9, 0.1: 0.88}}
    drawn = [list(line.get_ydata()) for line in lines(curve, "rate", "accuracy", "neurons").axes[0].lines]
    assert drawn == [[0.9, 0.6], [0.9, 0.88]]
    assert rows_of({"movies": 0.9}, "model", "task", "accuracy", "low") == [
        {"model": "", "task": "movies", "accuracy": 0.9, "low": 0.9}
    ]
    figure = boxplot({"movies": np.linspace(0.5, 0.8, 40).reshape(2, 20)}, {"movies": 0.9})
    assert 0.9 in [float(line.get_ydata()[0]) for line in figure.axes[0].lines]
    assert points({"prompt": {"movies": 0.9}}, "task", "method") and bars(
        {"a": {1: 0.5}}, "layer", "hue", "share"
    )
    table = {"task": ["a"], "accuracy": [0.5]}  # columns stay columns
    assert rows_of(table, "model", "task", "accuracy") is table
    refused("needs the column 'rate'", lines, {"skill": [0.9, 0.6]}, "rate", "accuracy", "neurons")
