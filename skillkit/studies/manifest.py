"""What a run writes down about itself, and what of it is believed when it is read back.

>>> read_manifest("runs/embedded")["cells"][0]["folder"]
'01_prompt_tuning'

`study.json` of a run names the study, its axes and its cells; `manifest.json` of a notebook says how it ended and holds
a checksum of every file that it has made; `contents.json` and `claims.json` are the notebook's own.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from skillkit.core.errors import SkillkitError, short
from skillkit.core.files import changed, own, read_json, write_json, writing
from skillkit.studies.claims import Claim

REMEDY = "give another folder with --out"
# A name that becomes that of a file or a folder.
Name = Annotated[str, Field(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]{0,99}$")]


class _Plain(BaseModel):
    """What is read from a file that anybody may have written: of the right types, all numbers finite."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Cell(_Plain):
    name: str
    notebook: Name
    folder: str
    point: dict[str, Any]
    parameters: dict[str, Any]


class _Run(_Plain):
    name: Name
    file: str = ""
    about: str = ""
    axes: dict[str, list]
    cells: list[_Cell]


class _Result(_Plain):
    state: Literal["done", "failed", "damaged", "unfinished"]
    notebook: str = ""
    seconds: float | None = None
    error: str | None = None
    killed: bool = False
    key: str = ""
    finished: str = ""
    parameters: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    files: dict[str, str] = {}


class Entry(_Plain):
    """A figure or a table with its files.

    >>> Entry(name="scores", caption="", files=["tables/scores.csv"]).name
    'scores'
    """

    name: Name
    caption: str
    files: Annotated[list[str], Field(min_length=1)]


class Contents(_Plain):
    """The figures and tables that a notebook has saved, in `contents.json`.

    >>> Contents().tables
    []
    """

    findings: list[str] = []
    figures: list[Entry] = []
    tables: list[Entry] = []


class Claims(RootModel):
    """The claims of a notebook, in `claims.json`.

    >>> Claims([]).root
    []
    """

    root: list[Claim]


class _File(_Plain):
    href: str
    kind: str


class _Figure(_Plain):
    name: Name
    caption: str
    files: list[_File]
    picture: str


@dataclass(frozen=True, kw_only=True)
class _Shown(Claim):
    unit: str
    published_text: str
    measured_text: str


class _Unit(_Plain):
    name: Name
    title: str
    parameters: list[dict[str, Any]]
    claims: list[_Shown]
    findings: list[str] = []
    figures: list[_Figure]


class PublishedStudy(_Plain):
    """A study among the committed results, in a `study.json` of its own; the run itself may be gone.

    >>> PublishedStudy(name="local-sst2", units=[], about="").units
    []
    """

    name: Name
    units: list[_Unit]
    about: str


def write_manifest(folder, study):
    """Write down what a folder is for; the results of another study are not overwritten.

    >>> write_manifest("runs/mine", load_study("params/embedded.yaml"))
    """
    folder = Path(folder)
    with writing(folder, REMEDY):
        own(folder, REMEDY)
        before = None
        with suppress(SkillkitError):  # one that is damaged is made again
            before = read_json(folder / "study.json", _Run)
        if before and (before.name, bool(before.axes)) != (study.name, bool(study.axes)):
            raise SkillkitError(f"{folder} holds the study {before.name!r}; give another with --out")
        other = Path(before.file) if before and before.file else None
        if other and other.is_file() and study.path.is_file() and not other.samefile(study.path):
            raise SkillkitError(f"{folder} holds the results of {other}; {REMEDY}, or a `name`")
        cells = [
            {"name": cell.name, "notebook": cell.notebook, "folder": cell.folder, "point": cell.point,
             "parameters": cell.parameters.model_dump(exclude={"out"})}
            for cell in study.cells
        ]  # fmt: skip
        plain = {"name": study.name, "file": str(study.path), "about": study.about, "axes": study.axes}
        write_json(folder / "study.json", plain | {"cells": cells}, seal=True)


def read_manifest(folder):
    """The manifest of a run as plain data; its cells have name, notebook, folder, point and parameters.

    >>> read_manifest("runs/seeds")["axes"]
    {'tasks': ['movies', 'news'], 'seeds': [0, 1, 2, 3]}

    Raises SkillkitError when the folder is no run.
    """
    run = read_json(Path(folder) / "study.json", _Run)
    if not run:
        raise SkillkitError(
            f"{short(folder)} is no run; give the folder that `run` wrote, like runs/embedded"
        )
    return run.model_dump()


def read_result(folder):
    """How a notebook ended, from the manifest in its folder; the state is "damaged" where a file is not as it was then.

    >>> read_result("runs/embedded/01_prompt_tuning")["state"]
    'done'

    Without a manifest the state is "unfinished".
    """
    try:
        result = read_json(Path(folder) / "manifest.json", _Result, seal=True) or _Result(state="unfinished")
        if lost := changed(folder, result.files):
            raise SkillkitError(f"{lost} is lost, or has changed since it was made; run the study again")
    except SkillkitError as error:
        result = _Result(state="damaged", error=str(error))
    return result.model_dump()
