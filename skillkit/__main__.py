"""The command line: `python -m skillkit run | report | show | pretrain`.

>>> main(["run", "params/embedded.yaml"])
0
"""

import argparse
import os
import signal
import sys

from skillkit.errors import SkillkitError


def main(arguments=None):
    """Run one command; returns the exit status: 0, 1 (a notebook failed), 2 (wrong input), 130 (interrupted).

    >>> main(["report", "runs/embedded"])
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
    run.set_defaults(command=_run)
    report = commands.add_parser("report", help="build the offline HTML report of a run")
    report.add_argument("run", help="folder of a run, such as runs/embedded")
    report.set_defaults(command=_report)
    show = commands.add_parser("show", help="print where an artifact or a run comes from")
    show.add_argument("what", help="id of an artifact (kind/hash, or its beginning), or a folder")
    show.set_defaults(command=_show)
    commands.add_parser("pretrain", help="rebuild an embedded checkpoint, such as embedded/roberta")
    return parser


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
    from skillkit.runs import run_study

    folder, outcomes = run_study(given.study, given.out)
    failed = [name for name, outcome in outcomes.items() if outcome.state == "failed"]
    if given.report:
        _report(argparse.Namespace(run=folder))
    if failed:
        print(f"error: {', '.join(failed)} failed; the same command tries again", file=sys.stderr)
    return 1 if failed else 0


def _report(given):
    from skillkit.report import build_report

    print(f"report: {build_report(given.run)}")
    return 0


def _show(given):
    from skillkit.show import show

    print(show(given.what))
    return 0


def _pretrain(words):
    def command(words):
        from skillkit.pretraining import main as pretrain

        return pretrain(words) or 0

    return _guarded(command, words)


if __name__ == "__main__":
    sys.exit(main())
