"""Notebooks 01, 02, 04 and 05 on a real checkpoint and real sentences, of two and of three classes, in miniature."""

import json

import pytest

from skillkit.studies import params
from tests.helpers import run_chapter, shared_path

SMALL = dict(
    seeds=[0], recipe="embedded", prompt_length=4, max_steps=4, max_train_examples=48, max_test_examples=12,
    probe_examples=12, map_examples=4, permutations=2, draws=2, rates=[0.1], baselines=["random"], shown_texts=1,
    further_steps=None, batch_sizes=[1, 4], text_length=16, rounds=2, base_rounds=0,
)  # fmt: skip
STUDIES = [
    ("local-sst2", "01_prompt_tuning"), ("local-sst2", "02_probing"), ("local-tweets", "04_suppression"),
    ("local-pruning", "05_pruning"),
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Chapters share their prompts, as they do outside of tests."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.parametrize("study, notebook", STUDIES)
def test_the_local_study_runs(study, notebook, store, tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(store))
    shared_path("models/minilm-mlm")
    known = params.model(notebook).model_fields
    results = tmp_path / "results"
    claims = run_chapter(study, notebook, results, **{k: v for k, v in SMALL.items() if k in known})
    assert any(claim["measured"] is not None for claim in claims)
    contents = json.loads((results / "contents.json").read_text())
    for figure in contents["figures"]:
        sizes = {file: (results / file).stat().st_size for file in figure["files"]}
        assert all(size > (10 if file.endswith("csv") else 1000) for file, size in sizes.items())
    assert {file.rpartition(".")[2] for file in contents["figures"][0]["files"]} == {"png", "svg", "csv"}
