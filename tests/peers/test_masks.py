"""Probing and masks against the published code itself, from a clone in the folder that SKILLKIT_PEERS names.

git clone https://github.com/THU-KEG/Skill-Neuron
"""

import importlib
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skillkit.neurons import probe, skill_neurons
from skillkit.prompts import SoftPrompt
from tests.tiny import NEURONS, tiny_backbone
from tests.toys import toy_task

MODULES, LAYERS = (
    ("dataset", "modelzoo", "trainer", "skillneuron"),
    12,
)  # their number of layers is in the code
# What their modules import and do not need here, or what is no longer in its place.
GONE = {
    "turtle": "forward",
    "cgitb": "text",
    "requests": "get",
    "transformers.data.metrics": "glue_compute_metrics",
}


@pytest.fixture
def peers(monkeypatch):
    """A function that imports one of their modules; what they load and save are entries of its `files`."""
    folder = Path(os.environ.get("SKILLKIT_PEERS", "nowhere")) / "Skill-Neuron/src"
    if not folder.is_dir():
        pytest.skip("SKILLKIT_PEERS names no folder with a clone of Skill-Neuron")
    for module, name in GONE.items():
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{name: None}))
    monkeypatch.setitem(sys.modules, "log", SimpleNamespace(get_logger=logging.getLogger))
    for name in ("datasets.load_metric", "transformers.AdapterConfig", "transformers.AutoModelWithLMHead"):
        monkeypatch.setattr(name, None, raising=False)
    files = {}
    monkeypatch.setattr(torch, "load", lambda path: files[path])
    monkeypatch.setattr(torch, "save", lambda what, path: files.update({path: what}))
    monkeypatch.syspath_prepend(folder)
    yield SimpleNamespace(module=importlib.import_module, files=files)
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("task", "kind"), [("sst2", "mean"), ("mnli", "min")])
def test_masks_of_skill_neurons(peers, monkeypatch, tmp_path, task, kind):
    # Of 32 examples accuracies are exact in floating point, so equal ones are ties in their code, too.
    counts = np.random.default_rng(0).integers(
        0, 33, (2, 2, LAYERS, 4, 3072)
    )  # sub-tasks, seeds, layers, slots
    names = [[f"{part}{seed}" for seed in (0, 1)] for part in "ab"]
    peers.files.update(zip(sum(names, []), (counts / 32).reshape(4, LAYERS, 4, 3072)))
    options = {
        "task_type": task,
        "type": kind,
        "save_to": tmp_path,
        "acc_path": names[0],
        "acc_aux_path": names[1],
    }
    plain = lambda value: ",".join(value) if isinstance(value, list) else str(value)
    line = [part for name, value in options.items() for part in (f"--{name}", plain(value))]
    monkeypatch.setattr(sys, "argv", ["skillneuron.py", *line])
    peers.module("skillneuron").main()
    predictivity = 0.5 + abs(counts / 32 - 0.5).max(-2)
    subtasks = [list(seeds) for seeds in predictivity]
    scores = {"pn": subtasks[0], "neu": subtasks[1]} if task == "mnli" else subtasks[0]
    found = {path: mask for path, mask in peers.files.items() if path.startswith(str(tmp_path))}
    for path, theirs in found.items():
        ours = skill_neurons(scores, float(Path(path).name), seeds=kind, subtasks="halves")
        assert torch.equal(ours, theirs.bool()), path
    assert len(found) == 21 and sum(mask.any() for mask in found.values()) == 20


def test_accuracies_of_slots_and_of_pooled_texts(peers, monkeypatch, tmp_path):
    bb, task = tiny_backbone("roberta", layers=LAYERS), toy_task(32)
    bb.model.double()
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda _: bb.tokenizer)
    monkeypatch.setattr("transformers.AutoModelForMaskedLM.from_pretrained", lambda _: bb.model)
    given = dict(model_type="RobertaPrompt", prompt_size=4, verb=["bad", "good"], device="cpu", lr=0.0, bz=7)
    trainer = peers.module("trainer").trainer(SimpleNamespace(**given, task_type="imdb", save_to="log"))
    trainer.model.layer_width = NEURONS
    prompt = SoftPrompt(trainer.model.prompt[0].detach(), "mask-first")
    ours = probe(bb, task, prompt, text="special").sides
    views = {"": ours["layer"], "_mean": ours["text"], "_max": ours["text"]}
    for at, (kind, side) in enumerate(views.items()):
        view = slice(None) if not kind else at - 1
        peers.files["thresholds"] = getattr(trainer, f"probe_avg{kind}")(task["train"])
        accuracy = torch.as_tensor(getattr(trainer, f"probe_acc{kind}")(task["validation"], "thresholds"))
        torch.testing.assert_close(
            side.baseline[:, view], torch.from_numpy(peers.files["thresholds"]), atol=1e-12, rtol=0
        )
        assert torch.equal(side.accuracy[:, view], accuracy.float())
