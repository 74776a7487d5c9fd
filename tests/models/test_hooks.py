"""Neurons are what they are defined to be, and nothing stays changed."""

import copy

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.models.hooks import put, record, replace_neurons, take
from tests.tiny import NEURONS, TINY_MODELS, tiny_backbone

TEXTS = ["the movie was not good , it was really boring .", "good food"]
every_family = pytest.mark.parametrize("model_type", TINY_MODELS)


def inputs_of(bb, texts=TEXTS):
    inputs = dict(bb.tokenizer(texts, return_tensors="pt", padding=True))
    if bb.family == "seq2seq":
        inputs["decoder_input_ids"] = inputs["input_ids"][:, :3]
    return inputs


def outputs_of(modules):
    """Plain forward hooks, independent of the code under test: what each module gave back last."""
    kept = {}
    for i, module in enumerate(modules):
        module.register_forward_hook(lambda m, args, out, i=i: kept.update({i: out.detach()}))
    return kept


@every_family
def test_recorded_neurons_times_value_weight_are_the_networks_output(model_type):
    bb = tiny_backbone(model_type)
    given = outputs_of(bb.value_matrices)
    with bb.record() as acts:
        bb.run(inputs_of(bb))
    assert len(acts) == bb.num_layers == len(bb.layers)
    for layer, neurons in acts.items():
        assert neurons.shape[2] == bb.widths[layer] == NEURONS
        bias = getattr(bb.value_matrices[layer], "bias", None)
        again = neurons @ bb.value_weight(layer).T + (0 if bias is None else bias)
        torch.testing.assert_close(again, given[layer], atol=1e-5, rtol=1e-5)


@every_family
def test_pre_activation_leads_to_the_neurons(model_type):
    bb = tiny_backbone(model_type)
    network = bb.feed_forward[-1]
    linear = next((name for name in ("wi_1", "up_proj") if hasattr(network, name)), None)  # gated
    given = outputs_of([network.get_submodule(linear)] if linear else [])
    with bb.record() as acts, bb.record(before=True) as before:
        bb.run(inputs_of(bb))
    last = bb.num_layers - 1
    expected = bb.activation_functions[last](before[last])
    if linear:
        expected = expected * given[0]
    torch.testing.assert_close(acts[last], expected)
    assert not torch.equal(acts[last], before[last])


def test_gated_t5_has_head_weights_of_its_own():
    model = tiny_backbone("t5-gated").model
    assert model.lm_head.weight is not model.shared.weight
    assert tiny_backbone("t5").model.lm_head.weight is not None
    assert tiny_backbone("t5").model.config.scale_decoder_outputs
    assert not model.config.scale_decoder_outputs


@every_family
def test_silencing_neurons_equals_zeroing_their_value_columns(model_type):
    bb = tiny_backbone(model_type)
    inputs, columns = inputs_of(bb), [0, 5, 47]
    silenced = copy.deepcopy(bb)
    for layer in range(bb.num_layers):
        silenced.value_weight(layer)[:, columns] = 0
    keep = torch.ones(NEURONS).index_fill(0, torch.tensor(columns), 0)
    with replace_neurons(bb, {layer: lambda a: a * keep for layer in range(bb.num_layers)}):
        edited = bb.run(inputs)
    torch.testing.assert_close(edited, silenced.run(inputs), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(edited, bb.run(inputs), atol=1e-2)


@every_family
def test_everything_is_restored_bit_for_bit_on_exit_and_on_exception(model_type):
    bb = tiny_backbone(model_type)
    inputs = inputs_of(bb)
    before, weights = bb.run(inputs), copy.deepcopy(bb.model.state_dict())
    with replace_neurons(bb, {1: torch.zeros_like}):
        bb.run(inputs)
    assert torch.equal(bb.run(inputs), before)
    with pytest.raises(RuntimeError, match="halfway"), replace_neurons(bb, {0: torch.relu}), bb.record():
        bb.run(inputs)
        raise RuntimeError("halfway")
    assert torch.equal(bb.run(inputs), before)
    assert all(torch.equal(weights[name], now) for name, now in bb.model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in bb.model.modules())


def failing(neurons):
    raise ZeroDivisionError


def test_an_edit_that_fails_leaves_no_hook_behind_and_its_own_error():
    bb = tiny_backbone("gpt2")
    with pytest.raises(ZeroDivisionError), replace_neurons(bb, {1: failing}):
        bb.run(inputs_of(bb))
    assert not bb.value_matrices[1]._forward_pre_hooks


def test_edits_nest_and_may_be_left_in_any_order():
    bb = tiny_backbone("roberta")
    inputs = inputs_of(bb)
    plain = bb.run(inputs)
    double, add = replace_neurons(bb, {0: lambda a: 2 * a}), replace_neurons(bb, {0: lambda a: a + 1})
    with bb.record([0]) as outer, double, add, bb.record([0]) as inner:
        bb.run(inputs)
    torch.testing.assert_close(inner[0], 2 * outer[0] + 1)
    double.__enter__()
    add.__enter__()
    bb.run(inputs)
    double.__exit__(None, None, None)
    with bb.record([0]) as acts:
        bb.run(inputs)
    add.__exit__(None, None, None)
    torch.testing.assert_close(acts[0], outer[0] + 1)
    assert torch.equal(bb.run(inputs), plain)


def test_an_open_context_is_not_entered_twice():
    bb = tiny_backbone("bert")
    twice = replace_neurons(bb, {0: torch.relu})
    with pytest.raises(SkillkitError, match="already open"), twice, twice:
        pass
    assert not bb.value_matrices[0]._forward_pre_hooks


@pytest.mark.parametrize("wrong, reason", [([], "no layer"), ([3], "not all in"), ([-1], "not all in")])
def test_layers_are_checked_on_entry(wrong, reason):
    bb = tiny_backbone("bert")
    with pytest.raises(SkillkitError, match=reason), bb.record(wrong):
        pass
    with pytest.raises(SkillkitError, match=reason), replace_neurons(bb, dict.fromkeys(wrong, torch.relu)):
        pass


def test_unused_contexts_raise_on_a_normal_exit_only():
    bb = tiny_backbone("t5")
    with (
        pytest.raises(SkillkitError, match=r"no forward pass reached decoder\.1"),
        replace_neurons(bb, {4: torch.relu}),
    ):
        bb.model.encoder(bb.tokenizer("good", return_tensors="pt").input_ids)
    with pytest.raises(KeyError, match="mine"), bb.record():
        raise KeyError("mine")


def test_an_edit_must_keep_the_shape():
    bb = tiny_backbone("bert")
    with (
        pytest.raises(SkillkitError, match=r"edit of layer\.2"),
        replace_neurons(bb, {2: lambda a: a[:, :1]}),
    ):
        bb.run(inputs_of(bb))
    with pytest.raises(SkillkitError, match="NoneType"), replace_neurons(bb, {2: lambda a: None}):
        bb.run(inputs_of(bb))


@pytest.mark.parametrize("positions", [slice(1, 3), torch.tensor([[1, 2], [1, 2]])])
def test_positions_choose_what_is_read_and_what_is_edited(positions):
    bb = tiny_backbone("roberta")
    inputs = inputs_of(bb)
    with bb.record([2]) as plain:
        bb.run(inputs)
    with (
        bb.record([2], positions) as acts,
        replace_neurons(bb, {2: lambda a: a + 1}, positions),
        bb.record([2]) as edited,
    ):
        bb.run(inputs)
    assert torch.equal(acts[2], plain[2][:, 1:3])
    assert torch.equal(edited[2][:, 1:3], plain[2][:, 1:3] + 1)
    assert torch.equal(edited[2][:, 3:], plain[2][:, 3:])
    assert torch.equal(edited[2][:, :1], plain[2][:, :1])


def test_positions_may_differ_by_example_by_layer_and_by_pass():
    bb = tiny_backbone("t5")
    inputs = inputs_of(bb)
    with bb.record() as plain:
        bb.run(inputs)
    with bb.record([0, 3], {0: torch.tensor([[4], [1]]), 3: slice(0, 1)}) as acts:
        bb.run(inputs)
        assert torch.equal(acts[0], torch.stack([plain[0][0, 4:5], plain[0][1, 1:2]]))
        assert torch.equal(acts[3], plain[3][:, :1])
        acts.positions = torch.tensor([[2, 0], [0, 0]])
        bb.run(inputs)
    assert torch.equal(acts[0][0], plain[0][0, [2, 0]])


def test_positions_of_the_wrong_batch_are_refused():
    bb = tiny_backbone("bert")
    with pytest.raises(SkillkitError, match=r"\[batch, P\]"), bb.record([0], torch.tensor([[1]])):
        bb.run(inputs_of(bb))


def test_put_is_the_inverse_of_take_and_leaves_its_argument_alone():
    neurons = torch.randn(2, 5, 3)
    original = neurons.clone()
    for where in (None, slice(1, 4), torch.tensor([[0, 3], [4, 1]])):
        assert torch.equal(put(neurons, take(neurons, where), where), neurons)
        torch.testing.assert_close(
            take(put(neurons, take(neurons, where) + 1, where), where), take(neurons, where) + 1
        )
    assert torch.equal(neurons, original)


def test_an_edit_in_place_does_not_change_what_was_recorded_before_it():
    bb = tiny_backbone("gpt_neo")
    with bb.record([1]) as acts, replace_neurons(bb, {1: lambda a: a.zero_()}), torch.no_grad():
        bb.run(inputs_of(bb))
    assert acts[1].abs().sum() > 0


def test_recorded_neurons_are_detached_unless_gradients_are_asked_for():
    bb = tiny_backbone("llama")
    inputs = inputs_of(bb)
    inputs["inputs_embeds"] = bb.embed(inputs.pop("input_ids")).requires_grad_()
    with bb.record() as acts, record(bb, grad=True) as live:
        bb.run(inputs)
    assert not acts[1].requires_grad
    live[2].sum().backward()
    assert inputs["inputs_embeds"].grad.abs().sum() > 0


def test_gradients_reach_the_tensor_that_an_edit_puts_in():
    bb = tiny_backbone("gpt2")
    scale = torch.ones(NEURONS, requires_grad=True)
    with replace_neurons(bb, {1: lambda a: a * scale}, positions=torch.tensor([[2], [1]])):
        bb.run(inputs_of(bb)).square().sum().backward()
    assert (scale.grad != 0).float().mean() > 0.9


@every_family
def test_stopping_reads_the_same_and_computes_no_further(model_type):
    bb = tiny_backbone(model_type)
    inputs = inputs_of(bb)
    with bb.record([0, 1]) as full:
        bb.run(inputs)
    later = outputs_of(bb.value_matrices[1:])
    with bb.record([0, 1], stop=True) as acts:
        assert bb.run(inputs) is None
    assert not later
    assert all(torch.equal(acts[layer], full[layer]) for layer in (0, 1))


def test_asking_for_a_layer_that_was_not_recorded():
    bb = tiny_backbone("bert")
    with bb.record([1]) as acts:
        with pytest.raises(SkillkitError, match="recorded so far: \\[\\]"):
            acts[1]
        bb.run(inputs_of(bb))
    with pytest.raises(SkillkitError, match="layer 0 was not recorded"):
        acts[0]
