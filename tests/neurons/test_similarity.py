import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from skillkit.neurons import overlap, similarity, skill_neurons
from skillkit.neurons.similarity import Similarity
from tests.helpers import refused
from tests.plain_probing import probed
from tests.toys import toy_task

TYPES = {"a": "sentiment", "b": "sentiment", "c": "sentiment", "d": "topic", "e": "topic", "f": "pairs"}


def scores(seed, layers=2, neurons=30):
    return torch.rand(layers, neurons, generator=torch.Generator().manual_seed(seed))


def test_specificity_is_spearman_by_layer_and_its_mean():
    one, two = (probed("t5", toy_task(20, seed=seed))[-1] for seed in (0, 1))
    found = similarity({"one": one, "two": [two]})
    expected = [spearmanr(one.predictivity[at], two.predictivity[at]).statistic for at in range(5)]
    assert [layer.loc["one", "two"] for layer in found.by_layer] == pytest.approx(expected)
    assert found.table.loc["two", "one"] == pytest.approx(np.mean(expected))
    assert list(found.table) == list(found.table.index) == ["one", "two"]
    assert np.diag(found.table) == pytest.approx(1) and repr(found).startswith("Similarity(2 tasks, ")


def test_specificity_of_constant_or_unprobed_layers_is_not_a_number():
    whole = scores(0, 3, 20)
    broken = whole.clone()
    broken[0], broken[1], broken[2, 10:] = torch.nan, 0.5, torch.nan
    found = similarity({"whole": whole, "broken": broken})
    assert [np.isnan(layer.loc["whole", "broken"]) for layer in found.by_layer] == [True, True, False]
    assert found.by_layer[2].loc["whole", "broken"] == found.table.loc["whole", "broken"] == pytest.approx(1)


def test_overlap_by_hand_and_its_chance_level():
    first = torch.tensor([[1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]]).bool()
    second = torch.tensor([[1, 0, 1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]]).bool()
    expected = 2 * 2 / 8 + 1 / 8
    assert overlap(first, second) == pytest.approx((1 / 3, expected / 3, 1, expected, 1 / 5))
    assert overlap(first, first).share == 1
    a, b = torch.zeros(2, 2, 10, dtype=torch.bool)
    a[0, :5] = b[0, 3:7] = a[1, 0] = True  # masks of different size
    assert overlap(a, b) == overlap(b, a) == (2 / 4, 5 * 4 / 10 / 4, 2, 5 * 4 / 10, 2 / 8)
    assert overlap(first, ~first & first)[2:] == (0, 0, 0)
    assert overlap(first, first, widths=[8, 2]).expected == pytest.approx(2 * 2 / 8 + 1 / 2)


def test_masks_are_compared_by_the_most_predictive_not_the_least():
    masks = {name: skill_neurons(scores(at), 0.2) for at, name in enumerate("abc")}
    masks["again"] = skill_neurons(scores(0) + 0.0, 0.2)
    found = similarity(masks)
    assert (np.diag(found.table) == 1).all() and found.table.loc["a", "again"] == 1
    for table, rows in ((found.table, slice(0, 2)), (found.by_layer[1], slice(1, 2))):
        share = overlap(masks["a"][rows], masks["c"][rows]).share
        assert table.loc["a", "c"] == table.loc["c", "a"] == share


def alike(seed=None):
    """Similarity that is .7 within types and .3 between, or random."""
    values = np.array([[0.7 if one == other else 0.3 for other in TYPES.values()] for one in TYPES.values()])
    if seed is not None:
        values = np.random.default_rng(seed).uniform(size=values.shape)
        values = (values + values.T) / 2
    return Similarity(pd.DataFrame(values, index=list(TYPES), columns=list(TYPES)))


def test_same_type_by_hand():
    # All 720 orders are tried; those that keep {a, b, c} and {d, e} together give as much: 3!·2!·1! of them.
    assert alike().same_type(TYPES) == pytest.approx((0.7, 0.3, 0.4, 12 / 720))


def test_same_type_of_nothing_is_not_significant():
    p_values = [alike(seed).same_type(TYPES, permutations=200, seed=seed).p_value for seed in range(40)]
    assert np.mean(np.array(p_values) < 0.1) < 0.3 and 0.3 < np.mean(p_values) < 0.7


def test_bad_input():
    refused("have one shape", overlap, scores(0) > 0.5, scores(0)[:1] > 0.5)
    probes = [probed(model, toy_task(12))[-1] for model in ("roberta", "bert")]
    for one, other in (probes, (torch.rand(2, 8), torch.rand(3, 8))):
        refused("different backbones", similarity, {"one": one, "other": other})
    refused("two tasks of one type", alike().same_type, dict.fromkeys(TYPES, "sentiment"))
