"""The command line: `python -m skillkit run | sweep | report | results | show | clean | pretrain`.

>>> main(["show", "params"])                            # `python -m skillkit show params`
2
"""

import os
import signal
import sys
from functools import partial, wraps
from typing import Annotated

from typer import Argument, BadParameter, Exit, Option, Typer

from skillkit.core.errors import SkillkitError

# Every command imports what it needs when it is called, so that `--help` and `show` need no second.
_HELP = {"help_option_names": ["-h", "--help"]}
app = Typer(
    help="Skill neurons, knowledge neurons and prompt transfer in notebooks.", add_completion=False,
    rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=_HELP,
)  # fmt: skip


def main(arguments=None):
    """Run one command; returns the exit status: 0, 1 (a notebook failed), 2 (wrong input), 130 (interrupted).

    >>> main(["report", "runs/embedded"])               # doctest: +SKIP
    0
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(arguments, prog_name="python -m skillkit")
    except SystemExit as end:
        return end.code


def _command(*names):
    """Register a command; bad input is one sentence, an interruption too, and what it returns is the exit status."""

    def register(function):
        @wraps(function)
        def guarded(**given):
            try:
                status = int(function(**given) or 0)
                sys.stdout.flush()
            except SkillkitError as error:
                print(f"error: {error}", file=sys.stderr)
                status = 2
            except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                status = 141  # as the shell calls it; a study may have stopped in the middle
            except KeyboardInterrupt:
                print("interrupted; the same command continues where this one stopped", file=sys.stderr)
                status = 130
            raise Exit(status)

        for name in names:
            app.command(name)(guarded)
        return function

    return register


@_command("run", "sweep")
def _run(
    study: Annotated[str, Argument(help="YAML file, such as params/embedded.yaml, params/sweeps/seeds.yaml")],
    out: Annotated[str, Option(help="folder of the results (default: runs/<name of the study>)")] = None,
    report: Annotated[bool, Option("--report", help="build the report too, whatever failed")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="print the cells with their states")] = False,
    only: Annotated[list[str], Option(metavar="AXIS=VALUE", help="only these cells, or a notebook's")] = None,
    limit: Annotated[int, Option(min=1, metavar="N", help="at most N of the cells that are not done")] = None,
    resume: Annotated[bool, Option("--resume", help="keep what is done (it does so anyway)")] = False,
    force: Annotated[bool, Option("--force", help="run again what is done, too")] = False,
    yes: Annotated[bool, Option("--yes", help="allow more than 10,000 cells")] = False,
    retries: Annotated[int, Option(min=0, metavar="N", help="of a notebook whose kernel was killed")] = 2,
    workers: Annotated[int, Option(min=1, max=1024, metavar="N", help="default: by cores, memory")] = None,
    threads: Annotated[int, Option(min=1, max=1024, metavar="N", help="of each worker")] = None,
    memory: Annotated[float, Option(min=0.01, max=1e6, metavar="GB", help="what a notebook needs")] = 2.0,
    scheduler: Annotated[str, Option(metavar="tcp://HOST:PORT", help="of a Dask cluster")] = None,
    slurm: Annotated[bool, Option("--slurm", help="run in jobs of SLURM")] = False,
    interface: Annotated[str, Option(metavar="NAME", help="network by which these reach us")] = None,
):
    """Run the notebooks of a study or of a grid; continue where a run was interrupted."""
    from skillkit.studies.runner import run_study

    pool = _pool(scheduler, slurm, interface, workers=workers, threads=threads, memory=memory)
    folder, outcomes = run_study(study, out, pool, only or (), limit, force, retries, yes, dry_run)
    if report and not dry_run:
        _report([folder])
    return _print_failures([name for name, outcome in outcomes.items() if outcome.state == "failed"])


def _print_failures(failed):
    if failed:
        some = ", ".join(failed[:5]) + f" and {len(failed) - 5} more" * (len(failed) > 5)
        print(f"error: {some} failed; the same command tries again", file=sys.stderr)
    return bool(failed)


def _pool(scheduler, slurm, interface, **sizes):
    """What executes the notebooks, with its sizes bound."""
    from skillkit.studies import executors

    if scheduler and slurm:
        raise BadParameter("give --scheduler or --slurm, not both")
    if scheduler:
        return partial(executors.scheduler, scheduler, threads=sizes["threads"])
    return (
        partial(executors.slurm, interface=interface, **sizes) if slurm else partial(executors.local, **sizes)
    )


@_command("report")
def _report(
    runs: Annotated[list[str], Argument(help="folder of a run; several runs: beside each other")],
    out: Annotated[str, Option(help="folder of the comparison (default: beside the first run)")] = None,
):
    """Build the offline HTML report of a run, or compare runs."""
    from skillkit.studies.report import site

    print(f"report: {site.build_report(runs[0]) if len(runs) == 1 else site.compare_runs(runs, out)}")


@_command("results")
def _results(
    columns: Annotated[list[str], Argument(metavar="LABEL=RUN[,RUN…]", help="a column of runs")],
    out: Annotated[str, Option(help="folder of the pages")] = "results",
    readme: Annotated[str, Option(help="file whose scoreboard is renewed, between its two marks")] = None,
    page: Annotated[list[str], Option(metavar="LABEL", help="only this column gets a page")] = None,
):
    """Write scoreboard and pages of results in Markdown."""
    from skillkit.studies.results import publish

    parts = [column.partition("=") for column in columns]
    if wrong := [label for label, equals, runs in parts if not (label and equals and runs)]:
        raise SkillkitError(f"{wrong[0]!r}: name a column and its runs, like 'small world=runs/embedded'")
    named = {label: runs.split(",") for label, _, runs in parts}
    if unknown := set(page or ()) - set(named):
        raise SkillkitError(f"--page {unknown.pop()}: there are the columns {', '.join(named)}")
    print("\n".join(map(str, publish(named, out, readme, page))))


@_command("show")
def _show(
    what: Annotated[str, Argument(help="id of an artifact or its beginning, or a folder")],
):
    """Print where an artifact or a run comes from."""
    from skillkit.studies.show import show

    print(show(what))


@_command("clean")
def _clean(
    kind: Annotated[list[str], Option(help="kind of artifact, such as prompt, or run, sweep")] = None,
    older: Annotated[str, Option(metavar="AGE", help="made longer ago, such as 12h, 30d, 8w")] = None,
    larger: Annotated[str, Option(metavar="SIZE", help="larger than this, such as 500K, 20M, 1G")] = None,
    yes: Annotated[bool, Option("--yes", help="do not ask")] = False,
):
    """List artifacts and runs, remove those chosen; asks first."""
    from skillkit.studies.clean import remove_results

    return remove_results(kind or (), older, larger, yes)


@_command("pretrain")
def _pretrain(
    name: Annotated[str, Argument(help="embedded/roberta, embedded/bert, embedded/gpt2 or embedded/t5")],
    out: Annotated[str, Option(help="folder of the checkpoint; by default the package's own")] = None,
    seed: int = 0,
    steps: Annotated[int, Option(min=1, help="of training")] = None,
):
    """Rebuild an embedded checkpoint, such as embedded/roberta."""
    from skillkit.core.provenance import CHECKPOINTS
    from skillkit.small_world import pretraining

    if name not in pretraining.RECIPES:
        raise SkillkitError(f"no model is called {name!r}; there are {', '.join(pretraining.RECIPES)}")
    pretraining.pretrain(name, out or CHECKPOINTS / name.removeprefix("embedded/"), seed, steps)


if __name__ == "__main__":
    sys.exit(main())
