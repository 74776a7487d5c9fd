"""Intervals against values worked out by hand."""

import math

import pytest

from skillkit.core.stats import difference_interval, mean_interval


def test_the_t_interval_of_three_values():
    mean, low, high = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert high - mean == pytest.approx(4.302652729911275 / math.sqrt(3), rel=1e-9)
    assert mean - low == pytest.approx(high - mean)


def test_one_value_has_no_interval():
    mean, low, high = mean_interval([0.5])
    assert mean == 0.5 and math.isnan(low) and math.isnan(high)


def test_paired_differences_ignore_what_pairs_share():
    gap, low, high = difference_interval([0.9, 0.6, 0.3], [0.8, 0.5, 0.2])
    assert gap == pytest.approx(0.1) and low == pytest.approx(0.1) and high == pytest.approx(0.1)
