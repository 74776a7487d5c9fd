"""Explorers in JupyterLab, in a real browser: run all cells, move a slider, and the figure is another one.

Of two chapters in every run of the tests, cut down to their explorer. Whole chapters, all eight of them, with the
results of `./run_all.sh` at hand (about five minutes on two cores):

    SKILLKIT_WHOLE_CHAPTERS=1 python -m pytest tests/end_to_end/test_explorers.py
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress

import nbformat
import pytest

from skillkit.core import store
from tests.end_to_end.test_browser import browser  # noqa: F401 (a fixture)
from tests.helpers import REPOSITORY
from tests.studies.test_runner import until

# What a chapter has computed when it comes to its explorer, in small: cells before and after it starts.
CHAPTERS = {
    "01_prompt_tuning": (
        'tasks, seeds = ["world/movies"], [0]',
        """bb, names = sk.load_backbone("embedded/bert"), ["world/movies"]
loaded, tuned = {names[0]: sk.load_task(names[0])}, {("prompt", names[0], 0): sk.random_prompt(bb, length=4)}""",
    ),
    "07_knowledge_neurons": (
        'backbone, steps, factors = "embedded/bert", 2, [0.0, 1.0, 2.0]',
        'bb, one = sk.load_backbone(p.backbone), sk.load_facts("world", per_relation=1)[0]',
    ),
}

# What the explorer of 07 calls, each defined in a cell that computes nothing.
CALLED = ("scale_curve", "draw_scales")

WHOLE = sorted(path.stem for path in REPOSITORY.glob("notebooks/0[1-8]_*.ipynb"))
ASKED = os.environ.get("SKILLKIT_WHOLE_CHAPTERS")


def excerpt(name, target):
    """A notebook of the parameters, the start and the explorer of a chapter."""
    notebook = nbformat.read(REPOSITORY / "notebooks" / f"{name}.ipynb", 4)
    cells = notebook.cells
    first = next(i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", []))
    start = next(i for i, cell in enumerate(cells) if "sk.start(" in cell.source)
    try_it = next(i for i, cell in enumerate(cells) if "## Try it yourself" in cell.source)
    before, after = map(nbformat.v4.new_code_cell, CHAPTERS[name])
    chosen = [cells[first], before, cells[start], after]
    chosen += [cell for cell in cells if any(f"def {used}(" in cell.source for used in CALLED)]
    chosen += [cell for cell in cells[try_it:] if cell.cell_type == "code"]
    notebook.cells = chosen
    nbformat.write(notebook, target / f"{name}.ipynb")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab that knows nothing of this user's settings."""
    folder = tmp_path_factory.mktemp("lab")
    for name in CHAPTERS:
        excerpt(name, folder)
    if ASKED:
        shutil.copytree(REPOSITORY / "notebooks", folder / "whole")  # JupyterLab saves what it has run
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (folder / "config" / "labconfig").mkdir(parents=True)
    (folder / "config" / "labconfig" / "page_config.json").write_text(json.dumps(quiet))
    places = ["JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR",
              "IPYTHONDIR", "SKILLKIT_RUNS"]  # fmt: skip
    own = {place: str(folder / place.lower()) for place in places} | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"), "PYTHONPATH": str(REPOSITORY),
        "SKILLKIT_STORE": str(store.root().absolute() if ASKED else folder / "store"),
    }  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"ServerApp.root_dir": folder, "ServerApp.port": port, "ServerApp.port_retries": 0,
               "IdentityProvider.token": "", "ServerApp.password": ""}  # fmt: skip
    words = [f"--{name}={value}" for name, value in options.items()]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *words],
            env=os.environ | own, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"

    def answers():
        with suppress(urllib.error.URLError, TimeoutError):
            return urllib.request.urlopen(f"{address}/api/status", timeout=5).close() is None

    until(answers, server)
    yield address
    server.terminate()
    server.wait()


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_slider_draws_another_figure(browser, lab, name):  # noqa: F811
    move_a_slider(browser, f"{lab}/lab/tree/{name}.ipynb?reset", seconds=100)


@pytest.mark.skipif(not ASKED, reason="whole chapters: set SKILLKIT_WHOLE_CHAPTERS=1, after ./run_all.sh")
@pytest.mark.parametrize("name", WHOLE)
def test_a_slider_of_a_whole_chapter(browser, lab, name):  # noqa: F811
    move_a_slider(browser, f"{lab}/lab/tree/whole/{name}.ipynb?reset", seconds=500)


def move_a_slider(browser, address, seconds):  # noqa: F811
    """Run all cells of the notebook at `address`, move the first slider to its end (one step may leave the figure as it
    is: the same neurons lie above two thresholds), or choose the second item of the first list where there is no
    slider; fails unless another figure is drawn."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(1000 * seconds)
    page.goto(address)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    for item in ("Run", "Run All Cells"):
        page.get_by_role("menuitem", name=item, exact=True).click()
    explorer = page.locator(".widget-interact")
    drawn = explorer.locator(".jp-OutputArea img")
    failed = page.locator("[data-mime-type='application/vnd.jupyter.stderr']", has_text="Traceback")
    drawn.or_(failed).first.wait_for()  # a cell that fails is told at once, not after the whole time
    assert not failed.count(), failed.first.inner_text()
    before = drawn.get_attribute("src")
    if explorer.locator(".noUi-handle").count():
        handle = explorer.locator(".noUi-handle").first
        at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
        handle.press("Home" if at_end else "End")
    else:
        explorer.locator("select").first.select_option(index=1)
    page.wait_for_function(
        "old => { const image = document.querySelector('.widget-interact img');"
        " return image && image.naturalWidth > 0 && image.src !== old; }",
        arg=before,
    )
    assert drawn.count() == 1 and explorer.locator(".jp-OutputArea pre", has_text="Error").count() == 0
    page.close()
