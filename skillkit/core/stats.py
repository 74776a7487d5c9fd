"""Confidence intervals and exact tests: Student-t, Wilson, bootstrap, hypergeometric p-values, Benjamini–Hochberg.

>>> mean_interval([0.91, 0.94, 0.92])
(0.9233..., 0.8853..., 0.9612...)

Which interval when (tests/core/test_coverage.py simulates how often each holds the truth):

- one model on n rows: `share_interval` (Wilson);
- several seeds on the same n rows: `accuracy_interval`, about new seeds and new rows;
- a mean over independent units (tasks, targets, relations, facts), three or more: `mean_interval`;
- the same units under two conditions: `difference_interval`;
- a ratio of means, a rank correlation: `bootstrap_interval`, over units, never over pairs that share one.
"""

import math

import numpy as np
from scipy import stats
from scipy.special import gammaln
from statsmodels.stats.proportion import proportion_confint


class Interval(tuple):
    """(mean, low, high), and the degrees of freedom behind it, so that a p-value can be read off.

    >>> Interval((0.5, 0.4, 0.6), df=4).p_value(0.45)
    0.118...
    """

    df: float

    def __new__(cls, ends, df=math.inf):
        interval = super().__new__(cls, ends)
        interval.df = df
        return interval

    def __format__(self, spec):
        """Mean and ends in one format, the ends left out where there are none.

        >>> f"{Interval((0.5, 0.4, 0.6)):.2f}", f"{mean_interval([0.5]):.1%}"
        ('0.50 [0.40, 0.60]', '50.0%')
        """
        mean, low, high = (format(end, spec) for end in self)
        return mean if math.isnan(self[1]) else f"{mean} [{low}, {high}]"

    def p_value(self, bar=0.0, confidence=0.95):
        """One-sided p-value of "the mean is at most `bar`", read off the interval (Altman & Bland 2011).

        >>> Interval((0.5, 0.3, 0.7)).p_value(0.5)
        0.5

        It is (1 − confidence) / 2 where an end touches the bar. NaN for an interval without ends or width.
        """
        mean, low, high = self
        half = mean - low if mean > bar else high - mean
        if not half > 0:
            return math.nan
        quantile = stats.t.ppf((1 + confidence) / 2, self.df)
        return float(stats.t.sf((mean - bar) / half * quantile, self.df))


def mean_interval(values, confidence=0.95):
    """Mean and Student-t interval over independent repetitions (seeds, draws, tasks): an `Interval`.

    >>> mean_interval([0.5, 0.6])
    (0.55, nan, nan)

    Fewer than three values have no interval (NaN); equal values have one of width 0.
    """
    values = np.asarray(list(values), dtype=float)
    mean, df = float(values.mean()), len(values) - 1
    if len(values) < 3:
        return Interval((mean, math.nan, math.nan))
    half = float(stats.t.ppf((1 + confidence) / 2, df) * stats.sem(values))
    return Interval((mean, mean - half, mean + half), df)


def accuracy_interval(accuracies, n, confidence=0.95):
    """Mean accuracy of several seeds, all tested on the same `n` rows, and its interval over new seeds and new rows.

    >>> accuracy_interval([1.0, 1.0, 0.995], n=200)
    (0.998..., 0.97..., 0.99...)

    Wilson's interval with as many rows as would give the same variance (the effective sample size of Kish 1965): the
    seeds' variance of the mean and the rows' p (1 − p) / n together, and Student's quantile with Satterthwaite's
    degrees of freedom. It stays within 0 and 1, and covers near them, where a t interval over seeds does not.
    """
    accuracies = np.asarray(list(accuracies), dtype=float)
    mean, df = float(accuracies.mean()), float(len(accuracies) - 1)
    rows = (mean * n + 2) / (n + 4)  # Agresti & Coull: never 0 or 1, so that equal rows still have a variance
    rows = rows * (1 - rows) / n
    seeds = float(accuracies.var(ddof=1)) / len(accuracies) if df else 0.0
    df = (seeds + rows) ** 2 * df / seeds**2 if seeds else math.inf
    quantile = float(stats.t.ppf((1 + confidence) / 2, df))
    effective = (
        n * rows / (seeds + rows) / quantile**2
    )  # in units of the quantile squared, as in Wilson's formula
    centre = (mean + 0.5 / effective) / (1 + 1 / effective)
    half = math.sqrt(mean * (1 - mean) / effective + 0.25 / effective**2) / (1 + 1 / effective)
    return Interval((mean, centre - half, centre + half), df)


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


def adjusted(p_values):
    """p-values adjusted to the number of tests by Benjamini & Hochberg (1995): the false discovery rate of each.

    >>> adjusted([0.001, 0.2, np.nan])
    array([0.002, 0.2  ,   nan])

    An array of the same shape. NaN is no test, and stays.
    """
    p_values = np.asarray(p_values, dtype=float)
    found = np.full(p_values.shape, np.nan)
    tested = ~np.isnan(p_values)
    if tested.any():
        found[tested] = stats.false_discovery_control(p_values[tested])
    return found


def discoveries(p_values, rate=0.05):
    """A bool array of the tests that are significant at a false discovery rate (Benjamini & Hochberg 1995).

    >>> discoveries(np.array([0.001, 0.2, np.nan]))
    array([ True, False, False])
    """
    return adjusted(p_values) <= rate
