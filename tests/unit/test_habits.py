"""What continuous integration checks of the code itself: ruff's rules and layout, and types."""

import subprocess
import sys

import pytest

from tests.helpers import REPOSITORY


@pytest.mark.parametrize("words", [
    ["ruff", "check", "--no-cache"], ["ruff", "format", "--check", "--no-cache"], ["mypy"],
], ids=["rules", "layout", "types"])  # fmt: skip
def test_code_and_notebooks_keep_the_habits(words):
    done = subprocess.run([sys.executable, "-m", *words], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
