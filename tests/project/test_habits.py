"""What is checked of the code itself: ruff's rules and layout, types, and that docstrings show examples."""

import ast
import subprocess
import sys

import pytest

from tests.helpers import REPOSITORY


@pytest.mark.parametrize("words", [
    ["ruff", "check", "--no-cache"], ["ruff", "format", "--check", "--no-cache"],
    pytest.param(["mypy"], marks=pytest.mark.slow),
], ids=["rules", "layout", "types"])  # fmt: skip
def test_code_and_notebooks_keep_the_habits(words):
    done = subprocess.run([sys.executable, "-m", *words], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_function_and_class_shows_an_example():
    """What is shown runs in `test_examples`."""
    bare = [
        f"{path.stem}.{one.name}"
        for path in sorted((REPOSITORY / "skillkit").rglob("*.py"))
        for one in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(one, (ast.FunctionDef, ast.ClassDef)) and one.name[0] != "_"
        and ">>>" not in (ast.get_docstring(one) or "")
    ]  # fmt: skip
    assert not bare
