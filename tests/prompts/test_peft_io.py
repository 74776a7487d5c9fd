"""Prompts in PEFT give the logits they give here, and come back; published files come in."""

import json
import pickle
from contextlib import nullcontext

import pytest
import torch
from peft import PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file

from skillkit.core import SkillkitError
from skillkit.prompts import SoftPrompt, evaluate, random_prompt, tune_prompt
from skillkit.prompts.evaluation import label_logits
from skillkit.prompts.peft_io import UNLIKE_PEFT
from tests.helpers import refused, shared_path
from tests.prompts.test_layouts import CASES, random_weight
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK, PAIRS = toy_task(16), toy_task(16, pair=True)
BERT = tiny_backbone("bert", layers=1)


def strong_prompt(bb, layout, length=5):
    return SoftPrompt(random_weight(bb, length), layout, {"family": bb.family})


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


@pytest.mark.parametrize(("model", "layout"), [case for case in CASES if case[1] not in UNLIKE_PEFT])
def test_peft_gives_the_same_logits_and_gives_the_prompt_back(model, layout, tmp_path):
    bb = tiny_backbone(model)
    prompt = strong_prompt(bb, layout)
    here = label_logits(bb, TASK, prompt, TASK["test"])
    prompt.to_peft(tmp_path, bb)
    torch.testing.assert_close(peft_logits(bb, tmp_path, layout), here, atol=2e-4, rtol=1e-4)
    assert list(load_file(tmp_path / "adapter_model.safetensors")) == ["prompt_embeddings"]
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    kinds = {"masked": "FEATURE_EXTRACTION", "causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM"}
    assert (config["task_type"], config["num_transformer_submodules"]) == (kinds[bb.family], 1)
    assert config["num_virtual_tokens"] == 5 + (layout == "mask-first")

    back = SoftPrompt.from_peft(tmp_path, bb)
    assert (back.layout, back.metadata) == (prompt.layout, prompt.metadata)
    torch.testing.assert_close(back.weight, prompt.weight, atol=1e-6, rtol=0)
    torch.testing.assert_close(label_logits(bb, TASK, back, TASK["test"]), here, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("model", "task_type"), [
    ("roberta", "FEATURE_EXTRACTION"), ("gpt2", "CAUSAL_LM"), ("t5", "SEQ_2_SEQ_LM"),
])  # fmt: skip
def test_a_foreign_adapter_loads_as_a_prefix(model, task_type, tmp_path):
    bb = tiny_backbone(model)
    config = PromptTuningConfig(task_type=task_type, num_virtual_tokens=4)
    get_peft_model(bb.model, config).save_pretrained(tmp_path)
    prompt = SoftPrompt.from_peft(tmp_path, bb)
    assert prompt.layout == ("encoder" if model == "t5" else "prefix") and prompt.weight.shape == (4, 32)
    assert config.num_transformer_submodules == (2 if model == "t5" else 1)
    here = label_logits(bb, TASK, prompt, TASK["test"])
    torch.testing.assert_close(here, peft_logits(bb, tmp_path, "prefix"), atol=2e-4, rtol=1e-4)


def test_what_peft_cannot_express_is_refused(tmp_path):
    gpt = tiny_backbone("gpt2", layers=1)
    refused("'suffix'.*tune with 'prefix'", random_prompt(gpt, 4).to_peft, tmp_path / "a", gpt)
    zero = random_prompt(BERT, 4, layout="zero-position")
    refused("'zero-position'.*tune with 'mask-first'", zero.to_peft, tmp_path / "a", BERT)
    assert not (tmp_path / "a").exists()
    bb, options = tiny_backbone("bert"), {"max_steps": 2, "progress": False, "dtype": "float32"}
    refused("segment ids.*segments=False", tune_prompt(bb, PAIRS, 4, **options).to_peft, tmp_path, bb)
    prompt = tune_prompt(bb, PAIRS, 4, segments=False, **options)
    prompt.to_peft(tmp_path, bb)
    here = label_logits(bb, PAIRS, prompt, PAIRS["test"])
    torch.testing.assert_close(peft_logits(bb, tmp_path, "mask-first", PAIRS), here, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("changes", "message"), [
    ({"task_type": "CAUSAL_LM"}, "is for the task CAUSAL_LM, tiny/bert takes FEATURE_EXTRACTION"),
    ({"base_model_name_or_path": "hub/bert-large"}, "was made for hub/bert-large, not for tiny/bert"),
    ({"base_model_name_or_path": "elsewhere/bert"}, None), ({"base_model_name_or_path": None}, None),
    ({"task_type": None}, None), ("cls.bias", "holds more than a prompt .cls.bias"),
    ("skillkit.json", "'zero-position' does not"),
])  # fmt: skip
def test_adapters_of_other_models_and_with_more_than_a_prompt(changes, message, tmp_path):
    strong_prompt(BERT, "prefix").to_peft(tmp_path, BERT)
    if changes == "skillkit.json":
        (tmp_path / changes).write_text('{"layout": "zero-position", "metadata": {}}')
    elif isinstance(changes, str):
        held = load_file(tmp_path / "adapter_model.safetensors") | {changes: torch.zeros(2)}
        save_file(held, tmp_path / "adapter_model.safetensors")
    else:
        file = tmp_path / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(SkillkitError, match=message) if message else nullcontext():
        assert SoftPrompt.from_peft(tmp_path, BERT).layout == "prefix"


@pytest.mark.parametrize(("file", "content", "message"), [
    ("adapter_config.json", b"[]", "no readable PEFT adapter"),
    ("adapter_config.json", b'{"peft_type": "LORA"}', "LORA; only PROMPT_TUNING"),
    ("skillkit.json", b"{", "no readable PEFT adapter .*save it again"),
    ("adapter_model.safetensors", b"", "no readable PEFT adapter"),
])  # fmt: skip
def test_files_that_are_no_adapter_of_a_prompt(file, content, message, tmp_path):
    refused("no readable PEFT adapter", SoftPrompt.from_peft, tmp_path / "nowhere", BERT)
    strong_prompt(BERT, "prefix").to_peft(tmp_path, BERT)
    (tmp_path / file).write_bytes(content)
    refused(message, SoftPrompt.from_peft, tmp_path, BERT)


def test_every_published_prompt_comes_in_by_its_folder():
    folders = [path.parent for path in shared_path("data/published_prompts").rglob("task_prompt")]
    prompts = {path.name: SoftPrompt.from_published(path) for path in folders}
    assert len(folders) > 26 and {one.layout for one in prompts.values()} == {"zero-position", "encoder"}
    prompt = prompts["SST2PromptRoberta"]
    assert prompt.weight.shape == (100, 768) and prompt.weight.dtype == torch.float32
    assert prompt.weight.isfinite().all() and prompt.metadata["origin"] == "SST2PromptRoberta"
    assert prompt.layout == "zero-position" and prompts["SST2PromptT5"].layout == "encoder"
    assert prompt.options == {"max_tokens": 128} and prompt.metadata["leading_space"] is False


def test_published_files_that_are_none(tmp_path):
    path = tmp_path / "xPromptRoberta" / "task_prompt"
    path.parent.mkdir()
    refused("no published prompt", SoftPrompt.from_published, path)
    for content in (b"", b"junk", pickle.dumps(print, protocol=2)):
        path.write_bytes(content)
        refused("empty, damaged or more than tensors", SoftPrompt.from_published, path)
    torch.save({"weight": torch.zeros(3, 4)}, path)
    refused("holds weight, and no published prompt", SoftPrompt.from_published, path)
    torch.save(torch.zeros(3), path)
    refused("bare tensors", SoftPrompt.from_published, path)
    torch.save(torch.zeros(3, 4), tmp_path / "task_prompt")
    for layout in (None, "foo"):
        refused("'zero-position' or 'encoder'", SoftPrompt.from_published, tmp_path / "task_prompt", layout)
    assert SoftPrompt.from_published(tmp_path / "task_prompt", layout="encoder").layout == "encoder"


@pytest.mark.parametrize(("name", "held", "layout"), [
    ("best-backbone", {"prompt": torch.ones(1, 4, 32), "pos": [33407, 22173]}, "mask-first"),
    ("pytorch_model.bin", {"prompt_model.template.soft_embeds": torch.ones(4, 32)}, "prefix"),
])  # fmt: skip
def test_files_of_skill_neuron_and_prompt_hub_come_in(tmp_path, name, held, layout):
    torch.save(held, tmp_path / name)
    for prompt in (SoftPrompt.from_published(tmp_path), SoftPrompt.from_published(tmp_path / name)):
        assert prompt.weight.shape == (4, 32) and prompt.layout == layout
    assert "33407, 22173" in prompt.metadata["note"] or layout == "prefix"
    bb = tiny_backbone("roberta")
    assert evaluate(bb, toy_task(8), prompt).n
    torch.save({"state": torch.ones(2)}, tmp_path / name)
    refused("holds state, and no published prompt", SoftPrompt.from_published, tmp_path / name)
    (tmp_path / name).write_bytes(pickle.dumps(print))
    refused("so it is not read", SoftPrompt.from_published, tmp_path / name)
