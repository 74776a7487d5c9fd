"""A backbone reads answers as the full model does, however it was loaded, padded and batched."""

import pytest
import torch
import transformers
from tokenizers import AddedToken, models, normalizers, pre_tokenizers, processors

from skillkit.models.backbone import UNLIMITED, from_model, load_backbone
from skillkit.models.hooks import replace_neurons
from tests.helpers import shared_path
from tests.tiny import HIDDEN, POSITIONS, TINY_MODELS, tiny_backbone

TEXTS = ["the movie was not good , it was really boring .", "good food", "yes"]
every_family = pytest.mark.parametrize("model_type", TINY_MODELS)


def inputs_of(bb, texts=TEXTS, side="right"):
    """Token ids and mask, and the slot of each text's last token (of the decoder's, where there is one)."""
    inputs = dict(bb.tokenizer(texts, return_tensors="pt", padding=True, padding_side=side))
    if bb.family == "seq2seq":
        inputs["decoder_input_ids"] = torch.tensor([[0, 9]]).expand(len(texts), -1)
        return inputs, torch.ones(len(texts), dtype=torch.long)
    slots = torch.arange(inputs["input_ids"].shape[1])
    return inputs, (inputs["attention_mask"] * slots).argmax(1)


@every_family
def test_answer_logits_are_the_full_models_logits_at_the_slot(model_type):
    bb = tiny_backbone(model_type)
    inputs, answer = inputs_of(bb)
    full = bb.model(**inputs).logits[torch.arange(len(TEXTS)), answer]
    logits = bb.answer_logits(inputs, answer)
    assert logits.shape == (len(TEXTS), len(bb.tokenizer))
    torch.testing.assert_close(logits, full, atol=2e-5, rtol=1e-5)
    words = torch.tensor([20, 7, 11])
    torch.testing.assert_close(bb.answer_logits(inputs, answer, words), full[:, words], atol=2e-5, rtol=1e-5)
    with bb.record():  # the whole last layer is computed then
        torch.testing.assert_close(bb.answer_logits(inputs, answer), full, atol=2e-5, rtol=1e-5)


@every_family
@pytest.mark.parametrize("before", [False, True])
def test_edits_of_every_token_alike_leave_the_last_network_at_the_answer(model_type, before):
    bb, seen = tiny_backbone(model_type), []
    inputs, answer = inputs_of(bb)

    def halved(neurons):
        seen.append(neurons.shape[1])
        return neurons / 2

    found = {}
    for tokenwise in (True, False):
        with replace_neurons(bb, {bb.num_layers - 1: halved}, before=before, tokenwise=tokenwise):
            found[tokenwise] = bb.answer_logits(inputs, answer)
    torch.testing.assert_close(found[True], found[False], atol=2e-5, rtol=1e-5)
    assert (found[True] - bb.answer_logits(inputs, answer)).abs().max() > 1e-3
    assert seen[0] == 1 < seen[1]


def gradient(bb, inputs, read):
    """Gradient of the loss that `read` computes, with respect to the input embeddings."""
    inputs = dict(inputs)
    embeddings = bb.embed(inputs.pop("input_ids")).requires_grad_()
    read({**inputs, "inputs_embeds": embeddings}).square().sum().backward()
    return embeddings.grad


@every_family
def test_gradients_of_answer_logits_are_the_full_models(model_type):
    bb = tiny_backbone(model_type)
    inputs, answer = inputs_of(bb)
    inputs["position_ids"] = bb.position_ids(inputs["attention_mask"])
    if bb.family == "seq2seq":
        del inputs["position_ids"]
    words, each = torch.tensor([5, 9]), torch.arange(len(TEXTS))
    thrifty = gradient(bb, inputs, lambda given: bb.answer_logits(given, answer, words))
    plain = gradient(bb, inputs, lambda given: bb.model(**given).logits[each, answer][:, words])
    torch.testing.assert_close(thrifty, plain, atol=1e-3, rtol=1e-3)
    assert plain.abs().max() > 0.1
    assert all(parameter.grad is None for parameter in bb.model.parameters())


@every_family
def test_padding_side_and_batch_size_change_nothing(model_type):
    bb = tiny_backbone(model_type)
    right = bb.answer_logits(*inputs_of(bb))
    left = bb.answer_logits(*inputs_of(bb, side="left"))
    alone = torch.cat([bb.answer_logits(*inputs_of(bb, [text])) for text in TEXTS])
    torch.testing.assert_close(left, right, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(alone, right, atol=2e-5, rtol=1e-5)
    assert (right[0] - right[1]).abs().max() > 0.1


def test_position_ids_count_the_real_tokens():
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    assert tiny_backbone("bert").position_ids(mask).tolist() == [[0, 0, 0, 1], [0, 1, 2, 0]]
    assert tiny_backbone("roberta").position_ids(mask).tolist() == [[1, 1, 2, 3], [2, 3, 4, 1]]


@every_family
def test_facts_of_a_backbone(model_type):
    bb = tiny_backbone(model_type, layers=4)
    seq2seq = bb.family == "seq2seq"
    assert bb.num_layers == len(bb.layers) == len(bb.value_matrices) == (7 if seq2seq else 4)
    assert bb.layers[-1] == ("decoder.2" if seq2seq else "layer.3")
    assert list(bb.encoder_layers) == [0, 1, 2, 3]
    assert list(bb.decoder_layers) == ([4, 5, 6] if seq2seq else [])
    assert bb.hidden_size == HIDDEN and set(bb.widths) == {bb.num_neurons}
    assert bb.max_positions == (UNLIMITED if seq2seq else POSITIONS)
    ids = torch.full((1, min(bb.max_positions, 300)), 8)  # so many tokens it takes
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    inputs |= {"decoder_input_ids": ids[:, :1]} if seq2seq else {}
    assert bb.answer_logits(inputs, torch.tensor([0])).isfinite().all()
    assert bb.value_weight(1).shape == (HIDDEN, bb.num_neurons)
    assert bb.tokenizer.pad_token is not None
    assert f"'tiny/{model_type}', {bb.family}, {bb.num_layers} layers, 48 neurons" in repr(bb)
    assert not bb.model.training and not any(weight.requires_grad for weight in bb.model.parameters())


def test_the_fingerprint_tells_configuration_and_dtype_apart():
    bb, configured = tiny_backbone("bert"), tiny_backbone("bert")
    assert configured.fingerprint == bb.fingerprint
    configured.model.config.layer_norm_eps = 1e-3
    half = from_model(tiny_backbone("bert").model.half(), bb.tokenizer)
    assert len({other.fingerprint for other in (bb, configured, half)}) == 3


def _optimised(weight):
    weight.requires_grad_().grad = torch.ones_like(weight)
    torch.optim.AdamW([weight], 0.1).step()


def _swapped(weight):
    weight.data[[0, 1]] = weight.data[[1, 0]]


def _of_numpy(weight):
    weight.detach().numpy()[0, 0] += 1


EDITS = {
    "in place": lambda weight: weight.detach().zero_(), "through .data": lambda weight: weight.data.mul_(2),
    "another .data": lambda weight: setattr(weight, "data", weight.data + 1), "rows swapped": _swapped,
    "optimiser": _optimised, "numpy": _of_numpy, "a rank-one update": lambda w: w.detach().add_(w[:, :1] @ w[:1]),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("model_type", ["bert", "gpt2", "t5"])
def test_the_fingerprint_is_of_the_weights_as_they_are_now(model_type, edit):
    bb = tiny_backbone(model_type)
    before, weight = bb.fingerprint, bb.value_matrices[1].weight
    kept = weight.detach().clone()
    edit(weight)
    assert bb.fingerprint != before
    with torch.no_grad():
        weight.copy_(kept)
    assert bb.fingerprint == before


def test_the_fingerprint_counts_buffers_and_layers_that_were_put_in():
    bb = tiny_backbone("bert")
    prints = {bb.fingerprint}
    bb.blocks[0].register_buffer("scale", torch.ones(2))
    prints.add(bb.fingerprint)
    bb.blocks[0].scale.add_(1)
    prints.add(bb.fingerprint)
    bb.blocks[0].extra = torch.nn.Linear(2, 2)
    assert len(prints | {bb.fingerprint}) == 4


def _pieces(model):
    return lambda tokenizer: setattr(tokenizer.backend_tokenizer, *model(tokenizer.backend_tokenizer))


SETTINGS = {
    "words": lambda one: one.add_tokens(["zebra"]),
    "an added token's blanks": lambda one: one.add_tokens([AddedToken("good", lstrip=True)]),
    "lower case": _pieces(lambda one: ("normalizer", normalizers.Lowercase())),
    "normalisation": _pieces(lambda one: ("normalizer", normalizers.NFD())),
    "splitting": _pieces(lambda one: ("pre_tokenizer", pre_tokenizers.Digits())),
    "a last token": _pieces(
        lambda _: ("post_processor", processors.TemplateProcessing("$A a", None, [("a", 9)]))
    ),
    "merges": _pieces(lambda one: ("model", models.BPE(one.get_vocab(), [], unk_token="<unk>"))),
    "length": lambda one: setattr(one, "model_max_length", 7),
    "truncation side": lambda one: setattr(one, "truncation_side", "left"),
    "inputs": lambda one: setattr(one, "model_input_names", ["input_ids"]),
    "special tokens": lambda one: setattr(one, "pad_token", "good"),
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_the_fingerprint_is_of_the_tokenizer_as_it_is_now(setting):
    bb = tiny_backbone("roberta")
    before = bb.fingerprint
    bb.tokenizer(TEXTS, padding=True, truncation=True, max_length=3)  # is set anew by every call
    assert bb.fingerprint == before
    setting(bb.tokenizer)
    assert bb.fingerprint != before


def test_the_fingerprint_of_a_tokenizer_in_python(tmp_path):
    bb = tiny_backbone("t5")
    slow = lambda **options: from_model(bb.model, transformers.ByT5Tokenizer(**options))
    one, other, third = slow(), slow(extra_ids=7), slow()
    third.tokenizer.language = "ja"
    assert len({each.fingerprint for each in (bb, one, other, third)}) == 4
    one.tokenizer.save_pretrained(tmp_path)
    again = from_model(bb.model, transformers.ByT5Tokenizer.from_pretrained(tmp_path))
    assert again.fingerprint == one.fingerprint == slow().fingerprint


def test_a_real_gated_causal_model():
    bb = load_backbone(shared_path("models/stories260k"), device="cpu")
    assert (bb.family, bb.model_type, bb.num_layers, bb.num_neurons) == ("causal", "llama", 5, 172)
    inputs = dict(bb.tokenizer("Once upon a time", return_tensors="pt"))
    last = torch.tensor([inputs["input_ids"].shape[1] - 1])
    with bb.record([4]) as acts:
        logits = bb.answer_logits(inputs, last)
    assert acts[4].shape == (1, int(last) + 1, 172)
    torch.testing.assert_close(logits, bb.model(**inputs).logits[:, -1], atol=1e-4, rtol=1e-4)
