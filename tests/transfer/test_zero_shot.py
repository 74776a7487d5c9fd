import math

import numpy as np
import pandas as pd
import pytest
import torch

from skillkit.core import cached
from skillkit.prompts import SoftPrompt, evaluate, random_prompt
from skillkit.transfer import transfer_matrix
from skillkit.transfer.zero_shot import RANDOM, Transfer
from tests.helpers import refused
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
                 random_a=[0.5, 0.5, 0.5], a_c=[0.6])  # fmt: skip
    assert repr(found) == "Transfer(3 sources × 3 targets, 3 seeds)"
    assert found.absolute.loc["a", "b"] == pytest.approx(0.35)
    assert found.relative.loc["a", "b"] == pytest.approx((0.4 / 0.8 + 0.3 / 0.4) / 2)
    assert found.relative.loc[RANDOM, "b"] == pytest.approx(0.5 / 0.6)
    assert list(found.relative.index) == ["a", "b", RANDOM] and list(found.relative) == ["a", "b", "c"]
    assert np.diag(found.relative.loc[["a", "b"]]) == pytest.approx([1, 1])
    assert found.absolute.loc["a", "c"] == 0.6 and math.isnan(found.relative.loc["a", "c"])  # c has no prompt


@pytest.mark.parametrize("model_type", ["roberta", "t5"])
def test_every_cell_is_a_plain_evaluation_and_it_is_stored(model_type, store):
    bb = tiny_backbone(model_type)
    tasks = {name: toy_task(24, seed=seed, pair=name == "b") for seed, name in enumerate("ab")}
    prompts = {name: [random_prompt(bb, 4, seed + 7 * at) for seed in (0, 1)] for at, name in enumerate("ab")}
    table, again = (cached(transfer_matrix, bb, tasks, prompts, random=2, examples=8).table for _ in range(2))
    pd.testing.assert_frame_equal(table, again)
    assert len(table) == 2 * 2 * 2 + 2 * 2 and set(table["n"]) == {8}
    found = table.set_index(["source", "target", "seed"])["accuracy"]
    for name, mine in (prompts | {RANDOM: [random_prompt(bb, 4, seed) for seed in (0, 1)]}).items():
        for target, task in tasks.items():
            for seed, prompt in enumerate(mine):
                assert found[name, target, seed] == evaluate(bb, task, prompt, rows=8).accuracy


def test_tasks_in_a_dict_a_list_or_alone():
    bb, task = tiny_backbone("roberta"), toy_task(12)
    prompts = [random_prompt(bb, 3, seed) for seed in (0, 1)]
    read = lambda tasks, prompts: transfer_matrix(bb, tasks, prompts, random=1, progress=False).rows
    named = read({"toy": task}, {"toy": prompts})
    assert named == read([task], {"toy": prompts}) == read(task, prompts) == read(task, {"toy": prompts})
    assert read(task, prompts[0]) == [row for row in named if row["seed"] == 0]
    for match, tasks, given in (
        ("2 of those given are called 'toy'", [task, toy_task(12, seed=1)], {"toy": prompts}),
        ("must be a Task, not a str", "world/movies", {"toy": prompts}), ("must be a Task", ["toy"], {"toy": prompts}),
        ("must be a SoftPrompt, not a str", task, "prompt"),
        (f"'{RANDOM}' is the name of the control", [task], {"toy": prompts, RANDOM: prompts}),
    ):  # fmt: skip
        refused(match, read, tasks, given)


def test_bad_input():
    bb, task = tiny_backbone("roberta"), toy_task(12)
    mine = random_prompt(bb, 3)
    other = SoftPrompt(mine.weight, mine.layout, {"backbone": "other", "backbone_fingerprint": "x"})
    for tasks, prompts, message in [
        ({"a": task}, {"a": mine, "b": other}, "source prompt b was tuned for other"),
        ({"a": task}, {"a": SoftPrompt(torch.zeros(3, 8), "mask-first")}, "takes vectors of 32"),
        ({"a": task}, {"a": mine, "b": [mine, mine]}, "as many as the others"),
        ({}, {"a": mine}, "at least one"),
        ({"a": task}, [mine], "must be a Mapping"),
    ]:
        refused(message, transfer_matrix, bb, tasks, prompts)
