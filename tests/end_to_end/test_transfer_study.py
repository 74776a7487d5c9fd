"""Notebook 06 on published prompts (no model at all), and on a real checkpoint with six real tasks in miniature."""

import csv
import json

import pytest

from skillkit.studies import load_study
from tests.helpers import REPOSITORY, run_chapter, shared_path

NAME = "06_transferability"


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_published_prompts(tmp_path):
    shared_path("data/published_prompts")
    claims = run_chapter("published-prompts", NAME, tmp_path / "out")
    rows = read(tmp_path / "out" / "tables" / "indicators.csv")
    rho = {(row["backbone"], row["indicator"], row["rows"]): float(row["rho"]) for row in rows}
    assert rho["Roberta", "cosine_mean", "read by the model"] == pytest.approx(0.399, abs=0.0005)
    assert rho["Roberta", "C_average", "all"] == pytest.approx(0.388, abs=0.0005)
    assert rho["T5", "cosine_mean", "all"] == pytest.approx(0.588, abs=0.0005)
    seeds = read(tmp_path / "out" / "tables" / "seeds.csv")
    assert len(seeds) == 4 and all(float(row["p_value"]) < 0.01 for row in seeds)
    tested = [claim for claim in claims if claim["holds"] != "not tested"]
    assert len(tested) == 3 and all(claim["measured"] is not None for claim in tested)


def cut(source, target, rows=16, words=8):
    """The first rows of every split of a data set, their texts cut short."""
    target.mkdir(parents=True)
    for path in source.glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:rows]]
        cut_short = lambda value: " ".join(value.split()[:words]) if isinstance(value, str) else value
        short = [{name: cut_short(value) for name, value in one.items()} for one in lines]
        (target / path.name).write_text("".join(json.dumps(one) + "\n" for one in short), encoding="utf-8")


def test_the_local_study(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path / "store"))
    shared_path("models/minilm-mlm")
    for name in load_study(REPOSITORY / "params" / "local-transfer.yaml").notebooks[NAME].tasks:
        cut(shared_path(f"data/{name}"), tmp_path / "data" / name)
    claims = run_chapter(
        "local-transfer", NAME, tmp_path / "out", seeds=[0],
        data_root=str(tmp_path / "data"), prompt_length=4, max_steps=2, max_test_examples=6, random_prompts=2,
        start_targets=["glue/sst2"], start_steps=2,
    )  # fmt: skip
    table = read(tmp_path / "out" / "figures" / "transfer_minilm-mlm.csv")
    assert (
        len(table) == 7 and len(table[0]) == 7
    )  # six tasks and the random prompt; their names and six targets
    assert sum(claim["holds"] != "not tested" for claim in claims) >= 4
