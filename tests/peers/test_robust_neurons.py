"""Probing, skill neurons, suppression and overlap against LeonAckermann/Robust-Neurons, on RoBERTa."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skillkit.neurons import neurons_from, probe, random_neurons, scores_of, skill_neurons, suppress
from skillkit.prompts import SoftPrompt
from skillkit.prompts.evaluation import label_logits
from skillkit.robustness.neuron_overlap import overlap_curve
from tests.peers.harness import agree, backbone, numbered
from tests.tiny import tiny_backbone
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


def perturb(study, mode, ranking, predictivities, **options):
    """The scores of label words in their perturbation analysis, with 15 % of the neurons of a ranking."""
    seed = next(iter(study.prompts))
    files = {"skill_neuron_across_layer": "_mean", "random_neuron_across_layer": ""}
    given = {f"{name}/{NAME}{ending}": ranking for name, ending in files.items()}
    for name, array in (given | {f"neuron_predictivities/{NAME}_{seed}": predictivities}).items():
        path = study.folder / f"{name}.npy"
        path.parent.mkdir()
        np.save(path, array)
    (study.folder / f"result2_suppression_skill_neurons_{mode}").mkdir()
    model, scores = study.peer.module("models.PromptRoberta"), []
    count = model.acc
    study.peer.patch.setattr(model, "acc", lambda score, *rest: scores.append(score) or count(score, *rest))
    options |= {"perturbation_analysis": True, "mask": "skill_neurons", "topn": 15, "mode": mode}
    study.run(seed, **({"mean": 0, "std": 1} | options))
    return torch.cat(scores)


def ranked(bb):
    """The neurons of every layer in a random order, as pairs [layers, neurons, 2]."""
    order = np.tile(np.arange(bb.num_neurons), (bb.num_layers, 1))
    order = np.random.default_rng(0).permuted(order, axis=1)
    return np.stack([np.indices(order.shape)[0], order], axis=-1)


@pytest.mark.parametrize("mode", ["max_mean_230", "max_mean_100", "max_mean_token"])
def test_suppression(study, mode):
    bb, prompt, ranking = study.bb, study.prompts[33], ranked(study.bb)
    probed = probe(bb, TASK, prompt, text=False)
    accuracy = probed.sides["layer"].accuracy.numpy()
    scores = perturb(study, mode, ranking, np.maximum(accuracy, 1 - accuracy))
    positions = {"max_mean_230": None, "max_mean_100": "prompt", "max_mean_token": probed}[mode]
    clean = label_logits(bb, TASK, prompt, TASK["validation"])
    with suppress(bb, neurons_from(ranking, bb, top=0.15), positions=positions):
        agree(label_logits(bb, TASK, prompt, TASK["validation"]), scores, 1e-6)
    assert (scores - clean).abs().max() > 1e-3


def test_noise_is_not_added_there(study):
    # Their line that adds it is commented out; the one that suppresses does not take noise for a mask.
    with pytest.raises(IndexError, match="indices"):
        options = dict(perturbation_type="noise", mean=1, std=0.5)
        perturb(study, "max_mean_230", ranked(study.bb), np.ones((3, ROWS, 48)), **options)


def test_random_neurons(study):
    find, name = study.peer.module("find"), f"random_neuron_across_layer/{NAME}.npy"
    find.create_random_neuron_predicitivities("SST2", "Roberta")
    find.skill_neurons_across_layer("SST2", "Roberta", type="random_neuron")
    given = neurons_from(study.folder / name, BASE, top=0.05)
    skills = skill_neurons(np.random.default_rng(0).uniform(size=(12, 3072)), 0.05)
    ours = random_neurons(skills)
    assert torch.equal(given.sum(1), skills.sum(1)) and torch.equal(ours.sum(1), skills.sum(1))
    assert (given & skills).any() and not (ours & skills).any()  # theirs may draw a skill neuron


BASE = SimpleNamespace(num_layers=12, num_neurons=3072, widths=[3072] * 12, name="base")  # in their code


def test_skill_neurons_of_every_layer(study):
    scores = np.random.default_rng(0).uniform(0.5, 1, (12, 3072))
    (study.folder / "skill_neuron_predictivities").mkdir()
    np.save(study.folder / f"skill_neuron_predictivities/{NAME}_mean.npy", scores)
    study.peer.module("find").skill_neurons_across_layer("SST2", "Roberta")
    ranking = study.folder / f"skill_neuron_across_layer/{NAME}_mean.npy"
    for top in (0.01, 0.05, 0.15):
        assert torch.equal(neurons_from(ranking, BASE, top), skill_neurons(scores, top))


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


def t5_activations(peer, bb, prompt, rows):
    """(what their encoder of T5 keeps, labels): in one batch, as their formatter makes it."""
    encoder = bb.model.get_encoder()
    module = peer.part("models", "modeling_t5")
    stack = module.T5Stack(encoder.config, bb.model.shared, torch.nn.Embedding.from_pretrained(prompt.weight))
    lost, _ = stack.double().eval().load_state_dict(encoder.state_dict(), strict=False)
    assert lost == ["prompt_tokens.weight"]
    ids = formatted(peer, "SST2PromptT5Formatter", rows)["inputx"]
    stack(ids, (ids != bb.tokenizer.pad_token_id).double(), use_cache=False)
    return {"encoder": stack.get_activation_states()}


def formatted(peer, name, rows):
    sizes = {"max_len": 128, "target_len": 1, "prompt_len": ROWS, "prompt_num": ROWS}
    config = SimpleNamespace(getint=lambda _, size: sizes[size], get=lambda *_: "T5")
    return getattr(peer.part("formatter", name), name)(config, "valid").process(rows, config, "valid")


@torch.no_grad()
def test_baselines_and_accuracies_of_t5(clone):
    peer, bb = clone("Robust-Neurons", "src"), tiny_backbone("t5")
    bb.model.double()
    peer.serves(bb)
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(ROWS, bb.hidden_size, generator=draw, dtype=torch.float64) / 3
    prompt, find = SoftPrompt(weight, "encoder", {"max_tokens": 128}), peer.module("find")
    config = SimpleNamespace(get=lambda _, name: {"model_base": "T5"}.get(name))
    rows = lambda split: [{"sent": row["text"], "label": row["label"]} for row in TASK[split]]
    states = {split: t5_activations(peer, bb, prompt, rows(split)) for split in ("train", "validation")}
    baseline = find.a_bsl({"batch 0": states["train"]}, config, bb.model.config)
    labels = {"label": torch.tensor(TASK["validation"]["label"])[:, None]}
    accuracy = find.compute_accuracy(baseline, states["validation"], labels, config, bb.model.config) / 32
    side = probe(bb, TASK, prompt, text=False).sides["encoder"]
    agree(side.baseline, baseline[0], 1e-6)
    assert torch.equal(side.accuracy, torch.from_numpy(accuracy[0]).float())
