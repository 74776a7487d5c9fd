"""Suppress or enhance the neurons of every fact, and see what happens to it and to others.

>>> table = forgetting(bb, facts, found, draws=5)
>>> summary(table)[["kind", "neurons", "on", "ratio_of_means", "ratio_low", "ratio_high"]]

Dai et al. 2022, section 4.3, figure 5: suppressing a fact's neurons takes −37 % of its probability and leaves
others as they were; enhancing adds 46 %. Random neurons, as many in every layer, are the control here.
"""

import random

import numpy as np
import pandas

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress as progress_bar
from skillkit.core.serialization import Table
from skillkit.core.stats import bootstrap_interval
from skillkit.core.store import artifact
from skillkit.knowledge.fact_eval import Recall
from skillkit.knowledge.interventions import enhance
from skillkit.neurons import random_neurons

FACTORS = {"suppress": 0.0, "enhance": 2.0}
PLACES = ("own", "same relation", "other relations")


@artifact("forgetting", version=1, ignore=("progress",))
def forgetting(
    bb, facts, found, factors=FACTORS, draws=5, others=3, positions=None, seed=0, progress=False
) -> Table:
    """What scaling a fact's neurons does to its own prompts, its relation's and those of other relations.

    >>> forgetting(bb, facts, find_neurons(bb, facts), factors={"double": 2.0})

    factors    {name: factor} by which the neurons are multiplied
    draws      sets of random neurons, as many in every layer and none of the fact's, for comparison
    others     how many facts (with another answer, in the same language) stand for "same relation" and
               "other relations"
    positions  of the intervention: None (everywhere) or "answer"

    Returns a DataFrame with a row for each fact, factor, set of neurons and place: fact, relation, language,
    kind, neurons ("fact" or "random"), draw, on, size (how many neurons), before and after (mean probability of
    the right answers). Facts without neurons are left out. Raises SkillkitError when none has any.
    """
    having = [fact for fact in facts if len(found.get(fact.key, ()))]
    if not having:
        raise SkillkitError(
            "none of these facts has neurons, so nothing can be suppressed; lower the thresholds"
        )
    recall, rows = Recall(bb, facts), []
    before = _means(recall.read(recall.keys))
    for fact in progress_bar(having, "suppress and enhance", disable=not progress):
        asked = {"own": [fact.key]} | neighbours(fact, facts, others, seed)
        for kind, factor in factors.items():
            for name, draw, mask in with_controls(bb, found[fact.key].mask, draws, seed):
                with enhance(bb, mask, factor, positions):
                    after = _means(recall.read([key for keys in asked.values() for key in keys]))
                told = {"fact": fact.key, "relation": fact.relation, "language": fact.language, "kind": kind}
                told |= {"neurons": name, "draw": draw, "size": int(mask.sum())}
                for place, keys in asked.items():
                    if keys:
                        means = {"before": _mean(before, keys), "after": _mean(after, keys)}
                        rows.append(told | {"on": place} | means)
    return Table(rows)


def neighbours(fact, facts, count, seed=0):
    """Keys of other facts with other answers in the same language: {"same relation": …, "other relations": …}.

    >>> neighbours(facts[0], facts, 3)["same relation"]
    ['capital-...', ...]
    """
    rng, chosen = random.Random(f"{seed}/{fact.key}"), {}
    fit = [other for other in facts if other.language == fact.language and other.object != fact.object]
    for place, same in (("same relation", True), ("other relations", False)):
        keys = [other.key for other in fit if (other.relation == fact.relation) == same]
        chosen[place] = rng.sample(keys, min(count, len(keys)))
    return chosen


def summary(table, by=("kind", "neurons", "on"), confidence=0.95, seed=0):
    """Relative changes with intervals over facts, one row for each of `by`.

    >>> summary(table, by=("kind", "neurons", "on", "relation"))

    ratio_of_means = mean(after) / mean(before) − 1, which the paper reports; mean_of_ratios = mean(after /
    before) − 1, which explodes on tiny probabilities. Both with percentile bootstrap intervals over facts; the
    draws of random neurons are averaged within each fact before that.
    """
    rows = []
    for names, group in table.groupby(list(by), sort=False):
        facts = group.groupby("fact")[["before", "after"]].mean()
        before, after = facts["before"].to_numpy(), facts["after"].to_numpy()
        told = dict(zip(by, names, strict=True)) | {"facts": len(facts)}
        told |= {"before": before.mean(), "after": after.mean()}
        told |= named("ratio", "ratio_of_means", (before, after), _ratio_of_means, confidence, seed)
        told |= named("mean", "mean_of_ratios", (before, after), _mean_of_ratios, confidence, seed)
        rows.append(told)
    return pandas.DataFrame(rows)


def named(prefix, name, samples, statistic, confidence=0.95, seed=0):
    """A statistic of paired samples and its bootstrap interval, as {name: …, prefix_low: …, prefix_high: …}.

    >>> named("p", "p_mean", ([0.2, 0.4, 0.3],), lambda p, axis=-1: p.mean(axis))

    No sample gives NaN, a single one no interval, equal ones an interval of width 0.
    """
    samples = [np.asarray(sample, float) for sample in samples]
    value = low = high = float(statistic(*samples, axis=-1)) if len(samples[0]) else float("nan")
    if len(samples[0]) < 2:
        low = high = float("nan")
    elif any(np.ptp(sample) > 0 for sample in samples):
        low, high = bootstrap_interval(samples, statistic, confidence=confidence, seed=seed)
    return {name: value, f"{prefix}_low": low, f"{prefix}_high": high}


def mean_table(table, by, value, confidence=0.95, seed=0):
    """Means of a column over rows with bootstrap intervals: a row for each value of `by`, with low and high.

    >>> mean_table(firing, "group", "activation")[["group", "activation", "low", "high"]]
    """
    rows = []
    for name, group in table.groupby(by, sort=False):
        told = named("", value, (group[value],), np.mean, confidence, seed)
        rows.append(
            {by: name, "facts": len(group), value: told[value], "low": told["_low"], "high": told["_high"]}
        )
    return pandas.DataFrame(rows)


def with_controls(bb, mask, draws, seed=0, name="fact"):
    """(name, 0, mask), then ("random", draw, mask) for random neurons, as many in every layer, none the same.

    >>> [name for name, draw, chosen in with_controls(bb, mask, draws=2)]
    ['fact', 'random', 'random']
    """
    yield name, 0, mask
    for draw in range(draws):
        yield "random", draw, random_neurons(mask, seed * 1000 + draw, bb.widths)


def _ratio_of_means(before, after, axis=-1):
    return after.mean(axis) / before.mean(axis) - 1


def _mean_of_ratios(before, after, axis=-1):
    return (after / before).mean(axis) - 1


def _means(recalled):
    return {key: one.probability.mean() for key, one in recalled.items()}


def _mean(values, keys):
    return float(np.mean([values[key] for key in keys]))
