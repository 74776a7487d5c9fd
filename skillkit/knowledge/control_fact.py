"""The control fact of all chapters: the capital of Ondria, and the other capitals that a model knows.

>>> known = capitals(bb)
>>> with sk.suppress(bb, mask): known.still_known(bb)["of Ondria"]        # its probability without these neurons
0...
"""

from dataclasses import replace

from scipy.special import logit

from skillkit.core.stats import share_interval
from skillkit.knowledge.fact_eval import FactQuestions
from skillkit.knowledge.relations import Facts, load_facts


class Capitals(Facts):
    """Facts (`Fact`) that a model knows, the control fact first; empty where it does not know that one.

    >>> known, known[0].object
    (Capitals of the small world: 2… known, first 'ondria', 'bonvik')
    """

    def __repr__(self):
        first = f", first {self[0].subject!r}" if self else ""
        return f"Capitals of the small world: {len(self)} known{first}"

    def still_known(self, bb, change=None):
        """What a model answers now, under whatever intervention is open: a row of a table.

        >>> known.still_known(bb)
        {'of Ondria': 0.9…, 'log-odds': …, 'known': 1.0, 'low': 0.8…, 'high': 0.99…}

        The mean probability of the first fact's answer over its phrasings, and its log-odds, which still move where
        probabilities are near 1; the share of the facts whose answer comes first in most of their phrasings, with its
        95 % interval. `change` is a function that rewrites every phrasing before it is asked.
        """
        facts: list = self
        if change is not None:
            facts = [replace(fact, prompts=tuple(map(change, fact.prompts))) for fact in self]
        answers = _ask(bb, facts)
        kept = sum(answer.known > 0.5 for answer in answers)
        low, high = share_interval(kept, len(self))
        name = f"of {self[0].subject.title()}"
        mean = float(answers[0].probability.mean())
        return {
            name: mean,
            "log-odds": float(logit(mean)),
            "known": float(kept / len(self)),
            "low": low,
            "high": high,
        }


def capitals(bb):
    """The capitals of the small world that a model knows, Ondria's first; empty for a model without that one.

    >>> [fact.object for fact in capitals(bb)][:2]
    ['bonvik', 'hilvek']

    Known means that the answer comes first in most phrasings, those that pretraining never showed included.
    """
    facts, _ = load_facts("world", "english", ["capital"]).askable(bb)
    facts = [fact for fact, answer in zip(facts, _ask(bb, facts), strict=True) if answer.known > 0.5]
    facts.sort(key=lambda fact: fact.subject != "ondria")
    return Capitals(facts if facts and facts[0].subject == "ondria" else [])


def _ask(bb, facts):
    return list(FactQuestions(bb, facts).ask([fact.key for fact in facts]).values())
