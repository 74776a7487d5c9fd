"""One notebook with checked parameters: executed once, kept when done, in a folder of its own.

>>> unit = Unit(NOTEBOOKS / "02_probing.ipynb", Probing(), Path("runs/embedded/02_probing"))
>>> run_unit(unit).state                    # doctest: +SKIP
'done'

Parameters are validated, papermill writes to a temporary file, which is checked and renamed, and a manifest is
written last. So a folder with a manifest that says "done" is complete, and what has one for the same content is
not run again.
"""

import functools
import re
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_json, write_json, writing
from skillkit.core.hashing import digest
from skillkit.core.provenance import PACKAGE, provenance, source_hash
from skillkit.studies.params import Parameters

NOTEBOOKS = PACKAGE.parent / "notebooks"


@dataclass(frozen=True)
class Unit:
    """One notebook file with checked parameters and the folder of its results.

    >>> Unit(NOTEBOOKS / "01_prompt_tuning.ipynb", PromptTuning(), Path("runs/embedded/01_prompt_tuning"))
    """

    source: Path
    parameters: Parameters
    folder: Path

    @property
    def name(self):
        """Name of the notebook; its executed copy is `folder / (name + ".ipynb")`.

        >>> notebook_unit("02_probing", Probing(), Path("dir")).name
        '02_probing'
        """
        return self.source.stem

    def key(self):
        """Hash of all that decides the results: the notebook's cells, the parameters, the package's code.

        >>> units = [notebook_unit("02_probing", Probing(seeds=[seed]), Path("dir")) for seed in (0, 1)]
        >>> units[0].key() == units[1].key()
        False
        """
        cells = _cells_hash(self.source, self.source.stat().st_mtime_ns)
        return digest([cells, self.parameters.model_dump(exclude={"out"}), source_hash()])

    def manifest(self):
        """The manifest of a finished or failed execution in the folder, or None.

        >>> notebook_unit("02_probing", Probing(), Path("dir")).manifest() is None
        True
        """
        return read_json(self.folder / "manifest.json")

    def is_done(self):
        """Whether the folder holds the complete results of just this unit.

        >>> notebook_unit("02_probing", Probing(), Path("dir")).is_done()
        False
        """
        manifest = self.manifest() or {}
        return (
            manifest.get("state") == "done"
            and manifest.get("key") == self.key()
            and all((self.folder / name).exists() for name in manifest["files"])
        )


def notebook_unit(name, parameters, folder):
    """The unit of one of the chapters; raises SkillkitError when its notebook is not there.

    >>> notebook_unit("02_probing", Probing(), Path("runs/embedded/02_probing")).name
    '02_probing'
    """
    source = (NOTEBOOKS / f"{name}.ipynb").absolute()
    if not source.is_file():
        raise SkillkitError(f"the notebook {source} is not there; run from the repository")
    return Unit(source, parameters, folder)


@dataclass(frozen=True)
class Outcome:
    """How an execution ended: `state` is "done", "kept" (was done before) or "failed".

    >>> Outcome("failed", 3.2, "cell 4: the kernel died; it was killed, or ran out of memory", killed=True)

    `killed`: nothing was wrong with the notebook, so that another try may succeed.
    """

    state: str
    seconds: float = 0.0
    error: str | None = None
    killed: bool = False


def claim_folder(folder, kind, told):
    """Note in a folder what it is for; the results of another study or sweep are not overwritten.

    >>> claim_folder(Path("runs/lengths"), "sweep", {"name": "lengths", "cells": []})      # writes sweep.json
    """
    with writing(folder, "give another folder with --out"):
        folder.mkdir(parents=True, exist_ok=True)
        for other in ("study", "sweep"):
            before = (read_json(folder / f"{other}.json") or {}).get("name")
            if before is not None and (other, before) != (kind, told["name"]):
                raise SkillkitError(f"{folder} holds the {other} {before!r}; give another folder with --out")
        write_json(folder / f"{kind}.json", told)


def run_unit(unit, force=False, watch=None, cwd=None):
    """Execute one notebook, unless its folder already holds just that; never raises for what a notebook does.

    >>> run_unit(unit).state                # doctest: +SKIP
    'done'

    force:  execute also what is done.
    watch:  called before each cell with a line about it, such as "cell 7 of 26, 2. Tuning".
    cwd:    the kernel's working folder.

    Two processes may ask for the same unit: the second waits, then finds it done. Raises SkillkitError when
    the folder cannot be written.
    """
    with writing(unit.folder, "give another folder with --out"):
        unit.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(unit.folder.with_name(f".{unit.folder.name}.lock")):
            done = unit.is_done() and not force
            return Outcome("kept") if done else _execute(unit, watch, cwd)


def _execute(unit, watch, cwd):
    """Empty the folder, run, write the manifest. The caller holds the lock."""
    shutil.rmtree(unit.folder, ignore_errors=True)
    unit.folder.mkdir(parents=True)
    began, key = time.time(), unit.key()
    error, killed = _papermill(unit, watch, cwd)
    outcome = Outcome("failed" if error else "done", round(time.time() - began, 1), error, killed)
    files = [str(path.relative_to(unit.folder)) for path in sorted(unit.folder.rglob("*")) if path.is_file()]
    write_json(
        unit.folder / "manifest.json",
        {
            "notebook": unit.name,
            **asdict(outcome),
            "key": key,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "parameters": unit.parameters.model_dump(exclude={"out"}),
            "provenance": provenance(),
            "files": files,
        },
    )
    return outcome


def _papermill(unit, watch, cwd):
    """Run the notebook into its final place; returns the error, or None, and whether the kernel was killed.

    The copy of a notebook that fails is kept apart.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    from skillkit.studies.kernel import ThisPython

    partial = unit.folder / f"{unit.name}.partial.ipynb"
    changed = unit.parameters.model_dump(exclude_defaults=True) | {"out": str(unit.folder)}
    resources = {"metadata": {"path": cwd}} if cwd else {}
    cells = _Cells(unit, watch)
    error, killed = None, False
    try:
        papermill.execute_notebook(
            unit.source, partial, changed, kernel_manager_class=ThisPython, shutdown_kernel="immediate",
            kernel_name="python3", language="python", progress_bar=False, on_cell_start=cells.begin,
            resources=resources, start_timeout=300,
        )  # fmt: skip
    except papermill.PapermillExecutionError as failure:
        error = _what_failed(failure)
    except DeadKernelError:
        error, killed = f"{cells.where}: the kernel died; it was killed, or ran out of memory", True
    except RuntimeError as failure:  # of jupyter_client, before the kernel answers for the first time
        error, killed = f"the kernel did not start: {failure}", True
    partial.replace(unit.folder / f"{unit.name}{'.failed' * bool(error)}.ipynb")
    return error, killed


@functools.lru_cache
def _cells_hash(source, changed):
    """Hash of a notebook's cells; `changed` is the file's time, since a sweep asks thousands of times."""
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in read_json(source)["cells"]]
    return digest(cells)


class _Cells:
    """Where in a notebook the kernel is, told by its headings."""

    def __init__(self, unit, watch):
        self.total = len(read_json(unit.source)["cells"])
        self.watch, self.where, self.heading = watch, "before the first cell", ""

    def begin(self, cell, cell_index):
        """Called by nbclient before each cell."""
        self.where = f"cell {cell_index + 1}"
        heading = re.match(r"#+ +(.+)", cell["source"]) if cell["cell_type"] == "markdown" else None
        self.heading = f", {heading[1]}" if heading else self.heading
        if self.watch:
            self.watch(f"cell {min(cell_index + 1, self.total)} of {self.total}{self.heading}")


def _what_failed(failure):
    """Where and why a cell failed; what was our user's mistake needs no traceback."""
    first = f"{failure.ename}: {failure.evalue}"
    if failure.ename == SkillkitError.__name__:
        return failure.evalue
    lines = "\n".join(failure.traceback) or first
    return re.sub(r"\x1b\[[0-9;]*m", "", f"{first}\n{lines}").strip()
