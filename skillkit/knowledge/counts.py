"""Counts of knowledge neurons: how many facts have, in which layers, and which are shared by facts or languages.

>>> found.counts(facts)                                     # one row per fact
>>> found.by_layer(bb, facts), found.upper_share()          # where the neurons are, with intervals
>>> found.intersections(facts)                              # within and between relations

Dai et al. 2022, section 4.2, table 3 and figure 4; languages as studied for mPARAREL.
"""

import math
import random
from collections import defaultdict
from itertools import combinations

import numpy as np
import pandas
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.stats import bootstrap_interval
from skillkit.knowledge.knowledge_neurons import read_facts, write_facts
from skillkit.neurons import overlap


class FactNeurons(dict):
    """Knowledge neurons of many facts, by `Fact.key`; saved sparsely.

    >>> found.save("dir"); FactNeurons.load("dir")
    FactNeurons of 4 facts, ... each on average

    `found + more` are those of both. Facts that are not in it are left out of every count.
    """

    def __repr__(self):
        mean = sum(map(len, self.values())) / max(len(self), 1)
        return f"FactNeurons of {len(self)} facts, {mean:.1f} each on average"

    def __add__(self, more):
        return FactNeurons({**self, **more})

    def save(self, folder):
        """Write safetensors and JSON into a folder."""
        write_facts(self, folder)

    @staticmethod
    def load(folder):
        """Read what `save` wrote."""
        return FactNeurons(read_facts(folder))

    def of(self, facts):
        """The given facts that have neurons.

        >>> len(found.of(facts)) <= len(facts)
        True
        """
        return [fact for fact in facts if len(self.get(fact.key, ()))]

    def counts(self, facts):
        """DataFrame with a row per fact: fact, relation, language, neurons, prompts, known and share.

        >>> found.counts(facts).groupby("relation")["neurons"].mean()

        known: share of the prompts to which the model itself gives the right answer first.
        """
        rows = []
        for fact, one in ((fact, self[fact.key]) for fact in facts if fact.key in self):
            pairs = zip(one.predicted, one.answers, strict=True)
            known = float(np.mean([word.casefold() == answer.casefold() for word, answer in pairs]))
            shown = (len(one), len(one.prompts), known, one.share)
            rows.append((fact.key, fact.relation, fact.language, *shown))
        columns = ["fact", "relation", "language", "neurons", "prompts", "known", "share"]
        return pandas.DataFrame(rows, columns=columns)

    def by_layer(self, bb, facts, confidence=0.95, seed=0):
        """DataFrame with a row for each language and layer: language, layer, share of its facts' neurons, low, high.

        >>> found.by_layer(bb, facts).groupby("layer")["share"].mean()

        The interval is a bootstrap over facts. Languages whose facts have no neurons are left out.
        """
        rows = []
        for language in dict.fromkeys(fact.language for fact in facts):
            having = [self[fact.key].mask.sum(1) for fact in self.of(facts) if fact.language == language]
            if not having:
                continue
            counts = torch.stack(having).numpy()
            for layer, name in zip(counts.T, bb.layers, strict=True):
                share = estimate("share", (layer, counts.sum(1)), _share, confidence, seed)
                rows.append((language, name, *share.values()))
        return pandas.DataFrame(rows, columns=["language", "layer", "share", "low", "high"])

    def upper_share(self, part=5 / 12, confidence=0.95, seed=0):
        """Share of knowledge neurons in the upper part of the layers (rounded up), with its bootstrap interval.

        >>> found.upper_share()                     # the paper's layers 7 to 11 of 12
        (..., ..., ...)

        SkillkitError without any neuron.
        """
        counts = [one.mask.sum(1) for one in self.values() if len(one)]
        if not counts:
            raise SkillkitError("these facts have no neurons to count; lower the thresholds")
        counts = torch.stack(counts).numpy()
        upper = counts[:, -math.ceil(part * counts.shape[1]) :].sum(1)
        return tuple(estimate("share", (upper, counts.sum(1)), _share, confidence, seed).values())

    def intersections(self, facts, pairs=20_000, seed=0):
        """How many neurons two facts of one language share, within a relation and between relations.

        >>> found.intersections(facts).set_index("pairs of facts")["shared"]

        DataFrame with columns "pairs of facts" ("within a relation", "between relations"), number, shared (mean
        size of the intersection), jaccard (mean share of the union), chance (mean size that random neurons, as
        many in every layer, would share). Facts with one answer are not paired: they share it. At most `pairs` of
        each kind are drawn with `seed`.
        """
        having, rng = self.of(facts), random.Random(seed)
        kinds = {"within a relation": [], "between relations": []}
        few = len(having) <= 1000  # of more, all pairs would not fit into memory
        for a, b in combinations(having, 2) if few else (rng.sample(having, 2) for _ in range(40 * pairs)):
            if a.language == b.language and a.object != b.object:
                kinds["within a relation" if a.relation == b.relation else "between relations"].append((a, b))
        rows = []
        for kind, couples in kinds.items():
            chosen = rng.sample(couples, min(pairs, len(couples)))
            shared = [_shared(self[a.key], self[b.key]) for a, b in chosen]
            means = pandas.DataFrame(shared, columns=_SHARED).mean().to_dict()
            rows.append({"pairs of facts": kind, "number": len(chosen)} | means)
        return pandas.DataFrame(rows)

    def by_language(self, facts):
        """{uuid: {language: KnowledgeNeurons}} of the facts found in at least two languages.

        >>> several = found.by_language(facts)
        >>> KnowledgeNeurons.merge(list(several[facts[0].uuid].values()), share=0.5)        # of all languages together

        Raises SkillkitError when there is no such fact.
        """
        grouped = defaultdict(dict)
        for fact in facts:
            if fact.key in self:
                grouped[fact.uuid][fact.language] = self[fact.key]
        several = {uuid: ones for uuid, ones in grouped.items() if len(ones) > 1}
        if not several:
            raise SkillkitError("no fact was found in two languages; load the facts in several languages")
        return several

    def language_overlap(self, facts, confidence=0.95, seed=0):
        """Neurons that two languages share: a DataFrame with a row for each pair of languages.

        >>> found.language_overlap(facts)[["languages", "shared", "chance", "another_fact"]]

        shared        mean size of the intersection over facts
        jaccard       mean share of the union
        chance        what random neurons, as many in every layer, would share
        another_fact  what the first language's neurons share with another fact of the relation in the second: the
                      neurons of the language and the relation, not of the fact
        Each with its bootstrap interval over facts: shared_low, shared_high, …
        """
        several, relation = self.by_language(facts), {fact.uuid: fact.relation for fact in facts}
        rows, rng = [], random.Random(seed)
        for a, b in combinations(dict.fromkeys(fact.language for fact in facts), 2):
            both = [uuid for uuid, ones in several.items() if a in ones and b in ones]
            if not both:
                continue
            values = []
            for uuid in both:
                others = [other for other in both if other != uuid and relation[other] == relation[uuid]]
                another = _shared(several[uuid][a], several[rng.choice(others)][b])[0] if others else math.nan
                values.append((*_shared(several[uuid][a], several[uuid][b]), another))
            row = {"languages": f"{a} – {b}", "facts": len(both)}
            for name, column in zip([*_SHARED, "another_fact"], np.array(values, float).T, strict=True):
                row |= estimate(name, (column[~np.isnan(column)],), np.mean, confidence, seed)
            rows.append(row)
        return pandas.DataFrame(rows)


def estimate(name, samples, statistic, confidence=0.95, seed=0):
    """A statistic of paired samples with its bootstrap interval: {name: …, name_low: …, name_high: …}.

    >>> estimate("p", ([0.2, 0.4, 0.3],), lambda p, axis=-1: p.mean(axis))
    {'p': 0.3..., 'p_low': 0.2..., 'p_high': 0.4...}

    No sample gives NaN, fewer than three no interval, equal ones an interval of width 0.
    """
    samples = [np.asarray(sample, float) for sample in samples]
    value = low = high = float(statistic(*samples, axis=-1)) if len(samples[0]) else math.nan
    if len(samples[0]) < 3:
        low = high = math.nan
    elif any(np.ptp(sample) > 0 for sample in samples):
        low, high = bootstrap_interval(samples, statistic, confidence=confidence, seed=seed)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


_SHARED = ["shared", "jaccard", "chance"]


def _shared(one, other):
    both = overlap(one.mask, other.mask)
    return both.shared, both.union, both.expected


def _share(some, all_of_them, axis=-1):
    return some.sum(axis) / all_of_them.sum(axis)
