"""Notebook 08 on a real checkpoint and real adversarial sets, through the same unit as every study (in miniature)."""

import json

import pandas as pd
import pytest
import yaml

from skillkit import params, runs
from skillkit.errors import SkillkitError
from tests.helpers import REPOSITORY, shared_path

NAME = "08_adversarial_robustness"


def test_the_local_adversarial_study_runs(tmp_path):
    own = yaml.safe_load((REPOSITORY / "params" / "local-adversarial.yaml").read_text())["notebooks"][NAME]
    own |= dict(backbone=str(shared_path("models/minilm-mlm")), data_root=str(shared_path("data")), seeds=[0],
                max_steps=4, max_train_examples=64, max_test_examples=24, probe_examples=24, rates=[0.0, 0.1],
                draws=1, pushes=[1.0], repair_rows=8, repair_steps=2)  # fmt: skip
    own["views"] = [view for view in own["views"] if "without" in view or "sst2" in view["task"]]
    outcome = runs.run_unit(
        runs.Unit(
            REPOSITORY / "notebooks" / f"{NAME}.ipynb", params.validate(NAME, own), tmp_path / "results"
        )
    )
    assert outcome.state == "done", outcome.error
    drops = pd.read_csv(tmp_path / "results" / "tables" / "drops.csv")
    assert drops["view"].tolist() == [
        "sst2 · adv_glue/sst2", "sst2 · cad_imdb/revised", "snli · adv_glue/mnli without neutral",
    ]  # fmt: skip
    assert (drops.drop_low <= drops.drop_high).all() and not drops.paired.any()
    claims = json.loads((tmp_path / "results" / "claims.json").read_text())
    told = {claim["statement"]: claim for claim in claims}
    assert told["A masked LM (RoBERTa) falls below chance on adversarial texts."]["measured"] is not None
    assert told["T5 stays above chance on adversarial texts."]["holds"] == "not tested"


def test_parameters_that_do_not_fit_are_told():
    with pytest.raises(SkillkitError, match="neuron_attack should be one of the attacks, not 'casing'"):
        params.validate(NAME, {"attacks": ["typos"], "neuron_attack": "casing"})
    with pytest.raises(SkillkitError, match="views.0.adversarial"):
        params.validate(NAME, {"views": [{"task": "glue/sst2"}]})
