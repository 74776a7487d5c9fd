"""Products through oneDNN: the same numbers, and nothing else about a model changes."""

import copy

import pytest
import torch
import transformers
from transformers.pytorch_utils import Conv1D

from skillkit.models.backbone import from_model
from skillkit.models.fast import matrices
from tests.tiny import tiny_tokenizer

ABLE = torch.backends.cpu.get_cpu_capability() == "AVX512"
able = pytest.mark.skipif(not ABLE, reason="this processor has no AVX-512")


@pytest.fixture(autouse=True)
def through_onednn(monkeypatch):
    """Also on a processor where it is not the faster library."""
    monkeypatch.setattr(matrices, "_ABLE", ABLE)


def wide(kind):
    """A backbone of one layer, wide enough to be quickened, and a twin that is not."""
    tokenizer = tiny_tokenizer(kind)
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(vocab_size=300, n_embd=512, n_layer=1, n_head=4)
        model = transformers.GPT2LMHeadModel(config)
    elif kind == "t5":
        config = transformers.T5Config(vocab_size=300, num_layers=1, num_heads=4, decoder_start_token_id=0)
        model = transformers.T5ForConditionalGeneration(config)
    else:
        config = transformers.RobertaConfig(vocab_size=300, hidden_size=512, num_hidden_layers=1)
        config.num_attention_heads = 4
        model = transformers.RobertaForMaskedLM(config)
    plain = copy.deepcopy(model).requires_grad_(False).eval()
    return from_model(model, tokenizer, "wide"), plain


def logits_and_slope(model, dtype=torch.float32):
    torch.manual_seed(1)
    embeds = torch.randn(2, 9, 512, dtype=dtype, requires_grad=True)
    extra = (
        {"decoder_input_ids": torch.zeros(2, 8, dtype=torch.long)} if model.config.is_encoder_decoder else {}
    )
    logits = model(inputs_embeds=embeds, **extra).logits
    return logits.detach(), torch.autograd.grad(logits.logsumexp(-1).sum(), embeds)[0]


def quickened(monkeypatch):
    """The shapes of the weights that go through oneDNN."""
    seen, product = [], matrices._multiply
    monkeypatch.setattr(matrices, "_multiply", lambda x, w, *b: (seen.append(w.shape), product(x, w, *b))[1])
    return seen


@able
@pytest.mark.parametrize(
    "kind, matrix", [("roberta", torch.nn.Linear), ("gpt2", Conv1D), ("t5", torch.nn.Linear)]
)
def test_logits_and_slopes_are_those_of_the_plain_model(kind, matrix, monkeypatch):
    bb, plain = wide(kind)
    seen = quickened(monkeypatch)
    found, expected = logits_and_slope(bb.model), logits_and_slope(plain)
    assert len(seen) > sum(isinstance(module, matrix) for module in plain.modules())  # there and back
    for mine, theirs in zip(found, expected):
        assert (mine - theirs).abs().max() <= 2e-6 * theirs.abs().max()


@able
def test_a_bias_in_training_gets_its_gradient():
    x, weight, bias = torch.randn(2, 9, 512), torch.randn(8, 512), torch.randn(8, requires_grad=True)
    (slope,) = torch.autograd.grad((matrices.linear(x, weight, bias) ** 2).sum(), bias)
    (expected,) = torch.autograd.grad((torch.nn.functional.linear(x, weight, bias) ** 2).sum(), bias)
    assert torch.allclose(slope, expected, rtol=1e-5)


@able
@pytest.mark.parametrize("case", ["few rows", "double", "autocast", "trained"])
def test_elsewhere_a_layer_does_what_it_did(case, monkeypatch):
    bb, _ = wide("roberta")
    seen, layer = quickened(monkeypatch), bb.value_matrices[0]
    x = torch.randn(1 if case == "few rows" else 16, layer.in_features)
    if case == "double":
        layer, x = copy.deepcopy(layer).double(), x.double()
    layer.weight.requires_grad_(case == "trained")
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        found = layer(x)
        assert torch.equal(found, torch.nn.functional.linear(x, layer.weight, layer.bias)) and not seen
    layer.weight.requires_grad_(False)


@able
def test_copies_names_and_files_are_as_before(tmp_path):
    bb, plain = wide("roberta")
    assert list(bb.model.state_dict()) == list(plain.state_dict())
    assert isinstance(copy.deepcopy(bb.model).lm_head.dense, matrices.QuickLinear)
    bb.model.save_pretrained(tmp_path)
    again = transformers.RobertaForMaskedLM.from_pretrained(tmp_path)
    assert type(again.lm_head.dense) is torch.nn.Linear
    assert torch.equal(again.lm_head.dense.weight, plain.lm_head.dense.weight)


@able
def test_small_products_stay_with_the_library_that_begins_at_once(monkeypatch):
    bb, _ = wide("roberta")
    seen, layer = quickened(monkeypatch), bb.value_matrices[0]
    enough = -(-matrices.WORTH // layer.weight.numel())
    layer(torch.randn(enough - 1, layer.in_features))
    assert not seen
    layer(torch.randn(enough, layer.in_features))
    assert len(seen) == 1


@able
@pytest.mark.parametrize("maker, faster", [("Intel Xeon", False), ("AMD EPYC 9V74", True), ("", True)])
def test_the_library_is_chosen_by_the_maker_of_the_processor(maker, faster, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": maker}, raising=False)
    assert matrices._faster_elsewhere() is faster


def test_a_relu_writes_over_nothing_that_is_wanted():
    relu = matrices.quicken(torch.nn.Sequential(torch.nn.ReLU()))[0]
    x, expected = torch.tensor([-1.0, 2.0]), torch.tensor([0.0, 2.0])
    assert torch.equal(relu(x), expected) and x[0] == -1  # gradients are on
    with torch.no_grad():
        handle = relu.register_forward_pre_hook(lambda module, args: None)
        assert torch.equal(relu(x), expected) and x[0] == -1  # somebody reads its input
        handle.remove()
        assert torch.equal(relu(x), expected) and x[0] == 0


@able
def test_a_layer_that_has_lost_all_its_neurons_still_gives_its_bias():
    layer = matrices.quicken(torch.nn.Linear(0, 512).requires_grad_(False))
    assert torch.equal(layer(torch.zeros(8192, 0)), layer.bias.expand(8192, 512))
