import numpy as np
import pytest
from scipy.stats import hypergeom

from skillkit.core.significance import discoveries, hypergeometric_tails


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
