"""Editing and erasing of weights: does an edit of a fact work, and what does it cost other facts?

>>> table = edit_facts(bb, facts, found)                # every fact gets another answer of its relation
>>> table.summary()[["neurons", "success_1", "mrr", "old_answer_kept", "perplexity_within"]]
>>> erase_relations(bb, facts, found, top=20).rises()   # perplexity after / before, without a relation's neurons

Dai et al. 2022, section 5.
"""

import random

import numpy as np
import pandas
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress as progress_bar
from skillkit.core.store import artifact
from skillkit.knowledge.counts import FactNeurons, estimate
from skillkit.knowledge.fact_eval import FactQuestions
from skillkit.knowledge.fact_suppression import FactTable, neighbours, with_controls
from skillkit.knowledge.interventions import edit, erase
from skillkit.knowledge.relations import by_relation


class Edits(FactTable):
    """Edits of facts: success, and cost for other facts.

    >>> table.summary(by=("neurons", "relation"))
    """

    def summary(self, by=("neurons",), confidence=0.95, seed=0):
        """Means over facts with bootstrap intervals, a row for each of `by`; of perplexities geometric means."""
        numbers = [name for name in self if self[name].dtype.kind == "f"]
        rows = []
        for names, group in self.groupby(list(by), sort=False):
            facts = group.groupby("fact")[numbers].mean()
            row = dict(zip(by, names, strict=True)) | {"facts": len(facts)}
            for name in numbers:
                mean = _geometric_mean if name.startswith("perplexity") else np.mean
                row |= estimate(name, (facts[name].dropna().to_numpy(),), mean, confidence, seed)
            rows.append(row)
        return pandas.DataFrame(rows)


@artifact("editing", version=1, ignore=("progress",))
def edit_facts(
    bb, facts, found, form="normed", strength=None, others=5, draws=1, positions=None, seed=0, progress=False
) -> Edits:
    """Edit every fact to another answer of its relation, and measure the fact and its neighbours.

    >>> edit_facts(bb, facts, found, form="plain")

    form, strength  of `interventions.edit`
    others          facts of the same and of other relations (with other answers) that stand for neighbours
    draws           sets of random neurons, as many in every layer, that are edited for comparison
    positions       of the intervention: None (everywhere) or "answer"

    Returns a DataFrame with a row for each fact and set of neurons: fact, relation, old and new answer,
    neurons, draw, size; of the new answer, over the fact's prompts, success_1 and success_5 (share with rank 1,
    and up to 5), mrr (mean reciprocal rank), rank, each also before the edit (`… before`), and its mean
    probability; old_answer_kept (share of prompts that still put the old one first) and, for neighbours
    within the relation and between relations, perplexity and accuracy of their right answers before and after.
    Raises SkillkitError when no fact has neurons and another answer to take.
    """
    swaps = _swaps(facts, found, seed)
    if not swaps:
        raise SkillkitError("no fact with neurons has another answer in its relation, so none can be edited")
    edited = [fact for fact in facts if fact.key in swaps]
    questions, new = FactQuestions(bb, facts), FactQuestions(bb, edited, swaps)
    before, new_before, rows = questions.ask(questions.keys), new.ask(new.keys), []
    for fact in progress_bar(edited, "edits", disable=not progress):
        near = dict(zip(("within", "between"), neighbours(fact, facts, others, seed).values()))
        answer = swaps[fact.key]
        for name, draw, mask in with_controls(bb, found[fact.key].mask, draws, seed):
            with edit(bb, mask, answer, fact.object, form, strength, positions):
                after = questions.ask([fact.key, *near["within"], *near["between"]])
                ranks = _ranks(new.ask([fact.key])[fact.key])
            row = {"fact": fact.key, "relation": fact.relation, "old": fact.object, "new": answer}
            row |= {"neurons": name, "draw": draw, "size": int(mask.sum())}
            row |= ranks | {f"{k} before": v for k, v in _ranks(new_before[fact.key]).items()}
            row["old_answer_kept"] = after[fact.key].known
            row["old_answer_kept before"] = before[fact.key].known
            rows.append(row | _cost(near, before, after))
    return Edits(rows)


class Erasures(FactTable):
    """Perplexity of facts before and after the neurons of a relation are erased.

    >>> erased.rises().query("neurons == 'relation' and on == 'within'")["rise"]
    """

    def rises(self):
        """How many times the perplexity rises: a DataFrame with a row for each relation, set of neurons and place.

        Columns: relation, neurons ("relation" or "random"), on ("within" the relation or "between" relations),
        rise, perplexity after / before, and its interval over facts (low, high); of the random draws the
        geometric means, of the ends too, since all draws are asked the same facts.
        """
        rows = []
        for (relation, neurons), group in self.groupby(["relation", "neurons"], sort=False):
            for on in ("within", "between"):
                ends = {"rise": f"rise_{on}", "low": f"rise_{on}_low", "high": f"rise_{on}_high"}
                means = {name: _geometric_mean(group[column].to_numpy()) for name, column in ends.items()}
                rows.append({"relation": relation, "neurons": neurons, "on": on} | means)
        return pandas.DataFrame(rows)


@artifact("erasing", version=2, ignore=("progress",))
def erase_relations(
    bb, facts, found, top=20, to="zero", examples=None, draws=5, seed=0, progress=False
) -> Erasures:
    """Erase the neurons that occur in most facts of a relation; measure that relation and the others.

    >>> erase_relations(bb, facts, found, top=20)[["relation", "neurons", "perplexity_within", "perplexity_between"]]

    Measured on at most `examples` facts of each relation, drawn with `seed` (None: on all).

    Returns a DataFrame with a row for each relation and set of neurons: relation, neurons ("relation", or
    "random": as many in every layer), draw, size; perplexity and accuracy of the right answers within the
    relation and between (all other relations), before and after; rise_within and rise_between, perplexity
    after / before, with a bootstrap interval over facts (rise_within_low, …).
    """
    questions, rows = FactQuestions(bb, _sample(facts, examples, seed)), []
    before = questions.ask(questions.keys)
    for relation, group in progress_bar(by_relation(facts).items(), "erasing", disable=not progress):
        mask = shared_neurons([found[fact.key] for fact in group if fact.key in found], top)
        if mask is None:
            continue
        within = {fact.key for fact in group} & set(questions.keys)
        near = {"within": sorted(within), "between": sorted(set(questions.keys) - within)}
        for name, draw, chosen in with_controls(bb, mask, draws, seed, "relation"):
            with erase(bb, chosen, to):
                after = questions.ask(questions.keys)
            row = {"relation": relation, "neurons": name, "draw": draw, "size": int(chosen.sum())}
            rows.append(row | _cost(near, before, after) | _rises(near, before, after, seed))
    if not rows:
        raise SkillkitError("no relation has neurons, so none can be erased; lower the thresholds")
    return Erasures(rows)


def shared_neurons(found, top=20):
    """Mask of the `top` neurons that are in most of these facts (ties by how many prompts); None without any.

    >>> shared_neurons([found[fact.key] for fact in facts], top=20).sum()
    """
    if not any(len(one) for one in found):
        return None
    facts = sum(one.mask.int() for one in found)
    prompts = sum(one.counts.int() for one in found)
    order = (facts.double() + prompts.double() / (prompts.max() + 1)).where(facts > 0, 0.0)
    places = order.flatten().topk(min(top, int((facts > 0).sum()))).indices
    return torch.zeros(facts.numel(), dtype=torch.bool).index_fill(0, places, True).view_as(facts)


def _sample(facts, examples, seed):
    rng = random.Random(seed)
    groups = by_relation(facts).values()
    return [fact for group in groups for fact in rng.sample(group, min(examples or len(group), len(group)))]


def _swaps(facts, found, seed):
    """{key: another answer of the same relation and language} for facts with neurons."""
    swaps, kind = {}, lambda fact: (fact.relation, fact.language)
    for fact in FactNeurons(found).of(facts):
        answers = {other.object for other in facts if kind(other) == kind(fact)} - {fact.object}
        if answers:
            swaps[fact.key] = random.Random(f"{seed}/{fact.key}").choice(sorted(answers))
    return swaps


def _ranks(one):
    rank = one.rank
    return {
        "success_1": one.known,
        "success_5": float((rank <= 5).mean()),
        "mrr": float((1 / rank).mean()),
        "rank": float(rank.mean()),
        "probability": float(one.probability.mean()),
    }


def _cost(near, before, after):
    """Perplexity exp(mean −log P) and accuracy of neighbours, before and after."""
    cost = {}
    for name, keys in near.items():
        for when, answers in ((" before", before), ("", after)):
            asked = [answers[key] for key in keys]
            lost = np.concatenate([one.surprise for one in asked] or [[np.nan]])
            rank = np.concatenate([one.rank for one in asked] or [[np.nan]])
            cost[f"perplexity_{name}{when}"] = float(np.exp(lost.mean()))
            cost[f"accuracy_{name}{when}"] = float((rank == 1).mean()) if asked else np.nan
    return cost


def _rises(near, before, after, seed):
    """Perplexity after / before over all prompts of the facts near by, with its interval over facts."""
    rises, rise = {}, lambda gained, prompts, axis=-1: np.exp(gained.sum(axis) / prompts.sum(axis))
    for name, keys in near.items():
        gained = [(after[key].surprise - before[key].surprise).sum() for key in keys]
        prompts = [len(before[key].surprise) for key in keys]
        rises |= estimate(f"rise_{name}", (gained, prompts), rise, seed=seed)
    return rises


def _geometric_mean(values, axis=-1):
    return np.exp(np.log(values).mean(axis))
