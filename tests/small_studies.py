"""A notebook so small that tests can run it again and again, and the study around it."""

import nbformat
import pandas as pd
import yaml

from skillkit.core.files import checksums, write_json
from skillkit.core.provenance import provenance
from skillkit.studies import Claim, params

CELLS = """
# A small notebook
---
seed: int = 0  # nothing
size: int = 3  # a number; ≥ 1
action: str = "none"  # what happens in the middle
device: str = "auto"  # nothing
out: str | None = None  # folder of the results
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
if action == "die once" and not Path(os.environ["SMALL_LOG"] + ".died").exists():
    Path(os.environ["SMALL_LOG"] + ".died").touch()
    os.kill(os.getpid(), 9)
if action == "compute":
    sum(number * number for number in range(150_000_000))
if action == "release":
    Path(os.environ["SMALL_LOG"] + ".go").touch()
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
    "from skillkit.studies import job; studies.install(Path(sys.argv.pop(1))); job.source_hash = lambda: 'this code'; "
    "from skillkit.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


def write_notebook(path, text):
    """A notebook of the cells in a text, the second of which holds the parameters.

    >>> write_notebook(tmp_path / "small.ipynb", CELLS)
    """
    make = {True: nbformat.v4.new_markdown_cell, False: nbformat.v4.new_code_cell}
    sources = text.strip().split("\n---\n")
    cells = [make[source.startswith("#")](source, id=str(at)) for at, source in enumerate(sources)]
    cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def install(folder):
    """Put the small notebook (twice) where notebooks are looked for; to be called in every process."""
    folder.mkdir(exist_ok=True)
    for name in ("small", "again"):
        if not (folder / f"{name}.ipynb").exists():
            write_notebook(folder / f"{name}.ipynb", CELLS)
    params.FOLDER = folder


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


def finish(folder, state="done", **more):
    """The manifest of a notebook that has ended and whose files lie in the folder.

    >>> finish(tmp_path / "small", error="ValueError", state="failed")
    """
    plain = {"notebook": folder.name, "state": state, "seconds": 75.0, "finished": "2026-01-05T10:00:00Z"}
    (folder / "manifest.json").unlink(missing_ok=True)
    plain |= {"provenance": provenance(), "files": checksums(folder)}
    write_json(folder / "manifest.json", plain | more, seal=True)


def describe(folder, *cells, **more):
    """The manifest of a run of these cells, of which a name stands for a notebook without a grid.

    >>> describe(tmp_path, "small", "again")
    """
    plain = [
        cell if isinstance(cell, dict) else {"name": cell, "notebook": cell, "folder": cell} for cell in cells
    ]
    plain = [{"point": {}, "parameters": {}} | cell for cell in plain]
    write_json(folder / "study.json", {"name": "tiny", "axes": {}, "cells": plain} | more)


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
    claim = Claim(f"It works. {EVIL}", "A 2022", 0.9, value, *ends, holds="undecided" if seed else "yes")
    nbformat.write(nbformat.v4.new_notebook(), own / f"small{'.failed' * (state == 'failed')}.ipynb")
    write_json(own / "contents.json", {"figures": [], "tables": tables})
    write_json(own / "claims.json", [claim.plain()])
    parameters = {"seeds": [seed], "tasks": [task], "length": 4}
    finish(
        own,
        state,
        parameters=parameters,
        error=f"ValueError: {EVIL}\ntraceback" if state == "failed" else None,
    )


def swept(folder):
    """A sweep over two tasks and two seeds; a fifth cell has failed and a sixth has not run."""
    for task, seed in ACCURACY:
        cell(folder, task, seed, "failed" if seed == 2 else "done")
    cells = [
        {"name": f"small tasks={task} seeds={seed}", "notebook": "small", "folder": f"cells/{task}-{seed}",
         "point": {"tasks": task, "seeds": seed}, "parameters": {"seeds": [seed], "tasks": [task], "length": 4}}
        for task, seed in [*ACCURACY, ("movies", 3)]
    ]  # fmt: skip
    describe(folder, *cells, axes={"tasks": ["movies", "news"], "seeds": [0, 1, 2, 3]})
    return folder
