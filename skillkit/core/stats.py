"""Intervals: a number without one is an anecdote.

>>> mean_interval([0.91, 0.94, 0.92])
(0.9233..., 0.8853..., 0.9612...)
"""

import math

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint


def mean_interval(values, confidence=0.95):
    """Mean and the two ends of its Student-t interval over independent repetitions (seeds, draws, tasks).

    >>> mean_interval([0.5])
    (0.5, nan, nan)

    One value has no interval, and says so with NaN; equal values have one of width 0.
    """
    values = np.asarray(list(values), dtype=float)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def share_interval(count, n, confidence=0.95):
    """The two ends of Wilson's interval of a share: fit for small n, and for shares near 0 and 1.

    >>> share_interval(45, 50)
    (0.786..., 0.956...)

    Without a row nothing is known: (0, 1). `count` need not be whole, such as a mean over seeds times n.
    """
    if not n:
        return 0.0, 1.0
    low, high = proportion_confint(count, n, 1 - confidence, "wilson")
    return float(low), float(high)


def difference_interval(first, second, confidence=0.95):
    """Mean and interval of paired differences first − second (the same seeds in the same order).

    >>> difference_interval([0.9, 0.8, 0.9], [0.6, 0.5, 0.7])[0]
    0.2666...
    """
    return mean_interval(np.asarray(list(first), float) - np.asarray(list(second), float), confidence)
