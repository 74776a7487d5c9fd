"""Notebook 05 on a real checkpoint and real sentences, through the same unit as every study (in miniature)."""

import json

import pandas as pd
import yaml

from skillkit import params, units
from tests.end_to_end.test_local_study import sst2
from tests.helpers import REPOSITORY, shared_path


def test_the_local_pruning_study_runs(tmp_path):
    told = yaml.safe_load((REPOSITORY / "params" / "local-pruning.yaml").read_text())
    own = told["notebooks"]["05_pruning"]
    assert sorted(own["shares"]) == [0.02, 0.2]
    own |= dict(backbone=str(shared_path("models/minilm-mlm")), tasks=[str(sst2(tmp_path))], seeds=[0], draws=1,
                recipe="embedded", max_steps=5, further_steps=None, max_train_examples=100, max_test_examples=60,
                probe_examples=60, batch_sizes=[1, 4], text_length=16, rounds=2, base_rounds=0)  # fmt: skip
    parameters = params.validate("05_pruning", own)
    notebook = REPOSITORY / "notebooks" / "05_pruning.ipynb"
    outcome = units.run_unit(units.Unit(notebook, parameters, tmp_path / "results"))
    assert outcome.state == "done", outcome.error
    claims = json.loads((tmp_path / "results" / "claims.json").read_text())
    assert claims[0]["measured"] is not None
    sizes = pd.read_csv(tmp_path / "results" / "tables" / "sizes.csv", index_col=0)
    assert list(sizes.of_parameters) == sorted(sizes.of_parameters) and sizes.of_parameters["2% kept"] < 0.85
    assert (tmp_path / "results" / "figures" / "tradeoff.png").stat().st_size > 1000
