"""Reports in a real browser without a network: nothing runs, nothing is asked for, everything shows."""

import csv
import shutil
from pathlib import Path

import pytest

from skillkit.studies import build_report, compare_runs
from skillkit.studies.job import NotebookJob, run_job
from tests.helpers import REPOSITORY
from tests.small_studies import describe, swept, write_notebook

EVIL = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
# What a careless notebook does with a data set: shows it raw, as HTML, as a table, in figures and claims.
CELLS = """
# Texts of a stranger
---
out: str | None = None
---
import pandas as pd, skillkit as sk
from IPython.display import HTML, Markdown, display
from matplotlib import pyplot as plt
from types import SimpleNamespace
from skillkit.studies import Claim, Run
---
task = sk.load_task("evil.csv", text="review", label="stars", verbalizer=["bad", "good"])
rows = task["train"].to_pandas()
run = Run("texts", SimpleNamespace(out=out, model_dump=dict))
---
print(rows["text"][0])
display(HTML(rows.to_html(escape=False)), Markdown(rows["text"][0]), rows)
---
fig, axes = plt.subplots()
axes.plot([1, 2], label=rows["text"][0][:30]); axes.legend()
run.figure(fig, "texts", data=rows, caption=rows["text"][0])
run.table(rows, "rows", caption=rows["text"][0])
run.claims([Claim(rows["text"][0], "A 2022", 0.5, 0.6, 0.5, 0.7, "yes", note=rows["text"][0])])
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A run of a notebook on a data set whose texts are scripts."""
    folder = tmp_path_factory.mktemp("study")
    with open(folder / "evil.csv", "w", newline="") as file:
        csv.writer(file).writerows([["review", "stars"], *[[f"{EVIL} number {i}", i % 2] for i in range(40)]])
    write_notebook(folder / "texts.ipynb", CELLS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        outcome = run_job(NotebookJob(folder / "texts.ipynb", {}, {}, folder / "texts"), cwd=str(folder))
    assert outcome.state == "done", outcome.error
    describe(folder, "texts", name="evil")
    return folder


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright in this environment")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no Chromium on this machine (on Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


def visit(browser, index):
    """Follow every link from the first page, on a phone without a network; what all pages show, as text."""
    context = browser.new_context(offline=True, viewport={"width": 390, "height": 800})
    page, complaints, asked = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    found, texts = [index.as_uri()], []
    for address in found:  # grows as links are found
        page.goto(address)
        links = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href.split('#')[0])")
        assert all(Path(link.removeprefix("file://")).is_file() for link in links), address
        found += [link for link in dict.fromkeys(links) if link.endswith(".html") and link not in found]
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_function("[...document.images].every(image => image.complete)")
        assert page.evaluate("[...document.images].every(image => !image.src || image.naturalWidth)"), address
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"too wide: {address}"
        assert page.title() != "ran"
        texts.append(page.inner_text("body"))
    assert not complaints and all(url.startswith(("file:", "data:")) for url in asked), (complaints, asked)
    context.close()
    return texts


def test_a_data_set_with_scripts_runs_nothing_in_the_report(browser, study):
    index, notebook = visit(browser, build_report(study))
    assert "<script>document.title" in index and "<script>document.title" in notebook
    assert "number 1" in notebook and "0.600 [0.500, 0.700]" in index


def test_the_report_of_a_grid_shows(browser, tmp_path):
    first, *cells = visit(browser, build_report(swept(tmp_path)))
    assert "0.850" in first and "0.850 [" not in first and len(cells) == 5  # two seeds have no interval


def test_a_comparison_shows(browser, study, tmp_path):
    other = shutil.copytree(study, tmp_path / "other")
    (text,) = visit(browser, compare_runs([study, other], tmp_path / "both"))
    assert text.count("0.600 [0.500, 0.700]") == 2
