"""Notebooks 01 to 04 on a real checkpoint and real sentences, of two and of three classes, in miniature."""

import json

import pytest
import yaml

from skillkit import params, studies, units
from tests.helpers import REPOSITORY, shared_path

SMALL = dict(
    seeds=[0], recipe="embedded", max_steps=4, max_train_examples=120, max_test_examples=20, probe_examples=30,
    map_examples=10, permutations=2, ensembles=[1, 3], draws=2, rates=[0.1], baselines=["random"], shown_texts=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Chapters share their prompts, as they do outside of tests."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.parametrize("notebook", ["01_prompt_tuning", "02_probing", "03_skill_neurons", "04_suppression"])
@pytest.mark.parametrize("study", ["local-sst2", "local-tweets"])
def test_the_local_study_runs(study, notebook, store, tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(store))
    here = dict(backbone=str(shared_path("models/minilm-mlm")))
    if study == "local-sst2":
        here |= dict(tasks=[str(sst2(tmp_path))])
    else:
        here |= dict(data_root=str(shared_path("data/tweet_eval").parent))
    told = studies.load_study(REPOSITORY / "params" / f"{study}.yaml").notebooks[notebook].model_dump()
    parameters = params.validate(notebook, told | {k: v for k, v in (SMALL | here).items() if k in told})
    path = REPOSITORY / "notebooks" / f"{notebook}.ipynb"
    outcome = units.run_unit(units.Unit(path, parameters, tmp_path / "results"))
    assert outcome.state == "done", outcome.error
    claims = json.loads((tmp_path / "results" / "claims.json").read_text())
    assert any(claim["measured"] is not None for claim in claims)
    contents = json.loads((tmp_path / "results" / "contents.json").read_text())
    for figure in contents["figures"]:
        assert all(
            (tmp_path / "results" / file).stat().st_size > (10 if file.endswith("csv") else 1000)
            for file in figure["files"]
        )
    assert {file.rpartition(".")[2] for file in contents["figures"][0]["files"]} == {"png", "svg", "csv"}


def sst2(folder):
    """The study's task file, its data where this machine has it."""
    task = yaml.safe_load((REPOSITORY / "params" / "tasks" / "sst2-files.yaml").read_text())
    path = folder / "sst2-files.yaml"
    path.write_text(yaml.safe_dump(task | dict(path=str(shared_path("data/glue/sst2")))))
    return path
