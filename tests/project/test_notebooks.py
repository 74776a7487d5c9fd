"""The chapters as their reader meets them: links that lead somewhere, and exercises with solutions that could run."""

import ast
import builtins
import re
from types import SimpleNamespace

import nbformat
import pytest

from skillkit.studies import params
from tests.conftest import SMALL_CHAPTERS, pytest_collection_modifyitems
from tests.helpers import REPOSITORY

FOLDER = REPOSITORY / "notebooks"
CHAPTERS = {path.stem[:2]: path for path in sorted(FOLDER.glob("0*.ipynb"))}
SOLUTION = re.compile(
    r"\n\n   <details><summary>Solution</summary>\n\n   ```python\n(.+?)\n   ```\n\n(.+?)\n\n   </details>(?:\n\n|$)",
    re.DOTALL,
)


@pytest.mark.parametrize("name", SMALL_CHAPTERS)
def test_a_long_chapter_is_small_in_a_run_of_all_tests(name, monkeypatch):
    monkeypatch.delenv("SKILLKIT_WHOLE_CHAPTERS", raising=False)
    path = FOLDER / f"{name}.ipynb"
    items = [SimpleNamespace(cell=cell, path=path) for cell in nbformat.read(path, 4).cells]
    pytest_collection_modifyitems([*items, SimpleNamespace(path=path)])  # other tests have no cell
    changed = {}
    exec(items[1].cell.source, changed)
    params.validate(name, {key: changed[key] for key in params.model(name).model_fields})
    assert changed.items() >= SMALL_CHAPTERS[name].items()
    whole = nbformat.read(path, 4).cells
    assert [a.cell.source == b.source for a, b in zip(items, whole, strict=True)].count(False) == 1
    monkeypatch.setenv("SKILLKIT_WHOLE_CHAPTERS", "1")
    item = SimpleNamespace(cell=whole[1], path=path)
    before = item.cell.source
    pytest_collection_modifyitems([item])
    assert item.cell.source == before


@pytest.fixture(params=CHAPTERS, scope="module")
def chapter(request):
    """(number, texts, codes): the sources of a notebook's cells by their kind."""
    cells = nbformat.read(CHAPTERS[request.param], 4).cells
    return request.param, *([c.source for c in cells if c.cell_type == kind] for kind in ("markdown", "code"))


def exercises(texts):
    """The items of the numbered list that the last cell begins with."""
    told, _ = texts[-1].split("\n\n## References\n\n")
    return re.split(r"\n\n\d+\. ", told)[1:]


def code_of(exercise):
    """The code of an exercise's solution, or None when nothing is folded below the question."""
    found = SOLUTION.search(exercise.rstrip())
    return found and "</details>" not in found[2] and re.sub(r"^ {3}", "", found[1], flags=re.MULTILINE)


def bound(tree):
    """Every name that a piece of code could give a value to, at whatever depth."""
    nodes = list(ast.walk(tree))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    names |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    names |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return names | {(node.asname or node.name).split(".")[0] for node in nodes if isinstance(node, ast.alias)}


def test_every_exercise_has_a_folded_solution(chapter):
    _, texts, _ = chapter
    found = exercises(texts)
    assert len(found) >= 3 and all(map(code_of, found))
    numbers = map(int, re.findall(r"^(\d+)\. ", texts[-1], re.MULTILINE))
    assert list(numbers) == list(range(1, len(found) + 1))


def test_solutions_are_valid_after_their_notebook(chapter):
    _, texts, codes = chapter
    known = set(dir(builtins)).union(*(bound(ast.parse(code)) for code in codes))
    for exercise in exercises(texts):
        tree = compile(code_of(exercise), "solution", "exec", ast.PyCF_ONLY_AST)
        read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not read - known - bound(tree), exercise


def test_links_between_chapters_lead_there(chapter):
    _, texts, _ = chapter
    for words, target in re.findall(r"\[([^]]*)\]\(([^)#]+\.ipynb)[^)]*\)", "\n".join(texts)):
        assert (FOLDER / target).is_file(), target
        assert re.search(r"\d\d", words)[0] == target[:2], f"{words} leads to {target}"


def test_chapters_that_are_spoken_of_are_linked(chapter):
    own, texts, _ = chapter
    for text in texts:
        for number in set(re.findall(r"[Cc]hapters? (\d\d)", text)) - {own}:
            assert f"({CHAPTERS[number].name}" in text, f"no link to chapter {number}: {text[:80]}"


def test_chapters_stand_in_a_row(chapter):
    own, texts, _ = chapter
    last = texts[-1].rsplit("\n\n", 1)[1]
    beside = {"Before": f"{int(own) - 1:02d}", "Next": f"{int(own) + 1:02d}"}
    for where, number in beside.items():
        there = re.search(rf"{where}: \[{number} · [^]]+\]\({number}_", last)
        assert bool(there) == (number in CHAPTERS), f"{where}: {number}"


def calling(cells, method):
    """For each cell whether it calls that method, itself or in a function that the chapter defines."""
    functions = [node for cell in cells for node in cell.body if isinstance(node, ast.FunctionDef)]
    names = {method, *(function.name for function in functions if f"{method}(" in ast.unparse(function))}
    found = []
    for cell in cells:
        run = [node for part in cell.body if part not in functions for node in ast.walk(part)]
        found.append(any(isinstance(node, ast.Call) and ast.unparse(node.func) in names for node in run))
    return found


def test_every_figure_has_a_finding(chapter):
    """In its own cell, or in one below; two figures in a row may share theirs."""
    cells = [ast.parse(code) for code in chapter[2]]
    shows, tells = calling(cells, "run.figure"), calling(cells, "run.finding")
    figures = [number for number, shown in enumerate(shows) if shown]
    for number, end in zip(figures, [*figures[2:], len(cells), len(cells)]):
        assert any(tells[number:end]), chapter[2][number]
