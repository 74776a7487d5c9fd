import math

import pytest
import torch

from skillkit.neurons import random_neurons, suppress
from skillkit.prompts import SoftPrompt, evaluate, prepare, random_prompt
from skillkit.transfer import activated_neurons, suppress_activated
from skillkit.transfer.prompt_activations import PromptActivations
from tests.helpers import refused
from tests.tiny import tiny_backbone
from tests.toys import toy_task

NAN = [math.nan, math.nan]


def pattern(rows, fingerprint="a"):
    values = torch.tensor(rows)
    return PromptActivations(values, values, {"backbone": "mine", "backbone_fingerprint": fingerprint})


@pytest.mark.parametrize("model_type", ["roberta", "gpt2", "bert", "llama", "t5", "t5-gated"])
def test_the_answer_slot_of_an_empty_text_is_read(model_type):
    bb = tiny_backbone(model_type)
    prompt = random_prompt(bb, 4)
    reading = prepare(bb, None, prompt, {"text": [""]})
    if bb.family == "masked":
        reading.encoded.ids[0] = [bb.tokenizer.cls_token_id]
        del (reading.encoded.token_types or [[]])[0][1:]
    attached = next(iter(reading.batches()))[0]
    found = activated_neurons(bb, prompt)
    assert found.layers == list(bb.decoder_layers or bb.encoder_layers)
    with bb.record() as acts:
        bb.run(attached.inputs)
    for layer in found.layers:
        plain = acts[layer][0, int(attached.answer)]
        torch.testing.assert_close(found.after[layer, : bb.widths[layer]], plain)
    if model_type not in ("t5-gated", "llama"):  # there the neuron is a product
        read = ~found.after.isnan()
        assert torch.equal(found.active[read], found.before[read] > 0)
    assert 0 < found.active.sum() < found.active.numel()
    last = activated_neurons(bb, prompt, layers=[bb.num_layers - 1])
    assert last.layers == [bb.num_layers - 1] and f"({bb.name}, 1 of {bb.num_layers} layers" in repr(last)


def test_overlap_by_hand_with_its_chance_level():
    first, second = pattern([[1.0, 2.0, -1.0, 0.0]]), pattern([[3.0, -1.0, 4.0, 1.0]])
    found, chance = first.overlap(second)
    assert found == pytest.approx(1 / math.sqrt(2 * 3)) and first.overlap(first)[0] == pytest.approx(1)
    assert chance == pytest.approx(math.sqrt(2 / 4 * 3 / 4))


def test_layer_windows_and_layers_that_were_not_read():
    first, second = pattern([[1.0, 1.0], [1.0, -1.0], NAN]), pattern([[-1.0, -1.0], [1.0, 1.0], NAN])
    assert math.isnan(first.overlap(second, layers=[0])[0])
    assert first.overlap(second, layers=[1])[0] == pytest.approx(1 / math.sqrt(2))
    assert first.overlap(second)[0] == pytest.approx(1 / math.sqrt(3 * 2))
    refused("were read", first.overlap, second, layers=[1, 2])


def test_most_activated_takes_the_highest_of_all_layers_read_before_the_non_linearity():
    found = pattern([[-0.1, 0.9, -0.5, -0.3], NAN * 2, [-0.2, 0.2, 5.0, 4.0]])
    found = PromptActivations(found.before, found.after.relu(), found.metadata)
    assert found.most_activated(0.75).tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]
    assert found.most_activated(0.75, per_layer=True).tolist() == [[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]]
    refused("selects no neuron", found.most_activated, 0.1)


@pytest.mark.parametrize("model_type", ["gpt2", "t5"])
def test_suppression_is_evaluation_with_masks_of_each_prompt(model_type):
    bb, task = tiny_backbone(model_type), toy_task(24)
    prompts = [random_prompt(bb, 3, seed) for seed in (0, 1)]
    table = suppress_activated(bb, task, prompts, share=0.25, draws=2, rows=9).set_index("neurons")
    plain = {"none": [], "most activated": [], "random neurons": []}
    for prompt in prompts:
        mask = activated_neurons(bb, prompt).most_activated(0.25)
        plain["none"].append(evaluate(bb, task, prompt, rows=9).accuracy)
        others = [("random neurons", random_neurons(mask, draw, bb.widths)) for draw in (0, 1)]
        for kind, off in [("most activated", mask), *others]:
            with suppress(bb, off):
                plain[kind].append(evaluate(bb, task, prompt, rows=9).accuracy)
    assert table.accuracy.to_dict() == pytest.approx({kind: sum(a) / len(a) for kind, a in plain.items()})
    assert (table.low <= table.accuracy).all() and (table.accuracy <= table.high).all()
    assert (table.high - table.low > 0.2).all() and set(table.n) == {9}


def test_a_layer_that_holds_most_of_the_mask_has_a_control_all_the_same(monkeypatch):
    bb, task = tiny_backbone("gpt2"), toy_task(12)
    prompt = random_prompt(bb, 3)
    skewed = activated_neurons(bb, prompt)
    skewed.before[2] += 100
    monkeypatch.setattr("skillkit.transfer.prompt_activations.activated_neurons", lambda *_: skewed)
    assert skewed.most_activated(0.3)[2].sum() > 24
    table = suppress_activated(bb, task, prompt, share=0.3)
    mask = random_neurons(skewed.most_activated(0.3), 0, refill=True)
    with suppress(bb, mask):
        first = evaluate(bb, task, prompt).accuracy
    with suppress(bb, random_neurons(skewed.most_activated(0.3), 1, refill=True)):
        assert table.accuracy[2] == pytest.approx((first + evaluate(bb, task, prompt).accuracy) / 2)


def test_bad_input():
    refused("one backbone", pattern([[1.0]]).overlap, pattern([[1.0]], "b"))
    bb = tiny_backbone("t5")
    refused("must be a SoftPrompt", activated_neurons, bb, None)
    refused("no answer slot", activated_neurons, bb, random_prompt(bb, 3), layers=[0, 3])
    refused("takes vectors", activated_neurons, bb, SoftPrompt(torch.zeros(3, 5), "encoder"))


def test_cosine_layer_by_layer():
    bb = tiny_backbone("roberta")
    one, other = (activated_neurons(bb, random_prompt(bb, 4, seed)) for seed in (0, 1))
    expected = [torch.nn.functional.cosine_similarity(a, b, dim=0) for a, b in zip(one.before, other.before)]
    torch.testing.assert_close(one.cosine(other), torch.stack(expected))
    torch.testing.assert_close(one.cosine(one), torch.ones(bb.num_layers))
    t5 = tiny_backbone("t5")
    few = activated_neurons(t5, random_prompt(t5, 4))
    assert few.cosine(few).isnan().tolist() == [layer in t5.encoder_layers for layer in range(t5.num_layers)]
    refused("compare prompts of one backbone", one.cosine, few)
