"""Both sides of a view probed: what is carried, what is chosen anew, and what identical sides give."""

from dataclasses import replace

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.neurons.probing import probe
from skillkit.neurons.similarity import mean_specificity, overlap
from skillkit.neurons.skill_neurons import random_neurons, skill_neurons
from skillkit.prompts.soft_prompt import random_prompt
from skillkit.robustness.adversarial_pair import adversarial_view
from skillkit.robustness.contrasts import contrast, overlap_curve, rebased, staying
from tests.planted import planted
from tests.tiny import tiny_backbone
from tests.toys import toy_task


def made(model="t5", strength=1.0, **options):
    bb, prompt = tiny_backbone(model), random_prompt(tiny_backbone(model), 3)
    view = adversarial_view(toy_task(40), "dropout", strength)
    return bb, view, prompt, contrast(bb, view, prompt, **options)


@pytest.mark.parametrize("model", ["roberta", "t5"])
def test_an_attack_of_strength_zero_is_no_attack(model):
    found = made(model, 0.0)[-1]
    assert torch.equal(found.chosen.predictivity, found.rival.predictivity)
    assert torch.equal(found.clean.predictivity, found.adversarial.predictivity)
    curve = overlap_curve([found.chosen], [found.rival], tops=(0.05, 0.1, 0.5))
    assert (curve.overlap == 1).all() and mean_specificity(found.chosen, found.rival) == pytest.approx(1)


def test_the_probes_are_those_of_plain_calls():
    bb, view, prompt, found = made()
    chosen = probe(bb, view.clean, prompt, text=False)
    assert torch.equal(found.chosen.predictivity, chosen.predictivity)
    carried = probe(bb, view.adversarial, prompt, "test", text=False, carry=chosen)
    assert torch.equal(found.adversarial.predictivity, carried.predictivity)
    # Clean baseline, adversarial rows, chosen anew: what plain probing of such a task would say.
    plain = replace(view.adversarial, splits=view.adversarial.splits | {"train": view.clean["train"]})
    assert torch.equal(found.rival.predictivity, probe(bb, plain, prompt, text=False).predictivity)


def test_adversarial_baselines():
    bb, view, prompt, found = made(baseline="adversarial")
    plain = probe(bb, view.adversarial, prompt, text=False)
    assert torch.equal(found.rival.predictivity, plain.predictivity)
    side, chosen = found.adversarial.sides["decoder"], found.chosen.sides["decoder"]
    assert torch.equal(side.baseline, plain.sides["decoder"].baseline)
    assert torch.equal(side.decided, chosen.decided) and not torch.equal(side.baseline, chosen.baseline)
    assert torch.equal(found.adversarial.slot, found.chosen.slot)
    with pytest.raises(SkillkitError, match="clean or adversarial, not 'both'"):
        contrast(bb, view, prompt, baseline="both")


def test_a_set_without_training_rows_is_its_own_baseline():
    bb, view, prompt, _ = made("roberta")
    only = replace(view.adversarial, splits={"test": view.adversarial["test"]})
    found = contrast(bb, replace(view, adversarial=only), prompt, baseline="adversarial")
    twice = replace(only, splits={"train": only["test"], "test": only["test"]})
    assert torch.equal(found.rival.predictivity, probe(bb, twice, prompt, "test", text=False).predictivity)
    assert found.rival.metadata["split"] == "test"


def test_rebased_keeps_slots_and_directions():
    bb, view, prompt, found = made()
    other = probe(bb, view.adversarial, prompt, text=False)
    moved = rebased(found.chosen, other)
    assert torch.equal(moved.slot, found.chosen.slot)
    assert torch.equal(moved.direction, found.chosen.direction)
    assert torch.equal(moved.class_means["encoder"], other.class_means["encoder"])


def test_saved_and_loaded(tmp_path):
    found = made()[-1]
    found.save(tmp_path)
    again = type(found).load(tmp_path)
    assert torch.equal(again.rival.predictivity, found.rival.predictivity)
    assert torch.equal(again.adversarial.predictivity, found.adversarial.predictivity)


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


def test_planted_neurons_stay_and_random_ones_do_not():
    bb, task, prompt, mask = planted()
    view = adversarial_view(task, "casing", strength=0.0)
    found = contrast(bb, view, prompt)
    table = staying([found, found], top=0.05).set_index(["seed", "side", "neurons"]).predictivity
    skills = skill_neurons(found.chosen, 0.05)
    assert table[0, "adversarial", "skill"] == pytest.approx(
        float(found.adversarial.predictivity[skills].mean())
    )
    drawn = [float(found.clean.predictivity[random_neurons(skills, draw)].mean()) for draw in range(5)]
    assert table[1, "clean", "random"] == pytest.approx(sum(drawn) / 5)
    assert table[0, "adversarial", "skill"] > table[0, "adversarial", "random"] + 0.1
    assert (skills[2] & mask[2]).any()
