"""Small things several tests need."""

import errno
import json
import signal
import subprocess
from pathlib import Path

import pytest

from skillkit.core import SkillkitError
from skillkit.core.provenance import shared_folder

REPOSITORY = Path(__file__).resolve().parents[1]


def shared_path(relative):
    """A file or folder of the real data beside the repository; skips the test, saying so, when it is absent."""
    path = shared_folder() / relative
    if not path.exists():
        pytest.skip(f"real data not there: {relative} (set SKILLKIT_SHARED to the folder that holds it)")
    return path


def full_disk(*_, **__):
    """In the place of whatever writes."""
    raise OSError(errno.ENOSPC, "No space left on device")


def interruptible(line, folder):
    """A process that SIGINT reaches, with its output as text; what a shell starts with `&` is deaf to it."""
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    hear = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(line, cwd=folder, preexec_fn=hear, **pipes)


def run_chapter(study, notebook, folder, **changed):
    """Run a notebook with the parameters of params/<study>.yaml, some changed; returns its claims."""
    # Not above: most tests need no studies, whose imports take a second.
    from skillkit.studies import load_study, params
    from skillkit.studies.job import NotebookJob, run_job

    own = load_study(REPOSITORY / "params" / f"{study}.yaml").notebooks[notebook].model_dump()
    parameters = params.validate(notebook, own | changed)
    outcome = run_job(NotebookJob.create(notebook, parameters, folder))
    assert outcome.state == "done", outcome.error
    return json.loads((folder / "claims.json").read_text())


def refused(match, call, *args, **options):
    """The call ends with a SkillkitError whose message matches."""
    with pytest.raises(SkillkitError, match=match):
        call(*args, **options)
