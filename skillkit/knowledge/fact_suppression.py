"""Suppress or enhance the neurons of every fact, and measure the fact and others.

>>> table = suppress_facts(bb, facts, found, draws=5)
>>> table.summary()[["kind", "neurons", "on", "ratio_of_means", "ratio_low", "ratio_high"]]
>>> suppression_by_count(bb, facts, counts=(1, 10), steps=2)        # more and more neurons, the best ones first

Dai et al. 2022, section 4.3, figure 5: suppressing a fact's neurons takes −37 % of its probability and leaves
others as they were; enhancing adds 46 %. Random neurons, as many in every layer, are the control here.
"""

import random

import numpy as np
import pandas
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress as progress_bar
from skillkit.core.serialization import Table
from skillkit.core.store import artifact
from skillkit.knowledge.attribution import attribute
from skillkit.knowledge.counts import FactNeurons, estimate
from skillkit.knowledge.fact_eval import FactQuestions
from skillkit.knowledge.interventions import enhance
from skillkit.neurons import random_neurons, suppress

FACTORS = {"suppress": 0.0, "enhance": 2.0}


class FactTable(Table):
    """A `Table` whose slices and concatenations keep its methods.

    >>> type(pd.concat([FactTable({"fact": ["a"]}), FactTable({"fact": ["b"]})])).__name__
    'FactTable'
    """

    @property
    def _constructor(self):
        return type(self)


class Changes(FactTable):
    """Probabilities of facts before and after an intervention.

    >>> table.summary(by=("kind", "neurons", "on", "relation"))
    """

    def summary(self, by=("kind", "neurons", "on"), confidence=0.95, seed=0):
        """Relative changes with intervals over facts: a DataFrame with a row for each of `by`.

        ratio_of_means = mean(after) / mean(before) − 1, which the paper reports; mean_of_ratios = mean(after /
        before) − 1, which explodes on tiny probabilities. Both with percentile bootstrap intervals over facts
        (ratio_low, …; mean_low, …); the draws of random neurons are averaged within each fact before that.
        """
        rows = []
        for names, group in self.groupby(list(by), sort=False):
            facts = group.groupby("fact")[["before", "after"]].mean()
            before, after = facts["before"].to_numpy(), facts["after"].to_numpy()
            row = dict(zip(by, names, strict=True)) | {"facts": len(facts)}
            row |= {"before": before.mean(), "after": after.mean()}
            for name, column, ratio in _RATIOS:
                ends = estimate(name, (before, after), ratio, confidence, seed)
                row |= {column: ends.pop(name)} | ends
            rows.append(row)
        return pandas.DataFrame(rows)


_RATIOS = (
    ("ratio", "ratio_of_means", lambda before, after, axis=-1: after.mean(axis) / before.mean(axis) - 1),
    ("mean", "mean_of_ratios", lambda before, after, axis=-1: (after / before).mean(axis) - 1),
)


@artifact("forgetting", version=1, ignore=("progress",))
def suppress_facts(
    bb, facts, found, factors=FACTORS, draws=5, others=3, positions=None, seed=0, progress=False
) -> Changes:
    """What scaling a fact's neurons does to its own prompts, its relation's and those of other relations.

    >>> suppress_facts(bb, facts, found, factors={"double": 2.0}, draws=1)

    factors    {name: factor} by which the neurons are multiplied
    draws      sets of random neurons, as many in every layer and none of the fact's, for comparison
    others     how many facts (with another answer, in the same language) stand for "same relation" and
               "other relations"
    positions  of the intervention: None (everywhere) or "answer"

    Returns a DataFrame with a row for each fact, factor, set of neurons and place: fact, relation, language,
    kind, neurons ("fact" or "random"), draw, on, size (how many neurons), before and after (mean probability of
    the right answers). Facts without neurons are left out. Raises SkillkitError when none has any.
    """
    having = FactNeurons(found).of(facts)
    if not having:
        raise SkillkitError("none of these facts has neurons to suppress; lower the thresholds")
    questions, rows = FactQuestions(bb, facts), []
    before = _means(questions.ask(questions.keys))
    for fact in progress_bar(having, "suppress and enhance", disable=not progress):
        near = neighbours(fact, facts, others, seed)
        asked = {"own": [fact.key]} | {place: keys for place, keys in near.items() if keys}
        for kind, factor in factors.items():
            for name, draw, mask in with_controls(bb, found[fact.key].mask, draws, seed):
                with enhance(bb, mask, factor, positions):
                    after = _means(questions.ask([key for keys in asked.values() for key in keys]))
                row = {"fact": fact.key, "relation": fact.relation, "language": fact.language, "kind": kind}
                row |= {"neurons": name, "draw": draw, "size": int(mask.sum())}
                for place, keys in asked.items():
                    means = [float(np.mean([values[key] for key in keys])) for values in (before, after)]
                    rows.append(row | {"on": place, "before": means[0], "after": means[1]})
    return Changes(rows)


# 2: of several answer tokens the first one's scores.
@artifact("erosion", version=2, ignore=("progress", "memory"))
def suppression_by_count(
    bb, facts, counts=(1, 2, 5, 10, 20, 50, 100), draws=1, positions=None, seed=0, progress=False, **options
) -> Table:
    """Probability of facts as the neurons with the highest mean scores over their prompts are switched off.

    >>> suppression_by_count(bb, facts, counts=(1, 10), steps=2, rule="right")

    counts   how many neurons; none (0) is measured too
    draws    sets of random neurons, as many in every layer, for comparison
    options  of `attribute`

    DataFrame with a row for each fact, count and set of neurons: fact, relation, neurons ("fact" or "random"),
    draw, count, probability (mean over its prompts).
    """
    questions, rows = FactQuestions(bb, facts), []
    before = _means(questions.ask(questions.keys))
    for fact in progress_bar(facts, "switching off neurons", disable=not progress):
        row = lambda *values, fact=fact: (fact.key, fact.relation, *values)
        rows += [row(name, 0, 0, float(before[fact.key])) for name in ("fact", "random")]
        made = attribute(bb, fact.prompts, fact.object, repeat_mask=True, **options)
        order = sum(one.scores for one in made).flatten().argsort(descending=True)
        for count in counts:
            mask = torch.zeros(len(order), dtype=torch.bool).index_fill(0, order[:count], True)
            mask = mask.view(bb.num_layers, bb.num_neurons)
            for name, draw, chosen in with_controls(bb, mask, draws, seed):
                with suppress(bb, chosen, positions=positions):
                    after = _means(questions.ask([fact.key]))[fact.key]
                rows.append(row(name, draw, count, float(after)))
    return Table(rows, columns=["fact", "relation", "neurons", "draw", "count", "probability"])


def neighbours(fact, facts, count, seed=0):
    """Keys of other facts with other answers in the same language: {"same relation": …, "other relations": …}.

    >>> neighbours(facts[0], facts, 3)["same relation"]
    ['capital-...', ...]
    """
    rng, keys = random.Random(f"{seed}/{fact.key}"), {"same relation": [], "other relations": []}
    for other in facts:
        if other.language == fact.language and other.object != fact.object:
            keys["same relation" if other.relation == fact.relation else "other relations"].append(other.key)
    return {place: rng.sample(those, min(count, len(those))) for place, those in keys.items()}


def with_controls(bb, mask, draws, seed=0, name="fact"):
    """(name, 0, mask), then ("random", draw, mask) for random neurons, as many in every layer, none the same.

    >>> [name for name, draw, chosen in with_controls(bb, mask, draws=2)]
    ['fact', 'random', 'random']
    """
    yield name, 0, mask
    for draw in range(draws):
        yield "random", draw, random_neurons(mask, seed * 1000 + draw, bb.widths)


def _means(answers):
    return {key: one.probability.mean() for key, one in answers.items()}
