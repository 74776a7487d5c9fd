"""Small things several tests need."""

import signal
import subprocess
from pathlib import Path

import pytest

from skillkit.provenance import shared_folder

REPOSITORY = Path(__file__).resolve().parents[1]


def shared_path(relative):
    """A file or folder of the real data beside the repository; skips the test, saying so, when it is absent."""
    path = shared_folder() / relative
    if not path.exists():
        pytest.skip(f"real data not there: {relative} (set SKILLKIT_SHARED to the folder that holds it)")
    return path


def interruptible(line, folder):
    """A process that SIGINT reaches, with its output as text; what a shell starts with `&` is deaf to it."""
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    hear = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(line, cwd=folder, preexec_fn=hear, **pipes)
