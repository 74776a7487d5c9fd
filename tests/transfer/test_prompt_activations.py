import math
from itertools import combinations

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.neurons.skill_neurons import random_neurons
from skillkit.neurons.suppression import suppress
from skillkit.prompts.dataset import prepare
from skillkit.prompts.evaluation import evaluate
from skillkit.prompts.soft_prompt import random_prompt
from skillkit.transfer.prompt_activations import (
    Firing,
    activated_neurons,
    by_layer,
    most_activated,
    shared_firing,
    silenced,
)
from tests.tiny import tiny_backbone
from tests.toys import toy_task


def told(fingerprint="a"):
    return {"backbone": "mine", "backbone_fingerprint": fingerprint, "layout": "mask-first"}


def pattern(rows, fingerprint="a"):
    values = torch.tensor(rows)
    return Firing(values, values, told(fingerprint))


@pytest.mark.parametrize("model_type", ["roberta", "gpt2", "bert", "llama", "t5", "t5-gated"])
def test_the_answer_slot_of_an_empty_text_is_read(model_type):
    bb = tiny_backbone(model_type)
    prompt = random_prompt(bb, 4)
    attached = next(iter(prepare(bb, None, prompt, {"text": [""]}).batches()))[0]
    found = activated_neurons(bb, prompt)
    with bb.record() as acts:
        bb.run(attached.inputs)
    for layer in range(bb.num_layers):
        if layer in (bb.decoder_layers or bb.encoder_layers):
            plain = acts[layer][0, int(attached.answer)]
            torch.testing.assert_close(found.after[layer, : bb.widths[layer]], plain)
        else:
            assert found.after[layer].isnan().all() and found.before[layer].isnan().all()
    if model_type not in ("t5-gated", "llama"):  # there the neuron is a product
        read = ~found.after.isnan()
        assert torch.equal(found.fires[read], found.before[read] > 0)
    assert 0 < found.fires.sum() < found.fires.numel()


def test_only_the_layers_asked_for():
    bb = tiny_backbone("roberta")
    found = activated_neurons(bb, random_prompt(bb, 3), layers=[1])
    assert found.after[1].isfinite().all() and found.after[[0, 2]].isnan().all()


def test_overlap_by_hand_with_its_chance_level():
    first, second = pattern([[1.0, 2.0, -1.0, 0.0]]), pattern([[3.0, -1.0, 4.0, 1.0]])
    found, chance = shared_firing(first, second)
    assert found == pytest.approx(1 / math.sqrt(2 * 3))
    assert chance == pytest.approx(math.sqrt(2 / 4 * 3 / 4))
    assert shared_firing(first, first)[0] == pytest.approx(1)


def test_chance_is_what_independent_patterns_share():
    random = torch.Generator().manual_seed(0)
    shares = torch.tensor([0.3, 0.6])
    drawn = [(torch.rand(1, 2000, generator=random) < share).float() - 0.5 for share in shares.repeat(30)]
    found = [
        shared_firing(*(pattern(rows.tolist()) for rows in pair))
        for pair in zip(drawn[::2], drawn[1::2], strict=True)
    ]
    mean_on, mean_chance = torch.tensor(found).mean(0).tolist()
    assert mean_on == pytest.approx(mean_chance, abs=0.01) and mean_chance == pytest.approx(
        math.sqrt(0.18), abs=0.01
    )


def test_layer_windows_and_layers_that_were_not_read():
    first = pattern([[1.0, 1.0], [1.0, -1.0], [math.nan, math.nan]])
    second = pattern([[-1.0, -1.0], [1.0, 1.0], [math.nan, math.nan]])
    assert math.isnan(shared_firing(first, second, layers=[0])[0])
    assert shared_firing(first, second, layers=[1])[0] == pytest.approx(1 / math.sqrt(2))
    assert shared_firing(first, second)[0] == pytest.approx(1 / math.sqrt(3 * 2))
    with pytest.raises(SkillkitError, match="were read"):
        shared_firing(first, second, layers=[1, 2])


def test_by_layer_by_hand():
    firings = {"a": pattern([[1.0, 1.0], [1.0, -1.0]]), "b": pattern([[1.0, -1.0], [1.0, 1.0]]),
               "c": pattern([[-1.0, 1.0], [-1.0, 1.0]]), "r": pattern([[1.0, 1.0], [1.0, 1.0]])}  # fmt: skip
    table = by_layer(firings, {"a": "sentiment", "b": "sentiment", "c": "topic"})
    found = dict(iter(table.groupby(["pair", "layer"])))
    root = 1 / math.sqrt(2)
    assert found["same type", 0].ON.tolist() == [pytest.approx(root)]
    assert sorted(found["different types", 0].ON) == pytest.approx([0, root])
    assert sorted(found["random prompt", 1].ON) == pytest.approx([root, root, 1])
    assert found["same type", 1].chance.tolist() == [pytest.approx(root)]
    assert set(zip(table.one, table.other, strict=True)) == set(combinations("abcr", 2))


def test_by_layer_leaves_out_where_a_prompt_fires_nothing():
    firings = {"a": pattern([[1.0, 1.0], [-1.0, -1.0]]), "b": pattern([[1.0, -1.0], [1.0, 1.0]])}
    assert by_layer(firings, {"a": "sentiment"}).layer.tolist() == [0]


def test_by_layer_asks_nothing_of_two_random_prompts():
    firings = {name: pattern([[1.0, 1.0]]) for name in ("a", "random 0", "random 1")}
    found = by_layer(firings, {"a": "sentiment"})
    assert list(zip(found.one, found.other, found.pair, strict=True)) == [
        ("a", "random 0", "random prompt"), ("a", "random 1", "random prompt")]  # fmt: skip


def test_most_activated_takes_the_highest_of_every_layer_read():
    firing = pattern([[0.1, 0.9, -0.5, 0.3], [math.nan] * 4, [0.0, 0.2, 5.0, 4.0]])
    assert most_activated(firing, 0.5).tolist() == [[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 1]]
    assert most_activated(firing, 0.5, per_layer=False)[2].sum() == 2
    with pytest.raises(SkillkitError, match="selects no neuron"):
        most_activated(firing, 0.1)


@pytest.mark.parametrize("model_type", ["gpt2", "t5"])
def test_silenced_is_evaluation_with_masks_of_each_prompt(model_type):
    bb, task = tiny_backbone(model_type), toy_task(24)
    prompts = [random_prompt(bb, 3, seed) for seed in (0, 1)]
    table = silenced(bb, task, prompts, share=0.25, draws=2, rows=9).set_index("neurons")
    masks = [most_activated(activated_neurons(bb, prompt), 0.25) for prompt in prompts]
    plain = {"none": [], "most activated": [], "random neurons": []}
    for prompt, mask in zip(prompts, masks, strict=True):
        plain["none"].append(evaluate(bb, task, prompt, rows=9).accuracy)
        for kind, off in [("most activated", mask)] + [
            ("random neurons", random_neurons(mask, draw, bb.widths)) for draw in (0, 1)
        ]:
            with suppress(bb, off):
                plain[kind].append(evaluate(bb, task, prompt, rows=9).accuracy)
    for kind, found in plain.items():
        assert table.accuracy[kind] == pytest.approx(sum(found) / len(found))
    assert (table.low <= table.accuracy).all() and (table.accuracy <= table.high).all()
    assert (table.high - table.low > 0.2).all() and set(table.n) == {9}


def test_bad_input():
    with pytest.raises(SkillkitError, match="one backbone"):
        shared_firing(pattern([[1.0]]), pattern([[1.0]], "b"))
    bb = tiny_backbone("t5")
    with pytest.raises(SkillkitError, match="no answer slot"):
        activated_neurons(bb, random_prompt(bb, 3), layers=[0, 3])
    with pytest.raises(SkillkitError, match="takes vectors"):
        activated_neurons(
            bb, random_prompt(tiny_backbone("roberta"), 3).__class__(torch.zeros(3, 5), "encoder")
        )
