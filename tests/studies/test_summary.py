"""Summaries, drawings and the report of a sweep, from folders as cells leave them."""

import json
import shutil

import bs4
import nbformat
import pandas as pd
import pytest

from skillkit.core.provenance import provenance
from skillkit.core.stats import mean_interval
from skillkit.studies.claims import Claim
from skillkit.studies.report.repetitions import drawings, over_seeds, tidy, with_settings
from skillkit.studies.report.report import build_report
from skillkit.studies.summary import measures, stacked, summary

EVIL = "<script>document.title='ran'</script>"
ACCURACY = {("movies", 0): 0.9, ("movies", 1): 0.8, ("news", 0): 0.6, ("news", 1): 0.7, ("news", 2): 0.0}


def cell(folder, task, seed, state):
    """The folder of a cell; the claim holds for seed 0."""
    own = folder / "cells" / f"{task}-{seed}"
    (own / "tables").mkdir(parents=True)
    value = ACCURACY[task, seed]
    rows = pd.DataFrame(
        {"task": task, "method": ["prompt", f"random {EVIL}"], "accuracy": [value, 0.5], "low": 0.1}
    )
    rows.to_csv(own / "tables" / "accuracy.csv", index=False)
    pd.DataFrame({"step": range(100)}).to_csv(own / "tables" / "steps.csv", index=False)
    tables = [
        {"name": name, "caption": "", "files": [f"tables/{name}.csv"]} for name in ("accuracy", "steps")
    ]
    ends = value - 0.1, value + 0.1
    claim = Claim(f"It works. {EVIL}", "A 2022", 0.9, value, *ends, holds="no" if seed else "yes")
    nbformat.write(nbformat.v4.new_notebook(), own / f"small{'.failed' * (state == 'failed')}.ipynb")
    (own / "contents.json").write_text(json.dumps({"figures": [], "tables": tables}))
    (own / "claims.json").write_text(json.dumps([claim.plain()]))
    parameters = {"seeds": [seed], "tasks": [task], "length": 4}
    manifest = {"notebook": "small", "state": state, "seconds": 75.0, "finished": "2026-01-05T10:00:00Z",
                "error": f"ValueError: {EVIL}\ntraceback" if state == "failed" else None, "parameters": parameters,
                "provenance": provenance()}  # fmt: skip
    (own / "manifest.json").write_text(json.dumps(manifest))


def swept(folder):
    """A sweep over two tasks and two seeds; a fifth cell has failed and a sixth has not run."""
    for task, seed in ACCURACY:
        cell(folder, task, seed, "failed" if seed == 2 else "done")
    cells = [
        {"name": f"small tasks={task} seeds={seed}", "notebook": "small", "folder": f"cells/{task}-{seed}",
         "point": {"tasks": task, "seeds": seed}, "parameters": {"seeds": [seed], "tasks": [task], "length": 4}}
        for task, seed in [*ACCURACY, ("movies", 3)]
    ]  # fmt: skip
    told = {"name": "tiny", "axes": {"tasks": ["movies", "news"], "seeds": [0, 1, 2, 3]}, "cells": cells}
    (folder / "sweep.json").write_text(json.dumps(told))
    return folder


@pytest.fixture
def run(tmp_path):
    return swept(tmp_path)


def test_a_row_per_cell_with_parameters_claims_and_metrics(run):
    table = summary(run)
    assert table["state"].tolist() == ["done"] * 4 + ["failed", "unfinished"]
    assert table["seeds"].tolist() == ["0", "1", "0", "1", "2", "3"] and set(table["length"]) == {4}
    assert table[f"It works. {EVIL}: measured"].tolist()[:4] == list(ACCURACY.values())[:4]
    assert table["accuracy: accuracy: prompt"].tolist()[:4] == list(ACCURACY.values())[:4]
    assert not [name for name in table if name.startswith("steps")]  # long, so no metrics
    assert table.iloc[4:][[f"It works. {EVIL}: measured", "accuracy: accuracy: prompt"]].isna().all(axis=None)


def test_tables_are_stacked(run):
    tables = stacked(run)
    assert set(tables) == {("small", "accuracy"), ("small", "steps")} and len(tables["small", "steps"]) == 400
    assert tables["small", "accuracy"].columns.tolist() == [
        "tasks",
        "seeds",
        "task",
        "method",
        "accuracy",
        "low",
    ]


def test_intervals_are_over_seeds_and_within_settings(run):
    rows = with_settings(measures(run))
    assert set(rows["setting"]) == {"movies", "news"} and set(rows["seed"]) == {"0", "1"}
    table = tidy(rows[rows["kind"] == "claim"])
    assert table.iloc[0].tolist() == ["movies", f"It works. {EVIL}", 2, *mean_interval([0.9, 0.8])]


def test_what_never_differs_is_not_drawn(run):
    drawn = drawings(measures(run))
    assert [one.caption for one in drawn] == [f"It works. {EVIL} (small)", "accuracy: accuracy (small)"]
    (axes,) = drawn[1].figure.axes
    assert axes.get_ylabel() == "accuracy: accuracy" and len(axes.get_xticks()) == 2


def test_names_of_settings_do_not_run_into_each_other():
    settings = [f"tasks=world/{task} prompt_length={n}" for task in ("movies", "rooms") for n in (2, 8)]
    rows = pd.DataFrame({"setting": settings * 2, "label": "", "value": [0.4, 0.5, 0.6, 0.7] * 2})
    figure = over_seeds(rows, "accuracy")
    figure.draw_without_rendering()
    corners = [name.get_window_extent() for name in figure.axes[0].get_xticklabels()]
    slants = {name.get_rotation() for name in figure.axes[0].get_xticklabels()}
    assert slants == {35.0} and min(box.y0 for box in corners) >= 0  # nothing is cut off below
    short = over_seeds(rows.assign(setting=["movies", "rooms", "news", "reports"] * 2), "accuracy")
    assert {name.get_rotation() for name in short.axes[0].get_xticklabels()} == {0.0}


@pytest.fixture
def page(run):
    return bs4.BeautifulSoup(build_report(run).read_text(), "html.parser")


def test_report_of_a_sweep_says_what_its_cells_say_together(page):
    assert [tile.text for tile in page.select(".tiles b")] == ["4", "1", "1"]
    assert [row.text for row in page.select("table.claims td.number")][0].startswith("0.850 [")
    assert [badge.text for badge in page.select("table.claims .badge")] == ["yes 1", "no 1"] * 2
    assert len(page.select("figure img")) == 2 and "small tasks=movies seeds=3" in page.text


def test_report_of_a_sweep_runs_nothing_and_every_link_leads_somewhere(run, page):
    assert not page.find_all("script") and EVIL in page.text
    links = [tag.get("href") or tag["src"] for tag in page.select("a[href], img")]
    assert len(links) >= 12 and all((run / "report" / link).is_file() for link in links)


def test_a_setting_of_one_cell_has_the_interval_of_that_cell(run):
    told = json.loads((run / "sweep.json").read_text())
    (run / "sweep.json").write_text(json.dumps(told | {"cells": told["cells"][:1]}))
    page = bs4.BeautifulSoup(build_report(run).read_text(), "html.parser")
    assert page.select("table.claims td.number")[0].text == "0.900 [0.800, 1.000]"


def test_a_sweep_without_results_has_a_report(run):
    shutil.rmtree(run / "cells")
    page = bs4.BeautifulSoup(build_report(run).read_text(), "html.parser")
    assert [tile.text for tile in page.select(".tiles b")] == ["0", "0", "6"]
