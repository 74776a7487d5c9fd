"""Notebook 01 on a real checkpoint and real sentences, through the same unit as every study (in miniature)."""

import json

import yaml

from skillkit import params, runs
from tests.helpers import REPOSITORY, shared_path


def test_the_local_study_runs(tmp_path):
    told = yaml.safe_load((REPOSITORY / "params" / "local-sst2.yaml").read_text())
    own = told["notebooks"]["01_prompt_tuning"]
    own |= dict(backbone=str(shared_path("models/minilm-mlm")), seeds=[0, 1], max_steps=30, baselines=["random"],
                tasks=[str(sst2(tmp_path))], max_train_examples=600, max_test_examples=200)  # fmt: skip
    parameters = params.validate("01_prompt_tuning", own)
    notebook = REPOSITORY / "notebooks" / "01_prompt_tuning.ipynb"
    outcome = runs.run_unit(runs.Unit(notebook, parameters, tmp_path / "results"))
    assert outcome.state == "done", outcome.error
    claims = json.loads((tmp_path / "results" / "claims.json").read_text())
    assert claims[0]["measured"] is not None
    assert (tmp_path / "results" / "figures" / "accuracy.png").stat().st_size > 1000


def sst2(folder):
    """The study's task file, its data where this machine has it."""
    task = yaml.safe_load((REPOSITORY / "params" / "tasks" / "sst2-files.yaml").read_text())
    path = folder / "sst2-files.yaml"
    path.write_text(yaml.safe_dump(task | dict(path=str(shared_path("data/glue/sst2")))))
    return path
