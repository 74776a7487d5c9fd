"""Attention that makes fewer products gives what the plain one gives, and the same slopes."""

import copy

import pytest
import torch
import transformers

from skillkit.knowledge.clozes import encode_cloze
from skillkit.knowledge.replay import stacks
from skillkit.models.backbone import from_model
from skillkit.models.fast.attention import Joined, only_multiplies, read_text
from skillkit.models.hooks import put
from tests.tiny import tiny_backbone, tiny_tokenizer


def read_once(model, dtype=torch.float64):
    """What the decoder's one token makes of two texts, one of them shorter, and the slope back to the texts."""
    torch.manual_seed(2)
    embeds = torch.randn(2, 9, 512, dtype=dtype, requires_grad=True)
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5])
    start = torch.zeros(2, 1, dtype=torch.long)
    logits = model(inputs_embeds=embeds, attention_mask=mask, decoder_input_ids=start, use_cache=False).logits
    return logits.detach(), torch.autograd.grad(logits.logsumexp(-1).sum(), embeds)[0]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_one_query_reads_texts_without_keys_of_their_own(monkeypatch, attention):
    config = transformers.T5Config(vocab_size=300, num_layers=1, num_heads=4, decoder_start_token_id=0)
    model = transformers.T5ForConditionalGeneration(config)
    plain = copy.deepcopy(model).requires_grad_(False).eval()
    bb = from_model(model, tiny_tokenizer("t5"), "wide")
    bb.model.set_attn_implementation(attention)
    attention = bb.model.double().decoder.block[0].layer[1].EncDecAttention
    expected, texts = read_once(plain.double()), []
    monkeypatch.setattr(attention.k, "forward", lambda text: texts.append(text.shape) or plain_keys(text))
    plain_keys = plain.decoder.block[0].layer[1].EncDecAttention.k
    for mine, theirs in zip(read_once(bb.model), expected):
        assert (mine - theirs).abs().max() <= 1e-13 * theirs.abs().max()
    assert not texts
    handle = attention.v.register_forward_hook(lambda *_: None)  # somebody reads the values
    for mine, theirs in zip(read_once(bb.model), expected):
        assert (mine - theirs).abs().max() <= 1e-13 * theirs.abs().max()
    handle.remove()
    attention.k.weight.requires_grad_(True)  # somebody trains the keys
    read_once(bb.model)
    assert texts == [(2, 9, 512)] * 2


def test_a_token_that_sees_itself_alone_needs_no_query(monkeypatch):
    config = transformers.T5Config(vocab_size=300, num_layers=2, num_heads=4, decoder_start_token_id=0)
    model = transformers.T5ForConditionalGeneration(config)
    plain = copy.deepcopy(model).requires_grad_(False).eval()
    bb = from_model(model, tiny_tokenizer("t5"), "wide")
    bb.model.double()
    attention = bb.model.decoder.block[1].layer[0].SelfAttention
    expected, tokens, query = read_once(plain.double()), [], attention.q.forward
    monkeypatch.setattr(attention.q, "forward", lambda hidden: tokens.append(hidden.shape) or query(hidden))
    for listened in (0, 1):
        for mine, theirs in zip(read_once(bb.model), expected):
            assert (mine - theirs).abs().max() <= 1e-13 * theirs.abs().max()
        assert len(tokens) == listened
        attention.q.register_forward_hook(lambda *_: None)  # somebody reads the queries


def slope_of(value, text):
    return torch.autograd.grad(value, text, retain_graph=True)[0]


@pytest.mark.parametrize("bias", [True, False])
def test_a_text_is_read_as_with_keys_and_values(bias):
    heads, width, hidden = 3, 4, 10
    key, value = (torch.nn.Linear(hidden, heads * width, bias=bias).double() for _ in range(2))
    text = torch.randn(2, 7, hidden, dtype=torch.float64, requires_grad=True)
    query = torch.randn(2, heads, 5, width, dtype=torch.float64)
    mask = torch.ones(2, 1, 5, 7, dtype=torch.bool)
    mask[1, :, :, 4:] = False
    keys, values = (of(text).unflatten(-1, (heads, -1)).transpose(1, 2) for of in (key, value))
    expected = torch.nn.functional.scaled_dot_product_attention(query, keys, values, mask, scale=0.3)
    expected = expected.transpose(1, 2).flatten(2)
    for given in (mask, torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)):
        found, weights = read_text(query, text, key, value, given, scale=0.3)
        assert torch.allclose(found, expected, atol=1e-13)
        assert torch.allclose(weights.sum(-1), torch.ones(2, heads, 5, dtype=torch.float64))
        assert not weights[1, :, :, 4:].any()
        mine, theirs = (slope_of((one**2).sum(), text) for one in (found, expected))
        assert torch.allclose(mine, theirs, atol=1e-13)


def self_attention(model_type):
    bb = tiny_backbone(model_type)
    return bb.model.double().base_model.encoder.layer[0].attention.self


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlm-roberta"])
def test_some_tokens_read_the_text_of_all(model_type):
    attention = self_attention(model_type)
    text = torch.randn(3, 6, attention.query.in_features, dtype=torch.float64)
    slots = torch.tensor([[0, 2], [5, 1], [3, 3]])
    rows = torch.arange(3)[:, None]
    assert torch.allclose(
        attention(text[rows, slots], text=text)[0], attention(text)[0][rows, slots], atol=1e-13
    )


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("others", [0, 2])
def test_texts_that_differ_at_some_tokens_only(model_type, others):
    """Two questions; each twice with another token at a slot, behind texts that have nothing to do with them."""
    attention = self_attention(model_type)
    hidden = attention.query.in_features
    known, slots = torch.randn(2, 6, hidden, dtype=torch.float64), torch.tensor([[1], [4]])
    fresh = torch.randn(4, 1, hidden, dtype=torch.float64)
    before = torch.randn(others, 6, hidden, dtype=torch.float64) if others else None
    whole = put(known.repeat(2, 1, 1), fresh, slots.repeat(2, 1))
    whole = whole if before is None else torch.cat([before, whole])
    three = tuple(
        matrix(known).repeat(2, 1, 1) for matrix in (attention.query, attention.key, attention.value)
    )
    found, _ = attention(torch.zeros_like(whole), joined=Joined(before, fresh, three, slots.repeat(2, 1)))
    assert torch.allclose(found, attention(whole)[0], atol=1e-13)


def test_layers_that_somebody_listens_to_or_trains_do_more_than_to_multiply():
    layer = torch.nn.Linear(4, 4).requires_grad_(False)
    assert only_multiplies(layer, layer)
    assert not only_multiplies(layer, torch.nn.Linear(4, 4))
    assert not only_multiplies(torch.nn.Sequential(layer)) and not only_multiplies(layer.to("meta"))
    layer = torch.nn.Linear(4, 4).requires_grad_(False)
    handle = layer.register_forward_hook(lambda *_: None)
    assert not only_multiplies(layer)
    handle.remove()
    assert only_multiplies(layer)


def test_attribution_goes_the_long_way_where_somebody_listens():
    bb = tiny_backbone("bert")
    asked = encode_cloze(bb, "the capital of france is [MASK] .", "paris")
    [short] = stacks(bb, asked)
    key = bb.model.base_model.get_submodule(bb.row.attention.format(1)).key
    handle = key.register_forward_hook(lambda *_: None)
    [long] = stacks(bb, asked)
    assert short.narrow and not long.narrow
    (quick, _), (slow, _) = (stack.sweep(stack.layers, [0.0, 0.5]) for stack in (short, long))
    handle.remove()
    for layer in short.layers:
        assert torch.allclose(quick[layer], slow[layer], rtol=1e-4, atol=1e-4 * slow[layer].abs().max())
