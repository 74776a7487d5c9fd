"""Neurons are what they are defined to be, and nothing stays changed."""

import copy

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.models.hooks import record, replace_neurons
from tests.helpers import refused
from tests.tiny import NEURONS, TINY_MODELS, tiny_backbone

TEXTS = ["the movie was not good , it was really boring .", "good food"]
every_family = pytest.mark.parametrize("model_type", TINY_MODELS)


def setting(model_type):
    """A backbone and two texts for it, one of them shorter."""
    bb = tiny_backbone(model_type)
    inputs = dict(bb.tokenizer(TEXTS, return_tensors="pt", padding=True))
    if bb.family == "seq2seq":
        inputs["decoder_input_ids"] = inputs["input_ids"][:, :3]
    return bb, inputs


def outputs_of(modules):
    """Plain forward hooks, independent of the code under test: what each module gave back last."""
    kept = {}
    for i, module in enumerate(modules):
        module.register_forward_hook(lambda m, args, out, i=i: kept.update({i: out.detach()}))
    return kept


@every_family
def test_recorded_neurons_times_value_weight_are_the_networks_output(model_type):
    bb, inputs = setting(model_type)
    given = outputs_of(bb.value_matrices)
    with bb.record() as acts:
        bb.run(inputs)
    assert len(acts) == bb.num_layers == len(bb.layers)
    for layer, neurons in acts.items():
        assert neurons.shape[2] == bb.widths[layer] == NEURONS
        bias = getattr(bb.value_matrices[layer], "bias", None)
        again = neurons @ bb.value_weight(layer).T + (0 if bias is None else bias)
        torch.testing.assert_close(again, given[layer], atol=1e-5, rtol=1e-5)


@every_family
def test_pre_activation_leads_to_the_neurons(model_type):
    bb, inputs = setting(model_type)
    network, last = bb.feed_forward[-1], bb.num_layers - 1
    gate = [getattr(network, name) for name in ("wi_1", "up_proj") if hasattr(network, name)]
    given = outputs_of(gate)
    with bb.record() as acts, bb.record(before=True) as before:
        bb.run(inputs)
    expected = bb.activation_functions[last](before[last])
    torch.testing.assert_close(acts[last], expected * given[0] if gate else expected)
    assert not torch.equal(acts[last], before[last])


@every_family
def test_silencing_neurons_equals_zeroing_their_value_columns(model_type):
    bb, inputs = setting(model_type)
    columns, silenced = [0, 5, 47], copy.deepcopy(bb)
    for layer in range(bb.num_layers):
        silenced.value_weight(layer)[:, columns] = 0
    keep = torch.ones(NEURONS).index_fill(0, torch.tensor(columns), 0)
    with replace_neurons(bb, {layer: lambda a: a * keep for layer in range(bb.num_layers)}):
        edited = bb.run(inputs)
    torch.testing.assert_close(edited, silenced.run(inputs), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(edited, bb.run(inputs), atol=1e-2)


@every_family
def test_everything_is_restored_bit_for_bit_on_exit_and_on_exception(model_type):
    bb, inputs = setting(model_type)
    before, weights = bb.run(inputs), copy.deepcopy(bb.model.state_dict())
    with replace_neurons(bb, {1: torch.zeros_like}):
        bb.run(inputs)
    assert torch.equal(bb.run(inputs), before)
    with pytest.raises(RuntimeError, match="halfway"), replace_neurons(bb, {0: torch.relu}), bb.record():
        bb.run(inputs)
        raise RuntimeError("halfway")
    with pytest.raises(ZeroDivisionError), replace_neurons(bb, {1: lambda neurons: 1 / 0}):
        bb.run(inputs)
    assert torch.equal(bb.run(inputs), before)
    assert all(torch.equal(weights[name], now) for name, now in bb.model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in bb.model.modules())


def test_edits_nest_and_may_be_left_in_any_order():
    bb, inputs = setting("roberta")
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
    with pytest.raises(SkillkitError, match="already open"), double, double:
        pass
    assert not bb.value_matrices[0]._forward_pre_hooks


@pytest.mark.parametrize("wrong, reason", [([], "no layer"), ([3], "not all in"), ([-1], "not all in")])
def test_layers_are_checked_on_entry(wrong, reason):
    bb = tiny_backbone("bert")
    for context in (bb.record, lambda layers: replace_neurons(bb, dict.fromkeys(layers, torch.relu))):
        with pytest.raises(SkillkitError, match=reason), context(wrong):
            pass


def test_unused_contexts_raise_on_a_normal_exit_only():
    bb, inputs = setting("t5")
    edit = replace_neurons(bb, {4: torch.relu})
    with pytest.raises(SkillkitError, match=r"no forward pass reached decoder\.1"), edit:
        bb.model.encoder(inputs["input_ids"])
    with pytest.raises(KeyError, match="mine"), bb.record():
        raise KeyError("mine")


@pytest.mark.parametrize(
    "change, got", [(lambda a: a[:, :1], r"edit of layer\.2"), (lambda a: None, "NoneType")]
)
def test_an_edit_must_keep_the_shape(change, got):
    bb, inputs = setting("bert")
    with pytest.raises(SkillkitError, match=got), replace_neurons(bb, {2: change}):
        bb.run(inputs)


@pytest.mark.parametrize("positions", [slice(1, 3), torch.tensor([[1, 2], [1, 2]])])
def test_positions_choose_what_is_read_and_what_is_edited(positions):
    bb, inputs = setting("roberta")
    with bb.record([2]) as plain:
        bb.run(inputs)
    add = replace_neurons(bb, {2: lambda a: a + 1}, positions)
    with bb.record([2], positions) as acts, add, bb.record([2]) as edited:
        bb.run(inputs)
    assert torch.equal(acts[2], plain[2][:, 1:3])
    assert torch.equal(edited[2][:, 1:3], plain[2][:, 1:3] + 1)
    assert torch.equal(edited[2][:, 3:], plain[2][:, 3:])
    assert torch.equal(edited[2][:, :1], plain[2][:, :1])


def test_positions_may_differ_by_example_by_layer_and_by_pass():
    bb, inputs = setting("t5")
    with bb.record() as plain:
        bb.run(inputs)
    with bb.record([0, 3], {0: torch.tensor([[4], [1]]), 3: slice(0, 1)}) as acts:
        bb.run(inputs)
        assert torch.equal(acts[0], torch.stack([plain[0][0, 4:5], plain[0][1, 1:2]]))
        assert torch.equal(acts[3], plain[3][:, :1])
        acts.positions = torch.tensor([[2, 0], [0, 0]])
        bb.run(inputs)
    assert torch.equal(acts[0][0], plain[0][0, [2, 0]])
    with pytest.raises(SkillkitError, match=r"\[batch, P\]"), bb.record([0], torch.tensor([[1]])):
        bb.run(inputs)


def test_an_edit_in_place_does_not_change_what_was_recorded_before_it():
    bb, inputs = setting("gpt_neo")
    with bb.record([1]) as acts, replace_neurons(bb, {1: lambda a: a.zero_()}), torch.no_grad():
        bb.run(inputs)
    assert acts[1].abs().sum() > 0


def test_gradients_go_through_edits_and_to_records_where_they_are_asked_for():
    bb, inputs = setting("llama")
    inputs["inputs_embeds"] = bb.embed(inputs.pop("input_ids")).requires_grad_()
    with bb.record() as acts, record(bb, grad=True) as live:
        bb.run(inputs)
    assert not acts[1].requires_grad
    live[2].sum().backward()
    assert inputs["inputs_embeds"].grad.abs().sum() > 0
    scale = torch.ones(NEURONS, requires_grad=True)
    with replace_neurons(bb, {1: lambda a: a * scale}, positions=torch.tensor([[2], [1]])):
        bb.run(inputs).square().sum().backward()
    assert (scale.grad != 0).float().mean() > 0.9


@every_family
def test_stopping_reads_the_same_and_computes_no_further(model_type):
    bb, inputs = setting(model_type)
    with bb.record([0, 1]) as full:
        bb.run(inputs)
    later = outputs_of(bb.value_matrices[1:])
    with bb.record([0, 1], stop=True) as acts:
        assert bb.run(inputs) is None
    assert not later
    assert all(torch.equal(acts[layer], full[layer]) for layer in (0, 1))


@pytest.mark.parametrize("wrong", ["answer", 0, [0, 1], torch.tensor([1, 2])])
def test_positions_that_are_none(wrong):
    bb, inputs = setting("bert")
    with bb.record([1], wrong):
        refused("must be None, a slice or a tensor .batch, P.", bb.run, inputs)


def test_asking_for_a_layer_that_was_not_recorded():
    bb, inputs = setting("bert")
    with bb.record([1]) as acts:
        refused(r"recorded so far: \[\]", acts.__getitem__, 1)
        bb.run(inputs)
    refused("layer 0 was not recorded", acts.__getitem__, 0)
