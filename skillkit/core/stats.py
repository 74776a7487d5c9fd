"""Confidence intervals and exact tests: Student-t, Wilson, bootstrap, hypergeometric p-values, Benjamini–Hochberg.

>>> mean_interval([0.91, 0.94, 0.92])
(0.9233..., 0.8853..., 0.9612...)
"""

import math

import numpy as np
from scipy import stats
from scipy.special import gammaln
from statsmodels.stats.proportion import proportion_confint


def mean_interval(values, confidence=0.95):
    """Mean and Student-t interval over independent repetitions (seeds, draws, tasks): (mean, low, high).

    >>> mean_interval([0.5])
    (0.5, nan, nan)

    One value has no interval (NaN); equal values have one of width 0.
    """
    values = np.asarray(list(values), dtype=float)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def difference_interval(first, second, confidence=0.95):
    """Mean and Student-t interval of paired differences first − second (the same seeds in the same order).

    >>> difference_interval([0.9, 0.8, 0.9], [0.6, 0.5, 0.7])[0]
    0.2666...
    """
    return mean_interval(np.asarray(list(first), float) - np.asarray(list(second), float), confidence)


def share_interval(count, n, confidence=0.95):
    """Wilson's interval of a proportion: (low, high).

    >>> share_interval(45, 50)
    (0.786..., 0.956...)

    (0, 1) for n = 0. `count` need not be whole, such as a mean over seeds times n.
    """
    if not n:
        return 0.0, 1.0
    low, high = proportion_confint(count, n, 1 - confidence, "wilson")
    return float(low), float(high)


def bootstrap_interval(samples, statistic, n_resamples=2000, paired=True, confidence=0.95, seed=0):
    """Percentile bootstrap interval of a statistic of one or more samples: (low, high).

    >>> bootstrap_interval([[0.2, 0.4, 0.3]], np.mean)
    (0.2..., 0.4...)

    statistic(*samples, axis=-1); paired: the samples are columns of the same rows, which are drawn together
    (Efron & Tibshirani 1993).
    """
    interval = stats.bootstrap(
        [np.asarray(sample, float) for sample in samples], statistic, paired=paired, vectorized=True,
        n_resamples=n_resamples, confidence_level=confidence, method="percentile", rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return float(interval.low), float(interval.high)


def hypergeometric_tails(hits, fires, positives, n):
    """Exact P(X ≥ hits) and P(X ≤ hits) for neurons active on `fires` of `n` examples, `positives` of class 1.

    >>> hypergeometric_tails(np.array([5]), np.array([5]), positives=5, n=10)
    (array([0.00396825]), array([1.]))

    `hits`, in how many of the examples with an active neuron the class is 1, is hypergeometric when the labels
    do not depend on the neuron (Fisher's exact test). Integer arrays of one shape; float64 arrays of that shape.
    """
    hits, fires = np.asarray(hits), np.asarray(fires)
    upper, lower = np.empty(hits.size), np.empty(hits.size)
    order = np.argsort(
        fires, axis=None, kind="stable"
    )  # many neurons share few counts: one distribution per count
    counts, starts = np.unique(fires.ravel()[order], return_index=True)
    for count, mine in zip(counts, np.split(order, starts[1:]), strict=True):
        first = max(0, count - (n - positives))
        density = _hypergeometric(np.arange(first, min(count, positives) + 1), n, positives, count)
        at = hits.ravel()[mine] - first
        upper[mine], lower[mine] = density[::-1].cumsum()[::-1][at], density.cumsum()[at]
    return np.minimum(upper, 1).reshape(hits.shape), np.minimum(lower, 1).reshape(hits.shape)


def _hypergeometric(hits, n, positives, fires):
    """Probabilities of all possible `hits`, normalized; scipy's pmf takes minutes for a probe with 10,000 examples."""
    log_choose = lambda total, chosen: gammaln(total + 1) - gammaln(chosen + 1) - gammaln(total - chosen + 1)
    density = np.exp(
        log_choose(positives, hits) + log_choose(n - positives, fires - hits) - log_choose(n, fires)
    )
    return density / density.sum()


def discoveries(p_values, rate=0.05):
    """Benjamini–Hochberg (1995): a bool array of the tests that are significant at a false discovery rate.

    >>> discoveries(np.array([0.001, 0.2, np.nan]))
    array([ True, False, False])

    NaN is no test.
    """
    p_values = np.asarray(p_values)
    tested = ~np.isnan(p_values)
    found = np.zeros(p_values.shape, dtype=bool)
    if tested.any():
        found[tested] = stats.false_discovery_control(p_values[tested]) <= rate
    return found
