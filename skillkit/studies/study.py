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
from itertools import product
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel

from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_yaml
from skillkit.core.hashing import digest
from skillkit.studies import params
from skillkit.studies.params import unknown

MAX_CELLS = 10_000  # more are hardly meant
_RANGE = ("from", "to", "step", "times")
_MAPPINGS, _LISTS = ("shared", "notebooks", "grid", "after"), ("exclude", "overrides")
_ENTRIES = {"name": None} | {name: {} for name in _MAPPINGS} | {name: [] for name in _LISTS}


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
        words = re.sub(r"[^\w.=+-]+", "-", self.name.removeprefix(self.notebook).strip())[:80]
        return f"cells/{self.notebook}/{words}-{digest(self.point)[:8]}"


@dataclass(frozen=True)
class Study:
    """A study: name, cells in their order, axes of the grid (parameter → values), notebook → those it waits for.

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
        return {
            i: [
                j for j, other in enumerate(cells)
                if other.notebook in self.after.get(cell.notebook, ())
                and all(other.point.get(axis, value) == value for axis, value in cell.point.items())
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
    plain = read_yaml(path)
    try:
        for key in plain.keys() - _ENTRIES.keys():
            raise SkillkitError(unknown("a study has no entry", key, _ENTRIES))
        plain = _ENTRIES | {key: value for key, value in plain.items() if value is not None}
        return _study(Path(path), plain, many)
    except SkillkitError as error:
        raise SkillkitError(f"{path}: {error}") from None


def as_text(value):
    """A value of an axis as text.

    >>> as_text(["world/movies", "world/news"])
    'world/movies+world/news'
    """
    if isinstance(value, list):
        return "+".join(map(as_text, value))
    return "none" if value is None else str(value)


def _study(path, plain, many):
    notebooks, shared, name = plain["notebooks"], plain["shared"], plain["name"] or path.stem
    if not isinstance(name, str) or set(name) & set("/\\\0") or name.startswith("."):
        raise SkillkitError(f"`name` becomes the name of a folder and cannot be {name!r}")
    if not isinstance(notebooks, dict) or not notebooks:
        raise SkillkitError("`notebooks` must map each notebook to its parameters, like 01_prompt_tuning: {}")
    notebooks = {notebook: {} if own is None else own for notebook, own in notebooks.items()}
    fields = {notebook: params.model(notebook).model_fields for notebook in notebooks}
    _check_names("shared", shared, fields)
    for own in notebooks.values():
        _check_names("notebooks", own)
    axes = _axes(plain["grid"], fields)
    points = list(_points(axes, fields))
    if len(points) > MAX_CELLS and not many:
        raise SkillkitError(f"the grid has {len(points):,} cells; make it smaller, or give --yes")
    places = axes | {"notebook": list(notebooks)}
    exclude = [_where("exclude", entry, places) for entry in plain["exclude"]]
    overrides = [_override(entry, places, fields) for entry in plain["overrides"]]
    left = [one for one in points if not any(_fits(entry, *one) for entry in exclude)]
    if not left:
        raise SkillkitError("every cell of the grid is excluded; take something out of `exclude`")
    cells = [_cell(name, point, shared, notebooks[name], overrides, fields[name]) for name, point in left]
    return Study(plain["name"] or path.stem, cells, axes, _after(plain["after"], notebooks), path)


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
    """Parameters with their values, each one that some notebook has; `out` is decided by the run."""
    if not isinstance(given, dict):
        raise SkillkitError(f"{entry}: parameters must be names with values (name: value), not {given!r}")
    if "out" in given:
        raise SkillkitError(f"{entry}: `out` cannot be set in a study; give the folder with --out")
    known = given.keys() if fields is None else set().union(*fields.values())
    for name in given.keys() - known:
        raise SkillkitError(unknown(f"{entry}: no notebook here has a parameter", name, known))


def _axes(grid, fields):
    """The values of every axis, ranges written out."""
    _check_names("grid", grid, fields)
    axes = {axis: _range(axis, given) if isinstance(given, dict) else given for axis, given in grid.items()}
    for axis, values in axes.items():
        if not isinstance(values, list) or not values:
            raise SkillkitError(f"grid: {axis} needs a list of values or a range, not {values!r}")
        if any(value in values[:i] for i, value in enumerate(values)):
            raise SkillkitError(f"grid: {axis} has a value twice")
    return axes


def _range(axis, given):
    """{from, to, step} counts, {from, to, times} multiplies; both ends belong to it."""
    first, last, step, times = (given.get(key) for key in _RANGE)
    numbers = [value for value in (first, last, step, times) if value is not None]
    right = given.keys() <= set(_RANGE) and None not in (first, last) and None in (step, times)
    right = right and all(type(value) in (int, float) and math.isfinite(value) for value in numbers)
    step = 1 if step is None else step
    if not right or first > last or (step <= 0 if times is None else times <= 1 or first <= 0):
        like = "{from: 0, to: 4}, with a `step` above 0 or `times` above 1"
        raise SkillkitError(f"grid: {axis}: a range is {like}, not {given}")
    count = (last - first) / step if times is None else math.log(last / first, times)
    if count > 10 * MAX_CELLS:
        raise SkillkitError(f"grid: {axis}: a range of {count:.0f} values is too long; give a larger step")
    places = range(math.floor(count + 1e-9) + 1)
    values = [first + i * step for i in places] if times is None else [first * times**i for i in places]
    return [float(f"{value:.12g}") if isinstance(value, float) else value for value in values]


def _value(field, value):
    """A single value for a parameter that is a list is a list of one."""
    many = list in [get_origin(kind) for kind in (field.annotation, *get_args(field.annotation))]
    return [value] if many and not isinstance(value, list | None) else value


def _where(entry, given, places):
    """A condition on points, checked: axis (or `notebook`) → the values that fit."""
    if not isinstance(given, dict) or not given:
        raise SkillkitError(f"{entry} needs axes with values, like {{seeds: [3, 4]}}, not {given!r}")
    condition = {}
    for axis, values in given.items():
        if axis not in places:
            raise SkillkitError(unknown(f"{entry}: the grid has no axis", axis, places))
        condition[axis] = [values] if values in places[axis] or not isinstance(values, list) else values
        for value in condition[axis]:
            if value not in places[axis]:
                raise SkillkitError(f"{entry}: {axis} has no value {value!r}; it has {as_text(places[axis])}")
    return condition


def _fits(condition, notebook, point):
    place = point | {"notebook": notebook}
    return all(axis in place and place[axis] in values for axis, values in condition.items())


def _override(entry, places, fields):
    """(condition, values) of one override, checked."""
    if not isinstance(entry, dict) or entry.keys() != {"where", "set"} or not isinstance(entry["set"], dict):
        like = "{where: {axis: value}, set: {parameter: value}}"
        raise SkillkitError(f"an override is {like}, not {entry!r}")
    where = _where("overrides", entry["where"], places)
    _check_names("overrides", entry["set"], {name: fields[name] for name in where.get("notebook", fields)})
    if entry["set"].keys() & places.keys():
        raise SkillkitError("overrides cannot set an axis of the grid; use `exclude` to leave points out")
    return where, entry["set"]


def _after(after, notebooks):
    """Notebook → the notebooks it waits for, checked: all of them there, none waiting for itself."""
    if not isinstance(after, dict):
        raise SkillkitError("`after` must map a notebook to those it waits for, like second: first")
    after = {name: [given] if isinstance(given, str) else given for name, given in after.items()}
    for name in [*after, *(name for given in after.values() for name in given)]:
        if name not in notebooks:
            raise SkillkitError(unknown("after: there is no notebook", name, notebooks))
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        raise SkillkitError(f"after: {' waits for '.join(error.args[1][::-1])}, so none can begin") from None
    return after
