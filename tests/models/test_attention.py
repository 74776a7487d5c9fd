"""Tokens that read a text give what they give among all its tokens, with the same slopes."""

import pytest
import torch

from skillkit.knowledge.clozes import encode_cloze
from skillkit.knowledge.replay import stacks
from skillkit.models.fast.attention import reading
from tests.tiny import tiny_backbone


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlm-roberta"])
def test_some_tokens_read_the_text_of_all(model_type):
    attention = tiny_backbone(model_type).model.double().base_model.encoder.layer[0].attention.self
    text = torch.randn(3, 6, attention.query.in_features, dtype=torch.float64, requires_grad=True)
    rows, slots = torch.arange(3)[:, None], torch.tensor([[0, 2], [5, 1], [3, 3]])
    expected = attention(text)[0][rows, slots]
    with reading(attention, text):
        found = attention(text[rows, slots])[0]
    torch.testing.assert_close(found, expected, atol=1e-13, rtol=0)
    slopes = [torch.autograd.grad(one.square().sum(), text)[0] for one in (found, expected)]
    torch.testing.assert_close(*slopes, atol=1e-13, rtol=0)
    assert "forward" not in vars(attention)


def test_attribution_is_the_same_without(monkeypatch):
    bb = tiny_backbone("bert")
    asked = encode_cloze(bb, "the capital of france is [MASK] .", "paris")
    [short] = stacks(bb, asked)
    monkeypatch.setenv("SKILLKIT_PLAIN", "1")
    [long] = stacks(bb, asked)
    assert short.narrow and not long.narrow
    (quick, _), (slow, _) = (stack.sweep(stack.layers, [0.0, 0.5]) for stack in (short, long))
    for layer in short.layers:
        torch.testing.assert_close(
            quick[layer], slow[layer], rtol=1e-4, atol=1e-4 * float(slow[layer].abs().max())
        )
