"""Run a study: every notebook at every point of its grid executed once, several at once, on this machine or on many.

>>> folder, outcomes = run_study("params/embedded.yaml")               # doctest: +SKIP
embedded: 2 notebooks, 0 done already, 2 to run into runs/embedded
2 workers with 1 thread each on 2 cores, 13 GB free
[1/2] 00_the_small_world: done after 21 s
[2/2] 01_prompt_tuning: done after 48 s

What is done is kept, so that an interrupted study continues with the same command. A failure is reported and the other
notebooks go on; one whose kernel was killed is tried again.
"""

import sys
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress
from skillkit.core.provenance import runs_folder
from skillkit.studies.executors import Environment, count, local, run_on_worker
from skillkit.studies.job import NotebookJob, Outcome
from skillkit.studies.manifest import read_result, write_manifest
from skillkit.studies.preflight import preflight
from skillkit.studies.report.tables import write_tables
from skillkit.studies.study import as_text, load_study


def run_study(path, out=None, pool=local, only=(), limit=None, force=False, retries=2, many=False, dry=False):
    """Execute the cells of a study; returns its folder, and the outcomes by the names of the cells.

    >>> folder, outcomes = run_study("params/sweeps/seeds.yaml", only=["seeds=0"])         # doctest: +SKIP
    >>> outcomes["01_prompt_tuning seeds=0"].state                     # doctest: +SKIP
    'done'

    out:      folder of the results, else `runs/<name of the study>`.
    pool:     where it runs: `executors.local`, `scheduler` or `slurm`, perhaps with arguments bound.
    only:     conditions such as "seeds=0" or "01_prompt_tuning"; several values of an axis add up.
    limit:    run at most so many of the cells that are not done.
    force:    run again what is done.
    retries:  how often a cell whose kernel was killed is tried again.
    many:     allow more than 10,000 cells.
    dry:      print the cells and their states, and run nothing.

    A failed notebook is kept as `<name>.failed.ipynb`, as far as it got. Relative paths among the parameters start
    where the command is given. Raises SkillkitError, before any kernel starts, for a wrong study, for tasks, models and
    label words that its notebooks would stumble over, and for a scheduler that does not answer.
    """
    study = load_study(path, many)
    folder, cells = Path(out or runs_folder() / study.name), _chosen(study, only)
    jobs = [NotebookJob.create(one.notebook, one.parameters, folder.absolute() / one.folder) for one in cells]
    done = [job.is_done() for job in jobs]
    todo = [i for i in range(len(cells)) if force or not done[i]][:limit]
    what = count(len(cells), "cell" if study.axes else "notebook")
    print(f"{study.name}: {what}, {sum(done)} done already, {len(todo)} to run into {folder}", flush=True)
    if dry:
        _list(cells, jobs, done)
        return folder, {}
    write_manifest(folder, study)
    preflight(cells[i].parameters for i in todo)
    outcomes = {cell.name: Outcome("kept") for i, cell in enumerate(cells) if i not in todo and done[i]}
    try:
        if todo:
            with pool(len(todo)) as workers:
                print(workers.description, flush=True)
                chosen = {cells[i]: jobs[i] for i in todo}
                outcomes |= Scheduling(study, chosen, workers, force, retries).run()
    finally:
        if study.axes:
            write_tables(folder)
    return folder, {cell.name: outcomes[cell.name] for cell in cells if cell.name in outcomes}


class Scheduling:
    """Hands jobs to a pool, each after those that it waits for, and reports how they end.

    >>> Scheduling(study, {cell: job}, pool).run()         # doctest: +SKIP
    {'01_prompt_tuning': Outcome(state='done', …)}

    jobs: cell of the study → its NotebookJob. Without a grid each job that ends has a line of its own, and the
    progress line says in which cell the running notebooks are, if they run on this machine.
    """

    def __init__(self, study, jobs, pool, force=False, retries=2):
        cells, self.jobs = list(jobs), list(jobs.values())
        self.study, self.pool, self.force, self.retries = study, pool, force, retries
        self.names, self.order = [cell.name for cell in cells], TopologicalSorter(study.predecessors(cells))
        self.environment = Environment.current(pool.threads)
        self.watching = not study.axes and isinstance(pool.executor, ThreadPoolExecutor)
        self.tries = [0] * len(cells)
        self.running, self.outcomes, self.positions = {}, {}, {}

    def run(self):
        """Run all jobs; returns the outcomes by name."""
        self.order.prepare()
        what = "cells" if self.study.axes else "notebooks"
        line = f"{{desc}}: {{n_fmt}}/{{total_fmt}} {what} after {{elapsed}}, {{remaining}} left{{postfix}}"
        with progress(total=len(self.jobs), desc=self.study.name, bar_format=line) as self.bar:
            try:
                while self.order.is_active():
                    self.step()
            except BaseException:
                self.stop()
                raise
        return self.outcomes

    def step(self):
        """Submit what is ready, wait until something has ended (or a moment), settle it."""
        for i in self.order.get_ready():
            self.submit(i)
        moment = 1 if sys.stderr.isatty() else 60
        ended, _ = wait(self.running, timeout=moment, return_when=FIRST_COMPLETED)
        for future in ended:
            self.settle(self.running.pop(future), future)
        failed = sum(outcome.state == "failed" for outcome in self.outcomes.values())
        state = [f"{min(len(self.running), self.pool.slots())} running, {failed} failed"]
        state += [f"{name} {where}" for name, where in self.positions.copy().items()]
        self.bar.set_postfix_str("; ".join(state), refresh=not ended)
        self.bar.update(len(self.outcomes) - self.bar.n)

    def stop(self):
        """End what runs; a job whose kernel we have killed ourselves counts as unfinished, not as failed."""
        self.pool.stop(list(self.running))
        for future, i in self.running.items():
            if future.done() and not future.cancelled() and not future.exception() and future.result().killed:
                (self.jobs[i].folder / "manifest.json").unlink(missing_ok=True)

    def submit(self, i):
        """Hand a job to the pool."""
        self.tries[i] += 1
        watch = {"watch": partial(self.positions.__setitem__, self.names[i])} if self.watching else {}
        future = self.pool.executor.submit(run_on_worker, self.jobs[i], self.environment, self.force, **watch)
        self.running[future] = i

    def settle(self, i, future):
        """Keep the outcome of a job, or try again when it was killed."""
        outcome, name = _outcome(future), self.names[i]
        self.positions.pop(name, None)
        if outcome.killed and self.tries[i] <= self.retries:
            again = f"trying again ({self.tries[i]} of {self.retries})"
            self.bar.write(f"{name}: {outcome.error}; {again}", file=sys.stderr)
            self.submit(i)
            return
        self.outcomes[name] = outcome
        after = f"after {outcome.seconds:.0f} s"
        if not self.study.axes:
            ways = {"kept": "nothing has changed, kept", "failed": f"FAILED {after}", "done": f"done {after}"}
            line = f"[{len(self.outcomes)}/{len(self.jobs)}] {name}: {ways[outcome.state]}"
            self.bar.write(line, file=sys.stdout)
        if outcome.state == "failed":
            copy = self.jobs[i].folder / f"{self.jobs[i].name}.failed.ipynb"
            kept = f", as far as it got in {copy}" if copy.exists() else ""
            error = outcome.error.replace("\n", "\n  ")
            self.bar.write(f"{name}: FAILED {after}{kept}\n  {error}", file=sys.stderr)
        self.order.done(i)


def _outcome(future):
    """How the job ended, also when its worker or the disk made it end."""
    try:
        return future.result()
    except CancelledError:
        remedy = "start it again, then the same command continues"
        raise SkillkitError(f"the connection to the scheduler was lost; {remedy}") from None
    except Exception as error:  # whatever a worker may raise concerns this job alone
        return Outcome("failed", error=str(error) or type(error).__name__)


def _list(cells, jobs, done):
    """Print the cells with their states, instead of running them."""
    for cell, job, finished in zip(cells, jobs, done):
        state = "done" if finished else read_result(job.folder)["state"]
        print(f"  {state if finished or state in ('failed', 'damaged') else 'to run':<7} {cell.name}")


def _chosen(study, only):
    """The cells that fit `only`; a condition that fits nothing is a mistake."""
    places = [{axis: as_text(value) for axis, value in cell.place.items()} for cell in study.cells]
    allowed = {}
    for condition in only:
        axis, value = condition.split("=", 1) if "=" in condition else ("notebook", condition)
        there = sorted({place[axis] for place in places if axis in place})
        if value not in there:
            known = f"there are {', '.join(there)}" if there else f"the axes are {', '.join(study.axes)}"
            raise SkillkitError(f"--only {condition}: no cell fits; {known}")
        allowed.setdefault(axis, set()).add(value)
    fits = lambda place: all(place.get(axis) in values for axis, values in allowed.items())
    chosen = [cell for cell, place in zip(study.cells, places) if fits(place)]
    if not chosen:
        raise SkillkitError(f"--only {' --only '.join(only)}: no cell fits all of them")
    return chosen
