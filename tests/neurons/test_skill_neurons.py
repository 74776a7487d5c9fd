import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.store import cached
from skillkit.neurons.probing import probe
from skillkit.neurons.skill_neurons import (
    checked_mask,
    random_neurons,
    scores_of,
    skill_neurons,
)
from skillkit.prompts.soft_prompt import random_prompt
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = toy_task(40)
NAN = torch.nan


@pytest.fixture(scope="module")
def probes():
    bb = tiny_backbone("roberta")
    return [probe(bb, TASK, random_prompt(bb, 3, seed)) for seed in range(3)]


def mask_of(rows):
    return torch.tensor(rows, dtype=torch.bool)


def test_top_of_every_layer_or_of_the_whole_model():
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6], [0.5, 0.55, 0.95, 0.5]])
    assert torch.equal(skill_neurons(scores, 0.5), mask_of([[1, 1, 0, 0], [0, 1, 1, 0]]))
    assert torch.equal(skill_neurons(scores, 0.5, per_layer=False), mask_of([[1, 1, 1, 0], [0, 0, 1, 0]]))
    assert skill_neurons(scores, 1).all() and not skill_neurons(scores, 0).any()


def test_counts_are_the_integer_part():
    scores = torch.rand(2, 100, generator=torch.Generator().manual_seed(0))
    for top in (0.07, 0.29, 0.57, 0.58):  # 0.29 · 100 is 28.999… in floating point
        assert skill_neurons(scores, top).sum(1).tolist() == [round(top * 100)] * 2
    assert skill_neurons(torch.rand(1, 3072), 0.02).sum() == 61  # the published count
    assert skill_neurons(torch.rand(1, 48), 0.1).sum() == 4


def test_ties_go_to_the_lower_number():
    assert skill_neurons(torch.full((1, 8), 0.6), 0.25)[0].nonzero().flatten().tolist() == [0, 1]


def test_what_was_not_probed_is_never_chosen():
    scores = torch.tensor([[NAN] * 4, [0.5, 0.6, NAN, NAN]])
    assert torch.equal(skill_neurons(scores, 0.5), mask_of([[0] * 4, [0, 1, 0, 0]]))
    assert torch.equal(skill_neurons(scores, 0.5, per_layer=False), mask_of([[0] * 4, [0, 1, 0, 0]]))


def test_a_probe_and_several(probes):
    one = skill_neurons(probes[0], 0.1)
    assert torch.equal(one, skill_neurons(probes[0].predictivity, 0.1)) and one.sum(1).tolist() == [4] * 3
    every = torch.stack([found.predictivity for found in probes])
    for seeds, combined in (("mean", every.mean(0)), ("min", every.amin(0))):
        torch.testing.assert_close(scores_of(probes, seeds), combined)
        assert torch.equal(skill_neurons(probes, 0.1, seeds=seeds), skill_neurons(combined, 0.1))
    slots = torch.stack([found.score("mean") for found in probes]).mean(0)
    assert torch.equal(skill_neurons(probes, 0.1, slots="mean"), skill_neurons(slots, 0.1))


def test_halves_of_subtasks_and_the_next_best_for_duplicates():
    first = torch.tensor([[0.9, 0.8, 0.7, 0.1, 0.1, 0.1, 0.2, 0.3]])
    second = torch.tensor([[0.9, 0.1, 0.1, 0.8, 0.7, 0.1, 0.2, 0.3]])
    both = skill_neurons({"pn": first, "neu": second}, 0.5)
    # First 0; second wants 0 too and takes 3; first 1; second 4.
    assert both[0].nonzero().flatten().tolist() == [0, 1, 3, 4]
    same = skill_neurons({"pn": first, "neu": first}, 0.5)
    assert torch.equal(same, skill_neurons(first, 0.5))
    three = skill_neurons({"a": first, "b": second, "c": first.flip(1)}, 3 / 8)
    assert three[0].nonzero().flatten().tolist() == [0, 3, 7]


def test_subtasks_take_several_probes_each(probes):
    bb = tiny_backbone("roberta")
    other = probe(bb, toy_task(20, seed=1), random_prompt(bb, 3))
    mask = skill_neurons({"pn": probes, "neu": other}, 0.25)
    assert mask.sum(1).tolist() == [12] * 3
    halves = [skill_neurons(one, 0.125) for one in (probes, other)]
    assert all((half & ~mask).sum() <= (halves[0] & halves[1]).sum() for half in halves)
    assert (mask & halves[0]).sum() >= 12 and (mask & halves[1]).sum() >= 12


def test_random_neurons_match_the_layers_and_keep_out():
    skills = torch.zeros(3, 40, dtype=torch.bool)
    skills[0, :4] = skills[2, 10:30] = True
    draws = [random_neurons(skills, seed) for seed in range(8)]
    for mask in draws:
        assert mask.sum(1).tolist() == [4, 0, 20] and not (mask & skills).any()
    assert torch.equal(draws[0], random_neurons(skills, 0))
    assert len({tuple(mask[0].nonzero().flatten().tolist()) for mask in draws}) > 4
    assert (sum(mask.int() for mask in draws)[0, 4:] > 0).sum() > 12  # all others have their chance


def test_random_neurons_stay_within_narrow_layers():
    skills = torch.zeros(2, 10, dtype=torch.bool)
    skills[:, 0] = True
    assert not any(random_neurons(skills, seed, widths=[10, 3])[1, 3:].any() for seed in range(20))
    with pytest.raises(SkillkitError, match="only 0 others"):
        random_neurons(skills, widths=[10, 1])


def test_too_few_others():
    with pytest.raises(SkillkitError, match="lower rate"):
        random_neurons(torch.arange(10)[None] < 6)


@pytest.mark.parametrize("top", [-0.1, 1.01, NAN])
def test_a_rate_is_a_share(top):
    with pytest.raises(SkillkitError, match="between 0 and 1"):
        skill_neurons(torch.rand(2, 8), top)


def test_a_rate_that_selects_nothing():
    with pytest.raises(SkillkitError, match="selects no neuron"):
        skill_neurons(torch.rand(2, 8), 0.1)
    with pytest.raises(SkillkitError, match="selects no neuron"):
        skill_neurons(torch.full((2, 8), NAN), 0.5)


def test_probes_must_belong_together(probes):
    bb, other = tiny_backbone("roberta"), tiny_backbone("roberta", seed=1)
    for stranger, what in (
        (probe(other, TASK, random_prompt(other, 3)), "backbones"),
        (probe(bb, TASK, random_prompt(bb, 3, layout="zero-position")), "layouts"),
        (probe(bb, toy_task(20, seed=2), random_prompt(bb, 3)), "tasks"),
        (probe(bb, TASK, random_prompt(bb, 3), layers=[1]), "layers"),
    ):
        with pytest.raises(SkillkitError, match=f"different {what}"):
            skill_neurons([probes[0], stranger])
    with pytest.raises(SkillkitError, match="different backbones"):
        skill_neurons({"pn": probes[0], "neu": probe(other, TASK, random_prompt(other, 3))})
    with pytest.raises(SkillkitError, match="no probe"):
        skill_neurons([])
    with pytest.raises(SkillkitError, match="mean or min"):
        skill_neurons(probes, seeds="max")


def test_cached(tmp_path, monkeypatch, probes):
    mask = skill_neurons(probes, 0.1)
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path / "store"))
    assert all(torch.equal(cached(skill_neurons, probes, 0.1), mask) for _ in range(2))


@pytest.mark.parametrize(
    ("mask", "what"),
    [
        (torch.ones(3, 47, dtype=torch.bool), r"\[3, 48\], not torch.bool \[3, 47\]"),
        (torch.ones(3, 48), "not torch.float32"),
        (torch.zeros(3, 48, dtype=torch.bool), "empty"),
        ([[True]], "not list"),
    ],
)
def test_masks_are_checked(mask, what):
    with pytest.raises(SkillkitError, match=what):
        checked_mask(tiny_backbone("roberta"), mask)
