"""The map of the house in the README is that of the code: every module in one room, imports from rooms above."""

import ast
import re
from itertools import pairwise

import pytest

from tests.helpers import REPOSITORY

PACKAGE = REPOSITORY / "skillkit"
MODULES = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
MAP = (
    (REPOSITORY / "README.md").read_text(encoding="utf-8").split("## The map of the house")[1].split("## ")[0]
)


@pytest.fixture(scope="module")
def rooms():
    """{module: (number of its room from the top, name of the room)}"""
    rows = [line.strip("| ").split(" | ") for line in MAP.splitlines() if line.startswith("| ")][1:]
    places = [
        (module, (at, row[0])) for at, row in enumerate(rows) for module in re.findall(r"`(\w+)`", row[1])
    ]
    assert len(places) == len(dict(places)), "a module stands in two rooms"
    return dict(places)


def imported(module):
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "skillkit":
            found |= {name.name for name in node.names} | set(node.module.split(".")[1:])
    return found & MODULES - {module}


def test_every_module_has_its_room(rooms):
    assert set(rooms) == MODULES


def test_modules_import_from_rooms_above(rooms):
    assert not [(a, b) for a in rooms for b in imported(a) if rooms[b][0] > rooms[a][0]]


def test_the_graph_draws_all_imports_between_rooms_and_no_others(rooms):
    graph = re.search(r"```mermaid\n(.*?)```", MAP, re.S)[1].replace("_", " ")
    drawn = {
        pair
        for line in graph.splitlines()[1:]
        for pair in pairwise(re.sub(r"\[.*?\]", "", part).strip() for part in line.split("-->"))
    }
    true = {(rooms[b][1], rooms[a][1]) for a in rooms for b in imported(a) if rooms[a] != rooms[b]}
    assert drawn <= true
    reached = set(drawn)
    while more := {(a, d) for a, b in reached for c, d in drawn if b == c} - reached:
        reached |= more
    assert true <= reached
