"""Sweeps: every cell of a grid executed once, on this machine or on many; interrupted, it continues.

>>> folder, outcomes = run_sweep("params/sweeps/seeds.yaml")           # doctest: +SKIP
seeds: 5 cells, 0 done already, 5 to run into runs/seeds
2 workers with 1 thread each on 2 cores, 13 GB free
seeds: 5/5 cells after 03:12, 00:00 left, 0 running, 0 failed

A cell is one unit of `units`, so that what is done stays done, whoever was killed meanwhile.
"""

from pathlib import Path

from skillkit.core.errors import SkillkitError
from skillkit.core.provenance import runs_folder
from skillkit.studies import executors as workers
from skillkit.studies import summary as summaries
from skillkit.studies.driver import Driver
from skillkit.studies.executors import count
from skillkit.studies.grid import load_sweep, predecessors, text
from skillkit.studies.job import Outcome, claim_folder, notebook_unit


def run_sweep(path, out=None, only=(), limit=None, team=workers.local, **options):
    """Execute the cells of a sweep; returns its folder, and the outcomes by the names of the cells.

    >>> folder, outcomes = run_sweep("params/sweeps/seeds.yaml", only=["seeds=0"], team=team)      # doctest: +SKIP
    >>> outcomes["01_prompt_tuning seeds=0"].state                     # doctest: +SKIP
    'done'

    only:     conditions such as "seeds=0" or "01_prompt_tuning"; several values of an axis add up.
    limit:    run at most so many of the cells that are not done.
    team:     who works: `workers.local`, or `scheduler`, `slurm` with their arguments bound.
    options:  `force` runs again what is done; `retries` of a killed kernel (2); `many` allows more than 10,000
              cells; `dry` prints the cells and their states, and runs nothing.

    A cell that fails is told with its traceback, its partly run notebook is kept, and the others go on.
    Raises SkillkitError, before any kernel starts, for a wrong sweep or a scheduler that does not answer.
    """
    sweep = load_sweep(path, options.pop("many", False))
    folder = Path(out or runs_folder() / sweep.name).absolute()
    force, dry = options.pop("force", False), options.pop("dry", False)
    cells = _chosen(sweep, only)
    own = [notebook_unit(cell.notebook, cell.parameters, folder / cell.folder) for cell in cells]
    done = [unit.is_done() for unit in own]
    todo = [i for i in range(len(cells)) if force or not done[i]][:limit]
    sizes = f"{count(len(cells), 'cell')}, {sum(done)} done already, {len(todo)} to run"
    print(f"{sweep.name}: {sizes} into {out or folder}", flush=True)
    if dry:
        return _listed(folder, cells, own, done)
    claim_folder(folder, "sweep", _told(sweep))
    outcomes = {cell.name: Outcome("kept") for i, cell in enumerate(cells) if i not in todo and done[i]}
    try:
        if todo:
            with team(len(todo)) as people:
                print(people.words, flush=True)
                chosen = [cells[i] for i in todo]
                names, after = [cell.name for cell in chosen], predecessors(chosen, sweep.after)
                driver = Driver(sweep.name, [own[i] for i in todo], people, names, after, force, **options)
                outcomes |= driver.run()
    finally:
        summaries.write_summary(folder)
    return folder, outcomes


def _listed(folder, cells, units, done):
    """Print the cells with their states, instead of running them."""
    for cell, unit, finished in zip(cells, units, done):
        failed = not finished and (unit.manifest() or {}).get("state") == "failed"
        print(f"  {'done' if finished else 'failed' if failed else 'to run':<7} {cell.name}")
    return folder, {}


def _chosen(sweep, only):
    """The cells that `only` lets through; a condition that fits nothing is a mistake."""
    allowed = {}
    for condition in only:
        axis, equals, value = condition.partition("=")
        axis, value = (axis, value) if equals else ("notebook", condition)
        fitting = {text(_places(cell).get(axis)) for cell in sweep.cells if axis in _places(cell)}
        if value not in fitting:
            there = (
                f"there are {', '.join(sorted(fitting))}"
                if fitting
                else f"the axes are {', '.join(sweep.axes)}"
            )
            raise SkillkitError(f"--only {condition}: no cell fits; {there}")
        allowed.setdefault(axis, set()).add(value)
    chosen = [
        cell for cell in sweep.cells
        if all(axis in _places(cell) and text(_places(cell)[axis]) in values for axis, values in allowed.items())
    ]  # fmt: skip
    if not chosen:
        raise SkillkitError(f"--only {' --only '.join(only)}: no cell fits all of them")
    return chosen


def _places(cell):
    return cell.point | {"notebook": cell.notebook}


def _told(sweep):
    """What the folder of a sweep says of it."""
    cells = [
        {"name": cell.name, "notebook": cell.notebook, "folder": cell.folder, "point": cell.point,
         "parameters": cell.parameters.model_dump(exclude={"out"})}
        for cell in sweep.cells
    ]  # fmt: skip
    return {"name": sweep.name, "file": str(sweep.path), "axes": sweep.axes, "cells": cells}
