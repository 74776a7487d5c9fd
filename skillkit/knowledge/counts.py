"""How many neurons facts have, in which layers, and whether facts share them.

>>> census(facts, found)                                # one row per fact
>>> layer_shares(found)                                 # [layers]: where the neurons are
>>> layer_table(bb, facts, found), upper_share(found)   # the same by language, and above, with intervals
>>> intersections(facts, found)                         # within and between relations

Dai et al. 2022, section 4.2, table 3 and figure 4.
"""

import math
import random
from itertools import combinations

import pandas
import torch

from skillkit.core.errors import SkillkitError
from skillkit.knowledge.fact_suppression import named
from skillkit.neurons import overlap


def census(facts, found):
    """DataFrame with a row per fact: fact, relation, language, neurons, prompts, known and share.

    >>> census(facts, found).groupby("relation")["neurons"].mean()

    known: share of the prompts to which the model itself gives the right answer first.
    """
    rows = []
    for fact in facts:
        if (one := found.get(fact.key)) is not None:
            said = zip(one.predicted, one.answers, strict=True)
            right = [word.casefold() == answer.casefold() for word, answer in said]
            rows.append(
                {
                    "fact": fact.key,
                    "relation": fact.relation,
                    "language": fact.language,
                    "neurons": len(one),
                    "prompts": len(one.prompts),
                    "known": sum(right) / len(right),
                    "share": one.share,
                }
            )
    return pandas.DataFrame(rows)


def layer_shares(found):
    """Share of all facts' neurons that lie in each layer, float [layers]; SkillkitError without any neuron.

    >>> layer_shares(found).argmax()
    """
    counts = sum(one.mask.sum(1) for one in found.values()) if found else torch.zeros(1)
    if not counts.any():
        raise SkillkitError("these facts have no neurons, so there is nothing to count; lower the thresholds")
    return counts / counts.sum()


def layer_table(bb, facts, found, confidence=0.95, seed=0):
    """DataFrame with a row for each language and layer: language, layer, share of its facts' neurons, low, high.

    >>> layer_table(bb, facts, found).groupby("layer")["share"].mean()

    The interval is a bootstrap over facts. Languages whose facts have no neurons are left out.
    """
    rows = []
    for language in dict.fromkeys(fact.language for fact in facts):
        having = [
            found[fact.key] for fact in facts if fact.language == language and len(found.get(fact.key, ()))
        ]
        if not having:
            continue
        counts = torch.stack([one.mask.sum(1) for one in having]).numpy()
        for layer in range(bb.num_layers):
            share = named("share", "value", (counts[:, layer], counts.sum(1)), _share, confidence, seed)
            told = {"language": language, "layer": bb.layers[layer]}
            rows.append(
                told | {"share": share["value"], "low": share["share_low"], "high": share["share_high"]}
            )
    return pandas.DataFrame(rows)


def upper_share(found, part=5 / 12, confidence=0.95, seed=0):
    """Share of knowledge neurons in the upper part of the layers (rounded up), with its bootstrap interval.

    >>> upper_share(found)                      # the paper's layers 7 to 11 of 12
    (..., ..., ...)

    SkillkitError without any neuron.
    """
    layer_shares(found)
    counts = torch.stack([one.mask.sum(1) for one in found.values() if len(one)]).numpy()
    upper = counts[:, -math.ceil(part * counts.shape[1]) :].sum(1)
    return tuple(named("share", "value", (upper, counts.sum(1)), _share, confidence, seed).values())


def _share(some, all_of_them, axis=-1):
    return some.sum(axis) / all_of_them.sum(axis)


def intersections(facts, found, pairs=20_000, seed=0):
    """How many neurons two facts of one language share, within a relation and between relations.

    >>> intersections(facts, found).set_index("pairs of facts")["shared"]

    DataFrame with columns "pairs of facts" ("within a relation", "between relations"), number, shared (mean
    size of the intersection), jaccard (mean share of the union), chance (mean size that random neurons, as
    many in every layer, would share). Facts with one answer are not paired: they share it. At most `pairs` of
    each kind are drawn with `seed`.
    """
    having, rng = [fact for fact in facts if len(found.get(fact.key, ()))], random.Random(seed)
    kinds = {"within a relation": [], "between relations": []}
    few = len(having) <= 1000  # of more, all pairs would not fit into memory
    for a, b in combinations(having, 2) if few else (rng.sample(having, 2) for _ in range(40 * pairs)):
        if a.language == b.language and a.object != b.object:
            kinds["within a relation" if a.relation == b.relation else "between relations"].append((a, b))
    rows = []
    for kind, couples in kinds.items():
        chosen = rng.sample(couples, min(pairs, len(couples)))
        both = [overlap(found[a.key].mask, found[b.key].mask) for a, b in chosen]
        rows_of_kind = [dict(shared=one.shared, jaccard=one.union, chance=one.expected) for one in both]
        means = pandas.DataFrame(rows_of_kind, columns=["shared", "jaccard", "chance"]).mean().to_dict()
        rows.append({"pairs of facts": kind, "number": len(chosen)} | means)
    return pandas.DataFrame(rows)
