"""Runs of notebooks: one unit of work that can be repeated, interrupted, continued; studies made of it.

>>> run_study("params/embedded.yaml")
embedded: 2 notebooks into runs/embedded
[1/2] 00_the_small_world: done in 21 s
[2/2] 01_prompt_tuning: done in 48 s

The unit validates parameters, lets papermill write to a temporary file, checks, renames, and writes a
manifest last. So a folder with a manifest that says "done" is complete, and what has one for the same content
is not run again.
"""

import functools
import re
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from skillkit.errors import SkillkitError
from skillkit.files import read_json, write_json, writing
from skillkit.identity import digest
from skillkit.params import Parameters
from skillkit.progress import progress
from skillkit.provenance import PACKAGE, provenance, runs_folder, source_hash
from skillkit.studies import load_study

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
        """Name of the notebook; its executed copy is `folder / (name + ".ipynb")`."""
        return self.source.stem

    def key(self):
        """Hash of all that decides the results: the notebook's cells, the parameters, the package's code."""
        cells = _cells_hash(self.source, self.source.stat().st_mtime_ns)
        return digest([cells, self.parameters.model_dump(exclude={"out"}), source_hash()])

    def manifest(self):
        """The manifest of a finished or failed execution in the folder, or None."""
        return read_json(self.folder / "manifest.json")

    def is_done(self):
        """Whether the folder holds the complete results of just this unit."""
        manifest = self.manifest() or {}
        return (
            manifest.get("state") == "done"
            and manifest.get("key") == self.key()
            and all((self.folder / name).exists() for name in manifest["files"])
        )


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


def run_study(path, out=None):
    """Execute the notebooks of a study in order; returns the run's folder, and the outcomes by notebook.

    >>> folder, outcomes = run_study("params/embedded.yaml")
    >>> outcomes["01_prompt_tuning"].state
    'done'

    Results go to `out`, else to `runs/<name of the study>`. A notebook that fails is told with its traceback,
    its partly run copy is kept as `<name>.failed.ipynb`, and the others go on. Relative paths among the
    parameters start where the command is given. Raises SkillkitError, before any kernel starts, for a wrong
    study.
    """
    study = load_study(path)
    folder = Path(out or runs_folder() / study.name)
    units = [Unit(NOTEBOOKS / f"{name}.ipynb", own, folder / name) for name, own in study.notebooks.items()]
    for unit in units:
        if not unit.source.is_file():
            raise SkillkitError(f"{path}: the notebook {unit.source} is not there; run from the repository")
    _claim(folder, study)
    count = f"{len(units)} notebook{'s' * (len(units) > 1)}"
    print(f"{study.name}: {count} into {folder}", flush=True)
    outcomes = {unit.name: _tell(unit, f"[{i}/{len(units)}] {unit.name}") for i, unit in enumerate(units, 1)}
    return folder, outcomes


def run_unit(unit, title=None, force=False, **options):
    """Execute one notebook, unless its folder already holds just that; never raises for what a notebook does.

    >>> run_unit(unit).state
    'done'

    force:    execute also what is done.
    options:  `quiet` shows no progress, `cwd` is the kernel's working folder.

    Two processes may ask for the same unit: the second waits, then finds it done. Raises SkillkitError when
    the folder cannot be written.
    """
    with writing(unit.folder, "give another folder with --out"):
        unit.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(unit.folder.with_name(f".{unit.folder.name}.lock")):
            done = unit.is_done() and not force
            return Outcome("kept") if done else _execute(unit, title or unit.name, **options)


def _execute(unit, title, **options):
    """Empty the folder, run, write the manifest. The caller holds the lock."""
    shutil.rmtree(unit.folder, ignore_errors=True)
    unit.folder.mkdir(parents=True)
    began, key = time.time(), unit.key()
    error, killed = _papermill(unit, title, **options)
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


def _papermill(unit, title, quiet=False, cwd=None):
    """Run the notebook into its final place; returns the error, or None, and whether the kernel was killed.

    The copy of a notebook that fails is kept apart.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    from skillkit.kernels import ThisPython

    partial = unit.folder / f"{unit.name}.partial.ipynb"
    changed = unit.parameters.model_dump(exclude_defaults=True) | {"out": str(unit.folder)}
    resources = {"metadata": {"path": cwd}} if cwd else {}
    error, killed = None, False
    with _Cells(unit, title, quiet) as cells:
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
    """Progress through the cells of a notebook, told by its headings."""

    def __init__(self, unit, title, quiet):
        self.total = len(read_json(unit.source)["cells"])
        self.title, self.quiet, self.where = title, quiet, "before the first cell"

    def __enter__(self):
        line = "{desc}: cell {n_fmt}/{total_fmt} after {elapsed}{postfix}"
        self.bar = progress(total=self.total, desc=self.title, bar_format=line, disable=self.quiet)
        return self

    def begin(self, cell, cell_index):
        """Called by nbclient before each cell."""
        self.where = f"cell {cell_index + 1}"
        done = min(cell_index, self.total)
        heading = re.match(r"#+ +(.+)", cell["source"]) if cell["cell_type"] == "markdown" else None
        if heading:
            self.bar.n = done
            self.bar.set_postfix_str(heading[1])
        else:
            self.bar.update(max(0, done - self.bar.n))

    def __exit__(self, kind, error, trace):
        self.bar.close()


def _what_failed(failure):
    """Where and why a cell failed; what was our user's mistake needs no traceback."""
    first = f"{failure.ename}: {failure.evalue}"
    if failure.ename == SkillkitError.__name__:
        return failure.evalue
    lines = "\n".join(failure.traceback) or first
    return re.sub(r"\x1b\[[0-9;]*m", "", f"{first}\n{lines}").strip()


def _tell(unit, title):
    """Run a unit and say how it ended."""
    outcome = run_unit(unit, title)
    if outcome.state == "kept":
        print(f"{title}: nothing has changed, kept", flush=True)
    elif outcome.state == "done":
        print(f"{title}: done in {outcome.seconds:.0f} s", flush=True)
    else:
        copy = unit.folder / f"{unit.name}.failed.ipynb"
        print(f"{title}: FAILED after {outcome.seconds:.0f} s, as far as it got in {copy}", flush=True)
        print("  " + outcome.error.replace("\n", "\n  "), file=sys.stderr, flush=True)
    return outcome


def _claim(folder, study):
    """Note in the folder which study it belongs to; another study's results are not overwritten."""
    with writing(folder, "give another folder with --out"):
        folder.mkdir(parents=True, exist_ok=True)
        before = (read_json(folder / "study.json") or {}).get("name", study.name)
        if before != study.name:
            raise SkillkitError(f"{folder} holds the study {before!r}; give another folder with --out")
        write_json(
            folder / "study.json",
            {"name": study.name, "file": str(study.path), "notebooks": list(study.notebooks)},
        )
