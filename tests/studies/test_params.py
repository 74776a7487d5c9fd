"""Parameters, made from the cells of the notebooks: what is wrong is one sentence."""

import json
import pickle
from typing import get_args

import pytest

from skillkit.core.errors import SkillkitError
from skillkit.prompts.layouts import LAYOUTS
from skillkit.prompts.recipes import RECIPES
from skillkit.prompts.soft_prompt import INITS
from skillkit.studies import params
from skillkit.studies.params import model, notebooks, validate

CELL = """
steps: int = 20  # integration steps; ≥ 1
top: float | None = 0.05  # share of the neurons; None: all; > 0, < 1
kind: str = "mean"  # what suppressed neurons become; one of "zero", "mean"
attacks: list[str] = ["typos", "casing"]  # attacks
attack: str = "typos"  # the attack that is looked at; one of attacks
seeds: list[int] = [
    0, 1]  # a prompt for each; ≥ 0
others: list[str] = []  # further models; [] for none
strength: list[float] = [1.0]  # of an edit; 1 to 2 values
views: list[dict] = []  # adversarial sets; [] for none
untyped = [3]  # its default says what it is
out: str | None = None  # folder
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the only notebook there is, with these cells of parameters."""

    def notebook(*sources, name="x"):
        cells = [
            {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
            for source in sources
        ]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))

    monkeypatch.setattr(params, "FOLDER", tmp_path)
    return notebook


def refused(notebook, values):
    with pytest.raises(SkillkitError) as error:
        validate(notebook, values)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_line_of_the_cell_says_all_of_a_parameter(write):
    write(CELL)
    fields = model("x").model_fields
    assert list(fields)[:3] == ["steps", "top", "kind"] and fields["seeds"].default == [0, 1]
    assert fields["top"].description == "share of the neurons; None: all"
    given = {"top": None, "others": ["a"], "attack": "casing", "strength": [1.0, 2.0], "untyped": [1, 2]}
    made = validate("x", given | {"views": [{"task": "a", "adversarial": "b"}]})
    assert made.model_dump().items() >= given.items() and made.views[0].strength == 1.0


@pytest.mark.parametrize("values, sentence", [
    ({"setps": 3}, "x has no parameter 'setps'; did you mean 'steps'?"), ({"steps": 0}, "greater than or equal to 1"),
    ({"steps": "3"}, "x: steps should be a valid integer, not '3'"), ({"steps": True}, "valid integer, not True"),
    ({"steps": 1.5}, "valid integer"), ({"top": 1.0}, "top should be less than 1"), ({"top": 0.0}, "greater than 0"),
    ({"kind": "ones"}, "kind should be 'zero' or 'mean', not 'ones'"), ({"kind": None}, "kind should be"),
    ({"attack": "shout"}, "attack should be one of the attacks, not 'shout'"), ({"seeds": 3}, "a valid list, not 3"),
    ({"seeds": [0, -1]}, "seeds.1 should be greater than or equal to 0, not -1"), ({"seeds": []}, "at least 1 item"),
    ({"strength": [1.0, 2.0, 3.0]}, "at most 2 items"), ({"views": [{"task": "a"}]}, "views.0.adversarial"),
    ({"views": [{"task": "a", "adversarial": "b", "strngth": 1.0}]}, "strngth"), ({"untyped": ["a"]}, "valid integer"),
    ({"seeds": 3, "steps": "x"}, "(and 1 more)"),
])  # fmt: skip
def test_wrong_parameters_are_refused(write, values, sentence):
    write(CELL)
    assert sentence in refused("x", values)


def test_a_changed_notebook_has_changed_parameters(write, tmp_path):
    write("a: int = 1  # one")
    assert validate("x", {"a": 2}).a == 2
    write("a: str = 'yes'  # another")
    (tmp_path / "x.ipynb").touch()
    assert validate("x", {"a": "no"}).a == "no"


@pytest.mark.parametrize("line", ["a = open('x')", "import os", "a, b = 1, 2", "a =", "a: set = 1", "a: int"])
def test_a_cell_with_more_than_assignments_is_refused_and_never_run(write, line):
    write(line)
    assert "may hold only plain assignments" in refused("x", {})


def test_a_notebook_needs_one_cell_of_parameters(write):
    write()
    assert "it has 0" in refused("x", {})
    write("a = 1", "a = 1")
    assert "it has 2" in refused("x", {})
    assert "there is no notebook 'y'" in refused("y", {})


def test_without_the_folder_of_notebooks_the_cell_that_ran_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(params, "FOLDER", tmp_path / "absent")
    assert validate("x", {"steps": 3}, history=["", "import os", CELL]).steps == 3
    assert "run from the repository" in refused("x", {})


def test_chapters_have_the_choices_of_the_package():
    fields = model("01_prompt_tuning").model_fields
    choices = {name: get_args(fields[name].annotation) for name in ("layout", "init", "recipe")}
    assert set(get_args(choices["layout"][0])) == {name for _, name in LAYOUTS}
    assert set(choices["init"]) == set(INITS) and set(choices["recipe"]) <= set(RECIPES)


@pytest.mark.parametrize("notebook", notebooks())
def test_every_parameter_of_a_chapter_is_described_and_its_defaults_are_allowed(notebook):
    fields = model(notebook).model_fields
    assert all(field.description for field in fields.values()) and {"device", "dtype", "out"} <= set(fields)
    plain = validate(notebook, {name: field.default for name, field in fields.items()}).model_dump()
    assert pickle.loads(pickle.dumps(plain)) == plain
