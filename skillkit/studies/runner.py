"""Studies: the notebooks of a parameter file executed, as many at once as the machine bears.

>>> run_study("params/embedded.yaml")                                  # doctest: +SKIP
embedded: 2 notebooks into runs/embedded
2 workers with 1 thread each on 2 cores, 13 GB free
[1/2] 00_the_small_world: done in 21 s
[2/2] 01_prompt_tuning: done in 48 s

A notebook that was done before is kept, so that an interrupted study continues with the same command.
"""

from functools import partial
from pathlib import Path

from skillkit.core.provenance import runs_folder
from skillkit.studies import executors as workers
from skillkit.studies.driver import Driver
from skillkit.studies.job import Outcome, claim_folder, notebook_unit
from skillkit.studies.preflight import preflight
from skillkit.studies.study import load_study


def run_study(path, out=None, team=workers.local):
    """Execute the notebooks of a study; returns the run's folder, and the outcomes by notebook.

    >>> folder, outcomes = run_study("params/embedded.yaml")           # doctest: +SKIP
    >>> outcomes["01_prompt_tuning"].state                             # doctest: +SKIP
    'done'

    out:   folder of the results, else `runs/<name of the study>`.
    team:  who works: `workers.local`, perhaps with arguments bound, such as `partial(local, workers=1)`.

    A notebook that fails is told with its traceback, its partly run copy is kept as `<name>.failed.ipynb`, and
    the others go on; one whose kernel was killed is tried again. Relative paths among the parameters start
    where the command is given. Raises SkillkitError, before any kernel starts, for a wrong study, and for tasks,
    models and label words that its notebooks would stumble over.
    """
    study = load_study(path)
    folder = Path(out or runs_folder() / study.name)
    cells = [notebook_unit(name, own, folder / name) for name, own in study.notebooks.items()]
    told = {"name": study.name, "file": str(study.path), "notebooks": list(study.notebooks)}
    claim_folder(folder, "study", told)
    print(f"{study.name}: {workers.count(len(cells), 'notebook')} into {folder}", flush=True)
    outcomes = {unit.name: Outcome("kept") for unit in cells if unit.is_done()}
    for number, name in enumerate(outcomes, 1):
        print(f"[{number}/{len(cells)}] {name}: nothing has changed, kept", flush=True)
    todo = [unit for unit in cells if unit.name not in outcomes]
    preflight(unit.parameters for unit in todo)
    if todo:
        with team(len(todo)) as people:
            print(people.words, flush=True)
            tell = partial(_tell, len(outcomes), len(cells))
            place = {unit.name: i for i, unit in enumerate(todo)}
            after = {
                i: [place[other] for other in study.after.get(name, []) if other in place]
                for name, i in place.items()
            }
            outcomes |= Driver(study.name, todo, people, after=after, tell=tell).run()
    return folder, {unit.name: outcomes[unit.name] for unit in cells}


def _tell(before, total, ended, unit, outcome):
    """The line about a notebook that is the `ended`-th to end."""
    words = {"kept": "nothing has changed, kept", "failed": f"FAILED after {outcome.seconds:.0f} s"}
    how = words.get(outcome.state, f"done in {outcome.seconds:.0f} s")
    return f"[{before + ended}/{total}] {unit.name}: {how}"
