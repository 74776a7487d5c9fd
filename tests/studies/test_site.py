"""Reports of runs, of grids and of several runs: everything on pages that run nothing and fetch nothing."""

import csv
import itertools
import re
import shutil
import time

import bs4
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_json, write_json
from skillkit.core.provenance import provenance
from skillkit.studies import Claim, build_report, compare_runs
from tests import small_studies as studies
from tests.helpers import REPOSITORY

EVIL = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def notebook(title):
    text = rf"# {title}\n\nSee [the other](second.ipynb), [none](none.ipynb), $a_i < b$. {EVIL}"
    shown = [
        {"text/html": f"<table><td>kept</td></table>{EVIL}"}, {"image/png": PICTURE, "text/plain": "Figure"},
        {"application/javascript": "document.title='ran'"}, {"text/plain": "tuning: 100%|███| 6/6 [00:09<00:00]"},
    ]  # fmt: skip
    outputs = [new_output("stream", text=EVIL), *(new_output("display_data", data) for data in shown)]
    saved = {"image/png": {"alt": f"A curve. {EVIL}"}}  # as `run.figure` names what it saves
    outputs.append(new_output("display_data", {"image/png": PICTURE}, metadata=saved))
    codes = [new_code_cell("show()", outputs=[one]) for one in outputs]
    return new_notebook(cells=[new_markdown_cell(text), *codes])


def unit(run, name, state="done", error=None, size=3):
    """The folder of an executed notebook, as `runs` leaves it, with evil texts wherever data may come from."""
    folder = run / name
    (folder / "figures").mkdir(parents=True)
    (folder / "tables").mkdir()
    nbformat.write(notebook(f"The {name}"), folder / f"{name}{'.failed' * (state == 'failed')}.ipynb")
    for kind in ("png", "svg", "csv"):
        (folder / "figures" / f"curve.{kind}").write_text("1")
    with open(folder / "tables" / "scores.csv", "w", newline="") as file:
        csv.writer(file).writerows([["text", "accuracy"], *[[EVIL, 0.123456789]] * 20])
    files = [f"figures/curve.{kind}" for kind in ("png", "svg", "csv")]
    contents = {
        "figures": [{"name": "curve", "caption": f"A curve. {EVIL}", "files": files}],
        "tables": [{"name": "scores", "caption": "Scores.", "files": ["tables/scores.csv"]}],
    }  # fmt: skip
    first = Claim(f"It holds. {EVIL}", "A 2022", 0.9, 0.95, 0.94, 0.96, "yes")
    claims = [first, Claim("It may.", "B 2022", note=EVIL)]
    write_json(folder / "contents.json", contents)
    write_json(folder / "claims.json", [claim.plain() for claim in claims])
    studies.finish(folder, state, error=error, parameters={"size": size, "words": ["a", EVIL]})


@pytest.fixture
def run(tmp_path):
    unit(tmp_path, "first")
    unit(tmp_path, "second", state="failed", error=f"ValueError: {EVIL}\nand its traceback")
    studies.describe(tmp_path, "first", "second", "third")
    return tmp_path


@pytest.fixture
def pages(run):
    build_report(run)
    return {path.name: parsed(path) for path in (run / "report").glob("*.html")}


def badges(page, within):
    return [badge.text for badge in page.select(f"{within} .badge")]


def parsed(path):
    return bs4.BeautifulSoup(path.read_text(), "html.parser")


def test_index_shows_claims_figures_tables_states(pages):
    text = pages["index.html"].get_text(" ", strip=True)
    parts = ("It holds.", "0.950 [0.940, 0.960]", "A curve.", "0.1235", "8 more rows", "1 min 15 s")
    assert not [part for part in parts if part not in text]
    index = pages["index.html"]
    verdicts = ["1 yes", "1 not tested"]
    assert badges(index, ".lead") == ["1 done", "1 failed", "1 unfinished"]
    assert [badges(index, f".contents li:nth-of-type({n})") for n in (1, 2, 3)] == [
        verdicts, [*verdicts, "failed"], ["unfinished"],
    ]  # fmt: skip
    assert badges(index, ".filter") == ["2 yes", "2 not tested"]
    assert [row["data-holds"].split() for row in index.select("details.chapter tr[data-holds]")] == [
        ["yes"], ["not-tested"],
    ] * 2  # fmt: skip
    assert all(link["href"] == link.img["src"] for link in index.select("a.picture"))  # at full size
    assert {"torch", "revision" if provenance()["git"] else "git"} & set(re.findall(r"\w+", text))


def test_nothing_can_run_and_nothing_is_fetched(pages):
    assert set(pages) == {"index.html", "first.html", "second.html"}
    for page in pages.values():
        assert not page.find_all(["script", "iframe", "object", "embed", "form", "base"])
        assert not [tag for tag in page.find_all() for name in tag.attrs if name.startswith("on")]
        assert "default-src 'none'" in page.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
        assert not [tag for tag in page.find_all(src=True) if tag["src"].startswith(("http", "//"))]
        assert [tag["href"] for tag in page.find_all("link")] == ["data:,"]
        assert not re.search(r"url\(|@import", page.style.text)
    assert EVIL in pages["index.html"].get_text() and EVIL in pages["first.html"].get_text()  # as text


def test_every_link_leads_somewhere(run, pages):
    for page in pages.values():
        for link in page.find_all(href=True):
            if not link["href"].startswith(("#", "data:")):
                assert (run / "report" / link["href"].split("#")[0]).is_file(), link
    assert not (run / "report/first/manifest.json").exists()


def test_notebook_page_has_folded_code_formulas_and_figures(pages):
    page = pages["first.html"]
    assert (
        len(page.select("details.code")) == 6 and "6/6" not in page.text and not page.select("details[open]")
    )
    assert page.math.msub and "<" in page.math.text
    assert page.find("img", src=f"data:image/png;base64,{PICTURE}") and "kept" in page.text
    assert page.find("a", string="the other")["href"] == "second.html"
    assert "href" not in page.find("a", string="none").attrs


def test_a_saved_figure_on_a_notebook_page_opens_at_full_size(run, pages):
    for name in ("first", "second"):
        [link] = pages[f"{name}.html"].select("a.zoom")  # the other picture is saved nowhere
        assert link["href"] == f"{name}/figures/curve.png" and link.img["alt"] == f"A curve. {EVIL}"
        assert (run / "report" / link["href"]).is_file()


def test_rebuilding_replaces(run):
    build_report(run)
    (run / "report" / "old.html").write_text("")
    build_report(run)
    assert not (run / "report/old.html").exists() and not (run / ".report.tmp").exists()


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(SkillkitError, match="is no run"):
        build_report(tmp_path)


# Grids.


@pytest.fixture
def grid(tmp_path):
    return studies.swept(tmp_path)


@pytest.mark.slow
def test_report_of_a_grid_says_what_its_cells_say_together(grid):
    page = parsed(build_report(grid))
    assert (
        badges(page, ".lead") == ["4 done", "1 failed", "1 unfinished"]
        and not page.find_all("script")
        and studies.EVIL in page.text
    )
    assert page.select("table.claims td.number")[0].text.startswith("0.850")
    assert badges(page, "table.claims") == ["1 yes", "1 undecided"] * 2
    assert len(page.select("figure img")) == 2 and "small tasks=movies seeds=3" in page.text
    links = [tag.get("href") or tag["src"] for tag in page.select("a[href], img")]
    links = [link for link in links if not link.startswith("#")]
    assert len(links) >= 12 and all((grid / "report" / link).is_file() for link in links)


@pytest.mark.slow
def test_a_report_of_300_cells_takes_half_a_minute_of_the_processor_at_most(tmp_path):
    chapter, cells = (REPOSITORY / "notebooks/01_prompt_tuning.ipynb").read_text(), []
    for size, seed in itertools.product(range(30), range(10)):
        name = f"{size}-{seed}"
        unit(tmp_path, name)
        own = chapter.replace("0.9", f"0.{size + 10}")  # cells of a grid have numbers of their own
        (tmp_path / name / "small.ipynb").write_text(own)
        studies.finish(tmp_path / name, parameters={"size": size, "seed": seed})
        point = {"size": size, "seed": seed}
        cells.append({"name": name, "notebook": "small", "folder": name, "point": point, "parameters": point})
    studies.describe(tmp_path, *cells, axes={"size": list(range(30)), "seed": list(range(10))})
    began = time.process_time()
    page = parsed(build_report(tmp_path))
    assert time.process_time() - began < 30 and badges(page, ".lead") == ["300 done"]


def test_a_setting_of_one_cell_has_the_interval_of_that_cell(grid):
    plain = read_json(grid / "study.json")
    write_json(grid / "study.json", plain | {"cells": plain["cells"][:1]})
    assert parsed(build_report(grid)).select("table.claims td.number")[0].text == "0.900 [0.800, 1.000]"


@pytest.mark.slow
def test_a_grid_without_results_has_a_report(grid):
    shutil.rmtree(grid / "cells")
    assert badges(parsed(build_report(grid)), ".lead") == ["6 unfinished"]


# Several runs.


@pytest.fixture
def runs(tmp_path):
    """Two runs; the second has one notebook less, and another parameter."""
    for name, notebooks in {"one": ["first", "second"], "two": ["first"]}.items():
        for notebook in notebooks:
            unit(tmp_path / name, notebook, size=4 if name == "two" else 3)
        studies.describe(tmp_path / name, *notebooks)
    return [tmp_path / "one", tmp_path / "two"]


def test_claims_figures_and_differences_stand_beside_each_other(runs):
    index = compare_runs(runs)
    page = parsed(index)
    assert index.parent.name == "one-and-two" and not page.find_all("script")
    first, _, second, _ = page.select("table.claims tbody tr")
    assert len(first.select(".badge.yes")) == 2 and len(second.select(".badge.yes")) == 1
    assert second.select("td")[-1].text == "–"
    assert len(page.select("figure")) == 4 and len(page.select("figure img")) == 3
    different = page.select("#parameters + .scroll tbody tr")[0].select("td")
    assert [value.text for value in different] == ["size first", "3", "4"]
    links = [tag.get("href") or tag["src"] for tag in page.select("a[href], img")]
    assert links and all((index.parent / link).is_file() for link in links)
    assert compare_runs(runs) == index
    with pytest.raises(SkillkitError, match="not made by skillkit"):
        compare_runs(runs, out=runs[0])


@pytest.mark.parametrize("names, sentence", [
    (["one", "three"], "is no run"), (["one", "one"], "given twice"), (["one", "grid"], "is of a grid"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(runs, tmp_path, names, sentence):
    studies.swept(tmp_path / "grid")
    with pytest.raises(SkillkitError, match=sentence):
        compare_runs([tmp_path / name for name in names])
