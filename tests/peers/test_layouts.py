"""Prompt layouts against the published code itself, loaded from clones in the folder that SKILLKIT_PEERS names.

    git clone https://github.com/thunlp/Prompt-Transferability; git clone https://github.com/THU-KEG/Skill-Neuron

What follows the embeddings is that of `transformers` in their code too. The plain rule of every layout, which always
runs, is in `tests/prompts/test_layouts.py`.
"""

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from skillkit.prompts import SoftPrompt
from skillkit.prompts.evaluation import label_logits
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = replace(toy_task(32), leading_space=False)  # as they take label words
GONE = (  # what their code imports from `transformers`, and does not need here
    "modeling_utils.apply_chunking_to_forward", "modeling_utils.find_pruneable_heads_and_indices",
    "modeling_utils.prune_linear_layer", "AdapterConfig", "AutoModelWithLMHead",
)  # fmt: skip
# Their code has the numbers of the mask tokens in it, and that of the rows.
MASKS, ROWS = {"Roberta": 50264, "Bert": 103}, 100
TRANSFERABILITY = "Prompt-Transferability/Prompt-Transferability-1.0"


@pytest.fixture
def peers(monkeypatch):
    """A function that imports a module of their code, under today's libraries and without a GPU."""
    folder = Path(os.environ.get("SKILLKIT_PEERS", "nowhere"))
    if not folder.is_dir():
        pytest.skip("SKILLKIT_PEERS names no folder with clones of the published repositories")
    for name in GONE:  # by path: some imports put another object in the place of the lazy module
        monkeypatch.setattr(f"transformers.{name}", None, raising=False)
    monkeypatch.setattr("transformers.file_utils.add_code_sample_docstrings", lambda **_: lambda one: one)
    monkeypatch.setitem(sys.modules, "turtle", SimpleNamespace(forward=None))
    to = torch.Tensor.to
    here = lambda one, *args, **named: to(one, *("cpu" if arg == "cuda" else arg for arg in args), **named)
    monkeypatch.setattr(torch.Tensor, "to", here)

    def module(where, name):
        # Without the `__init__` of their package, which imports all of it.
        package = ModuleType(f"peers_{Path(where).name}")
        package.__path__ = [str(folder / where)]
        monkeypatch.setitem(sys.modules, package.__name__, package)
        return importlib.import_module(f"{package.__name__}.{name}")

    return module


@pytest.mark.parametrize("kind", MASKS)
@torch.no_grad()
def test_zero_position_is_prompt_transferability(kind, peers, monkeypatch):
    bb = tiny_backbone(kind.lower())
    table = bb.model.resize_token_embeddings(max(MASKS[kind] + 1, len(bb.tokenizer))).weight
    table[MASKS[kind]] = table[bb.tokenizer.mask_token_id]
    bb.model.config.prompt_num = ROWS
    weight = torch.randn(ROWS, bb.hidden_size, generator=torch.Generator().manual_seed(1)) / 3
    prompt = SoftPrompt(weight, "zero-position", {"max_tokens": 128})
    ours = label_logits(bb, TASK, prompt, TASK["test"])

    embeddings = getattr(peers(f"{TRANSFERABILITY}/model", f"modelling_{kind.lower()}"), f"{kind}Embeddings")
    theirs = embeddings(bb.model.config)
    theirs.load_state_dict(bb.model.base_model.embeddings.state_dict(), strict=False)
    theirs.prompt_embeddings.weight = torch.nn.Parameter(weight.clone())
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda _: bb.tokenizer)
    formatter = peers(f"{TRANSFERABILITY}/formatter", "SST2PromptRobertaFormatter").SST2PromptRobertaFormatter
    sizes = {"max_len": 128, "prompt_len": ROWS, "prompt_num": ROWS}
    config = SimpleNamespace(getint=lambda _, name: sizes[name], get=lambda *_: f"Prompt{kind}")
    rows = [{"sent": row["text"], "label": row["label"]} for row in TASK["test"]]
    batch = formatter(config, "valid").process(rows, config, "valid")
    monkeypatch.setattr(bb.model.base_model, "embeddings", theirs)
    logits = bb.model(batch["inputx"], batch["mask"]).logits[:, 0, TASK.label_ids(bb)]
    torch.testing.assert_close(ours, logits, atol=5e-5, rtol=1e-4)
    assert logits.std(0).min() > 0.01


@torch.no_grad()
def test_mask_first_is_skill_neuron(peers, monkeypatch):
    bb = tiny_backbone("roberta")
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda _: bb.tokenizer)
    model = peers("Skill-Neuron/src", "modelzoo").RobertaPrompt
    monkeypatch.setattr(model, "getmodel", lambda self: setattr(self, "backbone", bb.model))
    theirs = model(SimpleNamespace(prompt_size=17, verb=["bad", "good"], device="cpu"))
    logits = theirs(bb.tokenizer(TASK["test"]["text"][:], padding=True, return_tensors="pt"))
    ours = label_logits(bb, TASK, SoftPrompt(theirs.prompt[0], "mask-first"), TASK["test"])
    torch.testing.assert_close(ours, logits, atol=5e-5, rtol=1e-4)
    assert logits.std(0).min() > 0.01
