"""A backbone reads answers as the full model does, however it was loaded, padded and batched."""

import pytest
import torch

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
    assert repr(bb).startswith(
        f"Backbone('tiny/{model_type}', {bb.family}, {bb.num_layers} layers, 48 neurons"
    )
    assert not bb.model.training and not any(weight.requires_grad for weight in bb.model.parameters())


def test_the_fingerprint_tells_weights_configuration_vocabulary_and_dtype_apart():
    bb = tiny_backbone("bert")
    assert tiny_backbone("bert").fingerprint == bb.fingerprint
    nudged, configured, worded = (tiny_backbone("bert") for _ in range(3))
    nudged.value_weight(2)[0, 0] += 1e-3
    configured.model.config.layer_norm_eps = 1e-3
    worded.tokenizer.add_tokens(["zebra"])
    half = from_model(tiny_backbone("bert").model.half(), bb.tokenizer)
    prints = {other.fingerprint for other in (bb, nudged, configured, worded, half)}
    assert len(prints) == 5


def test_a_real_gated_causal_model():
    bb = load_backbone(shared_path("models/stories260k"), device="cpu")
    assert (bb.family, bb.model_type, bb.num_layers, bb.num_neurons) == ("causal", "llama", 5, 172)
    inputs = dict(bb.tokenizer("Once upon a time", return_tensors="pt"))
    last = torch.tensor([inputs["input_ids"].shape[1] - 1])
    with bb.record([4]) as acts:
        logits = bb.answer_logits(inputs, last)
    assert acts[4].shape == (1, int(last) + 1, 172)
    torch.testing.assert_close(logits, bb.model(**inputs).logits[:, -1], atol=1e-4, rtol=1e-4)
