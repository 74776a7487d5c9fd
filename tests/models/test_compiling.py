"""Compiled blocks compute what the blocks compute, with hooks and without."""

import pytest
import torch

from skillkit.knowledge.attribution import attribute
from skillkit.models.fast.compiling import compile_blocks
from skillkit.neurons.suppression import suppress
from tests.tiny import tiny_backbone

TEXTS = ["the movie was good", "a boring story and a very bad place"]


def asked(bb, texts):
    inputs = dict(bb.tokenizer(texts, return_tensors="pt", padding=True))
    ids = inputs.pop("input_ids")
    inputs["inputs_embeds"] = bb.embed(ids).detach().requires_grad_()
    if bb.family == "seq2seq":
        inputs["decoder_input_ids"] = torch.zeros(len(texts), 1, dtype=torch.long)
    return inputs


def hidden_and_slope(bb, texts):
    inputs = asked(bb, texts)
    hidden = bb.run(inputs)
    (slope,) = torch.autograd.grad(hidden.square().sum(), inputs["inputs_embeds"])
    return hidden.detach(), slope


@pytest.mark.parametrize("model_type", ["gpt2", "t5"])
def test_compiled_blocks_give_the_same_with_hooks_and_without(model_type):
    torch.compiler.reset()
    plain = tiny_backbone(model_type, layers=2)
    quick = compile_blocks(tiny_backbone(model_type, layers=2), backend="eager")
    mask = torch.zeros(plain.num_layers, plain.num_neurons, dtype=torch.bool)
    mask[:, ::2] = True
    untouched = [hidden_and_slope(plain, texts) for texts in (TEXTS, TEXTS[:1])]
    for (hidden, slope), texts in zip(untouched, (TEXTS, TEXTS[:1]), strict=True):
        found = hidden_and_slope(quick, texts)
        torch.testing.assert_close(found[0], hidden), torch.testing.assert_close(found[1], slope)
    with plain.record() as wanted, quick.record() as acts:
        for bb in (plain, quick):
            bb.run(asked(bb, TEXTS))
    for layer, neurons in wanted.items():
        torch.testing.assert_close(acts[layer], neurons)
    with suppress(plain, mask), suppress(quick, mask):
        touched = hidden_and_slope(plain, TEXTS)
        torch.testing.assert_close(hidden_and_slope(quick, TEXTS), touched)
    assert not torch.allclose(touched[0], untouched[0][0])
    torch.testing.assert_close(hidden_and_slope(quick, TEXTS), untouched[0])


def test_attribution_listens_to_compiled_blocks():
    torch.compiler.reset()
    plain, quick = (
        tiny_backbone("bert", layers=2),
        compile_blocks(tiny_backbone("bert", layers=2), backend="eager"),
    )
    wanted, found = (
        attribute(bb, "paris is the capital of [MASK].", "france", steps=3) for bb in (plain, quick)
    )
    torch.testing.assert_close(found.scores, wanted.scores)
