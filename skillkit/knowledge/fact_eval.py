"""Evaluation of facts: probability and rank of their answers, and the neurons of every fact of a relation set.

>>> found = find_neurons(bb, facts, share="adaptive")            # {fact.key: KnowledgeNeurons}
>>> questions = FactQuestions(bb, facts)
>>> questions.ask([facts[0].key])[facts[0].key].probability      # [prompts]
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from skillkit.core.errors import SkillkitError
from skillkit.core.names import by_name
from skillkit.core.progress import progress as progress_bar
from skillkit.core.store import artifact
from skillkit.knowledge.attribution import attribute
from skillkit.knowledge.clozes import encode_cloze, read_answers
from skillkit.knowledge.counts import FactNeurons
from skillkit.knowledge.knowledge_neurons import adaptive_share, from_attributions
from skillkit.knowledge.relations import as_facts


# 2: percentiles as numpy has them; 3: of several answer tokens the first one's scores; coarse neurons are kept.
@artifact("fact_neurons", version=3, ignore=("progress", "memory"))
def find_neurons(
    bb, facts, coarse=None, share="adaptive", strict=True, minimum_prompts=1, progress=False, **options
) -> FactNeurons:
    """Knowledge neurons of every fact, relation by relation.

    >>> found = cached(find_neurons, bb, facts, steps=2, coarse=dict(adaptive=0.2), minimum_prompts=3)

    share "adaptive" lets each relation (in each language) settle at a mean of 2 to 5 neurons per fact, as the
    authors do; a number serves all. Facts with fewer than `minimum_prompts` prompts are left out. `options` are
    those of `attribute`; a single mask is repeated for an answer of several tokens. Raises SkillkitError when
    no fact is left, and whatever `attribute` does.
    """
    facts = [fact for fact in as_facts(facts) if len(fact.prompts) >= minimum_prompts]
    if not facts:
        raise SkillkitError(f"no fact has {minimum_prompts} prompts; lower minimum_prompts")
    by_name(facts, (fact.key for fact in facts))  # else neurons of one fact would be those of another
    found, first = {}, 0.7 if share == "adaptive" else share
    for fact, made in _attributed(bb, facts, progress, options):
        found[fact.key] = from_attributions(bb, made, coarse or {"adaptive": 0.3}, first, strict)
    if share == "adaptive":
        groups = defaultdict(list)
        for fact in facts:
            groups[fact.relation, fact.language].append(fact)
        for group in groups.values():
            settled = adaptive_share([found[fact.key] for fact in group], strict=strict)
            found.update({fact.key: found[fact.key].refine(settled, strict) for fact in group})
    return FactNeurons(found)


def _attributed(bb, facts, progress, options, at_once=16):
    """(fact, its attributions); prompts of several facts go together, since many of them have one length."""
    with progress_bar(total=len(facts), desc="knowledge neurons", disable=not progress) as bar:
        for at in range(0, len(facts), at_once):
            group = facts[at : at + at_once]
            prompts = [(prompt, fact.object) for fact in group for prompt in fact.prompts]
            made = iter(attribute(bb, *map(list, zip(*prompts)), repeat_mask=True, **options))
            for fact in group:
                yield fact, [next(made) for _ in fact.prompts]
                bar.update()


@dataclass(frozen=True)
class FactAnswers:
    """What a model answers to a fact's prompts: arrays with one entry per prompt.

    >>> one.probability.mean(), one.rank, one.surprise.mean()

    probability of the answer, its rank among all tokens (of several tokens the worst), and −log probability
    """

    probability: np.ndarray
    rank: np.ndarray
    surprise: np.ndarray

    @property
    def known(self):
        """Share of the prompts to which the model gives the right answer first."""
        return float((self.rank == 1).mean())


class FactQuestions:
    """Facts in tokens, to be asked again and again under interventions.

    >>> questions = FactQuestions(bb, facts)
    >>> before = questions.ask(questions.keys)
    >>> with suppress(bb, found[key]): after = questions.ask([key])

    `answers` {key: answer} asks for other answers than the facts' own, with as many masks as those need.
    """

    def __init__(self, bb, facts, answers=None):
        facts = as_facts(facts)
        self.bb, self.keys = bb, [fact.key for fact in facts]
        by_name(facts, self.keys)
        answers = answers or {fact.key: fact.object for fact in facts}
        encode = lambda fact, prompt: encode_cloze(bb, prompt, answers[fact.key], repeat_mask=True)
        self.prompts = {fact.key: [encode(fact, prompt) for prompt in fact.prompts] for fact in facts}

    def __repr__(self):
        prompts = sum(map(len, self.prompts.values()))
        return f"FactQuestions for {self.bb.name}: {len(self.keys)} facts with {prompts} prompts"

    def ask(self, keys):
        """{key: FactAnswers} for some of the facts, in as few passes as their lengths allow."""
        keys = list(dict.fromkeys(keys))
        read = iter(read_answers(self.bb, [prompt for key in keys for prompt in self.prompts[key]]))
        found = {}
        for key in keys:
            log_p, ranks, _ = zip(*(next(read) for _ in self.prompts[key]), strict=True)
            surprise = np.array([-float(part.double().sum()) for part in log_p])
            rank = np.array([int(part.max()) for part in ranks])
            found[key] = FactAnswers(np.exp(-surprise), rank, surprise)
        return found
