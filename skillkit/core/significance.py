"""How likely chance alone would separate two classes that well: exact p-values and false discoveries.

>>> upper, lower = hypergeometric_tails(hits, fires, positives=500, n=1000)      # each like `hits`
>>> significant = discoveries(p_values, rate=0.05)                               # bool, Benjamini–Hochberg
"""

import numpy as np
from scipy.special import gammaln
from scipy.stats import false_discovery_control


def hypergeometric_tails(hits, fires, positives, n):
    """P(X ≥ hits) and P(X ≤ hits) for a neuron that fires on `fires` of `n` examples, `positives` of class 1.

    >>> hypergeometric_tails(np.array([5]), np.array([5]), positives=5, n=10)
    (array([0.00396825]), array([1.]))

    `hits`, of how many of its firings the class is 1, is hypergeometric when the labels have nothing to do
    with the neuron (Fisher's exact test). Integer arrays of one shape; float64 arrays of that shape.
    """
    hits, fires = np.asarray(hits), np.asarray(fires)
    # Thousands of neurons share few pairs of counts: each pair is worked out once.
    pairs, where = np.unique(fires.astype(np.int64) * (positives + 1) + hits, return_inverse=True)
    log_factorial = gammaln(np.arange(n + 1) + 1.0)
    upper, lower = np.empty(len(pairs)), np.empty(len(pairs))
    fired, hit = np.divmod(pairs, positives + 1)
    for count in np.unique(fired):
        mine = slice(np.searchsorted(fired, count), np.searchsorted(fired, count + 1))
        first, density = _density(log_factorial, count, positives, n)
        at = hit[mine] - first
        upper[mine], lower[mine] = density[::-1].cumsum()[::-1][at], density.cumsum()[at]
    where = where.reshape(hits.shape)
    return np.minimum(upper, 1)[where], np.minimum(lower, 1)[where]


def _density(log_factorial, fires, positives, n):
    """The smallest possible number of hits, and the probabilities of it and every larger one."""

    def log_choose(total, chosen):
        return log_factorial[total] - log_factorial[chosen] - log_factorial[total - chosen]

    first = max(0, fires - (n - positives))
    hits = np.arange(first, min(fires, positives) + 1)
    chosen = log_choose(positives, hits) + log_choose(n - positives, fires - hits)
    density = np.exp(chosen - log_choose(n, fires))
    return first, density / density.sum()


def discoveries(p_values, rate=0.05):
    """Which of many tests to believe so that at most a share `rate` of them is expected to be false.

    >>> discoveries(np.array([0.001, 0.2, np.nan]))
    array([ True, False, False])

    Benjamini & Hochberg (1995); NaN is no test.
    """
    p_values = np.asarray(p_values)
    tested = ~np.isnan(p_values)
    found = np.zeros(p_values.shape, dtype=bool)
    if tested.any():
        found[tested] = false_discovery_control(p_values[tested]) <= rate
    return found
