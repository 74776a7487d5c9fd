import json

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.transfer.indicator_correlation import by_type, forecasts
from skillkit.transfer.indicators import indicator_tables
from skillkit.transfer.published import TYPES, published_prompts, published_seeds, published_transfer
from skillkit.transfer.replicas import same_task
from skillkit.transfer.zero_shot import RANDOM
from tests.helpers import shared_path

ROBERTA, T5 = "Roberta", "T5"


@pytest.fixture(scope="module", params=[ROBERTA, T5])
def published(request):
    folder = shared_path("data/published_prompts")
    return request.param, published_prompts(folder, request.param), published_transfer(folder, request.param)


def test_published_transfer_within_and_between_types(published):
    backbone, prompts, transfer = published
    expected = {ROBERTA: (0.808, 0.566), T5: (0.871, 0.638)}[backbone]
    found = by_type(transfer.relative, TYPES)
    assert list(prompts) == list(TYPES) == list(transfer.absolute.index)
    assert tuple(found["value"][:2].round(3)) == expected
    assert (found["low"] < found["value"]).all() and (found["value"] < found["high"]).all()


# Backbone, indicator, whether the dead row counts: mean within types, between, AUC, ρ (None: not stated).
FIGURES = [
    (ROBERTA, "C_average", True, (0.0388, 0.0288), 0.671, 0.388),
    (ROBERTA, "C_concat", False, (0.0875, 0.0425), 0.875, 0.325),
    (ROBERTA, "C_concat", True, None, 0.702, None),
    (ROBERTA, "cosine_mean", False, (0.531, 0.376), 0.853, 0.399),
    (T5, "C_average", True, (0.0476, 0.0149), 0.936, 0.560),
    (T5, "C_concat", True, (0.268, 0.161), 0.793, 0.352),
    (T5, "cosine_mean", True, (0.493, 0.162), 0.947, 0.588),
]


def test_indicators_of_the_published_prompts(published):
    backbone, prompts, transfer = published
    tables = {dead: indicator_tables(prompts, dead_rows=dead) for dead in (True, False)}
    for where, name, dead, means, area, rho in FIGURES:
        if where != backbone:
            continue
        found = by_type(tables[dead][name], TYPES)["value"]
        if means:
            assert tuple(found[:2]) == pytest.approx(means, abs=0.0005)
        assert found["AUC"] == pytest.approx(area, abs=0.0005)
        if rho is not None:
            told = forecasts({name: tables[dead][name]}, transfer.absolute).iloc[0]
            assert told["rho"] == pytest.approx(rho, abs=0.0005) and told["low"] < rho < told["high"]
    euclid = forecasts(tables[True], transfer.absolute).set_index("indicator")["rho"]
    expected = {ROBERTA: 0, T5: 0.22}[backbone]
    assert all(euclid[name] == pytest.approx(expected, abs=0.06) for name in ("E_concat", "E_average"))


def test_prompts_of_one_task_over_seeds():
    folder = shared_path("data/published_prompts")
    seeds = published_seeds(folder, ROBERTA)
    assert list(seeds) == [33, 34, 35, 36] and all(len(mine) == 9 for mine in seeds.values())
    prompts = {f"{task} {seed}": one for seed, mine in seeds.items() for task, one in mine.items()}
    tasks, numbers = ({name: name.split()[part] for name in prompts} for part in (0, 1))
    table = indicator_tables(prompts, names=("cosine_mean",))["cosine_mean"]
    found = same_task(table, tasks, numbers, permutations=999)
    assert found.same > found.different and found.p_value < 0.05


def written(path, tensor):
    path.parent.mkdir(parents=True)
    torch.save(tensor, path)


def test_a_clone_of_the_authors_repository(tmp_path):
    root = tmp_path / "Prompt-Transferability-1.0"
    for task in ("SST2", "IMDB", "joy", "SST2_trained"):
        written(root / f"task_prompt_emb/{task}PromptRoberta/task_prompt", torch.randn(4, 6))
    for target, source, accuracy in [("SST2", "SST2", 0.9), ("SST2", "IMDB", 0.8), ("IMDB", "SST2", 0.6),
                                     ("IMDB", "IMDB", 0.75), ("SST2", "joy", 0.1), ("joy", "SST2", 0.1)]:  # fmt: skip
        file = root / f"result/{target}PromptRoberta/result_{source}PromptRoberta.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(json.dumps({"acc": accuracy})))
    folder = root / "result/SST2PromptRoberta"
    (folder / "result_random.json").write_text(json.dumps(json.dumps({"acc": 0.45})))
    (folder / "result_IMDBPromptRobertaLarge.json").write_text(json.dumps(json.dumps({"acc": 0.0})))
    (folder / "result_model_transfer_IMDBPromptRoberta.json").write_text(json.dumps(json.dumps({"acc": 0.0})))
    prompts, transfer = published_prompts(tmp_path), published_transfer(tmp_path)
    assert list(prompts) == ["IMDB", "SST2"] and prompts["IMDB"].layout == "zero-position"
    assert transfer.absolute.loc["IMDB", "SST2"] == 0.8 and transfer.absolute.loc["SST2", "IMDB"] == 0.6
    assert transfer.relative.loc["SST2", "IMDB"] == pytest.approx(0.6 / 0.75)
    assert transfer.relative.loc[RANDOM, "SST2"] == pytest.approx(0.5)
    assert list(transfer.absolute.index) == ["IMDB", "SST2", RANDOM]


def test_bad_input(tmp_path):
    with pytest.raises(SkillkitError, match="no folder like SST2PromptBert"):
        published_prompts(tmp_path, "Bert")
    with pytest.raises(SkillkitError, match="no accuracies for T5"):
        published_transfer(tmp_path, "T5")
    with pytest.raises(SkillkitError, match="no folders seed_"):
        published_seeds(tmp_path)
    (tmp_path / "zero_shot_accuracy.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SkillkitError, match="no column accuracy"):
        published_transfer(tmp_path)
    (tmp_path / "zero_shot_accuracy.csv").unlink()
    (tmp_path / "result/SST2PromptT5").mkdir(parents=True)
    (tmp_path / "result/SST2PromptT5/result_SST2PromptT5.json").write_text("")
    with pytest.raises(SkillkitError, match="empty or damaged"):
        published_transfer(tmp_path, "T5")
