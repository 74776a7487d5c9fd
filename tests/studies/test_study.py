"""The studies and sweeps that come with the repository: right in every name and type, without running one."""

import pytest

from skillkit.small_world import TASKS
from skillkit.studies.grid import load_sweep
from skillkit.studies.params import Prompted
from skillkit.studies.study import load_study
from skillkit.tasks.registry import describe
from tests.helpers import REPOSITORY

STUDIES = sorted((REPOSITORY / "params").glob("*.yaml"))
LARGE = {
    "roberta-base": "roberta-base", "roberta-base-adversarial": "roberta-base", "t5-base": "t5-base",
    "t5-base-adversarial": "t5-base", "bert-knowledge": "bert-base-cased",
    "xlmr-multilingual": "xlm-roberta-base", "gpt2": "gpt2",
}  # fmt: skip


def tasks_of(parameters):
    """Every name of a task among the parameters of a notebook."""
    names = [
        name
        for field in ("tasks", "start_targets", "project_tasks", "unseen_tasks")
        for name in getattr(parameters, field, [])
    ]
    views = getattr(parameters, "views", [])
    return names + [name for view in views for name in (view.task, view.adversarial, view.clean) if name]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_study_is_right_and_names_tasks_that_there_are(path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    study = load_study(path)
    assert study.name == path.resolve().stem  # one study has two names
    for parameters in study.notebooks.values():
        for name in tasks_of(parameters):
            assert name.removeprefix("world/") in TASKS or describe(name, {}), name


@pytest.mark.parametrize("name", LARGE)
def test_large_study_says_what_it_costs_and_takes_nothing_from_the_small_world(name):
    path = REPOSITORY / "params" / f"{name}.yaml"
    about = path.read_text().split("name:")[0].replace("\n# ", " ")
    assert all(
        word in about for word in ("Estimated, not measured", "modern GPU", "hours", "GB of GPU memory")
    )
    study = load_study(path)
    assert {parameters.backbone for parameters in study.notebooks.values()} == {LARGE[name]}
    for notebook, parameters in study.notebooks.items():
        said = str(parameters.model_dump(exclude={"attacks", "neuron_attack"}))
        assert "world/" not in said and "embedded" not in said, notebook


@pytest.mark.parametrize("name", LARGE)
def test_prompts_of_a_large_study_are_tuned_once_for_all_notebooks_of_a_recipe(name):
    """Equal settings share their stored prompts, so each recipe has one length, layout and end."""
    settings = {}
    for parameters in load_study(REPOSITORY / "params" / f"{name}.yaml").notebooks.values():
        if isinstance(parameters, Prompted):
            setting = parameters.model_dump(
                include={"prompt_length", "layout", "max_steps", "max_train_examples"}
            )
            assert settings.setdefault(parameters.recipe, setting) == setting


def test_sweeps_are_right():
    sweeps = {
        path.stem: load_sweep(path) for path in sorted((REPOSITORY / "params" / "sweeps").glob("*.yaml"))
    }
    assert len(sweeps["lengths"].cells) == 2 * 4 * 3 - 3
    pairs = [
        (cell.parameters.project_from, *cell.parameters.project_to) for cell in sweeps["translations"].cells
    ]
    assert len(pairs) == len(set(pairs)) == 6 and all(one != other for one, other in pairs)
    assert [cell.parameters.seeds for cell in sweeps["seeds"].cells] == [[seed] for seed in range(5)]
