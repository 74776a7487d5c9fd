from types import SimpleNamespace

import pytest
import torch

from skillkit.neurons import compare_speed, prune
from skillkit.neurons.timing import size
from tests.helpers import refused
from tests.tiny import HIDDEN, NEURONS, tiny_backbone


def first_neurons(bb, count):
    return (torch.arange(bb.num_neurons) < count).repeat(bb.num_layers, 1)


def clock(monkeypatch, ticks):
    ticks = iter(ticks)
    monkeypatch.setattr("skillkit.neurons.timing.time", SimpleNamespace(perf_counter=lambda: next(ticks)))


@pytest.mark.parametrize("model, into", [("bert", 1), ("gpt2", 1), ("t5", 1), ("t5-gated", 2), ("llama", 2)])
def test_size_counts_the_matrices_of_every_layer(model, into):
    bb = tiny_backbone(model)
    whole, small = size(bb), size(prune(bb, first_neurons(bb, 5), None, [1]))
    assert whole["multiply_adds"] == bb.num_layers * NEURONS * HIDDEN * (1 + into)
    assert whole["multiply_adds"] - small["multiply_adds"] == (NEURONS - 5) * HIDDEN * (1 + into)
    assert whole["parameters"] == sum(w.numel() for w in bb.model.parameters()) > small["parameters"]


@pytest.mark.parametrize("model", ["roberta", "t5", "gpt2"])
def test_backbones_take_turns_on_the_same_tokens(model, monkeypatch):
    bb, seen = tiny_backbone(model), []
    backbones = {"full": bb, "small": prune(bb, first_neurons(bb, 5), None)}
    for name, one in backbones.items():
        monkeypatch.setattr(one, "run", lambda inputs, name=name: seen.append((name, inputs["input_ids"])))
    clock(monkeypatch, range(10**6))
    table = compare_speed(backbones, batch_sizes=(1, 3), length=6, rounds=3, passes=1, progress=False)
    assert [name for name, _ in seen[:8]] == ["full", "small"] * 2 + ["small", "full"] * 2
    assert len(seen) == 4 * 2 * 2 and {tuple(ids.shape) for _, ids in seen} == {(1, 6), (3, 6)}
    assert all(first.equal(second) for (_, first), (_, second) in zip(seen[::2], seen[1::2], strict=True))
    assert list(table.model) == ["full", "small"] * 2 and list(table.batch_size) == [1, 1, 3, 3]
    assert (table[["seconds", "faster", "low", "high"]] == 1).all(axis=None)  # one tick of the clock each
    assert list(table.parameters[:2]) == [size(one)["parameters"] for one in backbones.values()]


def test_the_quickest_pass_of_a_turn_counts_and_ratios_are_averaged_geometrically(monkeypatch):
    bb = tiny_backbone("roberta")
    clock(monkeypatch, [0, 9, 9, 12, 12, 99] * 2)
    assert compare_speed({"one": bb}, (1,), length=4, rounds=1, passes=3, progress=False).seconds[0] == 3
    # A round that warms up, then three: seconds of one and other, whose order turns round.
    took = [1, 1, 1, 2, 8, 2, 8, 4]
    clock(monkeypatch, [100 * at + tick for at, one in enumerate(took) for tick in (0, one)])
    table = compare_speed({"one": bb, "other": bb}, (1,), length=4, rounds=3, passes=1, progress=False)
    other = table.iloc[1]
    assert table.seconds.tolist() == [4, 2] and other.low < other.faster < other.high
    assert other.faster == pytest.approx((2 * 4 * 0.5) ** (1 / 3))
    refused("at least one backbone and one round", compare_speed, {})


def test_single_times(monkeypatch):
    clock(monkeypatch, [100 * at + tick for at, one in enumerate([1, 1, 2, 3]) for tick in (0, one)])
    bb = tiny_backbone("roberta")
    table = compare_speed({"one": bb}, (1,), length=4, rounds=3, passes=1, progress=False, single=True)
    assert table.columns.tolist() == ["model", "batch_size", "round", "seconds"]
    assert table.seconds.tolist() == [1, 2, 3] and table["round"].tolist() == [0, 1, 2]
