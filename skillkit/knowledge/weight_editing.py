"""Edit a fact, erase a relation: does it work, and what does it cost the neighbours?

>>> table = editing(bb, facts, found)                   # every fact is told another answer of its relation
>>> edit_summary(table)[["neurons", "success_1", "mrr", "old_answer_kept", "perplexity_within"]]
>>> erasing(bb, facts, found, top=20)                   # the 20 neurons that most facts of a relation share
>>> erasure_rises(erasing(bb, facts, found))            # perplexity after / before

Dai et al. 2022, section 5.
"""

import random

import numpy as np
import pandas
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress as progress_bar
from skillkit.core.serialization import Table
from skillkit.core.store import artifact
from skillkit.knowledge.fact_eval import Recall
from skillkit.knowledge.fact_suppression import named, neighbours, with_controls
from skillkit.knowledge.interventions import edit, erase
from skillkit.knowledge.relations import by_relation


@artifact("editing", version=1, ignore=("progress",))
def editing(
    bb, facts, found, form="normed", strength=None, others=5, draws=1, positions=None, seed=0, progress=False
) -> Table:
    """Edit every fact to another answer of its relation, and measure the fact and its neighbours.

    >>> editing(bb, facts, found, form="plain", draws=3)

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
    recall, new = Recall(bb, facts), Recall(bb, [fact for fact in facts if fact.key in swaps], swaps)
    before, new_before, rows = recall.read(recall.keys), new.read(new.keys), []
    for fact in progress_bar([fact for fact in facts if fact.key in swaps], "edits", disable=not progress):
        near, answer = neighbours(fact, facts, others, seed), swaps[fact.key]
        for name, draw, mask in with_controls(bb, found[fact.key].mask, draws, seed):
            with edit(bb, mask, answer, fact.object, form, strength, positions):
                after = recall.read([fact.key, *near["same relation"], *near["other relations"]])
                edited = new.read([fact.key])[fact.key]
            told = {"fact": fact.key, "relation": fact.relation, "old": fact.object, "new": answer}
            told |= {"neurons": name, "draw": draw, "size": int(mask.sum())}
            told |= _ranks(edited) | {f"{k} before": v for k, v in _ranks(new_before[fact.key]).items()}
            told["old_answer_kept"] = float((after[fact.key].rank == 1).mean())
            told["old_answer_kept before"] = float((before[fact.key].rank == 1).mean())
            rows.append(told | _cost(near, before, after))
    return Table(rows)


def edit_summary(table, by=("neurons",), confidence=0.95, seed=0):
    """Means over facts of an `editing` table, with bootstrap intervals: one row for each of `by`.

    >>> edit_summary(table, by=("neurons", "relation"))

    Perplexities are averaged as logarithms; other columns as they are.
    """
    numbers = [name for name in table if table[name].dtype.kind == "f"]
    rows = []
    for names, group in table.groupby(list(by), sort=False):
        facts = group.groupby("fact")[numbers].mean()
        told = dict(zip(by, names, strict=True)) | {"facts": len(facts)}
        for name in numbers:
            mean = _geometric_mean if name.startswith("perplexity") else np.mean
            told |= named(name, name, (facts[name].dropna().to_numpy(),), mean, confidence, seed)
        rows.append(told)
    return pandas.DataFrame(rows)


@artifact("erasing", version=2, ignore=("progress",))
def erasing(bb, facts, found, top=20, to="zero", examples=None, draws=5, seed=0, progress=False) -> Table:
    """Erase the neurons that occur in most facts of a relation; measure that relation and the others.

    >>> erasing(bb, facts, found, top=20)[["relation", "neurons", "perplexity_within", "perplexity_between"]]

    Measured on at most `examples` facts of each relation, drawn with `seed` (None: on all).

    Returns a DataFrame with a row for each relation and set of neurons: relation, neurons ("relation", or
    "random": as many in every layer), draw, size; perplexity and accuracy of the right answers within the
    relation and between (all other relations), before and after; rise_within and rise_between, perplexity
    after / before, with a bootstrap interval over facts (rise_within_low, …).
    """
    recall, rows = Recall(bb, _sample(facts, examples, seed)), []
    before = recall.read(recall.keys)
    for relation, group in progress_bar(by_relation(facts).items(), "erasing", disable=not progress):
        mask = shared_neurons([found[fact.key] for fact in group if fact.key in found], top)
        if mask is None:
            continue
        within = {fact.key for fact in group} & set(recall.keys)
        near = {"same relation": sorted(within), "other relations": sorted(set(recall.keys) - within)}
        for name, draw, chosen in with_controls(bb, mask, draws, seed, "relation"):
            with erase(bb, chosen, to):
                after = recall.read(recall.keys)
            told = {"relation": relation, "neurons": name, "draw": draw, "size": int(chosen.sum())}
            rows.append(told | _cost(near, before, after) | _rises(near, before, after, seed))
    if not rows:
        raise SkillkitError("no relation has neurons, so none can be erased; lower the thresholds")
    return Table(rows)


def erasure_rises(table):
    """How many times the perplexity rises by erasing: a row for each relation, set of neurons and place.

    >>> erasure_rises(erasing(bb, facts, found)).query("neurons == 'relation' and on == 'within'")["rise"]

    DataFrame: relation, neurons ("relation" or "random"), on ("within" the relation or "between" relations),
    rise, perplexity after / before, and its interval over facts (low, high); of the random draws the geometric
    means, of the ends too, since all draws are asked the same facts.
    """
    rows = []
    for (relation, neurons), group in table.groupby(["relation", "neurons"], sort=False):
        for on in ("within", "between"):
            ends = {"rise": f"rise_{on}", "low": f"rise_{on}_low", "high": f"rise_{on}_high"}
            told = {name: _geometric_mean(group[column].to_numpy()) for name, column in ends.items()}
            rows.append({"relation": relation, "neurons": neurons, "on": on} | told)
    return pandas.DataFrame(rows)


def shared_neurons(found, top=20):
    """Mask of the `top` neurons that are in most of these facts (ties by how many prompts); None without any.

    >>> shared_neurons([found[fact.key] for fact in facts], top=20).sum()
    """
    if not any(len(one) for one in found):
        return None
    facts = sum(one.mask.int() for one in found)
    prompts = sum(one.counts.int() for one in found)
    order = (facts.double() + prompts.double() / (prompts.max() + 1)).where(
        facts > 0, torch.zeros(()).double()
    )
    values, places = order.flatten().topk(min(top, int((facts > 0).sum())))
    mask = torch.zeros(facts.numel(), dtype=torch.bool)
    mask[places[values > 0]] = True
    return mask.view_as(facts)


def _sample(facts, examples, seed):
    rng = random.Random(seed)
    groups = by_relation(facts).values()
    return [fact for group in groups for fact in rng.sample(group, min(examples or len(group), len(group)))]


def _swaps(facts, found, seed):
    """{key: another answer of the same relation and language} for facts with neurons."""
    swaps = {}
    for fact in facts:
        answers = {
            other.object
            for other in facts
            if (other.relation, other.language) == (fact.relation, fact.language)
            and other.object != fact.object
        }
        if answers and len(found.get(fact.key, ())):
            swaps[fact.key] = random.Random(f"{seed}/{fact.key}").choice(sorted(answers))
    return swaps


def _ranks(one):
    rank = one.rank
    return {
        "success_1": float((rank == 1).mean()),
        "success_5": float((rank <= 5).mean()),
        "mrr": float((1 / rank).mean()),
        "rank": float(rank.mean()),
        "probability": float(one.probability.mean()),
    }


def _cost(near, before, after):
    """Perplexity exp(mean −log P) and accuracy of neighbours, before and after."""
    told = {}
    for place, name in (("same relation", "within"), ("other relations", "between")):
        for when, recalled in ((" before", before), ("", after)):
            asked = [recalled[key] for key in near[place]]
            lost = np.concatenate([one.surprise for one in asked]) if asked else np.array([np.nan])
            rank = np.concatenate([one.rank for one in asked]) if asked else np.array([np.nan])
            told[f"perplexity_{name}{when}"] = float(np.exp(lost.mean()))
            told[f"accuracy_{name}{when}"] = float((rank == 1).mean()) if asked else np.nan
    return told


def _rises(near, before, after, seed):
    """Perplexity after / before over all prompts of the facts near by, with its interval over facts."""
    told, rise = {}, lambda gained, prompts, axis=-1: np.exp(gained.sum(axis) / prompts.sum(axis))
    for place, name in (("same relation", "rise_within"), ("other relations", "rise_between")):
        gained = [(after[key].surprise - before[key].surprise).sum() for key in near[place]]
        told |= named(
            name, name, (gained, [len(before[key].surprise) for key in near[place]]), rise, seed=seed
        )
    return told


def _geometric_mean(values, axis=-1):
    return np.exp(np.log(values).mean(axis))
