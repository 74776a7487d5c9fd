"""Parameters and studies: what is wrong is one sentence."""

import json
from typing import get_args

import pytest

from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_yaml
from skillkit.prompts.layouts import LAYOUTS
from skillkit.prompts.soft_prompt import INITS
from skillkit.studies.params import NOTEBOOKS, Layouts, parameters_cell, validate
from skillkit.studies.study import load_study
from tests.helpers import REPOSITORY


def test_choices_are_those_of_the_package():
    assert set(get_args(Layouts)) == {name for _, name in LAYOUTS}
    assert get_args(NOTEBOOKS["01_prompt_tuning"].model_fields["init"].annotation) == INITS


@pytest.fixture
def study(tmp_path):
    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    "values, sentence",
    [
        (
            {"promt_length": 3},
            "01_prompt_tuning has no parameter 'promt_length'; did you mean 'prompt_length'?",
        ),
        ({"prompt_length": "3"}, "01_prompt_tuning: prompt_length should be a valid integer, not '3'"),
        ({"prompt_length": True}, "prompt_length should be a valid integer, not True"),
        ({"epochs": 1.5}, "epochs should be a valid integer"),
        ({"seeds": 3}, "seeds should be a valid list, not 3"),
        ({"seeds": [0, -1]}, "seeds.1 should be greater than or equal to 0, not -1"),
        ({"baselines": ["adaptor"]}, "baselines.0 should be 'random', 'bitfit' or 'adapter', not 'adaptor'"),
        ({"init": "ones"}, "init should be 'random', 'vocabulary' or 'label-words', not 'ones'"),
        (
            {"layout": "infix"},
            "layout should be 'mask-first', 'zero-position', 'prefix', 'suffix' or 'encoder'",
        ),
        ({"seeds": 3, "epochs": "x"}, "(and 1 more)"),
    ],
)
def test_wrong_parameters_are_told(values, sentence):
    with pytest.raises(SkillkitError) as error:
        validate("01_prompt_tuning", values)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_unknown_notebook_is_told():
    with pytest.raises(
        SkillkitError, match="there is no notebook '01_promt_tuning'; did you mean '01_prompt_tuning'?"
    ):
        validate("01_promt_tuning", {})


def test_study_gives_shared_parameters_to_whom_they_concern(study):
    path = study(
        "shared: {device: cpu, backbone: some/model}\n"
        "notebooks:\n  00_the_small_world:\n  01_prompt_tuning: {learning_rate: 1e-3, device: cuda}\n"
    )
    loaded = load_study(path)
    assert loaded.name == "mine" and list(loaded.notebooks) == ["00_the_small_world", "01_prompt_tuning"]
    tuning = loaded.notebooks["01_prompt_tuning"]
    assert (tuning.backbone, tuning.learning_rate, tuning.device) == ("some/model", 0.001, "cuda")
    assert loaded.notebooks["00_the_small_world"].device == "cpu"


@pytest.mark.parametrize("folder", ["plain", "with: a # in it"])
def test_parameter_files_name_the_folder_of_local_data_wherever_it_lies(study, monkeypatch, tmp_path, folder):
    path = study(
        "shared: {data_root: $SKILLKIT_SHARED/data}\nnotebooks:\n"
        "  01_prompt_tuning: {backbone: $SKILLKIT_SHARED/models/mine, tasks: [$SKILLKIT_SHARED/a.csv, b.csv]}\n"
    )
    monkeypatch.setenv("SKILLKIT_SHARED", str(tmp_path / folder))
    tuning = load_study(path).notebooks["01_prompt_tuning"]
    assert tuning.backbone == f"{tmp_path}/{folder}/models/mine"
    assert (tuning.data_root, tuning.tasks[1]) == (f"{tmp_path}/{folder}/data", "b.csv")
    monkeypatch.delenv("SKILLKIT_SHARED")
    beside = load_study(path).notebooks["01_prompt_tuning"].tasks[0]
    assert beside == str(REPOSITORY.parent / "shared/a.csv")


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("notebook: {}", "a study has no entry 'notebook'; did you mean 'notebooks'?"),
        ("name: x", "`notebooks` must map"),
        ("notebooks: [01_prompt_tuning]", "`notebooks` must map"),
        ("notebooks: {01_prompt_tuning: 3}", "parameters must be names with values"),
        ("shared: {devise: cpu}\nnotebooks: {01_prompt_tuning: {}}", "'devise'; did you mean 'device'?"),
        ("notebooks: {01_prompt_tuning: {out: here}}", "--out"),
        ("name: ../x\nnotebooks: {01_prompt_tuning: {}}", "name of a folder"),
        ("notebooks: {01_prompt_tuning: {seeds: [1}}", "is no YAML in line 1"),
        ("name: a\nname: b\nnotebooks: {01_prompt_tuning: {}}", 'duplicate key "name"'),
        ("notebooks: !!python/object/apply:os.system [ls]", "is no YAML"),
        ("- a\n- b", "must hold names with values"),
        ("", "must hold names with values"),
    ],
)
def test_wrong_study_is_told(study, text, sentence):
    with pytest.raises(SkillkitError) as error:
        load_study(study(text))
    assert sentence in str(error.value) and "mine.yaml" in str(error.value) and "\n" not in str(error.value)


def test_missing_and_binary_files_are_told(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, sentence in [
        ("absent.yaml", "No such file"),
        ("binary.yaml", "not UTF-8"),
        ("", "Is a directory"),
    ]:
        with pytest.raises(SkillkitError, match=sentence):
            read_yaml(tmp_path / name)


def test_words_stay_words_and_numbers_become_numbers(study):
    read = read_yaml(
        study(
            "words: [no, yes, on, 2024-01-01, '1']\nnumbers: [1e-3, 5E4, .5, 3., -7, .inf]\n"
            "truth: [true, False]\nnothing: [null, ~, ]"
        )
    )
    assert read["words"] == ["no", "yes", "on", "2024-01-01", "1"]
    assert read["numbers"] == [0.001, 50000.0, 0.5, 3.0, -7, float("inf")]
    assert read["truth"] == [True, False] and read["nothing"] == [None, None]


def test_parameters_cell_is_read_without_running_it(tmp_path):
    def notebook(*cells):
        path = tmp_path / "x.ipynb"
        path.write_text(
            json.dumps({"cells": [{"metadata": {"tags": tags}, "source": lines} for tags, lines in cells]})
        )
        return path

    assert parameters_cell(notebook((["parameters"], ["a = 1  # one\n", "b = ['x', None]"]))) == {
        "a": 1,
        "b": ["x", None],
    }
    for cells in [[], [(["parameters"], ["a = 1"])] * 2]:
        with pytest.raises(SkillkitError, match=f"it has {len(cells)}"):
            parameters_cell(notebook(*cells))
    for line in ["a = open('x')", "import os", "a, b = 1, 2", "a ="]:
        with pytest.raises(SkillkitError, match="plain assignments only"):
            parameters_cell(notebook((["parameters"], [line])))


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_notebook_and_model_agree_on_names_and_defaults(path):
    assert parameters_cell(path) == NOTEBOOKS[path.stem]().model_dump()


@pytest.mark.parametrize("path", sorted((REPOSITORY / "params").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_studies_are_valid(path):
    assert load_study(path).notebooks


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_parameter_is_described(notebook):
    assert all(field.description for field in NOTEBOOKS[notebook].model_fields.values())
