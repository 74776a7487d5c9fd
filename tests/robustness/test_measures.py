"""Accuracy under attack with its interval, and how far neurons move: against plain versions and planted truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset

from skillkit.core.errors import SkillkitError
from skillkit.neurons.probing import probe
from skillkit.neurons.skill_neurons import skill_neurons
from skillkit.prompts.evaluation import evaluate
from skillkit.prompts.soft_prompt import random_prompt
from skillkit.robustness.adversarial_pair import View, adversarial_view
from skillkit.robustness.contrasts import contrast
from skillkit.robustness.measures import activation_gaps, compare, difference, link, margins
from skillkit.tasks.splits import balanced
from tests.planted import planted
from tests.tiny import tiny_backbone
from tests.toys import toy_task


def test_compare_is_evaluation_on_both_sides():
    bb, task = tiny_backbone("roberta"), toy_task(30)
    prompts = [random_prompt(bb, 3, seed) for seed in (0, 1)]
    view = adversarial_view(task, "dropout")
    found = compare(bb, view, prompts, rows=20)
    for seed, row in enumerate(found.table):
        assert row["clean"] == evaluate(bb, task, prompts[seed], rows=20).accuracy
        assert row["adversarial"] == evaluate(bb, view.adversarial, prompts[seed], rows=20).accuracy
    assert found.drop.value == pytest.approx(found.clean.value - found.adversarial.value)
    assert found.clean.low < found.clean.value < found.clean.high
    row = found.plain()
    assert row["n_clean"] == row["n_adversarial"] == 20 and row["chance"] == 0.5 and row["paired"]
    weaker = adversarial_view(task, "dropout", 0.0)
    again = compare(bb, weaker, prompts, rows=20, clean=found)
    assert again.drop == (0, 0, 0)
    with pytest.raises(SkillkitError, match="not the same clean rows"):
        compare(bb, weaker, prompts[:1], clean=found)


def test_several_adversarial_rows_of_a_clean_one_stay_together():
    bb, task = tiny_backbone("roberta"), toy_task(20)
    view, prompts = adversarial_view(task, "dropout"), [random_prompt(bb, 3)]
    twice = view.adversarial["test"].select([row for row in range(20) for _ in (0, 1)])
    twin = replace(view, adversarial=replace(view.adversarial, splits={"test": twice}), per_row=2)
    found = compare(bb, twin, prompts, rows=5)
    assert found.correct["adversarial"].shape == (1, 10)
    assert found.drop == compare(bb, view, prompts, rows=5).drop


def test_some_rows_of_a_sorted_set_are_of_every_class_and_stay_pairs():
    bb, task = tiny_backbone("roberta"), toy_task(20)
    order = sorted(range(20), key=lambda row: task["test"]["label"][row])
    rows = task["test"].select(order)
    swapped = Dataset.from_dict(rows.to_dict() | {"label": [1 - label for label in rows["label"]]})
    task = replace(task, splits=task.splits | {"test": rows})
    view = View(task, replace(task, splits={"test": swapped}), "swap", None, per_row=1)
    found = compare(bb, view, [random_prompt(bb, 3)], rows=6).correct
    assert torch.equal(found["adversarial"], ~found["clean"].bool()) and found["clean"].shape == (1, 6)
    whole = evaluate(bb, task, random_prompt(bb, 3)).correct
    assert torch.equal(found["clean"][0], whole[balanced(rows["label"], 6)])


def test_pairs_make_the_interval_narrow():
    rng = np.random.default_rng(0)
    clean = (rng.random(400) < 0.7).astype(float)
    attacked = np.where(rng.random(400) < 0.1, 0, clean)
    paired, apart = difference(clean, attacked, 1), difference(clean, attacked)
    assert paired.value == apart.value == pytest.approx(clean.mean() - attacked.mean())
    error = (clean - attacked).std() / 20
    assert paired.high - paired.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    wide = np.sqrt((clean.var() + attacked.var()) / 400)
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * wide, rel=0.1)


def test_the_bootstrap_interval_holds_the_truth_about_95_times_in_100():
    rng, hits = np.random.default_rng(1), 0
    for _ in range(200):
        clean = rng.random(150) < 0.8
        attacked = clean & (rng.random(150) < 0.75)
        low, high = difference(clean, attacked, 1)[1:]
        hits += low <= 0.2 <= high
    assert 180 <= hits <= 199


@pytest.mark.parametrize("model", ["gpt2", "t5"])
def test_margins_of_training_rows_are_one_on_average(model):
    bb, task = tiny_backbone(model), toy_task(40)
    prompt = random_prompt(bb, 3)
    found = probe(bb, task, prompt, text=False)
    skills = skill_neurons(found, 0.1)
    ours = margins(bb, task, prompt, found, skills, split="train")
    labels = torch.tensor(task["train"]["label"][:])
    for label in (0, 1):  # each class mean is at its own class mean
        assert ours[labels == label].mean() == pytest.approx(1, abs=1e-4)


def test_margin_by_hand_of_one_neuron():
    bb, task = tiny_backbone("roberta"), toy_task(10)
    prompt = random_prompt(bb, 3)
    found = probe(bb, task, prompt, text=False)
    skills = torch.zeros(bb.num_layers, bb.num_neurons, dtype=torch.bool)
    skills[1, 7] = True
    slot = int(found.slot[1, 7])
    low, high = (float(found.class_means[c][1, slot, 7]) for c in (0, 1))
    with bb.record([1], slice(0, 4)) as acts:
        logits = evaluate(bb, task, prompt, rows=[0], batch_size=1)
        value, label = float(acts[1][0, slot, 7]), int(logits.labels[0])
    expected = (value - (low + high) / 2) / ((high - low) / 2) * (1 if label else -1)
    assert margins(bb, task, prompt, found, skills)[0] == pytest.approx(expected, rel=1e-3)


def test_the_gap_is_zero_without_attack_and_two_when_labels_swap():
    bb, task, prompt, mask = planted()
    view = adversarial_view(task, "casing", strength=0.0)
    found = contrast(bb, view, prompt)
    assert activation_gaps(bb, [view], prompt, found.chosen, mask) == [(0, 0, 0)]
    swapped = task["test"].to_dict()
    swapped["label"] = [1 - label for label in swapped["label"]]
    adversarial = replace(task, splits={"test": type(task["test"]).from_dict(swapped)})
    other = replace(view, adversarial=adversarial)
    same, gap = activation_gaps(bb, [view, other], prompt, found.chosen, mask)
    assert same == (0, 0, 0)
    own = float(margins(bb, task, prompt, found.chosen, mask).mean())
    assert gap.value == pytest.approx(2 * own, rel=1e-5) and gap.low > 1
    with pytest.raises(SkillkitError, match="one task at a time"):
        activation_gaps(bb, [view, adversarial_view(toy_task(20), "casing")], prompt, found.chosen, mask)


def test_link():
    table = pd.DataFrame(
        dict(gap=[0.1, 0.2, 0.5, 0.7, 0.9, 1.2], drop=[0.0, 0.1, 0.2, 0.3, 0.35, 0.6], flat=0.0)
    )
    found = link(table, "gap", "drop")
    assert found.value == pytest.approx(1) and found.low == pytest.approx(1)
    mixed = table.assign(drop=[0.3, 0.1, 0.4, 0.0, 0.35, 0.2])
    found = link(mixed, "gap", "drop")
    assert found.low < 0 < found.high and found.value == pytest.approx(
        mixed.gap.corr(mixed["drop"], "spearman")
    )
    assert np.isnan(link(table, "gap", "flat").value) and np.isnan(link(table[:3], "gap", "drop").value)
