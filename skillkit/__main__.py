"""The command line: `python -m skillkit run | sweep | report | results | show | clean | pretrain`.

>>> main(["show", "params"])                            # `python -m skillkit show params`
2
"""

import argparse
import os
import signal
import sys

from skillkit.core.errors import SkillkitError


def main(arguments=None):
    """Run one command; returns the exit status: 0, 1 (a notebook failed), 2 (wrong input), 130 (interrupted).

    >>> main(["report", "runs/embedded"])               # doctest: +SKIP
    0
    """
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["pretrain"]:  # has options of its own
        return _pretrain(words[1:])
    given = _parser().parse_args(words)
    return _guarded(given.command, given)


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m skillkit",
        description="Skill neurons, knowledge neurons and prompt transfer in notebooks.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    run = commands.add_parser("run", help="execute the notebooks of a study, such as params/embedded.yaml")
    run.add_argument("study", help="YAML file: name, shared parameters, notebooks with their own")
    run.add_argument("--out", help="folder of the results (default: runs/<name of the study>)")
    run.add_argument("--report", action="store_true", help="build the report too, whatever failed")
    _add_sizes(run, "notebook")
    run.set_defaults(command=_run, scheduler=None, slurm=False)
    _add_sweep(commands.add_parser("sweep", help="execute a grid, such as params/sweeps/seeds.yaml"))
    report = commands.add_parser(
        "report", help="build the offline HTML report of a run or sweep, or compare runs"
    )
    report.add_argument("runs", nargs="+", help="folder of a run or sweep; several runs: side by side")
    report.add_argument("--out", help="folder of the comparison (default: beside the first run)")
    report.set_defaults(command=_report)
    results = commands.add_parser("results", help="write scoreboard and pages of results in Markdown")
    results.add_argument(
        "columns", nargs="+", metavar="LABEL=RUN[,RUN…]", help="a column and the runs it is of"
    )
    results.add_argument("--out", default="results", help="folder of the pages (default: results)")
    results.add_argument("--readme", help="file whose scoreboard is renewed, between its two marks")
    results.add_argument("--page", action="append", metavar="LABEL", help="only this column gets a page")
    results.set_defaults(command=_results)
    show = commands.add_parser("show", help="print where an artifact or a run comes from")
    show.add_argument("what", help="id of an artifact (kind/hash, or its beginning), or a folder")
    show.set_defaults(command=_show)
    _add_clean(commands.add_parser("clean", help="list artifacts and runs, remove those chosen; asks first"))
    commands.add_parser("pretrain", help="rebuild an embedded checkpoint, such as embedded/roberta")
    return parser


def _add_sweep(sweep):
    sweep.add_argument("sweep", help="YAML file: a study with `grid`, and `exclude`, `overrides`, `after`")
    sweep.add_argument("--out", help="folder of the results (default: runs/<name of the sweep>)")
    sweep.add_argument("--dry-run", action="store_true", help="print the cells and what is done; run nothing")
    sweep.add_argument(
        "--only", action="append", default=[], metavar="AXIS=VALUE", help="only these cells, or a notebook's"
    )
    sweep.add_argument(
        "--limit", type=_positive, metavar="N", help="at most N of the cells that are not done"
    )
    sweep.add_argument(
        "--resume", action="store_true", help="continue, keeping what is done (it does so anyway)"
    )
    sweep.add_argument("--force", action="store_true", help="run again what is done, too")
    sweep.add_argument("--yes", action="store_true", help="allow more than 10,000 cells")
    sweep.add_argument(
        "--retries", type=int, default=2, metavar="N", help="of a cell whose kernel was killed (2)"
    )
    sweep.add_argument("--report", action="store_true", help="build the report too, whatever failed")
    _add_workers(sweep)
    sweep.set_defaults(command=_sweep)


def _add_sizes(command, unit):
    command.add_argument(
        "--workers", type=_positive, metavar="N", help=f"{unit}s at once (default: by cores and memory)"
    )
    command.add_argument(
        "--threads", type=_positive, metavar="N", help=f"threads of a {unit} (default: its share of cores)"
    )
    command.add_argument(
        "--memory",
        type=lambda word: _positive(word, float),
        default=2.0,
        metavar="GB",
        help=f"what a {unit} needs (2)",
    )


def _add_workers(sweep):
    _add_sizes(sweep, "cell")
    place = sweep.add_mutually_exclusive_group()
    place.add_argument(
        "--scheduler", metavar="tcp://HOST:PORT", help="run on the workers of this Dask scheduler"
    )
    place.add_argument(
        "--slurm", action="store_true", help="run in jobs of SLURM (see dask-jobqueue's configuration)"
    )


def _add_clean(clean):
    clean.add_argument(
        "--kind", action="append", default=[], help="kind of artifact, such as prompt, or run, sweep"
    )
    clean.add_argument("--older", metavar="AGE", help="made longer ago than this, such as 12h, 30d, 8w")
    clean.add_argument("--larger", metavar="SIZE", help="larger than this, such as 500K, 20M, 1G")
    clean.add_argument("--yes", action="store_true", help="do not ask")
    clean.set_defaults(command=_clean)


def _positive(word, kind=int):
    try:
        number = kind(word)
    except ValueError:
        number = 0
    if not number > 0:
        raise argparse.ArgumentTypeError(f"takes a number above 0, not {word!r}")
    return number


def _guarded(command, given):
    """Run a command; bad input is one sentence, an interruption too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = command(given)
        sys.stdout.flush()
        return status
    except SkillkitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as the shell calls it; a study may have stopped in the middle
    except KeyboardInterrupt:
        print("interrupted; the same command continues where this one stopped", file=sys.stderr)
        return 130


def _run(given):
    from skillkit.studies.runner import run_study

    folder, outcomes = run_study(given.study, given.out, _team(given))
    failed = [name for name, outcome in outcomes.items() if outcome.state == "failed"]
    return _ended(given, folder, failed)


def _sweep(given):
    from skillkit.studies.sweep import run_sweep

    options = dict(force=given.force, retries=given.retries, many=given.yes, dry=given.dry_run)
    folder, outcomes = run_sweep(given.sweep, given.out, given.only, given.limit, _team(given), **options)
    failed = [name for name, outcome in outcomes.items() if outcome.state == "failed"]
    given.report = given.report and not given.dry_run
    return _ended(given, folder, failed)


def _team(given):
    """Who works, with the sizes given."""
    from functools import partial

    from skillkit.studies import executors as workers

    if given.scheduler:
        return partial(workers.scheduler, given.scheduler, threads=given.threads)
    sizes = dict(workers=given.workers, threads=given.threads, memory=given.memory)
    return partial(workers.slurm if given.slurm else workers.local, **sizes)


def _ended(given, folder, failed):
    """The report, when asked for; the exit status."""
    if given.report:
        _report(argparse.Namespace(runs=[folder], out=None))
    if failed:
        some = ", ".join(failed[:5]) + f" and {len(failed) - 5} more" * (len(failed) > 5)
        print(f"error: {some} failed; the same command tries again", file=sys.stderr)
    return 1 if failed else 0


def _report(given):
    from skillkit.studies.comparison import compare
    from skillkit.studies.report.report import build_report

    one = len(given.runs) == 1
    print(f"report: {build_report(given.runs[0]) if one else compare(given.runs, given.out)}")
    return 0


def _results(given):
    from skillkit.studies.results import publish

    parts = [column.partition("=") for column in given.columns]
    if wrong := [label for label, equals, runs in parts if not (label and equals and runs)]:
        raise SkillkitError(f"{wrong[0]!r}: name a column and its runs, like 'small world=runs/embedded'")
    columns = {label: runs.split(",") for label, _, runs in parts}
    if unknown := set(given.page or []) - set(columns):
        raise SkillkitError(f"--page {unknown.pop()}: there are the columns {', '.join(columns)}")
    print("\n".join(map(str, publish(columns, given.out, given.readme, given.page))))
    return 0


def _clean(given):
    from skillkit.studies.clean import clean

    return clean(given.kind, given.older, given.larger, given.yes)


def _show(given):
    from skillkit.studies.show import show

    print(show(given.what))
    return 0


def _pretrain(words):
    def command(words):
        from skillkit.small_world.pretraining import main as pretrain

        return pretrain(words) or 0

    return _guarded(command, words)


if __name__ == "__main__":
    sys.exit(main())
