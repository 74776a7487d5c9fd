"""Is a fact in the same neurons in every language?

>>> by_language(facts, found)                           # {uuid: {language: KnowledgeNeurons}}
>>> language_overlap(facts, found)                      # shared neurons, against chance and against other facts
>>> across_languages(bb, facts, found)                  # suppress in one language, measure in every other

As studied for mPARAREL: neurons refined per language and pooled, and their overlap.
"""

import random
from collections import defaultdict
from itertools import combinations

import numpy as np
import pandas

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress as progress_bar
from skillkit.core.serialization import Table
from skillkit.core.store import artifact
from skillkit.knowledge.fact_eval import Recall
from skillkit.knowledge.fact_suppression import named, with_controls
from skillkit.knowledge.interventions import enhance
from skillkit.knowledge.knowledge_neurons import pooled
from skillkit.neurons import overlap


def by_language(facts, found):
    """{uuid: {language: KnowledgeNeurons}} of the facts found in at least two languages.

    >>> pooled(list(by_language(facts, found)[facts[0].uuid].values()), share=0.5)        # of all languages together

    Raises SkillkitError when there is no such fact.
    """
    grouped = defaultdict(dict)
    for fact in facts:
        if fact.key in found:
            grouped[fact.uuid][fact.language] = found[fact.key]
    several = {uuid: ones for uuid, ones in grouped.items() if len(ones) > 1}
    if not several:
        raise SkillkitError("no fact was found in two languages; load the facts in several languages")
    return several


def language_overlap(facts, found, confidence=0.95, seed=0):
    """Neurons that two languages share: a DataFrame with a row for each pair of languages.

    >>> language_overlap(facts, found)[["languages", "shared", "chance", "another_fact"]]

    shared        mean size of the intersection over facts
    jaccard       mean share of the union
    chance        what random neurons, as many in every layer, would share
    another_fact  what the first language's neurons share with another fact of the relation in the second: the
                  neurons of the language and the relation, not of the fact
    Each with its bootstrap interval over facts: shared_low, shared_high, …
    """
    several, relation = by_language(facts, found), {fact.uuid: fact.relation for fact in facts}
    languages = list(dict.fromkeys(fact.language for fact in facts))
    rows, rng = [], random.Random(seed)
    for a, b in combinations(languages, 2):
        both = [uuid for uuid, ones in several.items() if a in ones and b in ones]
        if not both:
            continue
        rows_of_pair = [_overlaps(several, relation, uuid, a, b, both, rng) for uuid in both]
        told = {"languages": f"{a} – {b}", "facts": len(both)}
        for name, values in zip(("shared", "jaccard", "chance", "another_fact"), zip(*rows_of_pair)):
            known = np.array(values)[~np.isnan(values)]
            told |= named(name, name, (known,), np.mean, confidence, seed)
        rows.append(told)
    return pandas.DataFrame(rows)


def _overlaps(several, relation, uuid, a, b, both, rng):
    mine = several[uuid][a].mask
    others = [other for other in both if other != uuid and relation[other] == relation[uuid]]
    another = overlap(mine, several[rng.choice(others)][b].mask).shared if others else float("nan")
    both = overlap(mine, several[uuid][b].mask)
    return both.shared, both.union, both.expected, another


@artifact("across_languages", version=1, ignore=("progress",))
def across_languages(
    bb, facts, found, factor=0.0, share=None, draws=3, positions=None, seed=0, progress=False
) -> Table:
    """Scale a fact's neurons of one language and ask it in every language.

    >>> table = across_languages(bb, facts, found)
    >>> summary(table, by=("source", "neurons", "on"))        # `forgetting.summary`

    Sources are the languages, and "pooled": the neurons refined from the prompts of all languages together
    (with `share`; None: that of the first language). DataFrame with a row for each fact, source, set of neurons
    (the fact's, and `draws` random ones) and language asked: fact (its uuid), relation, source, neurons, draw,
    size, on (the language asked), before, after.
    """
    several, recall = by_language(facts, found), Recall(bb, facts)
    keys = {(fact.uuid, fact.language): fact.key for fact in facts}
    relation = {fact.uuid: fact.relation for fact in facts}
    before, rows = recall.read(recall.keys), []
    for uuid, ones in progress_bar(several.items(), "across languages", disable=not progress):
        sources = ones | {"pooled": pooled(list(ones.values()), share)}
        for source, one in sources.items():
            for name, draw, mask in with_controls(bb, one.mask, draws if len(one) else 0, seed):
                if not mask.any():
                    continue
                with enhance(bb, mask, factor, positions):
                    after = recall.read([keys[uuid, language] for language in ones])
                told = {"fact": uuid, "relation": relation[uuid], "source": source, "neurons": name}
                told |= {"draw": draw, "size": int(mask.sum())}
                for language in ones:
                    key = keys[uuid, language]
                    means = {"before": before[key].probability.mean(), "after": after[key].probability.mean()}
                    rows.append(told | {"on": language} | means)
    return Table(rows)
