"""Probing, skill neurons, suppression and overlap against LeonAckermann/Robust-Neurons, on RoBERTa."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skillkit.neurons import neurons_from, probe, scores_of, skill_neurons, suppress
from skillkit.prompts import SoftPrompt
from skillkit.prompts.evaluation import label_logits
from skillkit.robustness.neuron_overlap import overlap_curve
from tests.peers.harness import agree, backbone, numbered
from tests.toys import toy_task

TASK = replace(toy_task(32), leading_space=False)  # as they take label words
ROWS, NAME = 100, "SST2PromptRoberta"  # as many, in their code
NUMBERS = {50264: "<mask>", 33407: "bad", 22173: "good"}  # in their code, too


class Study:
    """A backbone, prompts of seeds, and their test.py in a folder with these prompts."""

    def __init__(self, peer, folder):
        self.peer, self.folder = peer, folder / "src"
        self.bb = numbered(backbone("roberta", vocab_size=50265), NUMBERS)
        self.bb.model.double()
        peer.serves(self.bb)
        rows = {
            split: [{"sentence": row["text"], "label": row["label"]} for row in TASK[split]]
            for split in ("train", "validation")
        }
        peer.patch.setattr("datasets.load_dataset", lambda _, split: rows[split])
        draw, self.prompts = torch.Generator().manual_seed(1), {}
        for seed in (33, 34):
            weight = torch.randn(ROWS, self.bb.hidden_size, generator=draw, dtype=torch.float64) / 3
            self.prompts[seed] = SoftPrompt(weight, "zero-position", {"max_tokens": 128})
            path = folder / f"continuous_prompts/seed_{seed}/{NAME}/task_prompt"
            path.parent.mkdir(parents=True)
            torch.save(weight, path)
        (self.folder / "result").mkdir(parents=True)
        config = (peer.folder / f"config/{NAME}.config").read_text()
        (self.folder / "config").write_text(config.replace("batch_size = 64", "batch_size = 4"))
        peer.patch.chdir(self.folder)
        for other in ("PromptT5", "PromptBert"):
            peer.without(f"models.{other}", other)
        with peer.old_models():
            peer.module("models")

    def run(self, seed, **options):
        self.peer.script("test.py", config=self.folder / "config", prompt_seed=seed, **options)

    def saved(self, name):
        return np.load(self.folder / f"{name}.npy")


@pytest.fixture
def study(clone, tmp_path):
    return Study(clone("Robust-Neurons", "src"), tmp_path)


def test_baselines_accuracies_and_predictivity(study):
    probes = []
    for seed, prompt in study.prompts.items():
        study.run(seed, compute_baseline=True)
        study.run(seed, compute_accuracy=True, compute_predictivity=True)
        probes.append(probe(study.bb, TASK, prompt, text=False))
        side = probes[-1].sides["layer"]
        agree(side.baseline, study.saved(f"baseline_activations/{NAME}_{seed}"), 1e-12)
        accuracy = torch.from_numpy(study.saved(f"neuron_accuracy/{NAME}_{seed}"))
        assert torch.equal(side.accuracy, accuracy.float())
        predictivity = study.saved(f"neuron_predictivities/{NAME}_{seed}")
        agree(probes[-1].predictivity, predictivity.max(1), 1e-7)
    study.peer.module("find").get_max_mean("Roberta", "SST2", list(study.prompts))
    agree(scores_of(probes), study.saved(f"skill_neuron_predictivities/{NAME}_mean"), 1e-7)


@pytest.mark.parametrize(("mode", "positions"), [("max_mean_230", None), ("max_mean_100", "prompt")])
def test_suppression(study, mode, positions):
    bb, prompt, draw = study.bb, study.prompts[33], np.random.default_rng(0)
    order = draw.permuted(np.tile(np.arange(bb.num_neurons), (bb.num_layers, 1)), axis=1)
    ranking = np.stack([np.indices(order.shape)[0], order], axis=-1)
    files = {
        "skill_neuron_across_layer": "_mean",
        "random_neuron_across_layer": "",
        "neuron_predictivities": "_33",
    }
    for name, ending in files.items():
        (study.folder / name).mkdir()
        np.save(study.folder / f"{name}/{NAME}{ending}.npy", ranking)
    (study.folder / f"result2_suppression_skill_neurons_{mode}").mkdir()
    model, scores = study.peer.module("models.PromptRoberta"), []
    counted = model.acc
    study.peer.patch.setattr(model, "acc", lambda score, *rest: scores.append(score) or counted(score, *rest))
    options = {
        "perturbation_analysis": True,
        "mask": "skill_neurons",
        "topn": 15,
        "mean": 0,
        "std": 1,
        "mode": mode,
    }
    study.run(33, **options)
    clean = label_logits(bb, TASK, prompt, TASK["validation"])
    with suppress(bb, neurons_from(ranking, bb, top=0.15), positions=positions):
        agree(label_logits(bb, TASK, prompt, TASK["validation"]), torch.cat(scores), 1e-6)
    assert (torch.cat(scores) - clean).abs().max() > 0.01


def test_skill_neurons_of_every_layer(study):
    scores = np.random.default_rng(0).uniform(0.5, 1, (12, 3072))  # as many, in their code
    (study.folder / "skill_neuron_predictivities").mkdir()
    np.save(study.folder / f"skill_neuron_predictivities/{NAME}_mean.npy", scores)
    study.peer.module("find").skill_neurons_across_layer("SST2", "Roberta")
    base = SimpleNamespace(num_layers=12, num_neurons=3072, widths=[3072] * 12, name="base")
    ranking = study.folder / f"skill_neuron_across_layer/{NAME}_mean.npy"
    for top in (0.01, 0.05, 0.15):
        assert torch.equal(neurons_from(ranking, base, top), skill_neurons(scores, top))


def test_overlap_is_of_the_least_predictive_neurons_there(study):
    draw = np.random.default_rng(0)
    clean, attacked = draw.uniform(0.5, 0.9, (2, 12, 3072))
    clean[:, :61] = attacked[:, :61] = np.linspace(0.95, 1, 61)  # the same best 2 %, in the same order
    given = {"SST2": clean, "AdvSST2": attacked}
    study.peer.patch.setattr(
        np, "load", lambda path: given[Path(path).name.removesuffix("PromptRoberta_mean.npy")]
    )
    shared = study.peer.module("analysis").get_adv_overlap("SST2", "Roberta", 2)
    ours = overlap_curve(torch.tensor(clean), torch.tensor(attacked), tops=[0.02])
    assert shared.mean() < 0.05 and set(ours.overlap) == {1.0}
