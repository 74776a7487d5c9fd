import math

import numpy as np
import pandas as pd
import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.store import cached
from skillkit.prompts.evaluation import evaluate
from skillkit.prompts.soft_prompt import SoftPrompt, random_prompt
from skillkit.transfer.zero_shot import RANDOM, Transfer, transfer_matrix
from tests.tiny import tiny_backbone
from tests.toys import toy_task


def rows(**accuracies):
    """Transfer from names like a_b=[.5, .6]: source a, target b, one accuracy per seed."""
    return Transfer([
        {"source": name.split("_")[0].replace("random", RANDOM), "target": name.split("_")[1], "seed": seed,
         "accuracy": value}
        for name, values in accuracies.items() for seed, value in enumerate(values)
    ])  # fmt: skip


def test_relative_is_paired_by_seed_and_random_draws_by_the_mean():
    found = rows(random_b=[0.3, 0.5, 0.7], a_b=[0.4, 0.3], b_b=[0.8, 0.4], a_a=[1.0, 1.0], b_a=[0.5, 0.7],
                 random_a=[0.5, 0.5, 0.5])  # fmt: skip
    assert found.absolute.loc["a", "b"] == pytest.approx(0.35)
    assert found.relative.loc["a", "b"] == pytest.approx((0.4 / 0.8 + 0.3 / 0.4) / 2)
    assert found.relative.loc[RANDOM, "b"] == pytest.approx(0.5 / 0.6)
    assert list(found.relative.index) == ["a", "b", RANDOM] and list(found.relative.columns) == ["a", "b"]
    assert np.diag(found.relative.loc[["a", "b"]]) == pytest.approx([1, 1])


def test_a_target_without_a_prompt_of_its_own_has_no_relative_accuracy():
    found = rows(a_a=[0.8], a_b=[0.6])
    assert found.absolute.loc["a", "b"] == 0.6 and math.isnan(found.relative.loc["a", "b"])


@pytest.mark.parametrize("model_type", ["roberta", "t5"])
def test_every_cell_is_a_plain_evaluation(model_type):
    bb = tiny_backbone(model_type)
    tasks = {name: toy_task(24, seed=seed, pair=name == "b") for seed, name in enumerate("ab")}
    prompts = {name: [random_prompt(bb, 4, seed + 7 * at) for seed in (0, 1)] for at, name in enumerate("ab")}
    found = transfer_matrix(bb, tasks, prompts, random=2, progress=False).table.set_index(
        ["source", "target", "seed"]
    )["accuracy"]
    assert len(found) == 2 * 2 * 2 + 2 * 2
    for name, mine in prompts.items():
        for target, task in tasks.items():
            for seed, prompt in enumerate(mine):
                assert found[name, target, seed] == evaluate(bb, task, prompt).accuracy
    assert found[RANDOM, "b", 1] == evaluate(bb, tasks["b"], random_prompt(bb, 4, 1)).accuracy


def test_prompts_of_different_length_and_layout_do_not_share_tokens_wrongly():
    bb = tiny_backbone("roberta")
    task = toy_task(24)
    prompts = {"a": random_prompt(bb, 100, 1), "b": random_prompt(bb, 4, 2, "prefix")}
    found = transfer_matrix(bb, {"a": task}, prompts, random=0, progress=False).absolute["a"]
    assert found["a"] == evaluate(bb, task, prompts["a"]).accuracy
    assert found["b"] == evaluate(bb, task, prompts["b"]).accuracy


def test_it_is_stored(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    bb, task = tiny_backbone("roberta"), toy_task(12)
    given = dict(examples=8, random=1, progress=False)
    first = cached(transfer_matrix, bb, {"a": task}, {"a": [random_prompt(bb, 3)]}, **given)
    again = cached(transfer_matrix, bb, {"a": task}, {"a": [random_prompt(bb, 3)]}, **given)
    pd.testing.assert_frame_equal(first.table, again.table)
    assert first.table["n"].tolist() == [8, 8]


def test_bad_input():
    bb, task = tiny_backbone("roberta"), toy_task(12)
    mine = random_prompt(bb, 3)
    other = SoftPrompt(mine.weight, mine.layout, {"backbone": "other", "backbone_fingerprint": "x"})
    with pytest.raises(SkillkitError, match="source prompt b was tuned for other"):
        transfer_matrix(bb, {"a": task}, {"a": mine, "b": other})
    with pytest.raises(SkillkitError, match="takes vectors of 32"):
        transfer_matrix(bb, {"a": task}, {"a": SoftPrompt(torch.zeros(3, 8), "mask-first")})
    with pytest.raises(SkillkitError, match="as many as the others"):
        transfer_matrix(bb, {"a": task}, {"a": mine, "b": [mine, mine]})
    with pytest.raises(SkillkitError, match="at least one"):
        transfer_matrix(bb, {}, {"a": mine})
