"""Notebook 05 on a real checkpoint and real sentences, through the same unit as every study (in miniature)."""

import pandas as pd

from skillkit.studies import load_study
from tests.helpers import REPOSITORY, run_chapter, shared_path


def test_the_local_pruning_study_runs(tmp_path):
    shared_path("models/minilm-mlm")
    shares = load_study(REPOSITORY / "params" / "local-pruning.yaml").notebooks["05_pruning"].shares
    assert sorted(shares) == [0.02, 0.2]
    claims = run_chapter(
        "local-pruning", "05_pruning", tmp_path, seeds=[0], draws=1,
        recipe="embedded", prompt_length=4, max_steps=5, further_steps=None, max_train_examples=48,
        max_test_examples=24, probe_examples=24, batch_sizes=[1, 4], text_length=16, rounds=2, base_rounds=0,
    )  # fmt: skip
    assert claims[0]["measured"] is not None
    sizes = pd.read_csv(tmp_path / "tables" / "sizes.csv", index_col=0)
    full, *kept = sizes.of_parameters
    assert full == 1 and kept == sorted(kept) and sizes.of_parameters["2% kept"] < 0.85
    assert (tmp_path / "figures" / "tradeoff.png").stat().st_size > 1000
