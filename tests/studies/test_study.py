"""Studies: which cells a file stands for, and one sentence for each mistake; those of the repository are right."""

import re

import pytest

from skillkit.core.errors import SkillkitError
from skillkit.small_world import TASKS
from skillkit.studies import load_study
from skillkit.studies import study as study_file
from skillkit.tasks import task_file
from tests import small_studies as studies
from tests.helpers import REPOSITORY
from tests.studies.test_params import write  # noqa: F401 (a fixture)

STUDIES = sorted((REPOSITORY / "params").glob("*.yaml"))
LARGE = {
    "roberta-base": "roberta-base", "roberta-base-adversarial": "roberta-base", "t5-base": "t5-base",
    "t5-base-adversarial": "t5-base", "bert-knowledge": "bert-base-cased",
    "xlmr-multilingual": "xlm-roberta-base", "gpt2": "gpt2",
}  # fmt: skip
SMALL = "seed: int = 0\nsize: int = 3  # a number; ≥ 1\naction: str = 'none'\ndevice: str = 'auto'"
OTHER = "seeds: list[int] = [0]  # seeds; ≥ 0\nsize: int = 3\nrate: float = 0.1\ndevice: str = 'auto'"


@pytest.fixture
def cells(write, tmp_path):  # noqa: F811
    """The cells of a study of two notebooks, `small` and `other`, that share some parameters."""
    write(SMALL, name="small")
    write(OTHER, name="other")
    return lambda **entries: load_study(studies.sweep(tmp_path, **entries)).cells


def test_without_a_grid_each_notebook_is_a_cell_and_gets_the_shared_parameters_that_it_has(cells):
    notebooks = {"small": None, "other": {"device": "cuda"}}
    small, other = cells(shared={"device": "cpu", "rate": 0.5}, notebooks=notebooks)
    assert (small.name, small.folder, small.parameters.device) == ("small", "small", "cpu")
    assert (other.parameters.rate, other.parameters.device) == (0.5, "cuda")


def test_a_grid_is_every_combination_and_an_axis_goes_to_the_notebooks_that_have_it(cells):
    made = cells(notebooks={"small": {}, "other": {}}, grid={"size": [1, 2], "rate": [0.1, 0.2]})
    assert [cell.name for cell in made] == [
        "small size=1", "small size=2",
        "other size=1 rate=0.1", "other size=1 rate=0.2", "other size=2 rate=0.1", "other size=2 rate=0.2",
    ]  # fmt: skip
    assert made[3].parameters.model_dump().items() >= {"size": 1, "rate": 0.2}.items()
    assert len({cell.folder for cell in made}) == 6


@pytest.mark.parametrize("axis, given, values", [
    ("size", {"from": 0, "to": 4}, [0, 1, 2, 3, 4]), ("size", {"from": 1, "to": 6, "step": 2}, [1, 3, 5]),
    ("size", {"from": 4, "to": 64, "times": 2}, [4, 8, 16, 32, 64]), ("size", {"from": 7, "to": 7}, [7]),
    ("rate", {"from": 0.0, "to": 0.3, "step": 0.1}, [0, 0.1, 0.2, 0.3]),
    ("rate", {"from": 1e-4, "to": 1e-2, "times": 10}, [1e-4, 1e-3, 1e-2]),
    ("seeds", [0, [1, 2]], [[0], [1, 2]]),
])  # fmt: skip
def test_ranges_and_single_values_of_lists(cells, axis, given, values):
    assert [
        getattr(cell.parameters, axis) for cell in cells(notebooks={"other": {}}, grid={axis: given})
    ] == values


def test_exclusions_and_overrides(cells):
    made = cells(
        notebooks={"small": {}, "other": {}}, grid={"size": [1, 2, 3], "rate": [0.1, 0.2]},
        exclude=[{"size": [2, 3], "notebook": "other", "rate": 0.2}, {"notebook": "small", "size": 1}],
        overrides=[{"where": {"size": 3}, "set": {"seeds": [8]}}],
    )  # fmt: skip
    assert [cell.name for cell in made] == [
        "small size=2", "small size=3", "other size=1 rate=0.1", "other size=1 rate=0.2",
        "other size=2 rate=0.1", "other size=3 rate=0.1",
    ]  # fmt: skip
    assert [cell.parameters.seeds for cell in made[2:]] == [[0], [0], [0], [8]]


def test_which_cells_wait_for_which(cells, tmp_path):
    entries = dict(notebooks={"small": {}, "other": {}}, after={"other": "small"})
    study = load_study(studies.sweep(tmp_path, **entries, grid={"size": [1, 2], "rate": [0.1, 0.2]}))
    assert study.predecessors(study.cells) == {0: [], 1: [], 2: [0], 3: [0], 4: [1], 5: [1]}


def test_the_folder_of_a_cell_does_not_depend_on_other_parameters(cells):
    one, other = (cells(shared={"device": device}, grid={"size": [1]})[0] for device in ("cpu", "cuda"))
    assert one.folder == other.folder and one.parameters != other.parameters


def test_no_more_cells_than_meant(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(study_file, "MAX_CELLS", 5)
    path = studies.sweep(tmp_path, grid={"size": {"from": 1, "to": 3}, "seed": {"from": 1, "to": 2}})
    with pytest.raises(SkillkitError, match="has 6 cells; .* --yes"):
        load_study(path)
    assert len(load_study(path, many=True).cells) == 6


SIZE = {"grid": {"size": [1]}}


@pytest.mark.parametrize("entries, sentence", [
    ({"notebook": {}}, "a study has no entry 'notebook'; did you mean 'notebooks'?"),
    ({"notebooks": {}}, "notebooks should have at least 1 item"), ({"notebooks": ["small"]}, "names with values"),
    ({"notebooks": {"small": 3}}, "notebooks.small should be names with values (name: value), not 3"),
    ({"name": "../x"}, "cannot be the name of a file or folder"), ({"name": ""}, "cannot be the name"),
    ({"notebooks": {"smal": {}}}, "there is no notebook 'smal'; did you mean 'small'?"),
    ({"notebooks": {"small": {"out": "here"}}}, "--out"), ({"shared": {"out": "here"}}, "--out"),
    ({"shared": {"sed": 1}}, "shared: no notebook here has a parameter 'sed'; did you mean 'seed'?"),
    ({"notebooks": {"small": {"sze": 1}}}, "small has no parameter 'sze'; did you mean 'size'?"),
    ({"grid": {"size": []}}, "size needs a list of values or a range"), ({"grid": {"size": 3}}, "size needs a list"),
    ({"grid": {"size": [1, 1]}}, "has 1 twice"), ({"grid": {"sise": [1]}}, "'sise'; did you mean 'size'?"),
    ({"grid": {"size": ["a"]}}, "small: size should be a valid integer, not 'a'"),
    ({"grid": {"size": [0]}}, "small: size should be greater than or equal to 1, not 0"),
    ({"grid": {"out": ["a"]}}, "`out` cannot be set"), ({"grid": ["size"]}, "names with values"),
    ({"grid": {"size": {"from": 3, "to": 1}}}, "a range is"), ({"grid": {"size": {"to": 1}}}, "a range is"),
    ({"grid": {"size": {"from": 0, "to": 1, "step": 0}}}, "a range is"),
    ({"grid": {"size": {"from": 0, "to": 9, "times": 2}}}, "a range is"),
    ({"grid": {"size": {"from": 1, "to": 9, "by": 2}}}, "a range is"),
    ({"grid": {"size": {"from": 0, "to": 1e14}}}, "too long"),
    ({"grid": {"size": {"from": 0, "to": 10**400}}}, "a range is"),
    ({"grid": {"size": {"from": 1, "to": 10_500}}}, "the grid has 10,500 cells"),
    ({"exclude": {"size": 1}}, "a valid list"),
    ({"grid": {"seed": {"from": 1, "to": 9000}, "size": [1, 2]}}, "18,000 cells; make it smaller, or give --yes"),
    ({"grid": {"size": [1, [1, [2]]]}}, "valid integer, not [1, [2]]"),
    ({"shared": {"action": ""}}, "should be a name"),
    ({"grid": {"seed": [2**32]}}, "less than or equal to 4294967295"), ({"after": {"small": 3}}, "after.small"),
    (SIZE | {"exclude": [{"size": 1}]}, "every cell of the grid is excluded"),
    (SIZE | {"exclude": [{"size": 2}]}, "exclude: size has no value 2; it has 1"),
    (SIZE | {"exclude": [{"seed": 2}]}, "exclude: the grid has no axis 'seed'"),
    (SIZE | {"exclude": ["size"]}, "exclude.0 should be names with values"),
    (SIZE | {"overrides": [{"where": {"size": 1}}]}, "overrides.0.set is missing"),
    (SIZE | {"overrides": [{"where": {"size": 1}, "set": {"sed": 1}}]}, "has a parameter 'sed'"),
    (SIZE | {"overrides": [{"where": {"size": 1}, "set": {"size": 2}}]}, "cannot set an axis"),
    ({"after": {"small": "big"}}, "after: there is no notebook 'big'"),
    ({"after": ["small"]}, "after should be names with values"),
    ({"after": {"small": "small"}}, "small waits for small, so none can begin"),
])  # fmt: skip
def test_mistakes_are_one_sentence(cells, entries, sentence):
    with pytest.raises(SkillkitError) as error:
        cells(**entries)
    assert (
        sentence in str(error.value)
        and "tiny.yaml: " in str(error.value)
        and "\n" not in str(error.value)
        and len(str(error.value)) < 800
    )


@pytest.mark.parametrize("folder", ["plain", "with: a # in it"])
def test_parameter_files_name_the_folder_of_local_data_wherever_it_lies(monkeypatch, tmp_path, folder):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "shared: {data_root: $SKILLKIT_SHARED/data}\nnotebooks:\n"
        "  01_prompt_tuning: {backbone: $SKILLKIT_SHARED/models/mine, tasks: [$SKILLKIT_SHARED/a.csv, b.csv]}\n"
    )
    monkeypatch.setenv("SKILLKIT_SHARED", str(tmp_path / folder))
    study = load_study(path)
    tuning = study.notebooks["01_prompt_tuning"]
    assert study.name == "mine" and tuning.backbone == f"{tmp_path}/{folder}/models/mine"
    assert (tuning.data_root, tuning.tasks[1]) == (f"{tmp_path}/{folder}/data", "b.csv")
    monkeypatch.delenv("SKILLKIT_SHARED")
    assert load_study(path).notebooks["01_prompt_tuning"].tasks[0] == str(REPOSITORY.parent / "shared/a.csv")


def tasks_of(parameters):
    """Every name of a task among the parameters of a notebook."""
    fields = ("tasks", "start_targets", "project_tasks", "unseen_tasks")
    names = [name for field in fields for name in getattr(parameters, field, [])]
    views = getattr(parameters, "views", [])
    return names + [name for view in views for name in (view.task, view.adversarial, view.clean) if name]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_study_is_right_and_names_tasks_that_there_are(path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    study = load_study(path)
    assert study.name == path.resolve().stem  # one study has two names
    for parameters in study.notebooks.values():
        for name in tasks_of(parameters):
            assert name.removeprefix("world/") in TASKS or task_file(name, {}), name


@pytest.mark.parametrize("name", LARGE)
def test_large_study_takes_nothing_from_the_small_world_and_tunes_prompts_once(name):
    path = REPOSITORY / "params" / f"{name}.yaml"
    settings = {}
    for notebook, parameters in load_study(path).notebooks.items():
        said = str(parameters.model_dump(exclude={"attacks", "neuron_attack"}))
        assert parameters.backbone == LARGE[name] and not re.search("world/|embedded", said), notebook
        if hasattr(parameters, "recipe"):  # equal settings share their stored prompts
            names = {"prompt_length", "layout", "max_steps", "max_train_examples"}
            setting = parameters.model_dump(include=names)
            assert settings.setdefault(parameters.recipe, setting) == setting


def test_sweeps_are_right():
    sweeps = {path.stem: load_study(path) for path in (REPOSITORY / "params" / "sweeps").glob("*.yaml")}
    assert len(sweeps["lengths"].cells) == 2 * 4 * 3 - 3
    translated = [cell.parameters for cell in sweeps["translations"].cells]
    pairs = [(one.project_from, *one.project_to) for one in translated]
    assert len(pairs) == len(set(pairs)) == 6 and all(one != other for one, other in pairs)
    assert [cell.parameters.seeds for cell in sweeps["seeds"].cells] == [[seed] for seed in range(5)]
