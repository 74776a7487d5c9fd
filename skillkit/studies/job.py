"""A job: one notebook with checked parameters, executed once, kept when done, in a folder of its own.

>>> job = NotebookJob.create("02_probing", validate("02_probing", {}), Path("runs/embedded/02_probing"))
>>> run_job(job).state                      # doctest: +SKIP
'done'

Papermill writes to a temporary file, which is renamed, and a manifest is written last. So a folder with a manifest that
says "done" is complete, and what has one for the same content is not run again, unless a file has changed since.
"""

import functools
import logging
import re
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import FileLock

from skillkit.core import store
from skillkit.core.errors import SkillkitError
from skillkit.core.files import checksums, own, remove, write_json, writing
from skillkit.core.hashing import digest
from skillkit.core.provenance import provenance, runs_folder, source_hash
from skillkit.studies import params
from skillkit.studies.inputs import contents
from skillkit.studies.manifest import REMEDY, read_result


@dataclass(frozen=True)
class NotebookJob:
    """A notebook file, its parameters (all, and those that are not the defaults), and the folder of its results.

    >>> job = NotebookJob.create("01_prompt_tuning", validate("01_prompt_tuning", {"seeds": [4]}), Path("dir"))
    >>> job.name, job.changed
    ('01_prompt_tuning', {'seeds': [4]})
    """

    source: Path
    parameters: dict
    changed: dict
    folder: Path
    cwd: Path = field(default_factory=Path.cwd)  # where relative paths among the parameters begin

    @classmethod
    def create(cls, notebook, parameters, folder):
        """The job of one of the chapters; `parameters` as `params.validate` gives them."""
        source = (params.FOLDER / f"{notebook}.ipynb").absolute()
        changed = parameters.model_dump(exclude_defaults=True)
        return cls(source, parameters.model_dump(exclude={"out"}), changed, Path(folder))

    @property
    def name(self):
        """Name of the notebook; its executed copy is `folder / (name + ".ipynb")`."""
        return self.source.stem

    def key(self):
        """Hash of all that decides the results: cells, parameters with the files that they name, the package's code.

        >>> parameters = [validate("02_probing", {"seeds": [seed]}) for seed in (0, 1)]
        >>> len({NotebookJob.create("02_probing", one, "dir").key() for one in parameters})
        2
        """
        cells = _cells_hash(self.source, self.source.stat().st_mtime_ns)
        outs = [
            one.resolve() for one in (self.folder, runs_folder(), store.root())
        ]  # may lie in a folder of data
        return digest([cells, self.parameters, source_hash(), contents(self.parameters, self.cwd, outs)])

    def is_done(self):
        """Whether the folder holds the complete results of just this job.

        >>> NotebookJob.create("02_probing", validate("02_probing", {}), "dir").is_done()
        False
        """
        result = read_result(self.folder)
        return result["state"] == "done" and result["key"] == self.key()


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


def run_job(job, force=False, watch=None, cwd=None):
    """Execute one notebook, unless its folder already holds just that; never raises for what a notebook does.

    >>> run_job(job).state                  # doctest: +SKIP
    'done'

    force:  execute also what is done.
    watch:  called before each cell with a line about it, such as "cell 7 of 26, 2. Tuning".
    cwd:    the kernel's working folder.

    Two processes may ask for the same job: the second waits, then finds it done. Raises SkillkitError when
    the folder cannot be written.
    """
    with writing(job.folder, REMEDY):
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(job.folder.with_name(f".{job.folder.name}.lock")):
            done = job.is_done() and not force
            return Outcome("kept") if done else _execute(job, watch, cwd)


def _execute(job, watch, cwd):
    """Empty the folder, run, write the manifest. The caller holds the lock."""
    remove(job.folder, REMEDY)
    own(job.folder, REMEDY)
    began, key = time.time(), job.key()
    error, killed = _papermill(job, watch, cwd)
    outcome = Outcome("failed" if error else "done", round(time.time() - began, 1), error, killed)
    finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    manifest = {"notebook": job.name, **asdict(outcome), "key": key, "finished": finished}
    manifest |= {"parameters": job.parameters, "provenance": provenance(), "files": checksums(job.folder)}
    write_json(job.folder / "manifest.json", manifest, seal=True)
    return outcome


def _papermill(job, watch, cwd):
    """Run the notebook into its final place; returns the error, or None, and whether the kernel was killed.

    The copy of a notebook that fails is kept apart.
    """
    import papermill  # with nbclient and the kernel half a second, which the command line spares
    from nbclient.exceptions import DeadKernelError

    from skillkit.studies.kernel import ThisPython

    # Types like `str | None` it does not read, and would call such parameters unknown; ours are checked already.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    # papermill formats paths as templates, so braces are escaped.
    as_it_is = lambda path: str(path).replace("{", "{{").replace("}", "}}")
    partial, cells = job.folder / f"{job.name}.partial.ipynb", _Position(job, watch)
    error, killed = None, False
    try:
        papermill.execute_notebook(
            as_it_is(job.source), as_it_is(partial), job.changed | {"out": str(job.folder)},
            kernel_manager_class=ThisPython, shutdown_kernel="immediate", kernel_name="python3", language="python",
            progress_bar=False, on_cell_start=cells.begin, resources={"metadata": {"path": cwd}} if cwd else {},
            start_timeout=300,
        )  # fmt: skip
    except papermill.PapermillExecutionError as failure:
        error = _what_failed(failure)
    except DeadKernelError:
        error, killed = f"{cells.where}: the kernel died; it was killed, or ran out of memory", True
    except RuntimeError as failure:  # of jupyter_client, before the kernel answers for the first time
        error, killed = f"the kernel did not start: {failure}", True
    partial.replace(job.folder / f"{job.name}{'.failed' * bool(error)}.ipynb")
    return error, killed


@functools.lru_cache
def _cells_hash(source, changed):
    """Hash of a notebook's cells; `changed` is the file's time, since a sweep asks thousands of times."""
    return digest([[cell.cell_type, cell.text] for cell in params.read_cells(source)])


class _Position:
    """Where in a notebook the kernel is, by its headings."""

    def __init__(self, job, watch):
        self.total = len(params.read_cells(job.source))
        self.watch, self.where, self.heading = watch, "before the first cell", ""

    def begin(self, cell, cell_index):
        """Called by nbclient before each cell."""
        self.where = f"cell {cell_index + 1}"
        heading = re.match(r"#+ +(.+)", cell["source"]) if cell["cell_type"] == "markdown" else None
        self.heading = f", {heading[1]}" if heading else self.heading
        if self.watch:
            self.watch(f"cell {min(cell_index + 1, self.total)} of {self.total}{self.heading}")


def _what_failed(failure):
    """Where and why a cell failed; a user's mistake needs no traceback."""
    if failure.ename == SkillkitError.__name__:
        return failure.evalue
    first = f"{failure.ename}: {failure.evalue}"
    lines = "\n".join(failure.traceback) or first
    return re.sub(r"\x1b\[[0-9;]*m", "", f"{first}\n{lines}").strip()
