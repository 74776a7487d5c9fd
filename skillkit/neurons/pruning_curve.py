"""Pruning curves: accuracy when fewer and fewer neurons are kept, against random neurons and weight magnitude.

>>> curve = pruning_curve(bb, task, prompt, probe, fill=probe.fill, shares=(0.1,), further_steps=2)
>>> curve.table                                    # one row per share, kind of neurons, draw, and tuning
>>> sum([curve_of_seed_0, curve_of_seed_1]).summary()
"""

from skillkit.core.errors import (
    SkillkitError,
    at_least,
    check_objects,
    each_once,
    is_number,
    listed,
    of_kind,
    quoted,
)
from skillkit.core.progress import progress as steps
from skillkit.core.store import artifact
from skillkit.models import checked_layers
from skillkit.neurons.pruning import magnitude, prune, pruned_layers
from skillkit.neurons.skill_neurons import random_neurons, skill_neurons
from skillkit.neurons.suppression_curve import Curve
from skillkit.prompts import SoftPrompt, evaluate, tune_prompt

SHARES = (0.02, 0.05, 0.1, 0.2, 0.5)
KINDS = ("skill neurons", "random neurons", "largest weights", "skill, no constants")
_TUNED = ("all", *KINDS[:3])


class PruningCurve(Curve):
    """Accuracies of pruned backbones, of one run or several; made by `pruning_curve`.

    >>> curve.table.groupby(["share", "neurons", "tuned"]).accuracy.mean()
    >>> sum([curve_of_seed_0, curve_of_seed_1]).summary()[["share", "neurons", "tuned", "accuracy", "low", "high"]]

    `rows` are dicts: task, share, neurons (one of KINDS, or "all"), draw, tuned ("before" or "further"), kept
    (neurons in the pruned layers), accuracy, score, n, parameters (share of the full model's).
    """

    _groups = ("share", "neurons", "tuned", "parameters")


# The kind keeps the name that it had at first, so that stored results are found.
@artifact("shrinkage", version=3)
def pruning_curve(
    bb, task, prompt, ranking, fill, shares=SHARES, layers=None, draws=3, further_steps=None, recipe="embedded",
    max_train_examples=None, split="test", examples=None, seed=0, progress=True,
) -> PruningCurve:  # fmt: skip
    """Evaluate a task on smaller and smaller backbones, with the prompt as it is and tuned further.

    >>> pruning_curve(bb, task, prompt, [probe_of_seed_0, probe_of_seed_1], fill=probe_of_seed_0, shares=(0.1,))
    >>> pruning_curve(bb, task, prompt, probe, probe, shares=(0.02,), layers=range(3, 6), further_steps=2)

    ranking        what `skill_neurons` takes, best after the other
    fill           as in `prune`: the constants, mean activations of the neurons that go
    shares         shares (or one) of the neurons kept in each pruned layer; the unpruned backbone comes by itself
    layers         the pruned layers; None: `pruned_layers`
    draws          random draws per share; the first of them alone is tuned further
    further_steps  steps of tuning the prompt on the pruned backbone, starting from `prompt`, with `recipe`
                   and at most `max_train_examples`; the unpruned backbone gets as many, neurons without
                   constants none. None: no tuning
    examples       evaluate on so many rows of the split, class-balanced; None: all

    Kinds of neurons (KINDS): the best of the ranking, as many random others, those with the largest weights
    (`magnitude`), and the best again with nothing in the place of the rest. Wang et al. 2022, section 6.1.

    Raises SkillkitError for a share outside (0, 1), one that keeps no neuron, and what `prune` refuses.
    """
    of_kind(SoftPrompt, prompt=prompt), check_objects(bb, task), at_least(1, most=10_000, draws=draws)
    at_least(0, seed=seed)
    shares = each_once("shares", listed(shares))
    if not all(is_number(share) and 0 < share < 1 for share in shares):
        raise SkillkitError(f"shares must lie between 0 and 1, not {quoted(shares)}")
    layers = pruned_layers(bb) if layers is None else checked_layers(bb, layers)
    options = dict(length=prompt.length, seed=seed, recipe=recipe, max_steps=further_steps, layout=prompt.layout,
                   init=prompt, max_train_examples=max_train_examples, progress=False)  # fmt: skip
    plan = [(1.0, "all", draws * seed, None, None)]
    plan += [(share, *one) for share in shares for one in _kept(bb, ranking, fill, share, draws, seed)]
    rows, whole = [], bb.model.num_parameters()
    for share, kind, draw, mask, constants in steps(plan, f"pruning for {task.name}", disable=not progress):
        small = bb if mask is None else prune(bb, mask, constants, layers)
        prompts = {"before": prompt}
        if further_steps and kind in _TUNED and draw == draws * seed:
            prompts["further"] = tune_prompt(small, task, **options)
        for tuned, one in prompts.items():
            found = evaluate(small, task, one, split, rows=examples)
            rows.append({
                "task": task.name, "share": float(share), "neurons": kind, "draw": draw, "tuned": tuned,
                "kept": sum(small.widths[layer] for layer in layers), "accuracy": found.accuracy,
                "score": found.score, "n": found.n, "parameters": small.model.num_parameters() / whole,
            })  # fmt: skip
    return PruningCurve(rows)


def _kept(bb, ranking, fill, share, draws, seed):
    """(kind, draw, mask, constants) of everything that is kept at one share."""
    skill, largest = skill_neurons(ranking, share), skill_neurons(magnitude(bb), share)
    numbers = range(draws * seed, draws * (seed + 1))
    return [
        ("skill neurons", numbers[0], skill, fill),
        ("largest weights", numbers[0], largest, fill),
        ("skill, no constants", numbers[0], skill, None),
        *(("random neurons", number, random_neurons(skill, number, bb.widths), fill) for number in numbers),
    ]
