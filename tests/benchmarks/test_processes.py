"""Wall time of other processes: importing the package, the set-up cell of a notebook, cells of a sweep."""

import json
import subprocess
import timeit
from functools import partial
from statistics import median
from sys import executable

import pytest

from skillkit.core.provenance import usable_cores
from skillkit.studies import params, run_study
from skillkit.studies.executors import local
from tests import small_studies as studies
from tests.benchmarks.harness import clocked
from tests.helpers import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("0*.ipynb"))


def seconds(script, folder, rounds):
    """Median wall time of a script in a Python of its own."""
    return median(timeit.repeat(lambda: run([executable, "-c", script], folder), number=1, repeat=rounds))


def run(line, folder):
    subprocess.run(line, cwd=folder, check=True, capture_output=True)


def test_import(bench):
    """Beyond the start of Python itself."""
    bare, loaded = (seconds(script, REPOSITORY, 5) for script in ("pass", "import skillkit"))
    bench.note("Start-up", "import", f"`import skillkit`: {loaded - bare:.2f} s (at most 0.5 s).")
    assert loaded - bare <= 0.5


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_set_up_cell(bench, notebook):
    """Python, the parameters and the cell after them: imports, `sk.start`."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"][:2]
    wall = seconds("\n".join("".join(cell["source"]) for cell in cells), notebook.parent, 2)
    bench.note("Start-up", notebook.stem, f"Set-up cell of {notebook.stem}: {wall:.1f} s (at most 8 s).")
    assert wall <= 8


@pytest.mark.skipif(usable_cores() < 2, reason="one core")
def test_two_workers_finish_more_cells(bench, tmp_path, monkeypatch):
    """Six cells that compute for about five seconds each, besides the start of their kernels; on an idle machine."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr(params, "FOLDER", None)
    studies.install(tmp_path / "notebooks")
    path = studies.sweep(tmp_path, notebooks={"small": {"action": "compute"}}, grid={"size": [*range(1, 7)]})
    one, two = (
        clocked(partial(finish, path, tmp_path / str(workers), workers), None)[0] for workers in (1, 2)
    )
    said = f"{one / two:.2f} times as many cells per minute (at least 1.6)"
    bench.note("Sweeps", "workers", f"One worker {one:.1f} s, two {two:.1f} s: {said}.")
    assert one / two >= 1.6


def finish(path, folder, workers):
    _, outcomes = run_study(path, folder, pool=partial(local, workers=workers, threads=1))
    assert {outcome.state for outcome in outcomes.values()} == {"done"}
