"""Prompts, probing, skill neurons, suppression and pruning against THU-KEG/Skill-Neuron (Wang et al.), on RoBERTa."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skillkit.neurons import probe, prune, random_neurons, skill_neurons, suppress
from skillkit.neurons.suppression import noise
from skillkit.prompts import SoftPrompt
from skillkit.prompts.evaluation import label_logits
from tests.peers.harness import agree, backbone
from tests.tiny import NEURONS, tiny_backbone
from tests.toys import some_mask, toy_task

LAYERS = 12  # it is in their code, like the 3072 neurons of a layer
TASK = replace(toy_task(32), leading_space=False)  # as they take label words
BATCH = 7


@pytest.fixture
def theirs(clone):
    """Their clone; what it loads and saves are entries of its `files`."""
    peer = clone("Skill-Neuron", "src")
    peer.keep_files()
    return peer


def trained(theirs, bb, kind="RobertaPrompt", width=NEURONS, **given):
    """(their trainer of a model with a random prompt, that prompt)."""
    theirs.serves(bb)
    torch.manual_seed(0)
    given |= dict(model_type=kind, prompt_size=4, verb=["bad", "good"], device="cpu", lr=0.0, bz=BATCH)
    trainer = theirs.module("trainer").trainer(SimpleNamespace(**given, task_type="imdb", save_to="log"))
    trainer.model.layer_width = width
    return trainer, SoftPrompt(trainer.model.prompt[0].detach(), "mask-first")


@torch.no_grad()
def test_mask_first_layout(theirs):
    bb = tiny_backbone("roberta", layers=LAYERS)
    trainer, prompt = trained(theirs, bb)
    logits = trainer.eval(TASK["test"])["logits"]
    agree(label_logits(bb, TASK, prompt, TASK["test"]), logits, 1e-5)
    assert logits.std(0).min() > 0.01


def test_baselines_and_accuracies_of_slots_and_of_pooled_texts(theirs):
    bb = tiny_backbone("roberta", layers=LAYERS)
    bb.model.double()
    trainer, prompt = trained(theirs, bb)
    ours = probe(bb, TASK, prompt, text="special").sides
    views = {"": ours["layer"], "_mean": ours["text"], "_max": ours["text"]}
    for at, (kind, side) in enumerate(views.items()):
        view = slice(None) if not kind else at - 1
        theirs.files["thresholds"] = getattr(trainer, f"probe_avg{kind}")(TASK["train"])
        accuracy = getattr(trainer, f"probe_acc{kind}")(TASK["validation"], "thresholds")
        agree(side.baseline[:, view], theirs.files["thresholds"], 1e-12)
        assert torch.equal(side.accuracy[:, view], torch.as_tensor(accuracy).float())


@pytest.mark.slow
@pytest.mark.parametrize(("task", "kind"), [("sst2", "mean"), ("mnli", "min")])
def test_masks_of_skill_neurons(theirs, tmp_path, task, kind):
    # Of 32 examples accuracies are exact in floating point, so equal ones are ties in their code, too.
    shape = 2, 2, LAYERS, 4, 3072  # sub-tasks, seeds, layers, slots, neurons
    counts = np.random.default_rng(0).integers(0, 33, shape)
    names = [[f"{part}{seed}" for seed in (0, 1)] for part in "ab"]
    theirs.files.update(zip(sum(names, []), (counts / 32).reshape(4, LAYERS, 4, 3072)))
    paths = {name: ",".join(part) for name, part in zip(("acc_path", "acc_aux_path"), names)}
    theirs.script("skillneuron.py", task_type=task, type=kind, save_to=tmp_path, **paths)
    subtasks = [list(seeds) for seeds in 0.5 + abs(counts / 32 - 0.5).max(-2)]
    scores = {"pn": subtasks[0], "neu": subtasks[1]} if task == "mnli" else subtasks[0]
    found = {path: mask for path, mask in theirs.files.items() if path.startswith(str(tmp_path))}
    for path, mask in found.items():
        ours = skill_neurons(scores, float(Path(path).name), seeds=kind, subtasks="halves")
        assert torch.equal(ours, mask.bool()), path
    assert len(found) == 21 and sum(mask.any() for mask in found.values()) == 20


@pytest.mark.parametrize("kind", ["zero", "mean", "gaussian"])
def test_masking(theirs, monkeypatch, kind):
    bb, low, high = tiny_backbone("roberta", layers=LAYERS), 3, 11
    trainer, prompt = trained(theirs, bb, lowlayer=low, highlayer=high, type=kind, alpha=0.4)
    means = np.random.default_rng(0).standard_normal((LAYERS, 4, NEURONS)).astype("float32")
    theirs.files |= {"mask": some_mask(bb), "thresholds": means}
    clean = trainer.eval(TASK["test"])["logits"]
    starts = range(0, len(TASK["test"]), BATCH)
    draws = (noise(0, layer, range(at, at + BATCH), NEURONS) for at in starts for layer in range(low, high))
    monkeypatch.setattr(torch, "randn", lambda shape: next(draws)[: shape[0]])
    trainer.addmask("mask", thspath="thresholds")
    logits = trainer.eval(TASK["test"])["logits"]
    options = {"mean": {"kind": "constant", "fill": means}, "gaussian": {"kind": kind, "alpha": 0.4}}
    with suppress(bb, some_mask(bb), layers=range(low, high), **options.get(kind, {})):
        agree(label_logits(bb, TASK, prompt, TASK["test"]), logits, 2e-5)
    assert abs(logits - clean).max() > 0.1


def test_control_of_masking_may_draw_skill_neurons_there(theirs):
    bb = tiny_backbone("roberta", layers=LAYERS)
    trainer, _ = trained(theirs, bb, lowlayer=0, highlayer=LAYERS, type="zero")
    skills = some_mask(bb, 0.2)
    theirs.files["mask"] = skills.clone()
    trainer.addmask("mask", cmp=True)
    assert torch.equal(trainer.model.pmask.sum(1), skills.sum(1))
    assert (trainer.model.pmask & skills).any() and not (random_neurons(skills) & skills).any()


def pruned(theirs, means, name):
    """What their prune.py saves with these means."""
    theirs.files["thresholds"] = means
    paths = dict(resume_from="whole/best-backbone", info_path="mask", ths_path="thresholds")
    theirs.script("prune.py", save_to=name, **paths)
    return theirs.files[f"{name}/best-backbone"]


@torch.no_grad()
def test_pruning_without_the_double_fold(theirs):
    bb, kept = backbone("roberta", layers=LAYERS, intermediate_size=3072), int(3072 * 0.02)
    draw = torch.Generator().manual_seed(0)
    means = torch.randn(LAYERS, 4, 3072, generator=draw) / 9
    mask = skill_neurons(torch.rand(LAYERS, 3072, generator=draw), 0.02)
    trainer, prompt = trained(theirs, bb, width=3072)
    theirs.files["mask"] = mask
    trainer.model.save("whole/best")
    theirs.script("helper/getprunestructure.py")
    small = prune(bb, mask, fill=means, layers=range(3, LAYERS))

    pruned(theirs, means * ~mask[:, None], "once")
    tester, _ = trained(theirs, bb, "RobertaPrunePrompt", width=3072)
    tester.model.load("once/best")
    # Their pruned model begins with a random vector in the place of the mask's: that of the model it is made from.
    assert (tester.model.mask - trainer.model.mask).norm() > 1
    tester.model.mask.copy_(trainer.model.mask)
    logits = tester.eval(TASK["test"])["logits"]
    agree(label_logits(small, TASK, prompt, TASK["test"]), logits, 2e-5)

    twice = pruned(theirs, means, "twice")
    for layer in range(3, LAYERS):
        again = bb.value_weight(layer)[:, mask[layer]] @ means.mean(1)[layer, mask[layer]]
        bias = twice[f"backbone.roberta.encoder.layer.{layer}.output.dense.bias"]
        agree(small.value_matrices[layer].bias + again, bias, 1e-5)
        assert small.widths[layer] == kept and again.norm() > 0.1
