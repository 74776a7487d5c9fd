import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from skillkit.core.errors import SkillkitError
from skillkit.neurons.probing import probe
from skillkit.neurons.similarity import mean_specificity, overlap, pairwise, same_type, specificity
from skillkit.neurons.skill_neurons import random_neurons, skill_neurons
from skillkit.prompts.soft_prompt import random_prompt
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TYPES = {"a": "sentiment", "b": "sentiment", "c": "sentiment", "d": "topic", "e": "topic", "f": "pairs"}


def test_specificity_is_spearman_by_layer():
    bb = tiny_backbone("t5")
    one, two = (probe(bb, toy_task(20, seed=seed), random_prompt(bb, 3)) for seed in (0, 1))
    found = specificity(one, two)
    for layer in range(5):
        expected = spearmanr(one.predictivity[layer], two.predictivity[layer]).statistic
        assert float(found[layer]) == pytest.approx(expected)
    assert mean_specificity(one, two) == pytest.approx(float(found.mean()))
    assert specificity(one, one).tolist() == pytest.approx([1] * 5)


def test_specificity_of_constant_or_unprobed_layers_is_not_a_number():
    scores = torch.rand(3, 20, generator=torch.Generator().manual_seed(0))
    broken = scores.clone()
    broken[0], broken[1], broken[2, 10:] = torch.nan, 0.5, torch.nan
    found = specificity(scores, broken)
    assert found[:2].isnan().all() and found[2] == pytest.approx(1)
    assert mean_specificity(scores, broken) == pytest.approx(1)


def test_overlap_by_hand_and_its_chance_level():
    first = torch.tensor([[1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]).bool()
    second = torch.tensor([[1, 0, 1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]]).bool()
    assert overlap(first, second) == (1 / 3, pytest.approx((2 * 2 / 8 + 1 / 8) / 3))
    assert overlap(first, first)[0] == 1


def test_chance_in_layers_of_different_width():
    mask = torch.zeros(2, 8, dtype=torch.bool)
    mask[0, :2] = mask[1, :1] = True
    assert overlap(mask, mask, widths=[8, 2]) == (1, pytest.approx((2 * 2 / 8 + 1 / 2) / 3))


def test_chance_is_what_random_neurons_share():
    skills = torch.zeros(2, 100, dtype=torch.bool)
    skills[0, :20] = skills[1, :5] = True
    nobody = torch.zeros_like(skills)
    nobody[0, 80:] = nobody[1, 95:] = True
    shared = [
        overlap(random_neurons(skills, 2 * seed), random_neurons(nobody, 2 * seed + 1))[0]
        for seed in range(200)
    ]
    # Both keep out of a part of the layer, which makes the expected share 60·(20/80)² / 25 and so on.
    expected = (60 * (20 / 80) ** 2 + 90 * (5 / 95) ** 2) / 25
    assert np.mean(shared) == pytest.approx(expected, abs=0.02)
    assert overlap(skills, skills)[1] == pytest.approx((20 * 20 + 5 * 5) / 100 / 25)


def test_the_most_predictive_are_compared_not_the_least():
    scores = torch.rand(2, 50, generator=torch.Generator().manual_seed(0))
    assert overlap(skill_neurons(scores, 0.1), skill_neurons(scores + 0.0, 0.1))[0] == 1


def test_pairwise_is_symmetric_with_its_own_measure_on_the_diagonal():
    masks = {
        name: torch.rand(2, 30, generator=torch.Generator().manual_seed(at)) for at, name in enumerate("abc")
    }
    masks = {name: skill_neurons(scores, 0.2) for name, scores in masks.items()}
    table = pairwise(masks, lambda one, other: overlap(one, other)[0])
    assert list(table.index) == list(table.columns) == list("abc") and (np.diag(table) == 1).all()
    assert table.loc["a", "c"] == table.loc["c", "a"] == overlap(masks["a"], masks["c"])[0]


def alike(seed=None):
    """Likeness that is .7 within types and .3 between, or random."""
    random = np.random.default_rng(seed)
    names = list(TYPES)
    table = pd.DataFrame(1.0, index=names, columns=names)
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            value = random.uniform() if seed is not None else 0.7 if TYPES[one] == TYPES[other] else 0.3
            table.loc[one, other] = table.loc[other, one] = value
    return table


def test_same_type_by_hand():
    found = same_type(alike(), TYPES)
    assert (found.same, found.different) == pytest.approx((0.7, 0.3))
    assert found.difference == pytest.approx(0.4)
    # All 720 orders are tried; those that keep {a, b, c} and {d, e} together give as much: 3!·2!·1! of them.
    assert found.p_value == pytest.approx(12 / 720)


def test_same_type_of_nothing_is_not_significant():
    p_values = [same_type(alike(seed), TYPES, permutations=200, seed=seed).p_value for seed in range(40)]
    assert np.mean(np.array(p_values) < 0.1) < 0.3 and 0.3 < np.mean(p_values) < 0.7


def test_bad_input():
    mask = torch.zeros(2, 8, dtype=torch.bool)
    more = mask.clone()
    more[0, :2] = True
    for one, other in ((mask, mask), (more, mask), (more, more[:1])):
        with pytest.raises(SkillkitError, match="one shape and as many neurons"):
            overlap(one, other)
    with pytest.raises(SkillkitError, match="different backbones"):
        specificity(torch.rand(2, 8), torch.rand(3, 8))
    bb, other = tiny_backbone("roberta"), tiny_backbone("roberta", seed=1)
    probes = [probe(where, toy_task(12), random_prompt(where, 2)) for where in (bb, other)]
    with pytest.raises(SkillkitError, match="different backbones"):
        specificity(*probes)
    with pytest.raises(SkillkitError, match="pairs of both"):
        same_type(alike(), dict.fromkeys(TYPES, "sentiment"))
