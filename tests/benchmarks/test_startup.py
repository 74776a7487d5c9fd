"""How long it takes until something can be done: importing the package, and the set-up cell of a notebook."""

import json
import resource
import statistics
import subprocess
import sys
import time

import pytest

from tests.helpers import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("0*.ipynb"))


def seconds(script, folder):
    """(of the wall, of the processor) for a script in a Python of its own."""
    began, before = time.perf_counter(), _of_children()
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began, _of_children() - before


def _of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def medians(rounds):
    return (statistics.median(column) for column in zip(*rounds, strict=True))


def test_import(bench):
    """Beyond the start of Python itself."""
    bare, loaded = ([seconds(script, REPOSITORY) for _ in range(5)] for script in ("pass", "import skillkit"))
    wall, processor = (max(a - b, 0) for a, b in zip(medians(loaded), medians(bare), strict=True))
    said = f"`import skillkit`: {wall:.2f} s, {processor:.2f} of the processor's (at most 0.5 s)."
    bench.note("Start-up", "import", said)
    assert wall <= 0.5


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_set_up_cell(bench, notebook):
    """Python, the parameters and the cell after them: imports, `sk.start`."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"][:2]
    script = "\n".join("".join(cell["source"]) for cell in cells)
    wall, processor = medians([seconds(script, notebook.parent) for _ in range(2)])
    said = f"{wall:.1f} s, {processor:.1f} of the processor's (at most 8 s)."
    bench.note("Start-up", notebook.stem, f"Set-up cell of {notebook.stem}: {said}")
    assert wall <= 8
