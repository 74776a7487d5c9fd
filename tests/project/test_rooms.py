"""The house: eleven rooms, imports in one direction, and nobody reaches into the files of another room."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import skillkit as sk
from tests.helpers import REPOSITORY

PACKAGE = REPOSITORY / "skillkit"
ROOMS = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
SHARED = ("skillkit.core.", "skillkit.models.fast")  # files that every room may import


def imports(source):
    """(module, name) of everything that is imported from the package."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module]
    return [
        (node.module, one.name) for node in nodes for one in node.names if node.module.startswith("skillkit")
    ]


def code_of(notebook):
    codes = [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    return re.sub(r"^[%!].*", "", "\n".join(codes), flags=re.M)


def test_the_package_is_its_rooms_and_nothing_else():
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}
    assert set(sk._EXPORTS) == ROOMS and len(ROOMS) == 11


def test_imports_go_one_way():
    """The contract stands in pyproject.toml."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rooms_use_what_other_rooms_export():
    inside = [
        (str(path.relative_to(PACKAGE)), module, name)
        for path in PACKAGE.rglob("*.py")
        for module, name in imports(path.read_text(encoding="utf-8"))
        if module.count(".") > 1 and not module.startswith(SHARED)
        and module.split(".")[1] != path.relative_to(PACKAGE).parts[0]
    ]  # fmt: skip
    # The command line starts quickly: it takes from studies the file that a command needs.
    assert not [one for one in inside if one[0] != "__main__.py"]


@pytest.mark.slow
@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_exports_what_it_lists(room):
    module = getattr(sk, room)
    assert not [name for name in module.__all__ if not hasattr(module, name)]
    assert all(callable(getattr(sk, name)) for name in sk.__all__)


@pytest.mark.parametrize(
    "notebook", sorted((REPOSITORY / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_notebooks_call_rooms(notebook):
    used = imports(code_of(notebook))
    assert {module for module, _ in used} <= {"skillkit", "skillkit.core"}
    assert {name for module, name in used if module == "skillkit"} <= ROOMS
    lines = [line for line in code_of(notebook).splitlines() if re.match(r"(from|import) skillkit", line)]
    assert len(lines) <= 3


def test_an_unknown_name_says_where_it_is():
    with pytest.raises(AttributeError, match="`heatmap` is `skillkit.plots.heatmap`"):
        _ = sk.heatmap
    with pytest.raises(AttributeError, match="no attribute 'nothing_at_all'"):
        _ = sk.nothing_at_all
