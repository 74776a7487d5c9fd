"""Accuracy under attack with its interval, and how far neurons move: against plain versions and planted truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset

from skillkit.core import SkillkitError
from skillkit.neurons import activations, probe, skill_neurons
from skillkit.prompts import evaluate, random_prompt
from skillkit.robustness import View, activation_gaps, adversarial_view, answers
from skillkit.robustness.measures import class_projections, difference
from skillkit.tasks import balanced
from tests.helpers import refused
from tests.planted import planted
from tests.tiny import tiny_backbone
from tests.toys import toy_task


def test_answers_are_those_of_evaluation_on_both_sides():
    bb, task = tiny_backbone("roberta"), toy_task(30)
    prompts = [random_prompt(bb, 3, seed) for seed in (0, 1)]
    view = adversarial_view(task, "dropout")
    found = view.accuracies(answers(bb, view, prompts, rows=20))
    accuracies = lambda side: np.array([evaluate(bb, side, one, rows=20).accuracy for one in prompts])
    assert found.drops == list(accuracies(task) - accuracies(view.adversarial))
    assert found.clean.value == pytest.approx(accuracies(task).mean())
    assert found.drop.value == pytest.approx(found.clean.value - found.adversarial.value)
    assert found.clean.low < found.clean.value < found.clean.high
    row = found.row()
    assert row["n_clean"] == row["n_adversarial"] == 20 and row["chance"] == 0.5 and row["paired"]
    assert (row["drop"], row["drop_low"], row["drop_high"]) == found.drop
    weaker = adversarial_view(task, "dropout", 0.0)
    assert weaker.accuracies(answers(bb, weaker, prompts, rows=20, clean=found)).drop == (0, 0, 0)
    first = answers(bb, view, prompts[0], rows=20)
    assert all(torch.equal(first[side], found.correct[side][:1]) for side in first)
    refused("the same clean rows", answers, bb, weaker, prompts[:1], clean=found)


def test_rows_that_belong_together_stay_together():
    bb, task = tiny_backbone("roberta"), toy_task(20)
    view, prompts = adversarial_view(task, "dropout"), [random_prompt(bb, 3)]
    twice = view.adversarial["test"].select([row for row in range(20) for _ in (0, 1)])
    twin = replace(view, adversarial=replace(view.adversarial, splits={"test": twice}), per_row=2)
    one, two = (each.accuracies(answers(bb, each, prompts, rows=5)) for each in (view, twin))
    assert two.correct["adversarial"].shape == (1, 10) and one.drop == two.drop
    # Some rows of a sorted set: of every class, and the same ones on both sides.
    rows = task["test"].select(sorted(range(20), key=lambda row: task["test"]["label"][row]))
    swapped = Dataset.from_dict(rows.to_dict() | {"label": [1 - label for label in rows["label"]]})
    task = replace(task, splits=task.splits | {"test": rows})
    view = View(task, replace(task, splits={"test": swapped}), "swap", None, per_row=1)
    found, whole = answers(bb, view, prompts, rows=6), evaluate(bb, task, prompts[0]).correct
    assert torch.equal(found["adversarial"], ~found["clean"].bool()) and found["clean"].shape == (1, 6)
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


@pytest.mark.parametrize("model", ["gpt2", "t5"])
def test_projections_are_one_on_average_over_training_rows_and_those_by_hand(model):
    bb, task = tiny_backbone(model), toy_task(40)
    prompt = random_prompt(bb, 3)
    found = probe(bb, task, prompt, text=False)
    ours = class_projections(bb, task, prompt, found, skill_neurons(found, 0.1), split="train")
    labels = torch.tensor(task["train"]["label"][:])
    for label in (0, 1):  # each class mean is at its own class mean
        assert ours[labels == label].mean() == pytest.approx(1, abs=1e-4)
    skills = torch.zeros(bb.num_layers, bb.num_neurons, dtype=torch.bool)
    skills[1, 7] = True
    place, (side, at) = (1, int(found.slot[1, 7]), 7), found.side_of(1)
    low, high = side.means[:, at, place[1], 7].tolist()
    seen = activations(bb, task, prompt, [place], split="test")
    by_hand = (seen.values[:, 0] - (low + high) / 2) / ((high - low) / 2) * (2 * seen.labels - 1)
    assert torch.allclose(class_projections(bb, task, prompt, found, skills), by_hand, rtol=1e-3)


def test_the_gap_is_zero_without_attack_and_two_when_labels_swap():
    bb, task, prompt, mask = planted()
    view, chosen = adversarial_view(task, "casing", strength=0.0), probe(bb, task, prompt, text=False)
    swapped = task["test"].to_dict() | {"label": [1 - label for label in task["test"]["label"]]}
    other = replace(view, adversarial=replace(task, splits={"test": Dataset.from_dict(swapped)}))
    same, gap = activation_gaps(bb, [view, other], prompt, chosen, mask)
    assert same == (0, 0, 0)
    assert activation_gaps(bb, other, prompt, chosen, mask.numpy()) == [gap]
    own = float(class_projections(bb, task, prompt, chosen, mask).mean())
    assert gap.value == pytest.approx(2 * own, rel=1e-5) and gap.low > 1
    with pytest.raises(SkillkitError, match="one task at a time"):
        activation_gaps(bb, [view, adversarial_view(toy_task(20), "casing")], prompt, chosen, mask)
