"""Every layout against the plain way: one example, no padding, the whole model with its whole head."""

from contextlib import contextmanager, nullcontext

import pytest
import torch

from skillkit.models.fast import enabled
from skillkit.prompts import SoftPrompt, find_layout
from skillkit.prompts.encoding import encode
from skillkit.prompts.evaluation import label_logits
from skillkit.prompts.layouts import LAYOUTS, encode_for
from tests.helpers import refused
from tests.tiny import TINY_MODELS, tiny_backbone
from tests.toys import toy_task

BACKBONES = {name: tiny_backbone(name) for name in TINY_MODELS}
CASES = [(model, name) for model, bb in BACKBONES.items() for family, name in LAYOUTS if family == bb.family]
TASK = toy_task(24)


def random_weight(bb, length=5, seed=1):
    return torch.randn(length, bb.hidden_size, generator=torch.Generator().manual_seed(seed))


def batch_of(bb, layout, rows=TASK["test"], count=6):
    return encode_for(bb, TASK, rows, layout, 5, segments=False).batch(range(count))


def plain_logits(bb, layout, weight, text):
    """Vocabulary logits at the answer slot, made with nothing but `transformers`."""
    table = bb.model.get_input_embeddings()
    lead = f"{bb.tokenizer.mask_token} " if (bb.family, layout) == ("masked", "prefix") else ""
    ids = bb.tokenizer(lead + text, return_tensors="pt")["input_ids"]
    mask, words = table(torch.tensor([[bb.tokenizer.mask_token_id or 0]])), table(ids)
    first = {"mask-first": [mask, weight[None]], "zero-position": [mask, weight[None, 1:]], "suffix": []}
    last = [weight[None]] if layout == "suffix" else []
    embeds = torch.cat([*first.get(layout, [weight[None]]), words, *last], dim=1)
    if layout == "encoder":
        start = torch.tensor([[bb.model.config.decoder_start_token_id]])
        return bb.model(inputs_embeds=embeds, decoder_input_ids=start).logits[0, 0]
    slot, positions = -1 if bb.family == "causal" else 0, {}
    if (
        layout == "zero-position"
    ):  # the text is numbered from padding_idx + 1 on; the prompt's places do not matter
        first = {"bert": 0}.get(bb.model_type, bb.model.config.pad_token_id) + 1
        numbers = torch.cat([torch.zeros(len(weight)), torch.arange(first, first + ids.shape[1])])
        positions = {"position_ids": numbers[None].long()}
    if (bb.family, layout) == ("masked", "prefix"):
        slot = len(weight) + ids[0].tolist().index(bb.tokenizer.mask_token_id)
    return bb.model(inputs_embeds=embeds, **positions).logits[0, slot]


@contextmanager
def without_positions(bb, count):
    """The first `count` slots get no position embedding, and in a BERT no token type, as in the published code."""

    def hook(module, args, output):
        return torch.cat([torch.zeros_like(output[..., :count, :]), output[..., count:, :]], dim=-2)

    embeddings = bb.model.base_model.embeddings
    with embeddings.position_embeddings.register_forward_hook(hook):
        bert = bb.model_type == "bert"
        with embeddings.token_type_embeddings.register_forward_hook(hook) if bert else nullcontext():
            yield


@pytest.mark.parametrize(("model", "layout"), CASES)
@torch.no_grad()
def test_batched_logits_equal_the_plain_ones(model, layout):
    bb = BACKBONES[model]
    weight, words = random_weight(bb), find_layout(bb, layout).label_ids(bb, TASK)
    fast = label_logits(bb, TASK, SoftPrompt(weight, layout), TASK["test"], batch_size=7)
    with without_positions(bb, len(weight)) if layout == "zero-position" else nullcontext():
        slow = [plain_logits(bb, layout, weight, text)[words] for text in TASK["test"]["text"]]
    torch.testing.assert_close(fast, torch.stack(slow), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("model", "layout"), CASES)
def test_slots_text_and_answer_point_where_they_say(model, layout):
    """Marked vectors are found again at the slots; text tokens are text; no slot is padding."""
    bb, layout = BACKBONES[model], find_layout(BACKBONES[model], layout)
    weight, batch = random_weight(bb), batch_of(bb, layout)
    attached = layout.attach(bb, weight, batch)
    embeds, mask = attached.inputs["inputs_embeds"], attached.inputs["attention_mask"]
    slots, masked = attached.slots, bb.family == "masked"
    assert mask.gather(1, slots).all()
    assert (attached.text.sum(1) == batch.text.sum(1)).all() and mask[attached.text].all()
    torch.testing.assert_close(embeds[attached.text], bb.embed(batch.ids[batch.text].to(bb.device)))
    if layout.name != "zero-position":
        own = slots[:, 1:] if masked else slots
        found = embeds.gather(1, own[..., None].expand(-1, -1, bb.hidden_size))
        torch.testing.assert_close(found, weight.expand(6, -1, -1))
    assert slots.shape == (6, 5 + (masked and layout.name != "zero-position"))
    assert not masked or (slots[:, 0] == attached.answer).all()
    assert bb.family != "causal" or (attached.answer == mask.sum(1) - 1).all()


@pytest.mark.parametrize(("model", "layout"), CASES)
def test_a_step_of_training_sees_what_a_reading_sees(model, layout):
    """Loss and gradient are the same, whatever was read beforehand; texts of several lengths, one of them empty."""
    bb, layout, found = BACKBONES[model], find_layout(BACKBONES[model], layout), []
    batch = batch_of(bb, layout, {"text": ["", *TASK["test"]["text"][1:6]]})
    for attach in (layout.attach, layout.attach_trained):
        weight = random_weight(bb).requires_grad_()
        attached = attach(bb, weight, batch)
        loss = bb.answer_logits(attached.inputs, attached.answer).logsumexp(-1).square().sum()
        found.append((loss.detach(), *torch.autograd.grad(loss, weight)))
    for plain, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)
    # Local attention (GPT-Neo) counts slots.
    alone = layout.name == "suffix" and model != "gpt_neo" and enabled()
    assert (attached.inputs["inputs_embeds"].shape[1] == len(weight)) == alone


def test_a_backbone_with_hooks_is_trained_on_the_whole_sequence():
    bb, layout = BACKBONES["gpt2"], find_layout(BACKBONES["gpt2"])
    for context in (bb.record(layers=[1]), bb.record(layers=[0], before=True)):
        with context:
            attached = layout.attach_trained(bb, random_weight(bb), batch_of(bb, layout))
            bb.run(attached.inputs)
        assert attached.inputs["inputs_embeds"].shape[1] > 5


@pytest.mark.parametrize(("model", "first", "word"), [("roberta", 2, "good"), ("bert", 1, "good")])
def test_zero_position_uses_up_no_positions_and_row_0_is_dead(model, first, word):
    bb, layout = BACKBONES[model], LAYOUTS["masked", "zero-position"]
    batch = encode(bb, TASK, TASK["test"], layout.room(200), max_tokens=24).batch(range(4))
    attached = layout.attach(
        bb, torch.zeros(200, bb.hidden_size), batch
    )  # more rows than the model has positions
    assert bb.run(attached.inputs).isfinite().all()
    assert (attached.inputs["position_ids"][:, 200] == first).all()
    assert word in bb.tokenizer.convert_ids_to_tokens(layout.label_ids(bb, TASK))
    weight = random_weight(bb).requires_grad_()
    attached = layout.attach(bb, weight, batch_of(bb, layout))
    bb.answer_logits(attached.inputs, attached.answer).sum().backward()
    assert (weight.grad[0] == 0).all() and (weight.grad[1:] != 0).any(1).all()


@pytest.mark.parametrize("model", TINY_MODELS)
@torch.no_grad()
def test_no_prompt_is_the_bare_text(model):
    bb, text = BACKBONES[model], TASK["test"]["text"][0]
    fast = label_logits(bb, TASK, None, {"text": [text, "so"]})[0]
    slow = plain_logits(bb, find_layout(bb).name, torch.zeros(0, bb.hidden_size), text)[TASK.label_ids(bb)]
    torch.testing.assert_close(fast, slow, atol=2e-4, rtol=1e-4)


@torch.no_grad()
def test_without_a_prompt_a_masked_model_reads_the_mask_of_the_template():
    bb, task = BACKBONES["bert"], toy_task(template="{text} overall it was [MASK] .")
    text = task["test"]["text"][0]
    ids = bb.tokenizer(f"{text} overall it was [MASK] .", return_tensors="pt")["input_ids"]
    slow = bb.model(ids).logits[0, ids[0].tolist().index(bb.tokenizer.mask_token_id)][task.label_ids(bb)]
    torch.testing.assert_close(label_logits(bb, task, None, {"text": [text]})[0], slow, atol=2e-4, rtol=1e-4)
    # A text that spells the mask does not move the answer.
    batch = encode_for(bb, task, {"text": ["a [MASK] movie"]}, LAYOUTS["masked", "prefix"], 0).batch([0])
    ids = batch.ids[0].tolist()
    assert batch.mask_slot.tolist() == [len(ids) - ids[::-1].index(bb.tokenizer.mask_token_id) - 1]


def test_layouts_belong_to_families():
    found = {model: find_layout(bb).name for model, bb in BACKBONES.items()}
    assert (found["bert"], found["gpt2"], found["t5"]) == ("mask-first", "suffix", "encoder")
    refused("not for masked.*mask-first or zero-position or prefix", find_layout, BACKBONES["bert"], "suffix")
    refused("'nonsense'", find_layout, BACKBONES["t5"], "nonsense")
