"""Texts one after another give what padded ones give: to hooks, interventions, adapters, and backwards."""

import pytest
import torch
from transformers import StableLmConfig, StableLmForCausalLM

from skillkit.core.errors import SkillkitError
from skillkit.knowledge import enhance, erase
from skillkit.models.architectures import NEURON_TABLE
from skillkit.models.backbone import from_model
from skillkit.models.fast.packing import Packing, packing_of
from skillkit.models.hooks import Padded, any_batching, replace_neurons
from skillkit.prompts import find_layout, random_prompt
from skillkit.prompts.adapters import adapting, new_adapters
from skillkit.prompts.layouts import encode_for
from tests.models.test_backbone import gradient, inputs_of
from tests.tiny import POSITIONS, TINY_MODELS, tiny_backbone
from tests.toys import toy_task

TASK = toy_task(14)
ABLE = [name for name in TINY_MODELS if name != "gpt_neo"]  # it looks at the slots nearby
every_family = pytest.mark.parametrize("model_type", ABLE)


@pytest.fixture
def both_ways(both_ways, packings):
    """(packed, padded), after a look whether the first was packed and the second not."""

    def run(way):
        packings.clear()
        counts = []
        found = both_ways(lambda: (way(), counts.append(len(packings)))[0])
        assert 0 < counts[0] == counts[1]
        return found

    return run


def close(found, expected, tolerance=2e-5):
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=1e-5)


@every_family
def test_hidden_states_and_answers_are_those_of_padded_texts(both_ways, model_type):
    bb = tiny_backbone(model_type)
    inputs, answer = inputs_of(bb)
    close(*both_ways(lambda: bb.answer_logits(inputs, answer)))
    found, expected = both_ways(lambda: bb.run(inputs))
    if bb.family != "seq2seq":
        text = inputs["attention_mask"].bool()
        assert not found[~text].any()
        found, expected = found[text], expected[text]
    close(found, expected)
    assert isinstance(bb.batching, Padded) and bb.model.config._attn_implementation == "sdpa"
    # All texts together may be longer than the model takes.
    inputs, answer = inputs_of(bb, ["the movie was good " * count for count in range(2, 14)])
    assert inputs["attention_mask"].sum() > POSITIONS
    close(*both_ways(lambda: bb.answer_logits(inputs, answer)))


def test_a_block_may_keep_to_itself_what_it_is_given(both_ways, monkeypatch):
    monkeypatch.setitem(NEURON_TABLE, "stablelm", NEURON_TABLE["llama"])
    llama, own = tiny_backbone("llama"), {"model_type": "stablelm", "initializer_range": 0.5}
    config = StableLmConfig.from_dict(llama.model.config.to_dict() | own)
    bb = from_model(StableLmForCausalLM(config), llama.tokenizer)
    inputs, answer = inputs_of(bb)
    close(*both_ways(lambda: bb.answer_logits(inputs, answer)))


@every_family
def test_gradients_are_those_of_padded_texts(both_ways, model_type):
    bb = tiny_backbone(model_type)
    bb.model.double()
    inputs, answer = inputs_of(bb)
    words = torch.tensor([5, 9])
    found, expected = both_ways(
        lambda: gradient(bb, inputs, lambda one: bb.answer_logits(one, answer, words))
    )
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert not found[~inputs["attention_mask"].bool()].any()


@every_family
def test_hooks_see_texts_side_by_side(both_ways, model_type):
    bb = tiny_backbone(model_type)
    inputs, _ = inputs_of(bb)
    first, slots = bb.encoder_layers[0], torch.tensor([[0, 2], [1, 0], [0, 0]])

    def way():
        change = lambda neurons: neurons.flip(0) + torch.arange(2.0)[:, None]  # of example and of position
        with replace_neurons(bb, {first: change}, slots), bb.record([first, first + 1], slots) as acts:
            hidden = bb.run(inputs)
        return [hidden[:, 0], *acts.values()]

    for found, expected in zip(*both_ways(way), strict=True):
        close(found, expected)


@pytest.mark.parametrize("model_type", ["bert", "t5"])
def test_adapters_work_on_packed_texts(both_ways, model_type):
    bb = tiny_backbone(model_type)
    inputs, answer = inputs_of(bb)
    state = new_adapters(bb, 4, seed=0)
    for name, tensor in state.items():
        tensor += 0.1 * len(name) / (1 + torch.arange(tensor.numel()).reshape(tensor.shape))
    with adapting(bb, state):
        close(*both_ways(lambda: bb.answer_logits(inputs, answer)), 1e-4)


@pytest.mark.parametrize("model_type", ["roberta", "t5"])
def test_a_prompt_is_trained_alike(both_ways, model_type):
    bb = tiny_backbone(model_type)
    layout, words = find_layout(bb), TASK.label_ids(bb)
    prompt, encoded = random_prompt(bb, 3, 0), encode_for(bb, TASK, TASK["train"], layout, 3)

    def way():
        weight = prompt.weight.clone().requires_grad_()
        attached = layout.attach_trained(bb, weight, encoded.batch(range(8)))
        bb.answer_logits(attached.inputs, attached.answer, words).square().sum().backward()
        return weight.grad

    found, expected = both_ways(way)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


PADDED = {
    "hook": lambda bb, inputs: bb.blocks[0].register_forward_hook(lambda *_: None),
    "eager": lambda bb, inputs: bb.model.set_attn_implementation("eager"),
    "compiler": lambda bb, inputs: bb.blocks[0].compile(backend="eager"),
    "left padding": lambda bb, inputs: inputs.update(inputs_of(bb, side="left")[0]),
    "no padding": lambda bb, inputs: inputs["attention_mask"].fill_(1),
    "an empty text": lambda bb, inputs: inputs["attention_mask"][1].fill_(0),
    "a mask of pairs": lambda bb, inputs: inputs.update(attention_mask=torch.ones(3, 1, 12, 12)),
    "positions of one text": lambda bb, inputs: inputs.update(position_ids=torch.arange(12)[None]),
    "a narrow model": lambda bb, inputs: setattr(bb, "hidden_size", 0),
    "attention of its own": lambda bb, inputs: setattr(bb, "blocks", [torch.nn.Identity()]),
}


@pytest.mark.parametrize("reason", PADDED)
def test_where_it_would_be_wrong_texts_stay_side_by_side(packings, reason):
    bb = tiny_backbone("bert")
    inputs, _ = inputs_of(bb)
    assert packing_of(bb, inputs)
    PADDED[reason](bb, inputs)
    assert packing_of(bb, inputs) is None


def test_local_attention_recorded_gradients_and_erased_facts_stay_side_by_side(packings):
    bb = tiny_backbone("gpt_neo")
    assert packing_of(bb, inputs_of(bb)[0]) is None
    bb = tiny_backbone("bert")
    inputs, _ = inputs_of(bb)
    embeds = {"inputs_embeds": bb.embed(inputs["input_ids"]).requires_grad_()}
    with bb.record([0], grad=True) as acts:
        loss = bb.run({"attention_mask": inputs["attention_mask"]} | embeds).square().sum()
    assert torch.autograd.grad(loss, acts[0])[0].any()
    with erase(bb, torch.rand(3, 48) < 0.3):  # its hook is on what the networks give
        bb.run(inputs)
    assert not packings
    with enhance(bb, torch.rand(3, 48) < 0.3):
        bb.run(inputs)
    bb.value_matrices[0].register_forward_hook(any_batching(lambda module, args, out: 2 * out))
    bb.run(inputs)
    assert len(packings) == 2


def test_after_an_error_all_is_as_before(packings):
    bb = tiny_backbone("t5")
    inputs, answer = inputs_of(bb)
    before = bb.answer_logits(inputs, answer)
    edit = replace_neurons(bb, {1: lambda neurons: neurons[:, :1]})
    with pytest.raises(SkillkitError, match="must return shape"), edit:
        bb.run(inputs)
    assert packings and isinstance(bb.batching, Padded) and bb.model.config._attn_implementation == "sdpa"
    assert not any("compute_bias" in vars(module) for module in bb.model.modules())
    assert torch.equal(bb.answer_logits(inputs, answer), before)


def test_packing_and_unpacking_are_inverse():
    tensor, one = torch.randn(2, 4, 5), Packing([2, 3], 4)
    flat = one.pack(tensor)
    assert torch.equal(flat, torch.cat([tensor[0, :2], tensor[1, :3]])[None])
    back = one.unpack(flat)
    assert torch.equal(back[0, :2], tensor[0, :2]) and torch.equal(back[1, :3], tensor[1, :3])
    assert not back[0, 2:].any() and not back[1, 3:].any()
    slots = torch.tensor([[1], [2]])
    assert torch.equal(flat[0, one.places(slots)[0]], tensor[[0, 1], [1, 2]])
    assert torch.equal(one.take(flat, slots), Padded().take(tensor, slots))
    assert [text.shape[1] for text in one.texts(flat)] == [2, 3]
