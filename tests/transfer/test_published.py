import json
import math

import pytest
import torch

from skillkit.transfer import Published, by_type, indicator_correlation, indicators, same_task
from skillkit.transfer.published import TYPES
from skillkit.transfer.zero_shot import RANDOM
from tests.helpers import refused, shared_path

ROBERTA, T5 = "Roberta", "T5"


@pytest.fixture(scope="module", params=[ROBERTA, T5])
def published(request):
    return Published(shared_path("data/published_prompts"), request.param)


def test_published_transfer_within_and_between_types(published):
    expected = {ROBERTA: (0.808, 0.566), T5: (0.871, 0.638)}[published.backbone]
    found = by_type(published.transfer.relative, TYPES)
    assert list(published.prompts) == list(TYPES) == list(published.transfer.absolute.index)
    assert tuple(found["value"][:2].round(3)) == expected
    assert (found["low"] < found["value"]).all() and (found["value"] < found["high"]).all()


# Backbone, indicator, whether the dead row counts: mean within types, between, AUC, ρ (NaN: not stated).
FIGURES = [
    (ROBERTA, "C_average", True, 0.0388, 0.0288, 0.671, 0.388),
    (ROBERTA, "C_concat", False, 0.0875, 0.0425, 0.875, 0.325),
    (ROBERTA, "C_concat", True, math.nan, math.nan, 0.702, math.nan),
    (ROBERTA, "cosine_mean", False, 0.531, 0.376, 0.853, 0.399),
    (T5, "C_average", True, 0.0476, 0.0149, 0.936, 0.560),
    (T5, "C_concat", True, 0.268, 0.161, 0.793, 0.352),
    (T5, "cosine_mean", True, 0.493, 0.162, 0.947, 0.588),
]


@pytest.mark.slow
def test_indicators_of_the_published_prompts(published):
    tables = {dead: indicators(published.prompts, dead_rows=dead) for dead in (True, False)}
    ranks = {
        dead: indicator_correlation(table, published.transfer.absolute).summary().set_index("indicator")
        for dead, table in tables.items()
    }
    for backbone, name, dead, *figures in FIGURES:
        if backbone == published.backbone:
            rho, low, high, _ = ranks[dead].loc[name]
            found = [*by_type(tables[dead][name], TYPES)["value"][["same type", "different", "AUC"]], rho]
            stated = [pair for pair in zip(found, figures, strict=True) if not math.isnan(pair[1])]
            assert all(one == pytest.approx(other, abs=0.0005) for one, other in stated) and low < rho < high
    expected = {ROBERTA: 0, T5: 0.22}[published.backbone]
    assert ranks[True]["rho"][["E_concat", "E_average"]].tolist() == pytest.approx([expected] * 2, abs=0.06)


def test_prompts_of_one_task_over_seeds():
    seeds = Published(shared_path("data/published_prompts"), ROBERTA).seeds
    assert list(seeds) == [33, 34, 35, 36] and all(len(mine) == 9 for mine in seeds.values())
    prompts = {f"{task} {seed}": one for seed, mine in seeds.items() for task, one in mine.items()}
    tasks, numbers = ({name: name.split()[part] for name in prompts} for part in (0, 1))
    table = indicators(prompts, names=("cosine_mean",))["cosine_mean"]
    found = same_task(table, tasks, numbers, permutations=999)
    assert found.same > found.different and found.p_value < 0.05


def test_a_clone_of_the_authors_repository(tmp_path):
    root = tmp_path / "Prompt-Transferability-1.0"
    for task in ("SST2", "IMDB", "joy", "SST2_trained"):
        folder = root / f"task_prompt_emb/{task}PromptRoberta"
        folder.mkdir(parents=True)
        torch.save(torch.randn(4, 6), folder / "task_prompt")
    for target, source, accuracy in [
        ("SST2", "SST2PromptRoberta", 0.9), ("SST2", "IMDBPromptRoberta", 0.8), ("IMDB", "SST2PromptRoberta", 0.6),
        ("IMDB", "IMDBPromptRoberta", 0.75), ("SST2", "joyPromptRoberta", 0.1), ("joy", "SST2PromptRoberta", 0.1),
        ("SST2", "random", 0.45), ("SST2", "IMDBPromptRobertaLarge", 0),
        ("SST2", "model_transfer_IMDBPromptRoberta", 0),
    ]:  # fmt: skip
        file = root / f"result/{target}PromptRoberta/result_{source}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(json.dumps({"acc": accuracy})))
    published = Published(tmp_path)
    prompts, transfer = published.prompts, published.transfer
    assert list(prompts) == ["IMDB", "SST2"] and prompts["IMDB"].layout == "zero-position"
    assert transfer.absolute.loc["IMDB", "SST2"] == 0.8 and transfer.absolute.loc["SST2", "IMDB"] == 0.6
    assert transfer.relative.loc["SST2", "IMDB"] == pytest.approx(0.6 / 0.75)
    assert transfer.relative.loc[RANDOM, "SST2"] == pytest.approx(0.5)
    assert list(transfer.absolute.index) == ["IMDB", "SST2", RANDOM]


def test_bad_input(tmp_path):
    def read(backbone, what, message):
        refused(message, getattr, Published(tmp_path, backbone), what)

    read("Bert", "prompts", "no folder like SST2PromptBert")
    read("T5", "transfer", "no accuracies for T5")
    read("T5", "seeds", "no folders seed_")
    (tmp_path / "zero_shot_accuracy.csv").write_text("a,b\n1,2\n")
    read("T5", "transfer", "no column accuracy")
    (tmp_path / "zero_shot_accuracy.csv").unlink()
    (tmp_path / "result/SST2PromptT5").mkdir(parents=True)
    (tmp_path / "result/SST2PromptT5/result_SST2PromptT5.json").write_text("")
    read("T5", "transfer", "empty or damaged")
