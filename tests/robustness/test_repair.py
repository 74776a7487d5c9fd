"""Pushing neurons against a plain version, on planted neurons, and training rows for tuning further."""

from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch

from skillkit.core import SkillkitError
from skillkit.models import hooked
from skillkit.neurons import probe, skill_neurons, suppress
from skillkit.prompts import evaluate, prepare, random_prompt
from skillkit.robustness import adversarial_view, mixed, push, push_curve, repairs
from skillkit.robustness.adversarial_pair import View
from skillkit.robustness.repair import set_aside
from tests.helpers import refused
from tests.planted import planted
from tests.tiny import families, tiny_backbone
from tests.toys import toy_task


def setting(model, layout=None):
    bb, task = tiny_backbone(model), toy_task(20)
    prompt = random_prompt(bb, 3, 0, layout)
    found = probe(bb, task, prompt, text=False)
    return bb, task, prompt, found, skill_neurons(found, 0.1)


@pytest.mark.parametrize("rule", ["alone", "vote"])
@pytest.mark.parametrize(("model", "layout"), [("roberta", None), ("roberta", "prefix"), ("gpt2", None)])
def test_push_is_what_a_plain_loop_does(model, layout, rule):
    bb, task, prompt, found, skills = setting(model, layout)
    layer, row = 1, 3
    with bb.record() as before:
        evaluate(bb, task, prompt, rows=[row])
    attached, _ = next(prepare(bb, task, prompt, task["test"].select([row])).batches())
    at = attached.slots[0].tolist()
    side = found.sides["layer"]
    expected = before[layer][0].clone()
    votes = {}
    for neuron in skills[layer].nonzero()[:, 0].tolist():
        for slot, position in enumerate(at):
            fires = expected[position, neuron] > side.baseline[layer, slot, neuron]
            weight = side.accuracy[layer, slot, neuron] - 0.5
            votes[neuron, slot] = weight if fires else -weight
    for (neuron, slot), alone in votes.items():
        said = sum(votes.values()) if rule == "vote" else alone
        mean = side.means[int(said > 0), layer, slot, neuron]
        expected[at[slot], neuron] += 0.7 * (mean - expected[at[slot], neuron])
    only = torch.zeros_like(skills)
    only[layer] = skills[layer]
    with push(bb, found, only, 0.7, rule), bb.record([layer]) as after:
        evaluate(bb, task, prompt, rows=[row])
    assert torch.allclose(after[layer][0], expected, atol=1e-5)
    assert not torch.allclose(after[layer][0], before[layer][0], atol=1e-5)


@families("roberta", slow=("gpt2", "t5"))
def test_batch_size_changes_nothing_and_the_model_is_restored(model):
    bb, task, prompt, found, skills = setting(model)
    before = evaluate(bb, task, prompt)
    with push(bb, found, skills.nonzero().tolist()):
        whole, single = evaluate(bb, task, prompt), evaluate(bb, task, prompt, batch_size=1)
    assert torch.allclose(whole.logits, single.logits, atol=1e-4)
    assert not torch.allclose(whole.logits, before.logits, atol=1e-3)
    with push(bb, found, skills, strength=0.0):
        assert torch.allclose(evaluate(bb, task, prompt).logits, before.logits, atol=1e-5)
    table = push_curve(bb, task, prompt, found, skills.numpy(), np.array([0, 1]), draws=2).set_index(
        ["strength", "neurons"]
    )
    assert len(table) == 2 * 3 and (table.accuracy[0.0] == before.accuracy).all()
    assert table.accuracy[1.0, "skill"].item() == whole.accuracy and not hooked(bb)


def test_planted_neurons_undo_a_disturbance_and_decide_the_answer():
    bb, task, prompt, mask = planted()
    found, labels = probe(bb, task, prompt, text=False), task["test"]["label"][:]
    # Half of the planted neurons are disturbed; the others still know, and outvote them.
    some = mask.clone()
    some[2, 3] = some[2, 11] = False
    with suppress(bb, some, "gaussian", alpha=3.0):
        hurt = evaluate(bb, task, prompt).accuracy
        with push(bb, found, mask):
            repaired = evaluate(bb, task, prompt).accuracy
    assert hurt < 0.9 and repaired > hurt + 0.05
    for towards, accuracy in ((labels, 1.0), ([1 - label for label in labels], 0.0)):
        with push(bb, found, mask, rule="truth", labels=towards):
            assert evaluate(bb, task, prompt).accuracy == accuracy
    refused("both or neither", push, bb, found, mask, rule="truth")


@pytest.mark.slow
def test_repairs():
    bb, task, prompt, mask = planted()
    view = adversarial_view(task, "dropout")
    found = probe(bb, task, prompt, text=False)
    table = repairs(bb, view, prompt, found, mask, (0.5, 1), n=10, steps=2, rows=40).set_index("method")
    untouched = evaluate(bb, view.adversarial, prompt, rows=40).accuracy
    assert table.accuracy["none"] == untouched and table.gain["none"] == 0
    assert table.accuracy["push to truth"] > untouched and table.strength["push"] in (0.5, 1)
    assert table.gain["push to truth"] == pytest.approx(table.accuracy["push to truth"] - untouched)
    assert table.clean["none"] == evaluate(bb, task, prompt, rows=40).accuracy
    only = replace(view, adversarial=replace(view.adversarial, splits={"test": view.adversarial["test"]}))
    apart = repairs(bb, only, prompt, found, mask, 1, n=10, steps=2)
    assert (apart.n == 50).all() and len(apart) == 6


def test_push_refuses():
    bb, task, prompt, found, skills = setting("roberta")
    other, narrow = tiny_backbone("roberta", seed=1), probe(bb, task, prompt, layers=[0], text=False)
    for match, args, options in (
        ("vote or alone or truth, not 'loud'", (bb, found, skills), {"rule": "loud"}),
        ("mask is empty", (bb, found, skills & False), {}),
        ("weights are not those", (other, found, skills), {}),
        ("lacks layers or slots", (bb, narrow, skills), {}),
        ("must be a Probe, not a list", (bb, [found], skills), {}),
    ):
        refused(match, push, *args, **options)
    with pytest.raises(SkillkitError, match="does not have the probe's slots"), push(bb, found, skills):
        evaluate(bb, task, random_prompt(bb, 5))
    with pytest.raises(SkillkitError, match="inside evaluate and predict"), push(bb, found, skills):
        bb.run(bb.tokenizer("the movie", return_tensors="pt"))
    assert not hooked(bb)  # nothing is left behind


def test_mixed_rows():
    view = adversarial_view(toy_task(40), "casing")
    capitals = lambda rows: sum(map(str.isupper, rows["text"][:]))
    task, control = mixed(view, 10, seed=3), mixed(view, 10, seed=3, adversarial=False)
    assert len(task["train"]) == len(control["train"]) == 20 and sum(task["train"]["label"]) == 10
    assert capitals(task["train"]) == 10 and capitals(control["train"]) == 0
    assert capitals(task["validation"]) == 20 and task["test"].to_dict() == view.adversarial["test"].to_dict()


def test_rows_that_were_set_aside_are_tested_no_more():
    view = adversarial_view(toy_task(40), "casing")
    only = replace(view, adversarial=replace(view.adversarial, splits={"test": view.adversarial["test"]}))
    refused("no adversarial training rows", mixed, only, 10)
    rest = set_aside(only, 10)
    train, test = (set(rest.adversarial[split]["text"]) for split in ("train", "test"))
    assert len(rest.adversarial["train"]) == 10 and not train & test and not rest.paired
    assert mixed(rest, 10)["validation"].to_dict() == view.clean["validation"].to_dict()
    refused("40 test rows, so 40", set_aside, only, 40)
    refused("n cannot be 0", set_aside, only, 0)


@pytest.mark.parametrize("paired", [True, False])
def test_rows_made_of_one_text_are_set_aside_together(paired):
    task = toy_task(40)
    texts = [f"{' '.join(f'{number}{letter}' for letter in 'abcdef')} end" for number in range(20)]
    clean = datasets.Dataset.from_dict({"text": texts, "label": [0, 1] * 10})
    three = {"text": [f"{text}{mark}" for text in texts for mark in ["", "!", "?"]],
             "label": [number % 2 for number in range(20) for _ in range(3)]}  # fmt: skip
    other = replace(task, splits={"test": datasets.Dataset.from_dict(three)})
    view = View(
        replace(task, splits=task.splits | {"test": clean}), other, "set", None, 3 if paired else None
    )
    rest = set_aside(view, 8)
    source = lambda rows: {text.split()[0] for text in rows["text"]}
    tuned = source(rest.adversarial["train"])
    assert not tuned & (source(rest.adversarial["test"]) | source(rest.clean["test"]))
    assert len(rest.adversarial["test"]) == 3 * len(rest.clean["test"]) == 3 * (20 - len(tuned))
    refused("all there is; take fewer", set_aside, view, 58)
