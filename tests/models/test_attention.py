"""Tokens that read a text give what they give among all its tokens, with the same slopes."""

import pytest
import torch

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
