"""The tables and figures of a grid, from folders as cells leave them."""

import pandas as pd
import pytest

from skillkit.core.stats import mean_interval
from skillkit.studies.report.figures import drawings, means, over_seeds
from skillkit.studies.report.run import load_run
from skillkit.studies.report.tables import align, numbers_table, stacked_tables, summary_table
from tests.small_studies import ACCURACY, EVIL, swept

CLAIM = f"It works. {EVIL}"


@pytest.fixture
def cells(tmp_path):
    return load_run(swept(tmp_path))["cells"]


def test_a_row_per_cell_with_parameters_claims_and_metrics(cells):
    table = summary_table(cells)
    assert table["state"].tolist() == ["done"] * 4 + ["failed", "unfinished"]
    assert table["seeds"].tolist() == ["0", "1", "0", "1", "2", "3"] and set(table["length"]) == {4}
    measured = table[[f"{CLAIM}: measured", "accuracy: accuracy: prompt"]]
    assert all(measured[name].tolist()[:4] == list(ACCURACY.values())[:4] for name in measured)
    assert measured.iloc[4:].isna().all(axis=None)
    assert not [name for name in table if name.startswith("steps")]  # long, so no metrics


def test_tables_are_stacked(cells):
    tables = stacked_tables(cells)
    assert set(tables) == {("small", "accuracy"), ("small", "steps")} and len(tables["small", "steps"]) == 400
    columns = tables["small", "accuracy"].columns.tolist()
    assert columns == ["tasks", "seeds", "task", "method", "accuracy", "low"]


def test_intervals_are_over_seeds_and_within_settings(cells):
    rows = numbers_table(cells)
    assert set(rows["setting"]) == {"movies", "news"}
    table = means(rows[rows["kind"] == "claim"])
    setting, claim, n, *interval = table.iloc[0]
    assert (setting, claim, n) == ("movies", CLAIM, 2)
    assert interval == pytest.approx(mean_interval([0.9, 0.8]), nan_ok=True)  # two seeds: no ends


def test_what_never_differs_is_not_drawn(cells):
    drawn = drawings(numbers_table(cells))
    assert [one.caption for one in drawn] == [f"{CLAIM} (small)", "accuracy: accuracy (small)"]
    (axes,) = drawn[1].figure.axes
    assert axes.get_ylabel() == "accuracy: accuracy" and len(axes.get_xticks()) == 2


def test_long_names_of_settings_are_lines_of_text():
    settings = [f"tasks=world/{task} prompt_length={n}" for task in ("movies", "rooms") for n in (2, 8)]
    rows = pd.DataFrame({"setting": settings * 2, "label": "mean", "value": [0.4, 0.5, 0.6, 0.7] * 2})
    figure = over_seeds(rows, "accuracy")
    figure.draw_without_rendering()
    boxes = [name.get_window_extent() for name in figure.axes[0].get_yticklabels()]
    assert len(boxes) == 4 and min(box.x0 for box in boxes) >= 0  # nothing is cut off


def test_entries_meet_by_their_key_and_the_first_of_a_column_counts():
    assert align([["ab", "ac"], ["b"]], lambda word: word[0]) == {"a": ["ab", None], "b": [None, "b"]}
