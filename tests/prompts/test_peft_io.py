"""Prompts in PEFT give the logits they give here, and come back; published files come in."""

import json
import pickle

import pytest
import torch
from peft import PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from skillkit.core.errors import SkillkitError
from skillkit.models.backbone import load_backbone
from skillkit.prompts.evaluation import label_logits
from skillkit.prompts.layouts import LAYOUTS
from skillkit.prompts.peft_io import from_published
from skillkit.prompts.soft_prompt import SoftPrompt, random_prompt
from skillkit.prompts.tuning import tune_prompt
from tests.helpers import full_disk, shared_path
from tests.tiny import TINY_MODELS, tiny_backbone
from tests.toys import toy_task

TASK, PAIRS = toy_task(16), toy_task(16, pair=True)
CASES = [
    (model, name)
    for model in TINY_MODELS
    for family, name in LAYOUTS
    if tiny_backbone(model, layers=1).family == family and name != "suffix"
]


def strong_prompt(bb, layout, length=5):
    weight = torch.randn(length, bb.hidden_size, generator=torch.Generator().manual_seed(2))
    return SoftPrompt(weight, layout, {"family": bb.family})


@torch.no_grad()
def peft_logits(bb, folder, layout, task=TASK):
    """Logits of the label words under PEFT, in one right-padded batch."""
    peft = PeftModel.from_pretrained(bb.model, folder).eval()
    rows, mask = task["test"], bb.tokenizer.mask_token
    lead = f"{mask} " if (bb.family, layout) == ("masked", "prefix") else ""
    texts = [lead + text for text in rows["text"]]
    pairs = list(rows["text_pair"]) if task.pair else None
    inputs = dict(bb.tokenizer(texts, pairs, return_tensors="pt", padding=True, padding_side="right"))
    inputs.pop("token_type_ids", None)
    if bb.family == "seq2seq":
        inputs["decoder_input_ids"] = torch.full((len(texts), 1), bb.model.config.decoder_start_token_id)
    logits = peft(**inputs).logits
    slots = torch.zeros(len(texts), dtype=torch.long)
    if bb.family == "causal":
        slots = logits.shape[1] - inputs["input_ids"].shape[1] + inputs["attention_mask"].sum(1) - 1
    if lead:
        at_mask = (inputs["input_ids"] == bb.tokenizer.mask_token_id).int().argmax(1)
        slots = logits.shape[1] - inputs["input_ids"].shape[1] + at_mask
    return logits[torch.arange(len(texts)), slots][:, task.label_ids(bb)]


@pytest.mark.parametrize(("model", "layout"), CASES)
def test_peft_gives_the_same_logits_and_gives_the_prompt_back(model, layout, tmp_path):
    bb = tiny_backbone(model)
    prompt = strong_prompt(bb, layout)
    here = label_logits(bb, TASK, prompt, TASK["test"])
    prompt.to_peft(tmp_path, bb)
    torch.testing.assert_close(peft_logits(bb, tmp_path, layout), here, atol=2e-4, rtol=1e-4)

    back = SoftPrompt.from_peft(tmp_path, bb)
    assert (back.layout, back.metadata) == (prompt.layout, prompt.metadata)
    alive = slice(1, None) if layout == "zero-position" else slice(None)
    torch.testing.assert_close(back.weight[alive], prompt.weight[alive], atol=1e-6, rtol=0)
    torch.testing.assert_close(label_logits(bb, TASK, back, TASK["test"]), here, atol=2e-4, rtol=1e-4)


@torch.no_grad()
def test_a_real_checkpoint_under_peft_gives_the_same_logits(tmp_path):
    folder = str(shared_path("models/minilm-mlm"))
    bb = load_backbone(folder)
    prompt = random_prompt(bb, 16, seed=1)
    here = label_logits(bb, TASK, prompt, TASK["test"])
    prompt.to_peft(tmp_path, bb)
    fresh = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)
    peft = PeftModel.from_pretrained(fresh, tmp_path).eval()
    inputs = bb.tokenizer(list(TASK["test"]["text"]), return_tensors="pt", padding=True)
    there = peft(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, 0]
    torch.testing.assert_close(there[:, TASK.label_ids(bb)], here, atol=1e-3, rtol=1e-4)


def test_what_is_written_for_peft(tmp_path):
    bb = tiny_backbone("t5", layers=2)
    strong_prompt(bb, "encoder").to_peft(tmp_path, bb)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["task_type"], config["num_transformer_submodules"]) == ("SEQ_2_SEQ_LM", 1)
    assert list(load_file(tmp_path / "adapter_model.safetensors")) == ["prompt_embeddings"]
    masked = tiny_backbone("roberta", layers=1)
    strong_prompt(masked, "mask-first", 7).to_peft(tmp_path / "masked", masked)
    config = json.loads((tmp_path / "masked" / "adapter_config.json").read_text())
    assert (config["task_type"], config["num_virtual_tokens"]) == ("FEATURE_EXTRACTION", 8)


@pytest.mark.parametrize("model", ["roberta", "gpt2", "t5"])
def test_a_foreign_adapter_loads_as_a_prefix(model, tmp_path):
    bb = tiny_backbone(model)
    task_type = {"masked": "FEATURE_EXTRACTION", "causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM"}[bb.family]
    config = PromptTuningConfig(task_type=task_type, num_virtual_tokens=4)
    get_peft_model(bb.model, config).save_pretrained(tmp_path)
    prompt = SoftPrompt.from_peft(tmp_path, bb)
    assert prompt.layout == ("encoder" if model == "t5" else "prefix") and prompt.weight.shape == (4, 32)
    assert config.num_transformer_submodules == (2 if model == "t5" else 1)
    here = label_logits(bb, TASK, prompt, TASK["test"])
    torch.testing.assert_close(here, peft_logits(bb, tmp_path, "prefix"), atol=2e-4, rtol=1e-4)


def test_suffix_is_refused_and_prefix_named(tmp_path):
    bb = tiny_backbone("gpt2", layers=1)
    with pytest.raises(SkillkitError, match="'suffix' cannot be exported; tune with 'prefix'"):
        random_prompt(bb, 4).to_peft(tmp_path / "a", bb)
    assert not (tmp_path / "a").exists()


def test_bert_pairs_export_only_when_tuned_without_segment_ids(tmp_path):
    bb, options = tiny_backbone("bert"), {"max_steps": 2, "progress": False, "dtype": "float32"}
    with pytest.raises(SkillkitError, match="segment ids.*segments=False"):
        tune_prompt(bb, PAIRS, 4, **options).to_peft(tmp_path, bb)
    prompt = tune_prompt(bb, PAIRS, 4, segments=False, **options)
    prompt.to_peft(tmp_path, bb)
    here = label_logits(bb, PAIRS, prompt, PAIRS["test"])
    torch.testing.assert_close(peft_logits(bb, tmp_path, "mask-first", PAIRS), here, atol=2e-4, rtol=1e-4)
    tune_prompt(bb, TASK, 4, **options).to_peft(tmp_path, bb)


def test_other_adapters_and_widths_are_refused(tmp_path):
    bb = tiny_backbone("bert", layers=1)
    with pytest.raises(SkillkitError, match="no readable PEFT adapter"):
        SoftPrompt.from_peft(tmp_path / "nowhere", bb)
    strong_prompt(bb, "prefix").to_peft(tmp_path, bb)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "LORA"}))
    with pytest.raises(SkillkitError, match="LORA.*only PROMPT_TUNING"):
        SoftPrompt.from_peft(tmp_path, bb)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(SkillkitError, match="no readable PEFT adapter"):
        SoftPrompt.from_peft(tmp_path, bb)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("adapter_config.json", "[]", "no readable PEFT adapter .adapter_config.json holds no JSON object"),
        (
            "adapter_config.json",
            '{"peft_type": "PROMPT_TUNING"}',
            "has no 'num_virtual_tokens'; only prompt tuning",
        ),
        ("skillkit.json", "{", "no readable PEFT adapter .*save it again"),
        ("skillkit.json", "[]", "skillkit.json holds no JSON object"),
    ],
)
def test_files_of_an_adapter_that_say_something_else(file, content, message, tmp_path):
    bb = tiny_backbone("bert", layers=1)
    strong_prompt(bb, "prefix").to_peft(tmp_path, bb)
    (tmp_path / file).write_text(content)
    with pytest.raises(SkillkitError, match=message):
        SoftPrompt.from_peft(tmp_path, bb)


def test_weights_of_an_adapter_that_are_junk(tmp_path):
    bb = tiny_backbone("bert", layers=1)
    strong_prompt(bb, "prefix").to_peft(tmp_path, bb)
    (tmp_path / "adapter_model.safetensors").unlink()
    (tmp_path / "adapter_model.bin").write_bytes(b"junk")
    with pytest.raises(SkillkitError, match="no readable PEFT adapter"):
        SoftPrompt.from_peft(tmp_path, bb)


def test_a_full_disk_leaves_no_half_of_an_adapter(tmp_path, monkeypatch):
    bb = tiny_backbone("bert", layers=1)
    (tmp_path / "README.md").write_text("the user's own")
    monkeypatch.setattr("skillkit.prompts.peft_io.save_file", full_disk)
    with pytest.raises(SkillkitError, match="cannot be written .No space left"):
        strong_prompt(bb, "prefix").to_peft(tmp_path, bb)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    ("path", "layout"),
    [
        ("prompt_transferability/SST2PromptRoberta/task_prompt", "zero-position"),
        ("prompt_transferability/SST2PromptT5/task_prompt", "encoder"),
    ],
)
def test_published_prompts_come_in(path, layout):
    prompt = from_published(shared_path(f"data/published_prompts/{path}"))
    assert (prompt.weight.shape, prompt.weight.dtype, prompt.layout) == ((100, 768), torch.float32, layout)
    assert prompt.weight.isfinite().all() and prompt.metadata["origin"].startswith("SST2Prompt")


def test_every_published_prompt_comes_in_by_its_folder():
    folders = list(shared_path("data/published_prompts").rglob("task_prompt"))
    layouts = {SoftPrompt.from_published(path.parent).layout for path in folders}
    assert len(folders) > 26 and layouts == {"zero-position", "encoder"}


def test_published_files_that_are_none(tmp_path):
    path = tmp_path / "xPromptRoberta" / "task_prompt"
    path.parent.mkdir()
    with pytest.raises(SkillkitError, match="no published prompt"):
        from_published(path)
    path.write_bytes(b"")
    with pytest.raises(SkillkitError, match="empty, damaged"):
        from_published(path)
    path.write_bytes(pickle.dumps(print, protocol=2))
    with pytest.raises(SkillkitError, match="empty, damaged or more than a tensor"):
        from_published(path)
    path.write_bytes(b"junk")
    with pytest.raises(SkillkitError, match="empty, damaged"):
        from_published(path)
    torch.save({"weight": torch.zeros(3, 4)}, path)
    with pytest.raises(SkillkitError, match="bare tensors"):
        from_published(path)
    torch.save(torch.zeros(3, 4), tmp_path / "task_prompt")
    with pytest.raises(SkillkitError, match="give layout="):
        from_published(tmp_path / "task_prompt")
    assert from_published(tmp_path / "task_prompt", layout="encoder").layout == "encoder"
    with pytest.raises(SkillkitError, match="no layout 'foo' for a published prompt; give 'zero-position'"):
        from_published(tmp_path / "task_prompt", layout="foo")
