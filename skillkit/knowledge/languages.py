"""Languages: is a fact in the same neurons in every language?

>>> found.language_overlap(facts)                           # shared neurons, against chance and other facts
>>> suppress_across_languages(bb, facts, found).summary(by=("source", "neurons", "on"))

As studied for mPARAREL: neurons refined per language and from all languages together, and their overlap.
"""

from skillkit.core.progress import progress as progress_bar
from skillkit.core.store import artifact
from skillkit.knowledge.counts import FactNeurons
from skillkit.knowledge.fact_eval import FactQuestions
from skillkit.knowledge.fact_suppression import Changes, with_controls
from skillkit.knowledge.interventions import enhance
from skillkit.knowledge.knowledge_neurons import KnowledgeNeurons


@artifact("across_languages", version=1, ignore=("progress",))
def suppress_across_languages(
    bb, facts, found, factor=0.0, share=None, draws=3, positions=None, seed=0, progress=False
) -> Changes:
    """Scale a fact's neurons of one language and ask it in every language.

    >>> suppress_across_languages(bb, facts, found).summary(by=("source", "neurons", "on"))

    Sources are the languages, and "pooled": the neurons refined from the prompts of all languages together
    (with `share`; None: that of the first language). DataFrame with a row for each fact, source, set of neurons
    (the fact's, and `draws` random ones) and language asked: fact (its uuid), relation, source, neurons, draw,
    size, on (the language asked), before, after. Raises SkillkitError when no fact is there in two languages.
    """
    several, questions = FactNeurons(found).by_language(facts), FactQuestions(bb, facts)
    keys = {(fact.uuid, fact.language): fact.key for fact in facts}
    relation = {fact.uuid: fact.relation for fact in facts}
    before, rows = questions.ask(questions.keys), []
    for uuid, ones in progress_bar(several.items(), "across languages", disable=not progress):
        sources = ones | {"pooled": KnowledgeNeurons.merge(list(ones.values()), share)}
        for source, one in ((source, one) for source, one in sources.items() if len(one)):
            for name, draw, mask in with_controls(bb, one.mask, draws, seed):
                with enhance(bb, mask, factor, positions):
                    after = questions.ask([keys[uuid, language] for language in ones])
                row = {"fact": uuid, "relation": relation[uuid], "source": source, "neurons": name}
                row |= {"draw": draw, "size": int(mask.sum())}
                for language in ones:
                    key = keys[uuid, language]
                    means = {"before": before[key].probability.mean(), "after": after[key].probability.mean()}
                    rows.append(row | {"on": language} | means)
    return Changes(rows)
