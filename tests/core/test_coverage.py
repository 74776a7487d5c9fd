"""How often each interval holds the truth, in simulated experiments of the chapters' sizes: nominal 95 %."""

import numpy as np
import pytest

from skillkit.core.stats import accuracy_interval, difference_interval, mean_interval, share_interval

EXPERIMENTS = 1000


def coverage(experiment, seed=0):
    """Share of simulated experiments whose interval holds the truth; experiment(rng) → (truth, low, high)."""
    rng = np.random.default_rng(seed)
    found = [experiment(rng) for _ in range(EXPERIMENTS)]
    return np.mean([low <= truth <= high for truth, low, high in found])


def seeds_on_the_same_rows(rng, accuracy, seeds, n, spread=0.0):
    """Accuracies of several seeds on the same rows: easy and hard rows are the same ones for every seed."""
    easy = rng.beta(accuracy * 2, (1 - accuracy) * 2, size=n)
    shift = rng.normal(0, spread, size=(seeds, 1))
    right = rng.random((seeds, n)) < np.clip(easy + shift * easy * (1 - easy) * 4, 0, 1)
    return right.mean(1)


@pytest.mark.parametrize("accuracy, n", [(0.85, 200), (0.99, 200), (0.95, 60)])
def test_one_model_on_rows(accuracy, n):
    assert 0.93 <= coverage(lambda rng: (accuracy, *share_interval(rng.binomial(n, accuracy), n))) <= 0.98


@pytest.mark.parametrize("seeds, accuracy, n, spread", [
    (3, 0.6, 200, 0.1), (3, 0.95, 200, 0.3), (3, 0.99, 200, 0.0), (8, 0.85, 200, 0.3), (5, 0.9, 60, 0.1),
])  # fmt: skip
def test_seeds_on_the_same_rows(seeds, accuracy, n, spread):
    def experiment(rng):
        return accuracy, *accuracy_interval(seeds_on_the_same_rows(rng, accuracy, seeds, n, spread), n)[1:]

    assert (
        coverage(experiment) >= 0.93
    )  # more than nominal where seeds agree: their rows are then counted twice


@pytest.mark.parametrize("units", [3, 6, 13])
def test_means_over_units(units):
    assert 0.93 <= coverage(lambda rng: (0, *mean_interval(rng.normal(size=units))[1:])) <= 0.97


def test_paired_differences():
    def experiment(rng):
        shared = rng.normal(size=6)
        return 0.5, *difference_interval(shared + rng.normal(0.5, 0.2, 6), shared + rng.normal(0, 0.2, 6))[1:]

    assert 0.93 <= coverage(experiment) <= 0.97
