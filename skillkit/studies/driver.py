"""The driver: hands units of work to a team, one after another in their order, and tells how they end.

>>> with local(cells=2) as team:                                            # doctest: +SKIP
...     Driver("tiny", units, team).run()
{'02_probing': Outcome(state='done', …), …}

Studies and sweeps are driven by it. What a unit does cannot harm the driver: a failure is told and the others go
on; what was killed is tried again.
"""

import sys
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from functools import partial
from graphlib import TopologicalSorter

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress
from skillkit.studies import executors as workers
from skillkit.studies.executors import Place
from skillkit.studies.job import Outcome


class Driver:
    """Runs units through a team.

    >>> driver = Driver("seeds", units, team, names=["seeds=0", "seeds=1"], after={1: [0]})

    title:    what the progress line is about.
    team:     who works, see `workers`.
    names:    what the units are called (their notebooks' names).
    after:    number of a unit → numbers of those that it waits for.
    force:    run again what is done.
    retries:  how often a unit whose kernel was killed is tried again.
    tell:     function of (how many have ended, unit, outcome) giving a line to print when a unit ends. With it,
              the progress line says in which cell each notebook is, which only a team on this machine can know.
    """

    def __init__(self, title, units, team, names=None, after=None, force=False, retries=2, tell=None):
        self.title, self.units, self.team = title, units, team
        self.names = names or [unit.name for unit in units]
        self.force, self.retries, self.tell = force, retries, tell
        self.order = TopologicalSorter(after or {i: [] for i in range(len(units))})
        self.place = Place.here(team.threads)
        self.tries = [0] * len(units)
        self.running, self.outcomes, self.at = {}, {}, {}

    def run(self):
        """Run all units; returns the outcomes by name."""
        self.order.prepare()
        what = "notebooks after {elapsed}" if self.tell else "cells after {elapsed}, {remaining} left"
        line = "{desc}: {n_fmt}/{total_fmt} " + what + "{postfix}"
        with progress(total=len(self.units), desc=self.title, bar_format=line) as self.bar:
            try:
                while self.order.is_active():
                    self.step()
            except BaseException:
                self.stop()
                raise
        return self.outcomes

    def step(self):
        """Hand out what is ready, wait until something has ended (or a moment), settle it."""
        for i in self.order.get_ready():
            self.submit(i)
        moment = 1 if sys.stderr.isatty() else 60
        ended, _ = wait(self.running, timeout=moment, return_when=FIRST_COMPLETED)
        for future in ended:
            self.settle(self.running.pop(future), future)
        self.bar.set_postfix_str(self.state(), refresh=not ended)
        self.bar.update(len(self.outcomes) - self.bar.n)

    def state(self):
        """What goes on just now, in a few words."""
        if self.tell:
            return "; ".join(f"{name} {where}" for name, where in self.at.copy().items())
        failed = sum(outcome.state == "failed" for outcome in self.outcomes.values())
        return f"{min(len(self.running), self.team.slots())} running, {failed} failed"

    def stop(self):
        """End what runs; a unit whose kernel we have killed ourselves counts as unfinished, not as failed."""
        self.team.stop(list(self.running))
        for future, i in self.running.items():
            if future.done() and not future.cancelled() and not future.exception() and future.result().killed:
                (self.units[i].folder / "manifest.json").unlink(missing_ok=True)

    def submit(self, i):
        """Hand a unit to the team."""
        self.tries[i] += 1
        watch = {"watch": partial(self.at.__setitem__, self.names[i])} if self.tell else {}
        future = self.team.executor.submit(workers.work, self.units[i], self.place, self.force, **watch)
        self.running[future] = i

    def settle(self, i, future):
        """Keep the outcome of a unit, or try again when it was killed."""
        outcome, name = _outcome(future), self.names[i]
        self.at.pop(name, None)
        if outcome.killed and self.tries[i] <= self.retries:
            again = f"trying again ({self.tries[i]} of {self.retries})"
            self.bar.write(f"{name}: {outcome.error}; {again}", file=sys.stderr)
            self.submit(i)
            return
        self.outcomes[name] = outcome
        if self.tell:
            self.bar.write(self.tell(len(self.outcomes), self.units[i], outcome), file=sys.stdout)
        if outcome.state == "failed":
            self.bar.write(_failure(name, self.units[i], outcome), file=sys.stderr)
        self.order.done(i)


def _outcome(future):
    """How the unit ended, also when its worker or the disk made it end."""
    try:
        return future.result()
    except CancelledError:
        raise SkillkitError(
            "the connection to the scheduler was lost; start it again, then the same command continues"
        ) from None
    except Exception as error:  # whatever a worker may raise concerns this unit alone
        return Outcome("failed", error=str(error) or type(error).__name__)


def _failure(name, unit, outcome):
    copy = unit.folder / f"{unit.name}.failed.ipynb"
    kept = f", as far as it got in {copy}" if copy.exists() else ""
    error = outcome.error.replace("\n", "\n  ")
    return f"{name}: FAILED after {outcome.seconds:.0f} s{kept}\n  {error}"
