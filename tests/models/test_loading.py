"""Backbones are loaded as they were saved, from wherever they are; what is wrong there is said in a sentence."""

import copy
import json
from types import SimpleNamespace

import psutil
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    BertForPreTraining,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
)

from skillkit.core.errors import SkillkitError
from skillkit.models import from_model, list_backbones, load_backbone
from tests.helpers import full_disk, shared_path
from tests.models.test_backbone import TEXTS, every_family, inputs_of
from tests.tiny import HIDDEN, tiny_backbone, tiny_tokenizer


def refused(reason, *args, **options):
    with pytest.raises(SkillkitError, match=reason):
        load_backbone(*args, **options)


@pytest.fixture
def saved(tmp_path):
    """A folder with a small BERT."""
    tiny_backbone("bert").save(tmp_path)
    (tmp_path / "checksums.json").unlink()  # as a folder that somebody else has saved
    return tmp_path


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_changed_bit_of_what_we_saved_is_noticed(tmp_path, name):
    tiny_backbone("bert").save(tmp_path)
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw[:-2] + bytes([raw[-2] ^ 1]) + raw[-1:])
    refused("has changed since it was saved|cannot be read", tmp_path)


def test_weights_without_numbers_and_of_more_layers_are_refused(saved):
    change_weights(
        saved, lambda weights: weights["bert.encoder.layer.0.output.dense.weight"].fill_(torch.nan)
    )
    refused("holds no finite numbers", saved)
    config = json.loads((saved / "config.json").read_text())
    for layers in (1, -1):
        (saved / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}))
        refused("has layers of which its config.json does not know|cannot be read|no layers", saved)


def change_weights(folder, change):
    """Let `change` work on the dict of weights of a saved checkpoint."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


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


def test_dtype_is_float32_unless_asked(tmp_path):
    bb = tiny_backbone("gpt2")
    from_model(bb.model.to(torch.bfloat16), bb.tokenizer).save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert load_backbone(tmp_path).dtype == torch.float32
    assert load_backbone(tmp_path, dtype=torch.float64).dtype == torch.float64
    half = load_backbone(tmp_path, dtype="bfloat16")
    assert half.dtype == torch.bfloat16 and half.answer_logits(*inputs_of(bb)).dtype == torch.float32


def test_device_map_and_revision_are_handed_on(tmp_path, monkeypatch):
    tiny_backbone("t5").save(tmp_path)
    assert load_backbone(tmp_path, device_map={"": "meta"}).device.type == "meta"
    placed = load_backbone(tmp_path, device_map="auto")
    assert placed.answer_logits(*inputs_of(placed)).isfinite().all()
    asked = []
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda *_, **options: asked.append(options) or 1 / 0)
    refused("some/model", "some/model", revision="v1")
    assert asked == [{"revision": "v1", "trust_remote_code": False}]


@pytest.mark.parametrize("options, reason", [
    ({"dtype": "int8"}, "^dtype 'int8' .*; try"), ({"dtype": "flaot32"}, "^dtype 'flaot32' .*; try"),
    ({"device": "abacus"}, "^device 'abacus' .*; try"), ({"device_map": "abacus"}, "device_map .* abacus"),
    ({"device_map": {"": "abacus"}}, "abacus"),
])  # fmt: skip
def test_dtype_and_device_must_exist(options, reason, saved):
    refused(reason, saved, **options)


@every_family
def test_a_folder_without_the_tokenizers_files(model_type, tmp_path):
    tiny_backbone(model_type).model.save_pretrained(tmp_path)
    refused("its files are missing|cannot be read", tmp_path)


def test_weights_that_are_missing_or_of_another_shape(tmp_path):
    for model_type in ("roberta", "bert", "gpt2"):
        bb = tiny_backbone(model_type)
        bb.save(tmp_path / model_type)
        (tmp_path / model_type / "checksums.json").unlink()
    lost = "lm_head.dense.weight", "roberta.encoder.layer.1.output.dense.bias"
    change_weights(tmp_path / "roberta", lambda weights: [weights.pop(name) for name in lost])
    refused(r"lacks 2 weights that fit RobertaForMaskedLM.*lm_head\.dense\.weight", tmp_path / "roberta")
    name = "bert.encoder.layer.0.output.dense.weight"
    change_weights(tmp_path / "bert", lambda weights: weights.update({name: torch.zeros(HIDDEN, 7)}))
    refused(name, tmp_path / "bert")
    # Without a head, unless it is tied to the embeddings.
    tiny_backbone("bert").model.base_model.save_pretrained(tmp_path / "bert")
    refused("language-model head", tmp_path / "bert")
    bb.model.base_model.save_pretrained(tmp_path / "gpt2")
    again = load_backbone(tmp_path / "gpt2")
    assert again.answer_logits(*inputs_of(bb)).equal(bb.answer_logits(*inputs_of(bb)))


def test_weights_that_are_not_needed_are_dropped(saved):
    bb = tiny_backbone("bert")
    pretraining = BertForPreTraining(bb.model.config)
    pretraining.load_state_dict(bb.model.state_dict(), strict=False)
    pretraining.save_pretrained(saved)
    assert any("pooler" in name for name in load_file(saved / "model.safetensors"))
    again = load_backbone(saved)
    assert torch.equal(again.answer_logits(*inputs_of(bb)), bb.answer_logits(*inputs_of(bb)))


def test_damaged_weights_and_pickled_code(saved):
    class Trap:
        def __reduce__(self):
            return (open, (str(saved / "sprung"), "w"))

    (saved / "model.safetensors").write_bytes(b"not a tensor")
    refused("cannot be read", saved)
    (saved / "model.safetensors").unlink()
    refused("model.safetensors", saved)
    torch.save({"bert.embeddings.word_embeddings.weight": Trap()}, saved / "pytorch_model.bin")
    refused("cannot be read(?!.*weights_only)", saved)
    assert not (saved / "sprung").exists()


@pytest.mark.parametrize("dtype, sentence", [
    ("auto", "^too little memory: .* 0.4 GB in float32, and 0.1 GB are free; dtype='bfloat16' would take 0.2 GB$"),
    ("bfloat16", "^too little memory: .* takes 0.2 GB in bfloat16, and 0.1 GB are free$"),
])  # fmt: skip
def test_too_little_memory_is_said_before_weights_are_read(dtype, sentence, saved, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=int(1e8)))
    config = json.loads((saved / "config.json").read_text())
    large = dict(hidden_size=512, intermediate_size=2048, num_hidden_layers=32)
    (saved / "config.json").write_text(json.dumps(config | large))
    refused(sentence, saved, device="cpu", dtype=dtype)


@pytest.mark.parametrize("name, reason", [
    ("embedded/nothing", "no backbone 'embedded/nothing' is shipped"),
    ("./nothing", "there is no folder ./nothing"), ("/nothing/here", "there is no folder /nothing/here"),
    ("bad name!", "the hub gives no model 'bad name!'"),
    ("nobody/nothing-of-this-name", "the hub cannot be reached; check the name, go online"),
])  # fmt: skip
def test_wrong_names(name, reason, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(reason, name)


@pytest.mark.parametrize("wrong", ["model", "tokenizer", "config", None, 4, ("model", "tokenizer")], ids=repr)
def test_what_is_no_name(wrong):
    bb = tiny_backbone("bert")
    given = {"model": bb.model, "tokenizer": bb.tokenizer, "config": bb.model.config}.get(wrong, wrong)
    refused(rf"not a {type(given).__name__}; .* sk\.from_model\(model, tokenizer\)", given)


@pytest.mark.parametrize(("change", "reason"), [
    (lambda model, tokenizer: (model, None), "needs the tokenizer"),
    (lambda model, tokenizer: (model, tiny_tokenizer("gpt2")), "has no mask token"),
    (lambda model, tokenizer: (model.base_model, tokenizer), "BertModel has no language-model head .cls"),
    (lambda model, tokenizer: (BertForSequenceClassification(model.config), tokenizer), "no language-model head"),
    (lambda model, tokenizer: (get_peft_model(model, LoraConfig(target_modules=["query"])), tokenizer), "PEFT model"),
])  # fmt: skip
def test_what_is_no_language_model_with_its_tokenizer(change, reason):
    bb = tiny_backbone("bert")
    with pytest.raises(SkillkitError, match=reason):
        from_model(*change(copy.deepcopy(bb.model), bb.tokenizer), "mine")


def test_a_folder_of_an_adapter(tmp_path):
    get_peft_model(tiny_backbone("bert").model, LoraConfig(target_modules=["query"])).save_pretrained(
        tmp_path
    )
    refused("is a PEFT adapter, no model", tmp_path)


def test_a_wrong_configuration(tmp_path):
    refused("has no config.json", tmp_path)
    (tmp_path / "config.json").write_text("{")
    refused("cannot be read", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "of-tomorrow"}))
    refused("of-tomorrow", tmp_path)
    config = DistilBertConfig(dim=8, n_layers=1, n_heads=1, hidden_dim=8, vocab_size=200)
    with pytest.raises(SkillkitError, match=r"add the row NEURON_TABLE\['distilbert'\]"):
        from_model(DistilBertForMaskedLM(config), tiny_tokenizer("bert"))


def test_a_full_disk_leaves_the_model_from_before(saved, monkeypatch):
    (saved / "README.md").write_text("the user's own")
    bb, before = tiny_backbone("bert", seed=2), sorted(saved.iterdir())
    with pytest.raises(SkillkitError, match="cannot be written"):
        bb.save(saved / "README.md" / "folder")
    monkeypatch.setattr(bb.tokenizer, "save_pretrained", full_disk)
    with pytest.raises(SkillkitError, match="cannot be written .No space left"):
        bb.save(saved)
    assert sorted(saved.iterdir()) == before
    assert load_backbone(saved).fingerprint == tiny_backbone("bert").fingerprint


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


def test_every_model_that_the_published_code_names_is_listed():
    named = """bert-base-uncased bert-base-cased bert-base-multilingual-uncased bert-base-multilingual-cased
        bert-large-uncased bert-large-cased xlm-roberta-base xlm-roberta-large facebook/xlm-roberta-xl
        facebook/xlm-roberta-xxl roberta-base roberta-large gpt2 EleutherAI/gpt-neo-125m EleutherAI/gpt-neo-1.3B
        EleutherAI/gpt-neo-2.7B t5-small t5-base google/t5-v1_1-small google/t5-v1_1-base google/t5-v1_1-xxl"""
    listed = list_backbones()
    assert set(named.split()) <= set(listed)
    assert listed["xlm-roberta-large"] == "masked, 24 layers × 4096 neurons, 100 languages (hub)"
