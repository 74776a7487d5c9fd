"""Products through oneDNN: the same numbers, there and back, and only where they are worth while."""

import pytest
import torch

from skillkit.models.fast import products
from skillkit.models.fast.products import Products, onednn_is_faster, quick_products
from tests.models.test_backbone import gradient, inputs_of
from tests.tiny import families, tiny_backbone

linear = torch.nn.functional.linear


@families("roberta", "gpt2", "t5", slow=("llama",))
def test_logits_and_slopes_are_those_of_mkl(model, multiplied, both_ways):
    bb = tiny_backbone(model)
    inputs, answer = inputs_of(bb)
    found, expected = both_ways(lambda: gradient(bb, inputs, lambda one: bb.answer_logits(one, answer)))
    assert len(multiplied) > 2 * len(bb.blocks) * 4  # there and back
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_a_bias_in_training_gets_its_gradient(multiplied):
    x, weight, bias = torch.randn(2, 9, 32), torch.randn(8, 32), torch.randn(8, requires_grad=True)
    way = lambda: torch.autograd.grad(linear(x, weight, bias).square().sum(), bias)[0]
    with Products():
        found = way()
    assert multiplied
    torch.testing.assert_close(found, way())


CASES = {
    "few rows": lambda x, w: linear(x[:1], w),
    "double": lambda x, w: linear(x.double(), w.double()),
    "autocast": lambda x, w: _autocast(x, w),
    "trained": lambda x, w: linear(x, w.clone().requires_grad_()),
    "a sum of another scale": lambda x, w: torch.addmm(torch.zeros(len(w)), x, w.T, alpha=2),
}


def _autocast(x, weight):
    with torch.autocast("cpu", torch.bfloat16):
        return linear(x, weight)


@pytest.mark.parametrize("case", CASES)
def test_elsewhere_a_product_is_what_it_was(multiplied, monkeypatch, case):
    x, weight = torch.randn(16, 32), torch.randn(8, 32)
    monkeypatch.setattr(products, "WORTH", x.shape[0] * weight.numel())
    expected = CASES[case](x, weight)
    with Products():
        assert torch.equal(CASES[case](x, weight), expected) and not multiplied
        linear(x, weight)
    assert len(multiplied) == 1


def test_only_for_float32_and_not_when_switched_off(multiplied, monkeypatch):
    bb = tiny_backbone("roberta")
    assert isinstance(quick_products(bb), Products)
    monkeypatch.setenv("SKILLKIT_PLAIN", "1")
    assert not isinstance(quick_products(bb), Products)
    monkeypatch.delenv("SKILLKIT_PLAIN")
    bb.model.bfloat16()
    assert not isinstance(quick_products(bb), Products)


@pytest.mark.parametrize(("capabilities", "vectors", "faster"), [
    ({"cpu_name": "Intel Xeon"}, "AVX512", False), ({"cpu_name": "AMD EPYC 9V74"}, "AVX512", True),
    ({"cpu_name": "AMD EPYC"}, "AVX2", False), ({}, "AVX512", False),
])  # fmt: skip
def test_the_library_is_chosen_by_the_processor(monkeypatch, capabilities, vectors, faster):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: vectors)
    assert onednn_is_faster() is faster
