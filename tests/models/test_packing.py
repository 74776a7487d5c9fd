"""Texts one after another give what padded ones give, to whoever reads, edits or trains."""

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.knowledge.interventions import enhance, erase
from skillkit.models import backbone as backbones
from skillkit.models.fast import packing
from skillkit.models.fast.packing import Packing, packing_of
from skillkit.models.hooks import Padded, any_batching, replace_neurons
from skillkit.neurons.probing import probe
from skillkit.neurons.suppression import suppress
from skillkit.prompts.adapters import adapting, new_adapters
from skillkit.prompts.evaluation import label_logits
from skillkit.prompts.layouts import encode_for, find_layout
from skillkit.prompts.soft_prompt import random_prompt
from tests.models.test_backbone import gradient, inputs_of
from tests.neurons.test_suppression import TASK
from tests.tiny import POSITIONS, TINY_MODELS, tiny_backbone

ABLE = [name for name in TINY_MODELS if name != "gpt_neo"]  # it looks at the slots nearby


@pytest.fixture
def passes(monkeypatch):
    """The packings of all passes, in tiny models too."""
    seen = []

    def spied(bb, module, inputs, packing_):
        seen.append(packing_)
        return packing.read_packed(bb, module, inputs, packing_)

    monkeypatch.setattr(packing, "NARROW", 1)
    monkeypatch.setattr(backbones, "read_packed", spied)
    return seen


def both_ways(monkeypatch, passes, way):
    """(packed, padded), after a look whether the first was packed."""
    passes.clear()
    found = way()
    assert passes
    with monkeypatch.context() as patched:
        patched.setattr(backbones, "packing_of", lambda *_: None)
        return found, way()


def close(found, expected, tolerance=2e-5):
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=1e-5)


def real(inputs, tensor):
    return tensor[inputs["attention_mask"].bool()]


@pytest.mark.parametrize("model_type", ABLE)
def test_hidden_states_and_answers_are_those_of_padded_texts(monkeypatch, passes, model_type):
    bb = tiny_backbone(model_type)
    inputs, answer = inputs_of(bb)
    found, expected = both_ways(monkeypatch, passes, lambda: bb.answer_logits(inputs, answer))
    close(found, expected)
    found, expected = both_ways(monkeypatch, passes, lambda: bb.run(inputs))
    if bb.family != "seq2seq":
        assert not found[~inputs["attention_mask"].bool()].any()
        found, expected = real(inputs, found), real(inputs, expected)
    close(found, expected)
    assert isinstance(bb.batching, Padded)
    assert bb.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("model_type", ABLE)
def test_all_texts_together_may_be_longer_than_the_model_takes(monkeypatch, passes, model_type):
    bb = tiny_backbone(model_type)
    inputs, answer = inputs_of(bb, ["the movie was good " * count for count in range(2, 14)])
    assert inputs["attention_mask"].sum() > POSITIONS
    found, expected = both_ways(monkeypatch, passes, lambda: bb.answer_logits(inputs, answer))
    close(found, expected)


@pytest.mark.parametrize("model_type", ABLE)
def test_gradients_are_those_of_padded_texts(monkeypatch, passes, model_type):
    bb = tiny_backbone(model_type)
    bb.model.double()
    inputs, answer = inputs_of(bb)
    way = lambda: gradient(bb, inputs, lambda given: bb.answer_logits(given, answer, torch.tensor([5, 9])))
    found, expected = both_ways(monkeypatch, passes, way)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert not found[~inputs["attention_mask"].bool()].any()


@pytest.mark.parametrize("model_type", ABLE)
def test_hooks_see_texts_side_by_side(monkeypatch, passes, model_type):
    bb = tiny_backbone(model_type)
    inputs, _ = inputs_of(bb)
    first, slots = bb.encoder_layers[0], torch.tensor([[0, 2], [1, 0], [0, 0]])

    def way():
        change = lambda neurons: neurons.flip(0) + torch.arange(2.0)[:, None]  # of example and of position
        with replace_neurons(bb, {first: change}, slots), bb.record([first, first + 1], slots) as acts:
            hidden = bb.run(inputs)
        return [hidden[:, 0], *(acts[layer] for layer in acts)]

    for found, expected in zip(*both_ways(monkeypatch, passes, way), strict=True):
        assert found.shape == expected.shape
        close(found, expected)


SUPPRESSED = [
    {"kind": "zero"},
    {"kind": "gaussian", "alpha": 2.0},
    {"kind": "zero", "positions": "text"},
    {"kind": "zero", "positions": "prompt"},
    {"kind": "zero", "positions": slice(0, 3)},
    {"kind": "mean", "fill": torch.full((3, 48), 0.7)},
]


@pytest.mark.parametrize("options", SUPPRESSED, ids=str)
def test_suppressed_texts_are_answered_alike(monkeypatch, passes, options):
    bb = tiny_backbone("roberta")
    prompt, rows = random_prompt(bb, 3, 0), TASK["test"].select(range(12))
    mask = torch.rand(3, 48, generator=torch.Generator().manual_seed(0)) < 0.3

    def way():
        with suppress(bb, mask, **options):
            return label_logits(bb, TASK, prompt, rows)

    found, expected = both_ways(monkeypatch, passes, way)
    close(found, expected)
    assert (found - label_logits(bb, TASK, prompt, rows)).abs().max() > 1e-3


def test_a_function_of_single_tokens_is_given_no_padding(passes):
    bb, shapes = tiny_backbone("bert"), []
    inputs, _ = inputs_of(bb)
    tokens, batch = int(inputs["attention_mask"].sum()), list(inputs["input_ids"].shape)
    for tokenwise, positions in ((True, None), (False, None), (True, slice(0, 1))):
        see = lambda neurons: shapes.append(list(neurons.shape[:2])) or 2 * neurons
        with replace_neurons(bb, {1: see}, positions, tokenwise=tokenwise):
            bb.run(inputs)
    assert shapes == [[1, tokens], batch, [batch[0], 1]]
    assert len(passes) == 3


@pytest.mark.parametrize("model_type", ["bert", "t5"])
def test_adapters_work_on_packed_texts(monkeypatch, passes, model_type):
    bb = tiny_backbone(model_type)
    inputs, answer = inputs_of(bb)
    state = new_adapters(bb, 4, seed=0)
    for name, tensor in state.items():
        tensor += 0.1 * len(name) / (1 + torch.arange(tensor.numel()).reshape(tensor.shape))

    def way():
        with adapting(bb, state):
            return bb.answer_logits(inputs, answer)

    found, expected = both_ways(monkeypatch, passes, way)
    close(found, expected, 1e-4)


def test_probes_are_those_of_padded_texts(monkeypatch, passes):
    bb = tiny_backbone("roberta")
    way = lambda: probe(bb, TASK, random_prompt(bb, 3, 0), baseline="median").sides
    found, expected = both_ways(monkeypatch, passes, way)
    for side in ("layer", "text"):
        close(found[side].means, expected[side].means)
        close(found[side].baseline, expected[side].baseline)


@pytest.mark.parametrize("model_type", ["roberta", "t5"])
def test_a_prompt_is_trained_alike(monkeypatch, passes, model_type):
    bb = tiny_backbone(model_type)
    layout, words = find_layout(bb), TASK.label_ids(bb)
    prompt, encoded = random_prompt(bb, 3, 0), encode_for(bb, TASK, TASK["train"], layout, 3)

    def way():
        weight = prompt.weight.clone().requires_grad_()
        attached = layout.attach_trained(bb, weight, encoded.batch(range(8)))
        bb.answer_logits(attached.inputs, attached.answer, words).square().sum().backward()
        return weight.grad

    found, expected = both_ways(monkeypatch, passes, way)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def closed_by_hook(bb, inputs):
    bb.model.base_model.get_submodule(bb.row.stacks[0])[0].register_forward_hook(lambda *_: None)


def closed_by_eager(bb, inputs):
    bb.model.set_attn_implementation("eager")


def closed_by_compiler(bb, inputs):
    bb.blocks[0].compile(backend="eager")


def closed_by_left_padding(bb, inputs):
    inputs.update(inputs_of(bb, side="left")[0])


def closed_by_fullness(bb, inputs):
    inputs["attention_mask"].fill_(1)


def closed_by_an_empty_text(bb, inputs):
    inputs["attention_mask"][1] = 0


def closed_by_a_mask_of_pairs(bb, inputs):
    mask = inputs["attention_mask"].bool()
    inputs["attention_mask"] = mask[:, None, None].expand(-1, 1, mask.shape[1], -1)


def closed_by_positions_of_one_text(bb, inputs):
    inputs["position_ids"] = torch.arange(inputs["input_ids"].shape[1])[None]


@pytest.mark.parametrize(
    "close", [one for name, one in sorted(globals().items()) if name.startswith("closed_by")]
)
def test_where_it_would_be_wrong_texts_stay_side_by_side(passes, close):
    bb = tiny_backbone("bert")
    inputs, _ = inputs_of(bb)
    assert packing_of(bb, inputs)
    close(bb, inputs)
    assert packing_of(bb, inputs) is None


def test_local_attention_narrow_models_and_recorded_gradients_stay_side_by_side(monkeypatch, passes):
    bb = tiny_backbone("gpt_neo")
    assert packing_of(bb, inputs_of(bb)[0]) is None
    bb = tiny_backbone("bert")
    inputs, _ = inputs_of(bb)
    with bb.record([0], grad=True) as acts:
        embeds = bb.embed(inputs.pop("input_ids")).requires_grad_()
        loss = bb.run({**inputs, "inputs_embeds": embeds}).square().sum()
    assert torch.autograd.grad(loss, acts[0])[0].any()
    inputs, _ = inputs_of(bb)
    with erase(bb, torch.rand(3, 48) < 0.3):  # its hook is on what the networks give
        bb.run(inputs)
    assert not passes
    with enhance(bb, torch.rand(3, 48) < 0.3):
        bb.run(inputs)
    assert len(passes) == 1
    monkeypatch.setattr(packing, "NARROW", 33)
    assert packing_of(bb, inputs) is None


def test_after_an_error_all_is_as_before(passes):
    bb = tiny_backbone("bert")
    inputs, _ = inputs_of(bb)
    before = bb.run(inputs)
    with (
        pytest.raises(SkillkitError, match="must return shape"),
        replace_neurons(bb, {1: lambda neurons: neurons[:, :1]}),
    ):
        bb.run(inputs)
    assert isinstance(bb.batching, Padded)
    assert bb.model.config._attn_implementation == "sdpa"
    assert torch.equal(bb.run(inputs), before)


def test_packing_and_unpacking_are_inverse():
    tensor, one = torch.randn(2, 4, 5), Packing([2, 3], 4)
    flat = one.pack(tensor)
    assert torch.equal(flat, torch.cat([tensor[0, :2], tensor[1, :3]])[None])
    back = one.unpack(flat)
    assert torch.equal(back[0, :2], tensor[0, :2])
    assert torch.equal(back[1, :3], tensor[1, :3])
    assert not back[0, 2:].any()
    assert not back[1, 3:].any()
    assert torch.equal(flat[0, one.places(torch.tensor([[1], [2]]))[0]], tensor[[0, 1], [1, 2]])


def test_a_hook_may_say_that_it_fits(passes):
    bb = tiny_backbone("bert")
    inputs, _ = inputs_of(bb)
    bb.value_matrices[0].register_forward_hook(any_batching(lambda module, args, out: 2 * out))
    bb.run(inputs)
    assert passes
