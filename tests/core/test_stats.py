"""Intervals and tests against values worked out by hand or by scipy."""

import math

import numpy as np
import pytest
from scipy.stats import hypergeom, ttest_1samp

from skillkit.core.stats import (
    accuracy_interval,
    bootstrap_interval,
    difference_interval,
    discoveries,
    hypergeometric_tails,
    mean_interval,
    share_interval,
)


@pytest.mark.parametrize("values, mean, half", [
    ([1.0, 2.0, 3.0], 2.0, 4.302652729911275 / math.sqrt(3)), ([0.5, 0.7], 0.6, math.nan),
])  # fmt: skip
def test_the_t_interval_of_three_values_and_of_two(values, mean, half):
    assert mean_interval(values) == pytest.approx((mean, mean - half, mean + half), rel=1e-9, nan_ok=True)


def test_p_values_of_intervals_are_those_of_the_t_test():
    values = [0.2, 0.5, 0.1, 0.6]
    for bar in (0, 0.3, 0.9):
        expected = ttest_1samp(values, bar, alternative="greater").pvalue
        assert mean_interval(values).p_value(bar) == pytest.approx(expected, rel=1e-9)
    assert math.isnan(mean_interval([0.5, 0.5, 0.5]).p_value()) and math.isnan(mean_interval([0.5]).p_value())


def test_accuracy_of_equal_seeds_is_wilsons_and_stays_possible():
    assert accuracy_interval([0.9], 50)[1:] == pytest.approx(share_interval(45, 50), abs=0.01)
    mean, low, high = accuracy_interval([1.0, 1.0, 1.0], 200)
    assert mean == high == 1 and 0.97 < low < 0.99
    assert accuracy_interval([0.8, 0.9, 1.0], 1000)[1] < accuracy_interval([0.9, 0.9, 0.9], 1000)[1]


def test_paired_differences_ignore_what_pairs_share():
    gap, low, high = difference_interval([0.9, 0.6, 0.3], [0.8, 0.5, 0.2])
    assert gap == pytest.approx(0.1) and low == pytest.approx(0.1) and high == pytest.approx(0.1)


@pytest.mark.parametrize("paired", [True, False])
def test_bootstrap_draws_follow_the_seed(paired):
    samples, random = (np.arange(9.0), np.arange(9.0) ** 2), np.random.default_rng(3)
    drawn = [random.integers(9, size=(200, 9)) for _ in samples]
    means = [sample[drawn[0 if paired else at]].mean(1) for at, sample in enumerate(samples)]
    found = bootstrap_interval(samples, lambda a, b, axis: b.mean(axis) - a.mean(axis), 200, paired, seed=3)
    assert found == pytest.approx(np.quantile(means[1] - means[0], (0.025, 0.975)))


@pytest.mark.parametrize(("n", "positives"), [(10, 5), (60, 17), (61, 60), (40, 1)])
def test_tails_are_the_hypergeometric_ones(n, positives):
    fires, hits = np.meshgrid(np.arange(n + 1), np.arange(positives + 1), indexing="ij")
    possible = (hits <= fires) & (fires - hits <= n - positives)
    fires, hits = fires[possible], hits[possible]
    upper, lower = hypergeometric_tails(hits, fires, positives, n)
    np.testing.assert_allclose(upper, hypergeom.sf(hits - 1, n, positives, fires), rtol=1e-9, atol=0)
    np.testing.assert_allclose(lower, hypergeom.cdf(hits, n, positives, fires), rtol=1e-9, atol=0)


def test_tails_stay_exact_where_they_are_tiny():
    upper, lower = hypergeometric_tails(np.array([[500]]), np.array([[500]]), 500, 1000)
    assert upper.shape == (1, 1) and lower[0, 0] == pytest.approx(1, abs=1e-15)
    assert np.log(upper[0, 0]) == pytest.approx(hypergeom.logpmf(500, 1000, 500, 500), rel=1e-9)


def test_discoveries_by_hand():
    p_values = np.array([[0.001, 0.012, 0.04], [0.03, 0.5, np.nan]])
    # Five tests: thresholds .01, .02, .03, .04, .05; the largest p below its own is the third, .03 (then .04).
    assert discoveries(p_values, 0.05).tolist() == [[True, True, True], [True, False, False]]
    assert discoveries(p_values, 0.01).tolist() == [[True, False, False], [False, False, False]]
    assert not discoveries(np.full(3, np.nan)).any()
