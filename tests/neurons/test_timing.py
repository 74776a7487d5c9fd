from types import SimpleNamespace

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.neurons.pruning import prune
from skillkit.neurons.timing import _faster, compare, size, speed
from skillkit.prompts.evaluation import evaluate
from skillkit.prompts.soft_prompt import random_prompt
from tests.tiny import HIDDEN, NEURONS, tiny_backbone
from tests.toys import toy_task


def test_time_and_accuracy_of_a_backbone():
    bb, task = tiny_backbone("roberta"), toy_task(20)
    told, whole = speed(bb, task, random_prompt(bb, 3), repeats=1), evaluate(bb, task, random_prompt(bb, 3))
    assert (told["accuracy"], told["low"], told["high"], told["n"]) == (whole.accuracy, *whole.interval, 20)
    assert told["seconds"] > 0 and told["per_second"] == 20 / told["seconds"]
    assert told["parameters"] == bb.model.num_parameters()


@pytest.mark.parametrize("model, into", [("bert", 1), ("gpt2", 1), ("t5", 1), ("t5-gated", 2), ("llama", 2)])
def test_size_counts_the_matrices_of_every_layer(model, into):
    bb = tiny_backbone(model)
    small = prune(bb, first_neurons(bb, 5), None, [1])
    assert size(bb)["multiply_adds"] == bb.num_layers * NEURONS * HIDDEN * (1 + into)
    assert size(bb)["multiply_adds"] - size(small)["multiply_adds"] == (NEURONS - 5) * HIDDEN * (1 + into)
    assert size(bb)["parameters"] == bb.model.num_parameters() > size(small)["parameters"]


@pytest.mark.parametrize("model", ["roberta", "t5", "gpt2"])
def test_backbones_take_turns_on_the_same_tokens(model, monkeypatch):
    bb = tiny_backbone(model)
    backbones, seen, clock = (
        {"full": bb, "small": prune(bb, first_neurons(bb, 5), None)},
        [],
        iter(range(10**6)),
    )
    for name, one in backbones.items():
        monkeypatch.setattr(one, "run", lambda inputs, name=name: seen.append((name, inputs["input_ids"])))
    monkeypatch.setattr("skillkit.neurons.timing.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    table = compare(backbones, batch_sizes=(1, 3), length=6, rounds=3, passes=1, progress=False)
    assert [name for name, _ in seen[:8]] == ["full", "small"] * 2 + ["small", "full"] * 2
    assert len(seen) == 4 * 2 * 2 and {tuple(ids.shape) for _, ids in seen} == {(1, 6), (3, 6)}
    assert all(first.equal(second) for (_, first), (_, second) in zip(seen[::2], seen[1::2], strict=True))
    assert list(table.model) == ["full", "small"] * 2 and list(table.batch_size) == [1, 1, 3, 3]
    assert (table[["seconds", "faster", "low", "high"]] == 1).all(axis=None)  # one tick of the clock each
    assert list(table.parameters[:2]) == [size(one)["parameters"] for one in backbones.values()]


def test_the_quickest_pass_of_a_turn_counts(monkeypatch):
    bb, ticks = tiny_backbone("roberta"), iter([0, 9, 9, 12, 12, 99] * 2)
    monkeypatch.setattr("skillkit.neurons.timing.time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert compare({"one": bb}, (1,), length=4, rounds=1, passes=3, progress=False).seconds[0] == 3


def test_faster_is_the_geometric_mean_over_paired_rounds():
    told = _faster([2.0, 8.0, 4.0], [1.0, 2.0, 8.0])
    assert told["faster"] == pytest.approx((2 * 4 * 0.5) ** (1 / 3)) and told["seconds"] == 2.0
    assert told["low"] < told["faster"] < told["high"]


def test_a_comparison_of_nothing_is_refused():
    with pytest.raises(SkillkitError, match="at least one backbone and one round"):
        compare({})


def first_neurons(bb, count):
    return (torch.arange(bb.num_neurons) < count).repeat(bb.num_layers, 1)
