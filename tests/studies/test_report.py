"""The report: everything of a run on pages that run nothing and fetch nothing."""

import csv
import json
import re
import shutil
import subprocess

import bs4
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from skillkit.core.errors import SkillkitError
from skillkit.core.provenance import provenance
from skillkit.studies.claims import Claim
from skillkit.studies.report.report import build_report

EVIL = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def notebook(title):
    return new_notebook(
        cells=[
            new_markdown_cell(
                rf"# {title}\n\nSee [the other](second.ipynb), [none](none.ipynb), $a_i < b$. {EVIL}"
            ),
            new_code_cell("print(1)", outputs=[new_output("stream", text=EVIL)]),
            new_code_cell(
                "table",
                outputs=[new_output("display_data", {"text/html": f"<table><td>kept</td></table>{EVIL}"})],
            ),
            new_code_cell(
                "figure", outputs=[new_output("display_data", {"image/png": PICTURE, "text/plain": "Figure"})]
            ),
            new_code_cell(
                "run()",
                outputs=[new_output("display_data", {"application/javascript": "document.title='ran'"})],
            ),
        ]
    )


def unit(run, name, state="done", error=None):
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
    claims = [
        Claim(f"It holds. {EVIL}", "A 2022", 0.9, 0.95, 0.94, 0.96, "yes"),
        Claim("It may.", "B 2022", note=EVIL),
    ]
    manifest = {"notebook": name, "state": state, "seconds": 75.0, "finished": "2026-01-05T10:00:00Z", "error": error,
                "parameters": {"size": 3, "words": ["a", EVIL]}, "provenance": provenance()}  # fmt: skip
    (folder / "contents.json").write_text(json.dumps(contents))
    (folder / "claims.json").write_text(json.dumps([claim.plain() for claim in claims]))
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def run(tmp_path):
    unit(tmp_path, "first")
    unit(tmp_path, "second", state="failed", error=f"ValueError: {EVIL}\nand its traceback")
    names = {"name": "tiny", "file": "tiny.yaml", "notebooks": ["first", "second", "third"]}
    (tmp_path / "study.json").write_text(json.dumps(names))
    return tmp_path


@pytest.fixture
def pages(run):
    build_report(run)
    return {
        path.name: bs4.BeautifulSoup(path.read_text(), "html.parser")
        for path in (run / "report").glob("*.html")
    }


def test_index_shows_claims_figures_tables_states(pages):
    text = pages["index.html"].get_text(" ", strip=True)
    for part in (
        "It holds.",
        "0.950 [0.940, 0.960]",
        "not tested",
        "A curve.",
        "0.1235",
        "8 more rows",
        "1 min 15 s",
    ):
        assert part in text, part
    assert [badge.text for badge in pages["index.html"].select("#notebooks ~ .scroll .badge")] == [
        "done",
        "failed",
        "unfinished",
    ]
    assert [tile.text for tile in pages["index.html"].select(".tiles b")] == ["2", "0", "0", "2"]
    assert {"torch", "revision" if provenance()["git"] else "git"} & set(re.findall(r"\w+", text))


def test_nothing_can_run(pages):
    assert set(pages) == {"index.html", "first.html", "second.html"}
    for page in pages.values():
        assert not page.find_all(["script", "iframe", "object", "embed", "form", "base"])
        assert not [tag for tag in page.find_all() for name in tag.attrs if name.startswith("on")]
        assert "default-src 'none'" in page.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert EVIL in pages["index.html"].get_text() and EVIL in pages["first.html"].get_text()  # as text


def test_nothing_is_fetched(pages):
    for page in pages.values():
        assert not [tag for tag in page.find_all(src=True) if tag["src"].startswith(("http", "//"))]
        assert [tag["href"] for tag in page.find_all("link")] == ["data:,"]
        assert not re.search(r"url\(|@import", page.style.text)


def test_every_link_leads_somewhere(run, pages):
    for page in pages.values():
        for link in page.find_all(href=True):
            if not link["href"].startswith(("#", "data:")):
                assert (run / "report" / link["href"].split("#")[0]).is_file(), link
    assert not (run / "report/first/manifest.json").exists()


def test_notebook_page_has_folded_code_formulas_and_figures(pages):
    page = pages["first.html"]
    assert len(page.select("details.code")) == 4 and not page.select("details[open]")
    assert page.math.msub and "<" in page.math.text
    assert page.find("img", src=f"data:image/png;base64,{PICTURE}") and "kept" in page.text
    assert page.find("a", string="the other")["href"] == "second.html"
    assert "href" not in page.find("a", string="none").attrs


def test_rebuilding_replaces(run):
    build_report(run)
    (run / "report" / "old.html").write_text("")
    build_report(run)
    assert not (run / "report/old.html").exists() and not (run / ".report.tmp").exists()


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(SkillkitError, match="is no run"):
        build_report(tmp_path)


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium on this machine")
def test_a_browser_finds_nothing_to_complain_about(run, tmp_path):
    build_report(run)
    for name in ("index", "first"):
        seen = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
             f"--user-data-dir={tmp_path / 'profile'}", (run / "report" / f"{name}.html").as_uri()],
            capture_output=True, text=True, timeout=100, check=True,
        )  # fmt: skip
        assert "CONSOLE" not in seen.stderr, seen.stderr
        assert bs4.BeautifulSoup(seen.stdout, "html.parser").title.text != "ran"
