from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from skillkit import neurons
from skillkit.neurons import probe, random_neurons, skill_neurons, suppress
from skillkit.neurons.probe import Side
from skillkit.prompts import evaluate, prepare, random_prompt
from tests.helpers import refused
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = toy_task(20)


def chosen(*args, **options):
    """Numbers of the chosen neurons, layer by layer."""
    return [row.nonzero().flatten().tolist() for row in skill_neurons(*args, **options)]


@pytest.mark.parametrize("counts", [(5, 5), (50, 50), (48, 52), (7, 33), (150, 150), (384, 384), (3, 997)])
@pytest.mark.parametrize("balanced", [False, True])
def test_ties_are_of_counts(counts, balanced):
    """Neurons that are right equally often are ties, by slot, by direction, and in means over slots and seeds."""
    n, random = sum(counts), torch.Generator().manual_seed(0)
    metadata = dict(shape=[1, 800], backbone="b", layout="l", layers=[0], task="t")
    zeros, slots = torch.zeros(2, 1, 3, 800), (("1", "2", "3"), (0, 1, 2))
    made = lambda fired: neurons.Probe(
        {"layer": Side((0,), *slots, zeros[0], zeros, fired, counts, counts, balanced)}, metadata
    )
    fired = torch.stack([torch.randint(0, top + 1, (1, 3, 400), generator=random) for top in counts])
    mirrored = torch.tensor(counts).view(2, 1, 1, 1) - fired  # wrong where the other is right
    both = torch.stack([fired, mirrored], -1).flatten(-2)
    below = torch.stack([counts[0] - both[0], both[1]])
    points = (below * torch.tensor(counts).flip(0).view(2, 1, 1, 1)).sum(0) if balanced else below.sum(0)
    whole = 2 * counts[0] * counts[1] if balanced else n
    best = torch.maximum(points, whole - points)
    seeds = [made(both), made(both.roll(1, -1))]
    for given, slots, exact in (
        (seeds[0], "max", best.amax(1)), (seeds[0], "mean", best.sum(1)), (seeds[0], "min", best.amin(1)),
        (seeds, "mean", best.sum(1) + best.sum(1).roll(1, -1)), (seeds, "max", best.amax(1) + best.amax(1).roll(1, -1)),
    ):  # fmt: skip
        order = sorted(range(800), key=lambda at, exact=exact: (-int(exact[0, at]), at))
        for top in (0.01, 0.05, 0.2, 0.5):
            assert chosen(given, top, slots=slots) == [sorted(order[: int(top * 800)])]
    first = sorted(range(800), key=lambda at: (-int(best.amax(1)[0, at]), at))
    assert [neuron for _, _, neuron in seeds[0].best(60)] == first[:60]


def test_scores_as_arrays_of_several_seeds_and_subtasks():
    one, other = np.random.default_rng(0).random((2, 2, 8))
    assert torch.equal(skill_neurons(one, 0.5), skill_neurons(torch.from_numpy(one), 0.5))
    assert skill_neurons({"a": one, "b": other}, 0.5).sum() == 8
    assert torch.equal(skill_neurons([one, other], 0.5), skill_neurons(one + other, 0.5))
    assert skill_neurons(torch.rand(1, 100), np.float32(0.29)).sum() == 29
    for match, given in {
        "a mask says nothing": one > 0.5,
        "alike for all": [one, other[:1]],
        "by a str": "scores",
    }.items():
        refused(match, skill_neurons, given, 0.5)


@pytest.mark.parametrize("make", [
    lambda mask: mask, lambda mask: mask.numpy(), lambda mask: mask.tolist(), lambda mask: mask.nonzero(),
    lambda mask: mask.nonzero().tolist(), lambda mask: list(map(tuple, mask.nonzero().numpy())),
    lambda mask: SimpleNamespace(mask=mask),
])  # fmt: skip
def test_a_mask_is_a_tensor_an_array_a_fact_or_places(make, tmp_path):
    bb, mask = tiny_backbone("roberta"), torch.arange(144).view(3, 48) % 5 == 0
    given = make(mask)
    assert torch.equal(neurons.checked_mask(bb, given), mask)
    assert neurons.prune(bb, given, None).widths == mask.sum(1).tolist()
    logits = []
    for one in (given, mask):
        with suppress(bb, one):
            logits.append(evaluate(bb, TASK, None).logits)
    assert torch.equal(*logits)
    neurons.save_neurons(given, tmp_path, bb)
    assert torch.equal(neurons.load_neurons(tmp_path, bb), mask)
    if getattr(given, "dtype", None) in (torch.bool, np.dtype(bool)):
        assert torch.equal(random_neurons(given, 1), random_neurons(mask, 1))
        assert neurons.overlap(given, mask).share == 1


def test_what_is_no_mask():
    bb = tiny_backbone("roberta")
    found = probe(bb, TASK, random_prompt(bb, 2))
    for given in (found, 5, [(0, 1, 2)], torch.ones(3, 48), found.best(2)):
        refused("or pairs .layer, neuron.", neurons.checked_mask, bb, given)
        refused("a mask is a bool tensor", random_neurons, given)
    refused("no file of neurons 'mask'", neurons.checked_mask, bb, "mask")
    refused("no neuron 48 in layer 0", neurons.checked_mask, bb, [(1, 2), (0, 48)])


def test_random_neurons_of_a_layer_that_is_mostly_in_the_mask():
    mask = torch.arange(10)[None] < torch.tensor([[3], [8], [10]])
    draws = [random_neurons(mask, seed, refill=True) for seed in range(20)]
    assert all(
        draw.sum(1).tolist() == [3, 8, 10] and draw[1, 8:].all() and not (draw & mask)[0].any()
        for draw in draws
    )
    assert len({tuple(draw[1].tolist()) for draw in draws}) > 5
    assert torch.equal(draws[3][0], random_neurons(mask[:1], 3)[0])


@pytest.mark.parametrize("many", [
    0.1, np.float64(0.1), np.float32(0.1), np.array(0.1), np.array([0.1]), torch.tensor([0.1]), [0.1], (0.1,),
    pd.Series([0.1]),
])  # fmt: skip
def test_rates_in_every_form(many):
    bb, prompt = tiny_backbone("roberta"), random_prompt(tiny_backbone("roberta"), 2)
    found, quiet = probe(bb, TASK, prompt, slots=0, layers=2), dict(draws=1, progress=False)
    curve = neurons.suppression_curve(bb, TASK, prompt, found, many, windows=None, **quiet)
    pruned = neurons.pruning_curve(bb, TASK, prompt, found, [found, found], many, layers=2, **quiet)
    assert curve.table.rate.tolist() == [0.1, 0.1] and set(pruned.table.share) == {0.1, 1.0}


def test_values_where_lists_are_meant_and_the_other_way_round():
    bb, prompt = tiny_backbone("roberta"), random_prompt(tiny_backbone("roberta"), 2)
    found = probe(bb, TASK, prompt)
    assert neurons.ensembles(bb, TASK, prompt, found, sizes=3).neurons.tolist() == [3, "model"]
    quick = dict(length=3, rounds=1, passes=1, progress=False)
    speed = neurons.compare_speed({"one": bb}, 1, seed=np.int64(0), **quick)
    places = np.array([[1, 0, 3], [2, 1, 4]])
    seen = neurons.activations(bb, TASK, prompt, places, split="test")
    rows = TASK["test"].to_pandas()
    assert len(speed) == 1 and seen.places == ((1, 0, 3), (2, 1, 4)) and len(seen.extremes(rows, k=1)) == 2
    mask = found.predictivity > 0.6
    for match, call, *given in (
        ("must be a dict", neurons.compare_speed, [bb]), ("must be a Probe", neurons.ensembles, bb, TASK, prompt, [1]),
        ("must be a Mapping", neurons.similarity, [found, found]), ("must be a SoftPrompt", neurons.controls, bb, None),
        ("must be a SoftPrompt", neurons.pruning_curve, bb, TASK, None, found, found),
        ("must be a Mapping", neurons.damage_matrix, bb, found, (TASK, prompt)),
        ("a mask says nothing", neurons.suppression_curve, bb, TASK, prompt, mask),
        ("one window", neurons.suppression_curve, bb, TASK, prompt, found, 0.1, "zero", 0.1, None, None, np.arange(3)),
        ("not '0.1'", neurons.suppression_curve, bb, TASK, prompt, found, "0.1"),
        *(("a slice or a tensor", suppress, bb, mask, "zero", 0.1, None, at) for at in (0, [0, 1], places)),
    ):  # fmt: skip
        refused(match, call, *given)


@pytest.mark.parametrize("model", ["roberta", "bert", "gpt2", "t5"])
@pytest.mark.parametrize("layout", [None, "prefix"])
def test_pooling_with_special_tokens(model, layout):
    bb = tiny_backbone(model)
    prompt, seen = None if model == "t5" and layout else random_prompt(bb, 3, layout=layout), []
    reading = prepare(bb, TASK, prompt, TASK["test"].select(range(5)))
    reading.stream([0], lambda *one: seen.append(one), text="special")
    for attached, batch in reading.batches():
        with bb.record([0]) as acts:
            bb.run(attached.inputs)
        for row in range(len(batch)):
            here = attached.inputs["attention_mask"][row].bool().clone()
            here[attached.slots[row]] = False
            values = acts[0][row, here]
            found = next(
                values_[batch_.index == batch.index[row]][0, -2:]
                for _, values_, batch_ in seen
                if batch.index[row] in batch_.index
            )
            torch.testing.assert_close(
                found, torch.stack([values.mean(0), values.amax(0)]), atol=1e-5, rtol=1e-4
            )
            assert here.sum() >= attached.text[row].sum()


def test_a_prompt_is_one_and_text_is_pooled_in_two_ways():
    bb = tiny_backbone("roberta")
    prompt = random_prompt(bb, 3)
    for given in ([prompt, prompt], {"a": prompt}, prompt.weight):
        refused("no such object", neurons.activations, bb, TASK, given, [(0, 0, 3)])
    refused("'special'", probe, bb, TASK, prompt, text="all")
    found = probe(bb, TASK, prompt, text="special")
    assert probe(bb, TASK, prompt, split="test", carry=found).metadata["text"] == "special"
    assert not torch.equal(found.sides["text"].baseline, probe(bb, TASK, prompt).sides["text"].baseline)


def test_a_place_without_a_slot_stands_for_all_slots():
    bb = tiny_backbone("roberta")
    found = neurons.activations(bb, TASK, random_prompt(bb, 2), [(0, 3)])
    assert len(found.places) == 3 and {(layer, neuron) for layer, _, neuron in found.places} == {(0, 3)}
    refused("a place is", neurons.activations, bb, TASK, None, (0, 0, 3))
