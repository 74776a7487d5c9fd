import json

import pytest
import torch
from safetensors.torch import save_file

from skillkit.core.errors import SkillkitError
from skillkit.prompts.soft_prompt import SoftPrompt, initial_weight, random_prompt
from tests.helpers import full_disk
from tests.tiny import TINY_MODELS, tiny_backbone
from tests.toys import toy_task


@pytest.fixture(scope="module")
def bb():
    return tiny_backbone("roberta", layers=1)


def test_saved_prompt_loads_as_it_was(bb, tmp_path):
    prompt = random_prompt(bb, 6, seed=3)
    prompt.save(tmp_path / "a")
    back = SoftPrompt.load(tmp_path / "a")
    assert torch.equal(back.weight, prompt.weight) and back.weight.dtype == torch.float32
    assert (back.layout, back.metadata, back.fingerprint) == (
        prompt.layout,
        prompt.metadata,
        prompt.fingerprint,
    )
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["prompt.json", "prompt.safetensors"]


def test_fingerprint_tells_prompts_apart(bb):
    prompt = random_prompt(bb, 6, seed=3)
    others = [
        random_prompt(bb, 6, seed=4),
        SoftPrompt(prompt.weight, "prefix", prompt.metadata),
        SoftPrompt(prompt.weight, prompt.layout, prompt.metadata | {"segments": False}),
        SoftPrompt(prompt.weight.reshape(12, -1), prompt.layout, prompt.metadata),
    ]
    assert len({other.fingerprint for other in [prompt, *others]}) == 5
    assert (
        SoftPrompt(prompt.weight, prompt.layout, prompt.metadata | {"seconds": 3}).fingerprint
        == prompt.fingerprint
    )


def test_random_prompt_has_the_published_scale(bb):
    weight = random_prompt(bb, 100, seed=0).weight
    assert weight.shape == (100, bb.hidden_size)
    assert weight.std().item() == pytest.approx(1 / 30, rel=0.05)
    assert torch.equal(weight, random_prompt(bb, 100, seed=0).weight)
    assert not torch.equal(weight, random_prompt(bb, 100, seed=1).weight)


def test_initial_vectors_from_vocabulary_and_label_words(bb):
    table = bb.model.get_input_embeddings().weight
    words = initial_weight(bb, toy_task(), 5, "label-words", seed=1)
    assert torch.equal(words[:2], table[toy_task().label_ids(bb)])
    vocabulary = initial_weight(bb, None, 5, "vocabulary", seed=1)
    assert torch.equal(words[2:], vocabulary[2:])
    matches = (vocabulary[:, None] == table[None]).all(-1)
    assert matches.any(1).all() and not matches[:, bb.tokenizer.all_special_ids].any()


def test_initial_vectors_from_another_prompt(bb):
    prompt = random_prompt(bb, 5, seed=9)
    assert torch.equal(initial_weight(bb, None, 5, prompt), prompt.weight)
    with pytest.raises(SkillkitError, match="has 5 vectors, 6 are asked for"):
        initial_weight(bb, None, 6, prompt)
    with pytest.raises(SkillkitError, match="no initialisation 'zeros'.*label-words"):
        initial_weight(bb, None, 5, "zeros")


def test_nearest_words_finds_the_words_a_prompt_is_made_of(bb):
    prompt = SoftPrompt(3 * initial_weight(bb, toy_task(), 3, "label-words"), "mask-first")
    near = prompt.nearest_words(bb, k=4)
    assert [words[0][0].strip() for words in near[:2]] == ["bad", "good"]
    assert [len(words) for words in near] == [4, 4, 4]
    assert near[0][0][1] == pytest.approx(1, abs=1e-5) and near[0][0][1] > near[0][1][1]


def test_prompt_of_another_width_is_refused(bb):
    with pytest.raises(SkillkitError, match=r"shape \[4, 31\].*takes vectors of 32"):
        SoftPrompt(torch.zeros(4, 31), "mask-first").on(bb)


@pytest.mark.parametrize(("made_for", "used_on"), [("roberta", "gpt2"), ("t5", "roberta"), ("gpt2", "t5")])
def test_prompt_of_another_family_is_refused(made_for, used_on):
    prompt = random_prompt(tiny_backbone(made_for, layers=1), 4)
    with pytest.raises(SkillkitError, match="is not for"):
        prompt.on(tiny_backbone(used_on, layers=1))


def test_prefix_of_another_family_is_refused(bb):
    with pytest.raises(SkillkitError, match="made for a masked model.*is causal"):
        random_prompt(bb, 4, layout="prefix").on(tiny_backbone("gpt2", layers=1))


@pytest.mark.parametrize("model", TINY_MODELS)
def test_every_backbone_takes_its_own_random_prompt(model):
    tiny = tiny_backbone(model, layers=1)
    assert random_prompt(tiny, 4).on(tiny).name == random_prompt(tiny, 4).layout


def test_missing_empty_and_damaged_files_are_told(bb, tmp_path):
    with pytest.raises(SkillkitError, match="holds no saved prompt"):
        SoftPrompt.load(tmp_path / "nowhere")
    random_prompt(bb, 4).save(tmp_path / "a")
    (tmp_path / "a" / "prompt.safetensors").write_bytes(b"")
    with pytest.raises(SkillkitError, match="empty or damaged"):
        SoftPrompt.load(tmp_path / "a")
    random_prompt(bb, 4).save(tmp_path / "a")
    (tmp_path / "a" / "prompt.json").write_text(json.dumps({"layout": "prefix"})[:-3])
    with pytest.raises(SkillkitError, match="empty or damaged"):
        SoftPrompt.load(tmp_path / "a")


@pytest.mark.parametrize("content", ['{"a": 1}', "[]", '{"layout": "prefix"}'])
def test_a_file_of_something_else_is_told(bb, tmp_path, content):
    random_prompt(bb, 4).save(tmp_path)
    (tmp_path / "prompt.json").write_text(content)
    with pytest.raises(
        SkillkitError, match="prompt.json and prompt.safetensors lack .*metadata.*save it again"
    ):
        SoftPrompt.load(tmp_path)


def test_a_file_without_vectors_is_told(bb, tmp_path):
    random_prompt(bb, 4).save(tmp_path)
    save_file({"other": torch.zeros(1)}, tmp_path / "prompt.safetensors")
    with pytest.raises(SkillkitError, match="lack weight"):
        SoftPrompt.load(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"length": 0}, {"length": -1}, {"length": "4"}, {"seed": -1}, {"seed": 0.5}]
)
def test_numbers_that_are_too_small_are_told(bb, wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(SkillkitError, match=f"^{name} cannot be {value!r}; give a whole number of at least"):
        random_prompt(bb, **wrong)


def test_a_place_that_cannot_be_written_is_told(bb, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SkillkitError, match="file cannot be written"):
        random_prompt(bb, 4).save(tmp_path / "file")


def test_a_full_disk_leaves_the_prompt_from_before(bb, tmp_path, monkeypatch):
    random_prompt(bb, 4, seed=1).save(tmp_path)
    monkeypatch.setattr("skillkit.core.serialization.write_json", full_disk)
    with pytest.raises(SkillkitError, match="No space left"):
        random_prompt(bb, 4, seed=2).save(tmp_path)
    assert SoftPrompt.load(tmp_path).fingerprint == random_prompt(bb, 4, seed=1).fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prompt.json", "prompt.safetensors"]
