"""A backbone reads answers as the full model does, however it was loaded, padded and batched."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, BertForPreTraining, DistilBertConfig, DistilBertForMaskedLM

from skillkit.core.errors import SkillkitError
from skillkit.models.architectures import NEURON_TABLE
from skillkit.models.backbone import UNLIMITED, from_model, load_backbone
from skillkit.models.hooks import replace_neurons
from skillkit.models.loading import list_backbones
from tests.helpers import full_disk, shared_path
from tests.tiny import HIDDEN, POSITIONS, TINY_MODELS, tiny_backbone, tiny_tokenizer

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
    assert bb.value_weight(1).shape == (HIDDEN, bb.num_neurons)
    assert bb.tokenizer.pad_token is not None
    assert not bb.model.training and not any(weight.requires_grad for weight in bb.model.parameters())


@every_family
def test_the_model_takes_max_positions_tokens(model_type):
    bb = tiny_backbone(model_type)
    length = min(bb.max_positions, 300)
    inputs = {
        "input_ids": torch.full((1, length), 8),
        "attention_mask": torch.ones(1, length, dtype=torch.long),
    }
    if bb.family == "seq2seq":
        inputs["decoder_input_ids"] = torch.zeros(1, 1, dtype=torch.long)
    assert bb.answer_logits(inputs, torch.tensor([0])).isfinite().all()


@every_family
def test_saved_and_loaded_it_is_the_same(model_type, tmp_path, capfd):
    bb = tiny_backbone(model_type)
    bb.save(tmp_path / "mine")
    again = load_backbone(tmp_path / "mine", device="cpu")
    assert capfd.readouterr().err == ""
    assert again.fingerprint == bb.fingerprint and again.family == bb.family
    assert again.name == "mine"  # wherever the folder lies
    assert again.tokenizer(TEXTS[0], TEXTS[1])["input_ids"] == bb.tokenizer(TEXTS[0], TEXTS[1])["input_ids"]
    assert torch.equal(again.answer_logits(*inputs_of(again)), bb.answer_logits(*inputs_of(bb)))
    assert not list((tmp_path / "mine").glob("*.bin"))


def test_the_fingerprint_tells_weights_configuration_vocabulary_and_dtype_apart():
    bb = tiny_backbone("bert")
    assert tiny_backbone("bert").fingerprint == bb.fingerprint
    nudged = tiny_backbone("bert")
    nudged.value_weight(2)[0, 0] += 1e-3
    configured = tiny_backbone("bert")
    configured.model.config.layer_norm_eps = 1e-3
    worded = from_model(tiny_backbone("bert").model, tiny_tokenizer("bert"))
    worded.tokenizer.add_tokens(["zebra"])
    half = from_model(tiny_backbone("bert").model.half(), bb.tokenizer)
    prints = {other.fingerprint for other in (bb, nudged, configured, worded, half)}
    assert len(prints) == 5


def test_dtype_is_float32_unless_asked(tmp_path):
    bb = tiny_backbone("gpt2")
    from_model(bb.model.to(torch.bfloat16), bb.tokenizer).save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert load_backbone(tmp_path).dtype == torch.float32
    assert load_backbone(tmp_path, dtype="bfloat16").dtype == torch.bfloat16
    assert load_backbone(tmp_path, dtype=torch.float64).dtype == torch.float64
    inputs, answer = inputs_of(bb)
    assert load_backbone(tmp_path, dtype="bfloat16").answer_logits(inputs, answer).dtype == torch.float32


def test_device_map_and_revision_are_handed_on(tmp_path, monkeypatch):
    tiny_backbone("t5").save(tmp_path)
    assert load_backbone(tmp_path, device_map={"": "meta"}).device.type == "meta"
    assert (
        load_backbone(tmp_path, device_map="auto")
        .answer_logits(*inputs_of(tiny_backbone("t5")))
        .isfinite()
        .all()
    )
    asked = []
    monkeypatch.setattr(
        AutoConfig, "from_pretrained", lambda *args, **options: asked.append(options) or 1 / 0
    )
    with pytest.raises(SkillkitError):
        load_backbone("some/model", revision="v1")
    assert asked == [{"revision": "v1", "trust_remote_code": False}]


@pytest.mark.parametrize("options, reason", [
    ({"dtype": "int8"}, "^dtype 'int8' .*; try"), ({"dtype": "flaot32"}, "^dtype 'flaot32' .*; try"),
    ({"device": "abacus"}, "^device 'abacus' .*; try"), ({"device_map": "abacus"}, "device_map .* abacus"),
    ({"device_map": {"": "abacus"}}, "abacus"),
])  # fmt: skip
def test_dtype_and_device_must_exist(options, reason, tmp_path):
    tiny_backbone("bert").save(tmp_path)
    with pytest.raises(SkillkitError, match=reason):
        load_backbone(tmp_path, **options)


@every_family
def test_a_folder_without_the_tokenizers_files(model_type, tmp_path):
    tiny_backbone(model_type).model.save_pretrained(tmp_path)
    with pytest.raises(SkillkitError, match="its files are missing|cannot be read"):
        load_backbone(tmp_path)


def without(folder, *lost):
    """Take weights out of a saved checkpoint."""
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if name not in lost}
    assert len(kept) == len(weights) - len(lost)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def test_missing_weights_raise(tmp_path):
    tiny_backbone("roberta").save(tmp_path)
    without(tmp_path, "lm_head.dense.weight", "roberta.encoder.layer.1.output.dense.bias")
    with pytest.raises(
        SkillkitError, match=r"lacks 2 weights that fit RobertaForMaskedLM.*lm_head\.dense\.weight"
    ):
        load_backbone(tmp_path)


def test_a_checkpoint_without_its_head_raises_unless_the_head_is_tied(tmp_path):
    for model_type in ("bert", "gpt2"):
        bb = tiny_backbone(model_type)
        bb.model.base_model.save_pretrained(tmp_path / model_type)
        bb.tokenizer.save_pretrained(tmp_path / model_type)
    with pytest.raises(SkillkitError, match="language-model head"):
        load_backbone(tmp_path / "bert")
    assert (
        load_backbone(tmp_path / "gpt2").answer_logits(*inputs_of(bb)).equal(bb.answer_logits(*inputs_of(bb)))
    )


def test_weights_of_another_shape_raise(tmp_path):
    tiny_backbone("bert").save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["bert.encoder.layer.0.output.dense.weight"] = torch.zeros(HIDDEN, 7)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(SkillkitError, match="encoder.layer.0.output.dense.weight"):
        load_backbone(tmp_path)


def test_weights_that_are_not_needed_are_dropped(tmp_path):
    bb = tiny_backbone("bert")
    pretraining = BertForPreTraining(bb.model.config)
    pretraining.load_state_dict(bb.model.state_dict(), strict=False)
    pretraining.save_pretrained(tmp_path)
    bb.tokenizer.save_pretrained(tmp_path)
    assert any("pooler" in name for name in load_file(tmp_path / "model.safetensors"))
    again = load_backbone(tmp_path)
    assert torch.equal(again.answer_logits(*inputs_of(bb)), bb.answer_logits(*inputs_of(bb)))


def test_damaged_weights_raise(tmp_path):
    tiny_backbone("bert").save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(SkillkitError, match="cannot be read"):
        load_backbone(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(SkillkitError, match="model.safetensors"):
        load_backbone(tmp_path)


def test_pickled_code_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    tiny_backbone("bert").save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"bert.embeddings.word_embeddings.weight": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(SkillkitError, match="cannot be read"):
        load_backbone(tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "name, reason",
    [
        ("embedded/nothing", "no backbone 'embedded/nothing' is shipped"),
        ("./nothing", "there is no folder ./nothing"),
        ("/nothing/here", "there is no folder /nothing/here"),
        ("bad name!", "the hub gives no model 'bad name!'"),
    ],
)
def test_wrong_names(name, reason):
    with pytest.raises(SkillkitError, match=reason):
        load_backbone(name)


def test_an_unreachable_hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SkillkitError, match="the hub cannot be reached; check the name, go online"):
        load_backbone("nobody/nothing-of-this-name")


def test_a_folder_without_configuration(tmp_path):
    with pytest.raises(SkillkitError, match="has no config.json"):
        load_backbone(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(SkillkitError, match="cannot be read"):
        load_backbone(tmp_path)


def test_an_unknown_architecture_names_the_row_to_add(tmp_path):
    config = DistilBertConfig(dim=8, n_layers=1, n_heads=1, hidden_dim=8, vocab_size=200)
    with pytest.raises(SkillkitError, match=r"add the row NEURON_TABLE\['distilbert'\]"):
        from_model(DistilBertForMaskedLM(config), tiny_tokenizer("bert"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "of-tomorrow"}))
    with pytest.raises(SkillkitError, match="of-tomorrow"):
        load_backbone(tmp_path)


def test_a_row_of_ones_own_is_enough(monkeypatch):
    monkeypatch.setitem(NEURON_TABLE, "mine", NEURON_TABLE["gpt2"])
    bb = tiny_backbone("gpt2")
    bb.model.config.model_type = "mine"
    assert from_model(bb.model, bb.tokenizer).family == "causal"


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SkillkitError, match="cannot be written"):
        tiny_backbone("bert").save(tmp_path / "file" / "folder")


def test_a_full_disk_leaves_the_model_from_before(tmp_path, monkeypatch):
    tiny_backbone("bert", seed=1).save(tmp_path)
    (tmp_path / "README.md").write_text("the user's own")
    bb, before = tiny_backbone("bert", seed=2), sorted(tmp_path.iterdir())
    monkeypatch.setattr(bb.tokenizer, "save_pretrained", full_disk)
    with pytest.raises(SkillkitError, match="cannot be written .No space left"):
        bb.save(tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    assert load_backbone(tmp_path).fingerprint == tiny_backbone("bert", seed=1).fingerprint


def test_backbones_are_listed_with_a_line_each():
    listed = list_backbones()
    assert "roberta-base" in listed
    assert all(line.split(",")[0] in ("masked", "causal", "seq2seq") for line in listed.values())


def test_a_real_masked_model_in_half_precision_is_loaded_in_float32():
    folder = shared_path("models/minilm-mlm")
    bb = load_backbone(folder, device="cpu")
    stored = load_file(folder / "model.safetensors")["bert.encoder.layer.3.output.dense.weight"]
    assert stored.dtype == torch.float16
    assert (bb.dtype, bb.num_layers, bb.num_neurons, bb.hidden_size) == (torch.float32, 6, 1536, 384)
    assert torch.equal(bb.value_weight(3), stored.float())
    inputs = dict(bb.tokenizer("paris is the capital of [MASK].", return_tensors="pt"))
    logits = bb.answer_logits(inputs, (inputs["input_ids"] == bb.tokenizer.mask_token_id).int().argmax(1))
    assert "france" in bb.tokenizer.decode(logits[0].topk(5).indices)


def test_a_real_gated_causal_model():
    bb = load_backbone(shared_path("models/stories260k"), device="cpu")
    assert (bb.family, bb.model_type, bb.num_layers, bb.num_neurons) == ("causal", "llama", 5, 172)
    inputs = dict(bb.tokenizer("Once upon a time", return_tensors="pt"))
    last = torch.tensor([inputs["input_ids"].shape[1] - 1])
    with bb.record([4]) as acts:
        logits = bb.answer_logits(inputs, last)
    assert acts[4].shape == (1, int(last) + 1, 172)
    torch.testing.assert_close(logits, bb.model(**inputs).logits[:, -1], atol=1e-4, rtol=1e-4)
