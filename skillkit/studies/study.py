"""Studies: YAML files that name notebooks, set their parameters, and span a grid of them.

>>> study = load_study("params/embedded.yaml")
>>> study.notebooks["01_prompt_tuning"].seeds
[0, 1, 2]
>>> load_study("params/sweeps/seeds.yaml").cells[0].name
'01_prompt_tuning seeds=0'

Each notebook at each point of the grid is a cell. Without a grid, there is one cell per notebook.
"""

import math
import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import product, takewhile
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from skillkit.core.errors import SkillkitError, quoted, short
from skillkit.core.files import read_text, read_yaml
from skillkit.core.hashing import digest
from skillkit.studies import params
from skillkit.studies.manifest import Name
from skillkit.studies.params import checked, key_of, twice, unknown

MAX_CELLS = 10_000  # more are hardly meant
_RANGE = ("from", "to", "step", "times")
_Where = Annotated[dict[str, Any], Field(min_length=1)]
_Names = Annotated[list[str], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]


class _Override(BaseModel):
    model_config = ConfigDict(extra="forbid")
    where: _Where
    set: dict[str, Any]


class _File(BaseModel):
    """The entries of a study's file."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: Name
    shared: dict[str, Any] = {}
    notebooks: Annotated[dict[str, dict[str, Any] | None], Field(min_length=1)]
    grid: dict[str, Any] = {}
    exclude: Annotated[list[_Where], Field(max_length=1000)] = []
    overrides: Annotated[list[_Override], Field(max_length=1000)] = []
    after: dict[str, _Names] = {}


@dataclass(frozen=True, eq=False)
class Cell:
    """One notebook at one point of the grid, with checked parameters.

    >>> Cell("01_prompt_tuning", {"seeds": 0}, parameters).name
    '01_prompt_tuning seeds=0'
    """

    notebook: str
    point: dict
    parameters: BaseModel

    @property
    def name(self):
        """Notebook and point as text."""
        return " ".join([self.notebook, *(f"{axis}={as_text(value)}" for axis, value in self.point.items())])

    @property
    def place(self):
        """The point, and the notebook as one more axis."""
        return self.point | {"notebook": self.notebook}

    @property
    def folder(self):
        """Where its results go, in the folder of the study; it stays the same when other parameters change.

        >>> Cell("01_prompt_tuning", {"seeds": 0}, parameters).folder
        'cells/01_prompt_tuning/seeds=0-…'
        """
        if not self.point:
            return self.notebook
        words = re.sub(r"[^\w.=+-]+", "-", self.name.removeprefix(self.notebook).strip())
        words = words.encode()[:80].decode(errors="ignore")  # a name of a file has 255 bytes at most
        return f"cells/{self.notebook}/{words}-{digest(self.point)[:8]}"


@dataclass(frozen=True)
class Study:
    """A study: name, cells in their order, axes of the grid (parameter → values), notebook → those it waits for; the
    comment at the head of its file.

    >>> load_study("params/sweeps/seeds.yaml").axes
    {'seeds': [0, 1, 2, 3, 4]}
    >>> load_study("params/embedded.yaml").after["02_probing"]
    ['01_prompt_tuning']
    """

    name: str
    cells: list
    axes: dict
    after: dict
    path: Path
    about: str = ""

    @property
    def notebooks(self):
        """Notebook → parameters, of its last cell."""
        return {cell.notebook: cell.parameters for cell in self.cells}

    def predecessors(self, cells):
        """The places of the cells that each one waits for: those of `after` that agree on common axes.

        >>> study = load_study("params/embedded.yaml")
        >>> study.predecessors(study.cells[1:3])
        {0: [], 1: [0]}
        """
        numbers = {}
        for i, cell in enumerate(cells):
            numbers.setdefault(cell.notebook, []).append(i)
        return {
            i: [
                j for name in self.after.get(cell.notebook, ()) for j in numbers.get(name, ())
                if all(cells[j].point.get(axis, value) == value for axis, value in cell.point.items())
            ]
            for i, cell in enumerate(cells)
        }  # fmt: skip


def load_study(path, many=False):
    """Read a study's YAML; raises SkillkitError, before anything runs, for whatever is wrong.

    >>> len(load_study("params/sweeps/seeds.yaml").cells)
    5

    name:       of the folder of its results; that of the file if not given.
    shared:     parameters for every notebook that has them.
    notebooks:  notebook → parameters of its own.
    grid:       axis → values: a list, or a range {from: 0, to: 4}, with `step: 2` or `times: 10`; both ends
                count. An axis is a parameter; it goes to every notebook that has it. Where the parameter is a
                list, a single value stands for a list of one.
    exclude:    points that are left out; {tasks: world/news, seeds: [3, 4]} is all that fits both.
    overrides:  [{where: {backbone: embedded/t5}, set: {recipe: local}}]; `where` may name a `notebook` too.
    after:      notebook → notebooks it waits for (at the same point), so that it finds what they have stored.

    `many` allows more than 10,000 cells.
    """
    given = {"name": Path(path).stem} | {
        key: value for key, value in read_yaml(path).items() if value is not None
    }
    comments = takewhile(lambda line: line.startswith("#"), read_text(path).splitlines())
    try:
        about = " ".join(line.lstrip("# ") for line in comments)
        return _study(Path(path), checked(_File, given, "a study", "entry"), about, many)
    except SkillkitError as error:
        raise SkillkitError(f"{short(path)}: {error}") from None


def as_text(value):
    """A value of an axis as text.

    >>> as_text(["world/movies", "world/news"])
    'world/movies+world/news'
    """
    if isinstance(value, list):
        return "+".join(map(as_text, value))
    return "none" if value is None else str(value)


def _study(path, file, about, many):
    notebooks = {notebook: own or {} for notebook, own in file.notebooks.items()}
    fields = {notebook: params.model(notebook).model_fields for notebook in notebooks}
    _check_names("shared", file.shared, fields)
    for notebook, own in notebooks.items():
        _check_names(notebook, own)
    axes = _axes(file.grid, fields, many)
    values = axes | {"notebook": list(notebooks)}
    places = {axis: {key_of(value): value for value in own} for axis, own in values.items()}
    exclude = [_where("exclude", entry, places) for entry in file.exclude]
    overrides = [_override(entry, places, fields) for entry in file.overrides]
    left = [one for one in _points(axes, fields) if not any(_fits(entry, *one) for entry in exclude)]
    if not left:
        raise SkillkitError("every cell of the grid is excluded; take something out of `exclude`")
    cells = [
        _cell(name, point, file.shared, notebooks[name], overrides, fields[name]) for name, point in left
    ]
    return Study(file.name, cells, axes, _after(file.after, notebooks), path, about)


def _points(axes, fields):
    """(notebook, point) for all combinations of the axes that a notebook has."""
    for notebook in fields:
        own = {axis: values for axis, values in axes.items() if axis in fields[notebook]}
        yield from ((notebook, dict(zip(own, values))) for values in product(*own.values()))


def _cell(notebook, point, shared, own, overrides, fields):
    """Shared parameters, the notebook's own, the point's, then those of every override that fits."""
    shared = {name: value for name, value in shared.items() if name in fields}
    values = shared | own | {axis: _value(fields[axis], value) for axis, value in point.items()}
    for where, changed in overrides:
        if _fits(where, notebook, point):
            values |= {name: value for name, value in changed.items() if name in fields}
    return Cell(notebook, point, params.validate(notebook, values))


def _check_names(entry, given, fields=None):
    """Parameters that some notebook has; `out` is decided by the run."""
    if "out" in given:
        raise SkillkitError(f"{entry}: `out` cannot be set in a study; give the folder with --out")
    known = given.keys() if fields is None else set().union(*fields.values())
    for name in given.keys() - known:
        raise SkillkitError(unknown(f"{entry}: no notebook here has a parameter", name, known))


def _axes(grid, fields, many):
    """The values of every axis, ranges written out; few enough of them, each once."""
    _check_names("grid", grid, fields)
    axes = {axis: _range(axis, given) if isinstance(given, dict) else given for axis, given in grid.items()}
    for axis, values in axes.items():
        if not isinstance(values, list) or not values:
            raise SkillkitError(f"grid: {axis} needs a list of values or a range, not {quoted(values)}")
    sizes = [
        math.prod(len(values) for axis, values in axes.items() if axis in own) for own in fields.values()
    ]
    if sum(sizes) > MAX_CELLS and not (many and sum(sizes) <= 100 * MAX_CELLS):
        raise SkillkitError(
            f"the grid has {sum(sizes):,} cells; make it smaller" + ", or give --yes" * (not many)
        )
    for axis, values in axes.items():
        if double := twice(values):
            raise SkillkitError(f"grid: {axis} has {quoted(double[0])} twice")
    return axes


def _range(axis, given):
    """{from, to, step} counts, {from, to, times} multiplies; both ends belong to it."""
    first, last, step, times = (given.get(key) for key in _RANGE)
    numbers = [value for value in (first, last, step, times) if value is not None]
    right = given.keys() <= set(_RANGE) and None not in (first, last) and None in (step, times)
    right = right and all(type(value) in (int, float) and abs(value) < 1e15 for value in numbers)
    step = 1 if step is None else step
    if not right or first > last or (step <= 0 if times is None else times <= 1 or first <= 0):
        like = "{from: 0, to: 4}, with a `step` above 0 or `times` above 1"
        raise SkillkitError(f"grid: {axis}: a range is {like}, not {quoted(given)}")
    count = (last - first) / step if times is None else math.log(last / first, times)
    if count > 10 * MAX_CELLS:
        raise SkillkitError(f"grid: {axis}: a range of {count:.3g} values is too long; give a larger step")
    places = range(math.floor(count + 1e-9) + 1)
    values = [first + i * step for i in places] if times is None else [first * times**i for i in places]
    return [float(f"{value:.12g}") if isinstance(value, float) else value for value in values]


def _value(field, value):
    """A single value for a parameter that is a list is a list of one."""
    many = list in [get_origin(kind) for kind in (field.annotation, *get_args(field.annotation))]
    return [value] if many and not isinstance(value, list | None) else value


def _where(entry, given, places):
    """A condition on points, checked: axis (or `notebook`) → the values that fit."""
    condition = {}
    for axis, values in given.items():
        if axis not in places:
            raise SkillkitError(unknown(f"{entry}: the grid has no axis", axis, places))
        one = not isinstance(values, list) or key_of(values) in places[axis]
        condition[axis] = {key_of(value): value for value in ([values] if one else values)}
        for value in (condition[axis][key] for key in condition[axis].keys() - places[axis].keys()):
            there = short(as_text(list(places[axis].values())))
            raise SkillkitError(f"{entry}: {axis} has no value {quoted(value)}; it has {there}")
    return condition


def _fits(condition, notebook, point):
    place = point | {"notebook": notebook}
    return all(axis in place and key_of(place[axis]) in values for axis, values in condition.items())


def _override(entry, places, fields):
    """(condition, values) of one override, checked."""
    where = _where("overrides", entry.where, places)
    _check_names("overrides", entry.set, {name: fields[name] for name in where.get("notebook", fields)})
    if entry.set.keys() & places.keys():
        raise SkillkitError("overrides cannot set an axis of the grid; use `exclude` to leave points out")
    return where, entry.set


def _after(after, notebooks):
    """Notebook → the notebooks it waits for, checked: all of them there, none waiting for itself."""
    for name in [*after, *(name for given in after.values() for name in given)]:
        if name not in notebooks:
            raise SkillkitError(unknown("after: there is no notebook", name, notebooks))
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        raise SkillkitError(f"after: {' waits for '.join(error.args[1][::-1])}, so none can begin") from None
    return after
