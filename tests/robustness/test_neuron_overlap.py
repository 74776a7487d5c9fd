"""Both sides of a view probed: what is carried, what is chosen anew, and what identical sides give."""

from dataclasses import replace

import pytest
import torch

from skillkit.core import cached
from skillkit.neurons import overlap, probe, random_neurons, similarity, skill_neurons
from skillkit.prompts import random_prompt
from skillkit.robustness import adversarial_view, overlap_curve, paired_probes
from tests.helpers import refused
from tests.planted import planted
from tests.tiny import tiny_backbone
from tests.toys import toy_task


def made(model="t5", strength=1.0):
    bb, prompt = tiny_backbone(model), random_prompt(tiny_backbone(model), 3)
    return bb, adversarial_view(toy_task(40), "dropout", strength), prompt


def same(one, other):
    return torch.equal(one.predictivity, other.predictivity)


@pytest.mark.parametrize("model", ["roberta", "t5"])
def test_an_attack_of_strength_zero_is_no_attack(model):
    found = paired_probes(*made(model, 0.0))
    assert same(found.chosen, found.chosen_adversarial) and same(found.clean, found.adversarial)
    assert similarity({0: found.chosen, 1: found.chosen_adversarial}).table.loc[0, 1] == pytest.approx(1)
    curves = found.overlap(tops=(0.05, 0.1, 0.5)).set_index("second").overlap
    assert (curves[["adversarial", "itself"]] == 1).all() and (curves["clean"] < 1).any()


def test_the_probes_are_those_of_plain_calls_and_of_the_store(store):
    bb, view, prompt = made()
    first, found = (cached(paired_probes, bb, view, prompt) for _ in range(2))
    # Stored under the names of the first version.
    folders = {path.name for path in store.glob("contrast/*/*/")}
    assert folders == {"chosen", "clean", "adversarial", "rival"}
    assert repr(first) == repr(found) and "\n" not in repr(found)
    chosen = probe(bb, view.clean, prompt, text=False)
    assert same(found.chosen, chosen)
    assert same(found.adversarial, probe(bb, view.adversarial, prompt, "test", text=False, carry=chosen))
    # Clean baseline, adversarial rows, chosen anew: what plain probing of such a task would say.
    plain = replace(view.adversarial, splits=view.adversarial.splits | {"train": view.clean["train"]})
    assert same(found.chosen_adversarial, probe(bb, plain, prompt, text=False))


def test_adversarial_baselines_keep_slots_and_directions():
    bb, view, prompt = made()
    found = paired_probes(bb, view, prompt, baseline="adversarial")
    plain = probe(bb, view.adversarial, prompt, text=False)
    assert same(found.chosen_adversarial, plain)
    side, chosen = found.adversarial.sides["decoder"], found.chosen.sides["decoder"]
    assert torch.equal(side.baseline, plain.sides["decoder"].baseline)
    assert torch.equal(side.decided, chosen.decided) and not torch.equal(side.baseline, chosen.baseline)
    assert torch.equal(found.adversarial.slot, found.chosen.slot)
    assert torch.equal(found.adversarial.direction, found.chosen.direction)
    refused("clean or adversarial, not 'both'", paired_probes, bb, view, prompt, baseline="both")


def test_a_set_without_training_rows_is_its_own_baseline():
    bb, view, prompt = made("roberta")
    only = replace(view.adversarial, splits={"test": view.adversarial["test"]})
    found = paired_probes(bb, replace(view, adversarial=only), prompt, baseline="adversarial")
    twice = replace(only, splits={"train": only["test"], "test": only["test"]})
    assert same(found.chosen_adversarial, probe(bb, twice, prompt, "test", text=False))
    assert found.chosen_adversarial.metadata["split"] == "test"


def test_overlap_curve_by_hand():
    scores = torch.rand(3, 40, generator=torch.Generator().manual_seed(0))
    other = scores.clone()
    other[0] = -other[0]  # layer 0: the best are now the worst
    curve = overlap_curve(scores, other, tops=(0.001, 0.1, 0.5)).set_index(["top", "layer"])
    assert set(curve.index.get_level_values("top")) == {0.1, 0.5}  # 0.001 selects none
    assert curve.overlap[0.1, 0] == 0 and curve.overlap[0.1, 1] == curve.overlap[0.1, 2] == 1
    assert curve.overlap[0.1, "mean"] == pytest.approx(2 / 3)
    assert curve.chance[0.1, "mean"] == pytest.approx(0.1) and curve["count"][0.1, 1] == 4
    whole = overlap(skill_neurons(scores, 0.5), skill_neurons(other, 0.5))
    assert curve.overlap[0.5, "mean"] == pytest.approx(whole[0])


def test_planted_neurons_stay_predictive_and_random_ones_do_not():
    bb, task, prompt, _ = planted()
    found = paired_probes(bb, adversarial_view(task, "casing", strength=0.0), prompt)
    means = found.mean_predictivity(top=0.05).set_index(["side", "neurons"]).predictivity
    skills = skill_neurons(found.chosen, 0.05)
    expected = float(found.adversarial.predictivity[skills].mean())
    assert means["adversarial", "skill"] == pytest.approx(expected)
    drawn = [float(found.clean.predictivity[random_neurons(skills, draw)].mean()) for draw in range(5)]
    assert means["clean", "random"] == pytest.approx(sum(drawn) / 5)
    assert means["adversarial", "skill"] > means["adversarial", "random"] + 0.1
