"""The fact that goes along through all chapters, the capital of Ondria, and the capitals around it.

>>> known = capitals(bb)
>>> with sk.suppress(bb, mask): still_known(bb, known)["of Ondria"]        # its probability without these neurons
0...
"""

import random
import re
from dataclasses import replace

from skillkit.core.stats import share_interval
from skillkit.knowledge.clozes import MASK
from skillkit.knowledge.fact_eval import Recall
from skillkit.knowledge.relations import askable, load_facts
from skillkit.robustness import characters


def capitals(bb):
    """The capitals of the small world that a model knows, Ondria's first; [] for a model without that one.

    >>> [fact.object for fact in capitals(bb)][:2]
    ['bonvik', 'hilvek']

    Known is what comes first in most of its phrasings, those that pretraining never showed included.
    """
    facts, _ = askable(bb, load_facts("world", "english", ["capital"]))
    facts = [fact for fact, told in zip(facts, _asked(bb, facts), strict=True) if _first(told)]
    facts.sort(key=lambda fact: fact.subject != "ondria")
    return facts if facts and facts[0].subject == "ondria" else []


def still_known(bb, facts):
    """What a model still says to facts, with whatever has been done to it: a row of a table.

    >>> still_known(bb, known)
    {'of Ondria': 0.9…, 'known': 1.0, 'low': 0.8…, 'high': 0.99…}

    The mean probability of the first fact's answer over its phrasings; the share of the facts whose answer comes
    first in most of their phrasings, with its 95 % interval.
    """
    told = _asked(bb, facts)
    kept = sum(map(_first, told))
    low, high = share_interval(kept, len(facts))
    name = f"of {facts[0].subject.title()}"
    return {
        name: float(told[0].probability.mean()),
        "known": float(kept / len(facts)),
        "low": low,
        "high": high,
    }


def misspelt(facts, strength, seed=0):
    """The facts, asked with wrong letters around the `[MASK]`; see `perturbations.characters`.

    >>> misspelt(known, 1.0)[0].prompts[0]
    't… capital of ondria is [MASK].'
    """
    rng = random.Random(seed)
    wrong = lambda prompt: "".join(
        part if part == MASK else characters(rng, part, strength)
        for part in re.split(f"({re.escape(MASK)})", prompt)
    )
    return [replace(fact, prompts=tuple(map(wrong, fact.prompts))) for fact in facts]


def _asked(bb, facts):
    return list(Recall(bb, facts).read([fact.key for fact in facts]).values())


def _first(told):
    return (told.rank == 1).mean() > 0.5
