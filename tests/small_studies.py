"""A notebook so small that tests can run it again and again, and the study around it."""

import os
import time

import nbformat
import yaml
from pydantic import Field

from skillkit.core.store import artifact
from skillkit.studies import job as units
from skillkit.studies import params

CELLS = """
# A small notebook
---
seed = 0
size = 3
action = "none"
data_root = None
device = "auto"
dtype = "auto"
out = None
---
import os, sys, time
from pathlib import Path
from skillkit.core.errors import SkillkitError
---
## Doing
---
with open(os.environ.get("SMALL_LOG", os.devnull), "a") as file:
    file.write(f"{size}\\n")
if action == "fail":
    raise RuntimeError("it went <wrong>")
if action == "refuse":
    raise SkillkitError("no such model; name another")
if action == "die":
    os.kill(os.getpid(), 9)
if action == "wait":
    time.sleep(1000)
if action == "die once" and not Path(os.environ["SMALL_LOG"] + ".died").exists():
    Path(os.environ["SMALL_LOG"] + ".died").touch()
    os.kill(os.getpid(), 9)
if action == "compute":
    sum(number * number for number in range(150_000_000))
if action == "share":
    from skillkit.core.store import cached
    from tests.small_studies import slow
    assert cached(slow, size) == [1] * size
if action == "hold":
    Path(os.environ["SMALL_LOG"] + ".parent").write_text(str(os.getppid()))
    while not Path(os.environ["SMALL_LOG"] + ".go").exists():
        time.sleep(0.05)
---
Path(out, "size.txt").write_text(f"{size} {sys.executable}")
"""

# `python -m skillkit …` in a process that knows the small notebook; the folder to install it in comes first.
COMMAND = (
    "import sys; from pathlib import Path; from tests import small_studies as studies; "
    "studies.install(Path(sys.argv.pop(1))); studies.units.source_hash = lambda: 'this code'; "
    "from skillkit.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


@artifact("slow")
def slow(size):
    """Something worth storing, which takes a while and is written down when it is made."""
    with open(os.environ["SMALL_LOG"], "a") as file:
        file.write("made\n")
    time.sleep(2)
    return [1] * size


class Small(params.Parameters):
    """Parameters of the small notebook."""

    seed: int = Field(0, description="nothing")
    size: int = Field(3, ge=1, description="a number")
    action: str = Field("none", description="what happens in the middle")


def install(folder):
    """Put the small notebook (twice) where `units` looks for notebooks; to be called in every process."""
    sources = CELLS.strip().split("\n---\n")
    kinds = [
        nbformat.v4.new_markdown_cell if source.startswith("#") else nbformat.v4.new_code_cell
        for source in sources
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[kind(source) for kind, source in zip(kinds, sources, strict=True)]
    )
    notebook.cells[1].metadata["tags"] = ["parameters"]
    for number, cell in enumerate(notebook.cells):
        cell["id"] = str(number)
    folder.mkdir(exist_ok=True)
    for name in ("small", "again"):
        if not (folder / f"{name}.ipynb").exists():
            nbformat.write(notebook, folder / f"{name}.ipynb")
        params.NOTEBOOKS[name] = Small
    units.NOTEBOOKS = folder


def study(folder, **notebooks):
    """Write a study of the small notebooks with these parameters; returns its path.

    >>> study(tmp_path, small={"size": 4})
    """
    path = folder / "tiny.yaml"
    lines = [
        f"  {name}: {{{', '.join(f'{key}: {value}' for key, value in own.items())}}}"
        for name, own in notebooks.items()
    ]
    path.write_text("name: tiny\nnotebooks:\n" + "\n".join(lines))
    return path


def sweep(folder, **entries):
    """Write a sweep, by default of the small notebook, with these entries; returns its path.

    >>> sweep(tmp_path, grid={"size": [1, 2]})
    """
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({"name": "tiny", "notebooks": {"small": {}}} | entries, sort_keys=False))
    return path
