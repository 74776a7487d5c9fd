import json

import pytest
import torch
from safetensors.torch import save_file

from skillkit.prompts import SoftPrompt, initial_weight, random_prompt
from tests.helpers import refused
from tests.tiny import tiny_backbone
from tests.toys import toy_task

BB = tiny_backbone("roberta", layers=1)


def test_saved_prompt_loads_as_it_was(tmp_path):
    prompt = random_prompt(BB, 6, seed=3)
    prompt.save(tmp_path / "a")
    back = SoftPrompt.load(tmp_path / "a")
    assert torch.equal(back.weight, prompt.weight) and back.weight.dtype == torch.float32
    assert back.metadata == prompt.metadata and back.fingerprint == prompt.fingerprint
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["prompt.json", "prompt.safetensors"]
    assert repr(back) == "SoftPrompt(6 × 32, mask-first, tiny/roberta, seed 3)"
    refused("cannot be written", prompt.save, tmp_path / "a" / "prompt.json")


def test_fingerprint_tells_prompts_apart():
    prompt = random_prompt(BB, 6, seed=3)
    weight, layout, metadata = prompt.weight, prompt.layout, prompt.metadata
    others = [(weight, "prefix", metadata), (weight.reshape(12, -1), layout, metadata)]
    others += [(weight, layout, metadata | {"segments": False}), (weight + 1, layout, metadata)]
    assert len({prompt.fingerprint, *(SoftPrompt(*one).fingerprint for one in others)}) == 5
    assert SoftPrompt(weight, layout, metadata | {"seconds": 3}).fingerprint == prompt.fingerprint


def test_random_prompt_has_the_published_scale():
    weight = random_prompt(BB, 100, seed=0).weight
    assert weight.shape == (100, BB.hidden_size)
    assert weight.std().item() == pytest.approx(1 / 30, rel=0.05)
    assert torch.equal(weight, random_prompt(BB, 100, seed=0).weight)
    assert not torch.equal(weight, random_prompt(BB, 100, seed=1).weight)


def test_initial_vectors():
    table = BB.model.get_input_embeddings().weight
    words = initial_weight(BB, toy_task(), 5, "label-words", seed=1)
    assert torch.equal(words[:2], table[toy_task().label_ids(BB)])
    vocabulary = initial_weight(BB, None, 5, "vocabulary", seed=1)
    assert torch.equal(words[2:], vocabulary[2:])
    matches = (vocabulary[:, None] == table[None]).all(-1)
    assert matches.any(1).all() and not matches[:, BB.tokenizer.all_special_ids].any()
    prompt = random_prompt(BB, 5, seed=9)
    assert torch.equal(initial_weight(BB, None, 5, prompt), prompt.weight)
    refused("has 5 vectors, not 6", initial_weight, BB, None, 6, prompt)
    refused("no initialisation 'zeros'.*label-words", initial_weight, BB, None, 5, "zeros")


def test_nearest_words_finds_the_words_a_prompt_is_made_of():
    prompt = SoftPrompt(3 * initial_weight(BB, toy_task(), 3, "label-words"), "mask-first")
    near = prompt.nearest_words(BB, k=4)
    assert [words[0][0].strip() for words in near[:2]] == ["bad", "good"]
    assert [len(words) for words in near] == [4, 4, 4]
    assert near[0][0][1] == pytest.approx(1, abs=1e-5) and near[0][0][1] > near[0][1][1]


@pytest.mark.parametrize(("model", "layout", "other", "message"), [
    ("roberta", "mask-first", "gpt2", "is not for"), ("t5", "encoder", "roberta", "is not for"),
    ("gpt2", "suffix", "t5", "is not for"), ("roberta", "prefix", "gpt2", "made for a masked model.*is causal"),
])  # fmt: skip
def test_prompts_of_another_family_or_width_are_refused(model, layout, other, message):
    prompt = random_prompt(tiny_backbone(model, layers=1), 4, layout=layout)
    refused(message, prompt.on, tiny_backbone(other, layers=1))
    refused(r"shape \[4, 31\].*takes vectors of 32", SoftPrompt(torch.zeros(4, 31), "mask-first").on, BB)


@pytest.mark.parametrize(("file", "content", "message"), [
    ("prompt.safetensors", b"", "empty or damaged"), ("prompt.json", b'{"layout": "pre', "empty or damaged"),
    ("prompt.json", b"[]", "lack .*metadata.*save it again"),
    ("prompt.json", b'{"layout": "prefix"}', "lack metadata"),
])  # fmt: skip
def test_missing_damaged_and_other_files(file, content, message, tmp_path):
    refused("holds no saved prompt", SoftPrompt.load, tmp_path)
    random_prompt(BB, 4).save(tmp_path)
    (tmp_path / file).write_bytes(content)
    refused(message, SoftPrompt.load, tmp_path)
    (tmp_path / "prompt.json").write_text(json.dumps({"layout": "prefix", "metadata": {}}))
    save_file({"other": torch.zeros(1)}, tmp_path / "prompt.safetensors")
    refused("lack weight", SoftPrompt.load, tmp_path)
