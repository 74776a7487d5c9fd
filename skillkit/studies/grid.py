"""Grids: a YAML file that stands for many cells, each one notebook with checked parameters.

>>> sweep = load_sweep("params/sweeps/seeds.yaml")
>>> sweep.cells[0].name
'01_prompt_tuning seeds=0'
"""

import math
import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args, get_origin

from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_yaml
from skillkit.core.hashing import digest
from skillkit.studies import params
from skillkit.studies.params import Parameters, unknown
from skillkit.studies.study import check_shared, merge, study_name, waits

MOST = 10_000  # cells that nobody asks for by accident
_ENTRIES = ("name", "shared", "notebooks", "grid", "exclude", "overrides", "after")


@dataclass(frozen=True)
class Cell:
    """One notebook at one point of the grid.

    >>> Cell("01_prompt_tuning", {"seeds": 0}, PromptTuning(seeds=[0])).name
    '01_prompt_tuning seeds=0'
    """

    notebook: str
    point: dict
    parameters: Parameters

    @property
    def name(self):
        """Notebook and point in words, for people."""
        return " ".join([self.notebook, *(f"{axis}={text(value)}" for axis, value in self.point.items())])

    @property
    def folder(self):
        """Where its results go, in the folder of the sweep; it stays the same when other parameters change.

        >>> Cell("01_prompt_tuning", {"seeds": 0}, PromptTuning(seeds=[0])).folder
        'cells/01_prompt_tuning/seeds=0-…'
        """
        words = re.sub(r"[^\w.=+-]+", "-", self.name.removeprefix(self.notebook).strip())[:80]
        return f"cells/{self.notebook}/{words or 'default'}-{digest(self.point)[:8]}"


@dataclass(frozen=True)
class Sweep:
    """A grid: name, axes (parameter → values), cells, and which notebooks wait for which.

    >>> load_sweep("params/sweeps/seeds.yaml").axes
    {'seeds': [0, 1, 2, 3, 4]}
    """

    name: str
    axes: dict
    cells: list
    after: dict
    path: Path


def load_sweep(path, many=False):
    """Read a sweep's YAML: a study (`name`, `shared`, `notebooks`) with `grid`, and what refines it.

    >>> len(load_sweep("params/sweeps/seeds.yaml").cells)
    5

    grid:       axis → values: a list, or a range {from: 0, to: 4}, with `step: 2` or `times: 10`; both ends
                count. An axis is a parameter; it goes to every notebook that has it. Where the parameter is a
                list, a single value stands for a list of one.
    exclude:    points that are left out; {tasks: world/news, seeds: [3, 4]} is all that fits both.
    overrides:  [{where: {backbone: embedded/t5}, set: {recipe: local}}]; `where` may name a `notebook` too.
    after:      notebook → notebooks it waits for at the same point, so that it finds what they have made.

    `many` allows more than 10,000 cells. Raises SkillkitError, before anything runs, for whatever is wrong.
    """
    plain = read_yaml(path)
    for key in plain.keys() - set(_ENTRIES):
        raise SkillkitError(unknown(path, "a sweep has no entry", key, _ENTRIES))
    notebooks = plain.get("notebooks")
    if not isinstance(notebooks, dict) or not notebooks:
        raise SkillkitError(
            f"{path}: `notebooks` must map each notebook to its parameters, like 01_prompt_tuning: {{}}"
        )
    axes = _axes(path, plain.get("grid"), notebooks)
    _check_size(path, axes, notebooks, many)
    exclude = [_where(path, "exclude", entry, axes, notebooks) for entry in plain.get("exclude") or []]
    overrides = [_override(path, entry, axes, notebooks) for entry in plain.get("overrides") or []]
    cells = [
        Cell(notebook, point, _parameters(path, notebook, point, plain, overrides))
        for notebook in notebooks
        for point in _points(axes, notebook)
        if not any(_fits(entry, notebook, point) for entry in exclude)
    ]
    check_shared(path, plain.get("shared") or {}, notebooks)
    if not cells:
        raise SkillkitError(f"{path}: every cell of the grid is excluded; take something out of `exclude`")
    return Sweep(study_name(path, plain), axes, cells, waits(path, plain.get("after"), notebooks), Path(path))


def text(value):
    """A value of an axis for people.

    >>> text(["world/movies", "world/news"])
    'world/movies+world/news'
    """
    return "+".join(map(text, value)) if isinstance(value, list) else "none" if value is None else str(value)


def predecessors(cells, after):
    """For each cell the numbers of the cells that it waits for: those of `after` that agree on common axes.

    >>> predecessors(cells, {"02_probing": ["01_prompt_tuning"]})
    {0: [], 1: [0]}
    """

    def agree(one, other):
        return all(other.point.get(axis, value) == value for axis, value in one.point.items())

    numbers = {}
    for i, cell in enumerate(cells):
        numbers.setdefault(cell.notebook, []).append(i)
    return {
        i: [
            j for name in after.get(cell.notebook, []) for j in numbers.get(name, []) if agree(cell, cells[j])
        ]
        for i, cell in enumerate(cells)
    }


def _axes(path, grid, notebooks):
    """The values of every axis, ranges written out."""
    if not isinstance(grid, dict) or not grid:
        raise SkillkitError(f"{path}: the grid is empty; give `grid` an axis, like seeds: {{from: 0, to: 4}}")
    known = {
        field
        for name in notebooks
        if name in params.NOTEBOOKS
        for field in params.NOTEBOOKS[name].model_fields
    }
    for axis in grid.keys() - known if known else ():
        raise SkillkitError(
            unknown(f"{path}: grid", "no notebook of this sweep has a parameter", axis, known)
        )
    axes = {
        axis: _range(path, axis, given) if isinstance(given, dict) else given for axis, given in grid.items()
    }
    for axis, values in axes.items():
        if not isinstance(values, list) or not values:
            raise SkillkitError(f"{path}: grid: {axis} needs a list of values or a range, not {values!r}")
        if any(value in values[:i] for i, value in enumerate(values)):
            raise SkillkitError(f"{path}: grid: {axis} has a value twice")
    return axes


def _range(path, axis, given):
    """{from, to, step} counts, {from, to, times} multiplies; both ends belong to it."""
    first, last, step, times = (given.get(key) for key in ("from", "to", "step", "times"))
    numbers = [value for value in (first, last, step, times) if value is not None]
    right = (
        given.keys() <= {"from", "to", "step", "times"}
        and None not in (first, last)
        and None in (step, times)
    )
    right = right and all(type(value) in (int, float) and math.isfinite(value) for value in numbers)
    step = 1 if step is None else step
    if not right or first > last or (step <= 0 if times is None else times <= 1 or first <= 0):
        raise SkillkitError(
            f"{path}: grid: {axis}: a range is {{from: 0, to: 4}}, with a `step` above 0 or `times` above 1, "
            f"not {given}"
        )
    count = (last - first) / step if times is None else math.log(last / first, times)
    if count > 10 * MOST:
        raise SkillkitError(
            f"{path}: grid: {axis}: a range of {count:.0f} values is too long; give a larger step"
        )
    places = range(math.floor(count + 1e-9) + 1)
    values = [first + i * step for i in places] if times is None else [first * times**i for i in places]
    return [float(f"{value:.12g}") if isinstance(value, float) else value for value in values]


def _check_size(path, axes, notebooks, many):
    total = sum(math.prod(len(axes[axis]) for axis in _own_axes(axes, name)) for name in notebooks)
    if total > MOST and not many:
        raise SkillkitError(
            f"{path}: the grid has {total:,} cells; make it smaller, or give --yes if you mean it"
        )


def _own_axes(axes, notebook):
    """The axes that are parameters of this notebook."""
    fields = params.NOTEBOOKS[notebook].model_fields if notebook in params.NOTEBOOKS else {}
    return [axis for axis in axes if axis in fields]


def _points(axes, notebook):
    names = _own_axes(axes, notebook)
    return [dict(zip(names, values)) for values in product(*(axes[name] for name in names))]


def _parameters(path, notebook, point, plain, overrides):
    """Shared, the notebook's own, the point's, then those of every override that fits."""
    fields = params.NOTEBOOKS[notebook].model_fields if notebook in params.NOTEBOOKS else {}
    own = plain["notebooks"][notebook]
    own = {} if own is None else own
    if not isinstance(own, dict):
        raise SkillkitError(f"{path}: parameters must be names with values (name: value), not {own!r}")
    own = own | {axis: _listed(fields[axis], value) for axis, value in point.items()}
    for where, values in overrides:
        if _fits(where, notebook, point):
            own |= {name: value for name, value in values.items() if name in fields or "notebook" in where}
    return merge(path, notebook, plain.get("shared") or {}, own)


def _listed(field, value):
    """A single value for a parameter that is a list is a list of one."""
    many = list in [get_origin(kind) for kind in (field.annotation, *get_args(field.annotation))]
    return [value] if many and not isinstance(value, list | None) else value


def _where(path, entry, given, axes, notebooks):
    """A condition on points, checked: axis (or `notebook`) → the values that fit."""
    if not isinstance(given, dict) or not given:
        raise SkillkitError(f"{path}: {entry} needs axes with values, like {{seeds: [3, 4]}}, not {given!r}")
    places = axes | {"notebook": list(notebooks)}
    condition = {}
    for axis, values in given.items():
        if axis not in places:
            raise SkillkitError(unknown(f"{path}: {entry}", "the grid has no axis", axis, places))
        condition[axis] = [values] if values in places[axis] or not isinstance(values, list) else values
        for value in condition[axis]:
            if value not in places[axis]:
                raise SkillkitError(
                    f"{path}: {entry}: {axis} has no value {value!r}; it has {text(places[axis])}"
                )
    return condition


def _fits(condition, notebook, point):
    place = point | {"notebook": notebook}
    return all(axis in place and place[axis] in values for axis, values in condition.items())


def _override(path, entry, axes, notebooks):
    """(condition, values) of one override, checked."""
    if not isinstance(entry, dict) or entry.keys() != {"where", "set"} or not isinstance(entry["set"], dict):
        raise SkillkitError(
            f"{path}: an override is {{where: {{axis: value}}, set: {{parameter: value}}}}, not {entry!r}"
        )
    where = _where(path, "overrides", entry["where"], axes, notebooks)
    fields = {
        field for name in where.get("notebook", notebooks) if name in params.NOTEBOOKS
        for field in params.NOTEBOOKS[name].model_fields
    }  # fmt: skip
    for name in entry["set"].keys() - fields if fields else ():
        raise SkillkitError(unknown(f"{path}: overrides", "no notebook there has a parameter", name, fields))
    if entry["set"].keys() & axes.keys():
        raise SkillkitError(
            f"{path}: overrides cannot set an axis of the grid; use `exclude` to leave points out"
        )
    return where, entry["set"]
