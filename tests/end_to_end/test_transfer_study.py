"""Notebook 06 on published prompts (no model at all), and on a real checkpoint with six real tasks in miniature."""

import csv
import json

import pytest
import yaml

from skillkit import params, units
from tests.helpers import REPOSITORY, shared_path

NOTEBOOK = REPOSITORY / "notebooks" / "06_transferability.ipynb"


def run(study, folder, **changed):
    """Run notebook 06 as a study has it, with some parameters changed; its claims, and its folder."""
    told = yaml.safe_load((REPOSITORY / "params" / study).read_text())
    own = told["notebooks"]["06_transferability"] | changed
    parameters = params.validate("06_transferability", own)
    outcome = units.run_unit(units.Unit(NOTEBOOK, parameters, folder))
    assert outcome.state == "done", outcome.error
    return json.loads((folder / "claims.json").read_text())


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_published_prompts(tmp_path):
    claims = run(
        "published-prompts.yaml", tmp_path / "out", published=str(shared_path("data/published_prompts"))
    )
    rows = read(tmp_path / "out" / "tables" / "indicators.csv")
    rho = {(row["backbone"], row["indicator"], row["rows"]): float(row["rho"]) for row in rows}
    assert rho["Roberta", "cosine_mean", "read by the model"] == pytest.approx(0.399, abs=0.0005)
    assert rho["Roberta", "C_average", "all"] == pytest.approx(0.388, abs=0.0005)
    assert rho["T5", "cosine_mean", "all"] == pytest.approx(0.588, abs=0.0005)
    seeds = read(tmp_path / "out" / "tables" / "seeds.csv")
    assert len(seeds) == 4 and all(float(row["p_value"]) < 0.01 for row in seeds)
    tested = [claim for claim in claims if claim["holds"] != "not tested"]
    assert len(tested) == 3 and all(claim["measured"] is not None for claim in tested)


def cut(source, target, rows=48, words=30):
    """The first rows of every split of a data set, their texts cut short."""
    target.mkdir(parents=True)
    for path in source.glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:rows]]
        short = [
            {k: " ".join(v.split()[:words]) if isinstance(v, str) else v for k, v in one.items()}
            for one in lines
        ]
        (target / path.name).write_text("".join(json.dumps(one) + "\n" for one in short), encoding="utf-8")


def test_the_local_study(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path / "store"))
    study = yaml.safe_load((REPOSITORY / "params" / "local-transfer.yaml").read_text())
    own = study["notebooks"]["06_transferability"]
    for name in own["tasks"]:
        cut(shared_path(f"data/{name}"), tmp_path / "data" / name)
    claims = run(
        "local-transfer.yaml", tmp_path / "out", backbone=str(shared_path("models/minilm-mlm")), seeds=[0],
        data_root=str(tmp_path / "data"), max_steps=2, max_test_examples=16, random_prompts=2,
        start_targets=["glue/sst2"], start_steps=2,
    )  # fmt: skip
    table = read(tmp_path / "out" / "figures" / "transfer_minilm-mlm.csv")
    assert (
        len(table) == 7 and len(table[0]) == 7
    )  # six tasks and the random prompt; their names and six targets
    assert sum(claim["holds"] != "not tested" for claim in claims) >= 4
