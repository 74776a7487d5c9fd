"""Repairing a prompt that an attack has hurt: through its neurons, or by tuning on a few adversarial texts.

>>> with push(bb, probe, skills, strength=1.0):
...     evaluate(bb, view.adversarial, prompt)
>>> push_curve(bb, view.adversarial, prompt, probe, skills, strengths=(0, 0.5, 1))
>>> tune_prompt(bb, mixed(view, 16), init=prompt, length=4, max_steps=2)
>>> repairs(bb, view, prompt, probe, skills, n=16, steps=2)                     # all of it, with what each returns
"""

from contextlib import nullcontext
from dataclasses import replace

import datasets
import pandas as pd
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.serialization import Table
from skillkit.core.store import artifact
from skillkit.models import put, replace_neurons, take
from skillkit.neurons import checked_mask, random_neurons
from skillkit.prompts import evaluate, tune_prompt
from skillkit.robustness.measures import difference
from skillkit.tasks import balanced

RULES = ("vote", "alone", "truth")


def push(bb, probe, skills, strength=1.0, rule="vote", labels=None):
    """Context in which skill neurons are moved towards a clean class mean, on the side on which they are.

    >>> with push(bb, probe, skill_neurons(probe, 0.05), strength=0.5):
    ...     evaluate(bb, view.adversarial, prompt).accuracy

    probe     tells slots, baselines, class means μ and accuracies, all of clean texts
    skills    bool [layers, neurons]
    strength  λ: a ← a + λ (μ_c − a) at every probed slot; 0 changes nothing, 1 sets the mean
    rule      which class c: "alone", the one that a neuron's own activation speaks for (above or below its
              baseline); "vote", the one that most of the layer's skill neurons speak for, at all slots, each
              weighted by how far its accuracy lies from one half; "truth", the row's label, from `labels` [rows]

    With "vote" and "alone" no label is used: neurons are made to say more clearly what they say. "truth" is no
    repair, but tells how much of the answer these neurons decide. Works inside `evaluate` and
    `predict`, for prompts in the layout of the probe. Raises SkillkitError for another backbone, an empty
    mask, layers or slots that were not probed, and another rule.
    """
    probe.made_on(bb)
    if rule not in RULES:
        raise SkillkitError(f"the class is decided by {' or '.join(RULES)}, not {rule!r}")
    if (rule == "truth") != (labels is not None):
        raise SkillkitError("labels= are what rule='truth' goes by; give both or neither")
    layers = checked_mask(bb, skills).any(1).nonzero()[:, 0].tolist()
    if not set(layers) <= set(probe.layers) or probe.metadata["slots"] is not None:
        raise SkillkitError("the probe lacks layers or slots of these neurons; probe all of them")
    # In this layout the answer is slot 0 and stands behind the others.
    rolled = bb.family == "masked" and probe.metadata["layout"] == "prefix"
    change = {
        layer: _Push(bb, probe, skills[layer], layer, strength, rule, labels, rolled) for layer in layers
    }
    return replace_neurons(bb, change)


class _Push:
    """The edit of one layer."""

    def __init__(self, bb, probe, mask, layer, strength, rule, labels, rolled):
        side = next(side for side in probe.stacks.values() if layer in side.layers)
        at, self.chosen = side.layers.index(layer), mask[: bb.widths[layer]].nonzero()[:, 0].to(bb.device)
        of = lambda tensor: tensor[..., at, :, :][..., mask[: tensor.shape[-1]].nonzero()[:, 0]].to(bb.device)
        self.means, self.baseline = of(side.means), of(side.baseline)  # [2, S, K], [S, K]
        self.vote = of(side.decided) - 0.5  # > 0: firing speaks for class 1
        self.bb, self.layer, self.strength, self.rolled = bb, layer, strength, rolled
        self.rule, self.labels = rule, None if labels is None else torch.as_tensor(labels)

    def __call__(self, neurons):
        positions = self.positions(neurons)
        old = take(neurons, positions)
        mine = old[..., self.chosen]  # [B, S, K]
        says = torch.where(mine > self.baseline, self.vote, -self.vote)
        if self.rule == "vote":
            says = says.sum((1, 2), keepdim=True).expand_as(says)
        elif self.rule == "truth":
            label = self.labels[self.bb.now.index.cpu()].to(says)
            says = (label - 0.5)[:, None, None].expand_as(says)
        target = torch.where(says > 0, self.means[1], self.means[0]).to(mine)
        new = old.clone()
        new[..., self.chosen] = mine + self.strength * (target - mine)
        return put(neurons, new, positions)

    def positions(self, neurons):
        """The probed slots of every row, in the probe's order, [B, S]."""
        if self.bb.now is None:
            raise SkillkitError(
                "neurons are pushed inside evaluate and predict, which know where the prompt is"
            )
        if self.layer in self.bb.decoder_layers:
            return torch.zeros(len(neurons), 1, dtype=torch.long, device=neurons.device)
        where = self.bb.now.places["prompt"]
        if not where.any() or int(where[0].sum()) != len(self.baseline):
            raise SkillkitError(
                "this input has not the prompt slots of the probe; push with the probed prompt"
            )
        positions = where.nonzero()[:, 1].view(len(where), -1)
        return positions.roll(1, 1) if self.rolled else positions


@artifact("push", version=2)
def push_curve(
    bb, task, prompt, probe, skills, strengths=(0, 0.5, 1, 1.5), rule="vote", draws=3, split="test", rows=None
) -> Table:  # fmt: skip
    """Accuracy with skill neurons pushed harder and harder, and with as many random ones: Table.

    >>> push_curve(bb, view.adversarial, prompt, probe, skills)[["strength", "neurons", "draw", "accuracy"]]

    Strength 0 is the untouched model. rows: only so many rows of the split. rule as in `push`; "truth" takes
    the labels of these rows.
    """
    found, untouched = [], evaluate(bb, task, prompt, split, rows).accuracy
    masks = [
        ("skill", 0, skills),
        *(("random", n, random_neurons(skills, n, bb.widths)) for n in range(draws)),
    ]
    for strength in strengths:
        for neurons, draw, mask in masks:
            options = dict(rule=rule, rows=rows, split=split)
            one = (
                _pushed(bb, task, prompt, probe, mask, strength, **options).accuracy
                if strength
                else untouched
            )
            found.append(dict(strength=float(strength), neurons=neurons, draw=draw, accuracy=one))
    return Table(pd.DataFrame(found))


@artifact("repairs", version=2)
def repairs(
    bb, view, prompt, probe, skills, strengths=(0.5, 1), n=64, steps=20, recipe="embedded", rows=None, seed=0
) -> Table:
    """What each repair returns of the accuracy on adversarial test rows: Table, a row per method.

    >>> repairs(bb, view, prompt, probe, skills, n=16, steps=2)[["method", "accuracy", "gain", "gain_low", "gain_high"]]

    Methods: none; push, push random (as many other neurons) and push to truth (an upper mark), with the one of
    `strengths` that does best under "push" on adversarial validation rows, the highest where there are none;
    tuned on adversarial, and on more clean, rows (`mixed`): the prompt is trained on for so many `steps`.

    Columns method, strength, accuracy with its interval (Wilson), gain over none with its interval (bootstrap
    over pairs), clean (accuracy on clean test rows). rows: only so many test rows, class-balanced.
    """
    if "train" not in view.adversarial.splits:
        view = held_out(view, n, seed)
    strength, other = (
        _best(bb, view, prompt, probe, skills, strengths, rows),
        random_neurons(skills, seed, bb.widths),
    )
    methods = [("none", prompt, None, None), *(("push" + tail, prompt, mask, rule) for tail, mask, rule in (
        ("", skills, "vote"), (" random", other, "vote"), (" to truth", skills, "truth")))]  # fmt: skip
    for name, adversarial in (("tuned on adversarial", True), ("tuned on more clean", False)):
        task = mixed(view, n, seed, adversarial)
        # The best of two measurements, half way and at the end.
        options = dict(length=prompt.length, layout=prompt.layout, recipe=recipe, max_steps=steps, seed=seed)
        options |= dict(evaluate_every=max(1, steps // 2), validation_examples=100)
        methods.append((name, tune_prompt(bb, task, init=prompt, progress=False, **options), None, None))
    found = [
        [_pushed(bb, task, one, probe, mask, strength, rule, rows) for task in (view.adversarial, view.clean)]
        for _, one, mask, rule in methods
    ]
    none = found[0][0].correct
    table = [
        dict(method=name, strength=strength if mask is not None else None, **_row(adversarial, clean, none))
        for (name, _, mask, _), (adversarial, clean) in zip(methods, found, strict=True)
    ]
    return Table(pd.DataFrame(table))


def _row(adversarial, clean, none):
    (low, high), gain = adversarial.interval, difference(adversarial.correct, none, per_row=1)
    told = dict(zip(("gain", "gain_low", "gain_high"), gain, strict=True))
    return dict(
        accuracy=adversarial.accuracy, low=low, high=high, **told, clean=clean.accuracy, n=adversarial.n
    )


def _pushed(bb, task, prompt, probe, mask, strength, rule, rows, split="test"):
    """The evaluation with neurons pushed, or as it is when there is no mask."""
    labels = task[split]["label"][:]
    if rows is not None:
        rows = balanced(labels, rows).tolist()
        labels = [labels[row] for row in rows]
    labels = labels if rule == "truth" else None
    with nullcontext() if mask is None else push(bb, probe, mask, strength, rule, labels):
        return evaluate(bb, task, prompt, split, rows)


def _best(bb, view, prompt, probe, skills, strengths, rows):
    if "validation" not in view.adversarial.splits:
        return max(strengths)
    options = dict(rule="vote", rows=rows, split="validation")
    return max(
        strengths,
        key=lambda one: _pushed(bb, view.adversarial, prompt, probe, skills, one, **options).accuracy,
    )


def mixed(view, n, seed=0, adversarial=True):
    """A task to tune further on: n adversarial training rows and as many clean ones.

    >>> better = tune_prompt(bb, mixed(view, 16), init=prompt, length=4, max_steps=2)
    >>> same = tune_prompt(bb, mixed(view, 16, adversarial=False), init=prompt, length=4, max_steps=2)      # control

    Class-balanced, drawn with `seed`; with `adversarial=False` all 2n rows are clean. Validation rows are
    mixed alike where the adversarial side has some, else clean. The test split is the adversarial one. Raises
    SkillkitError for a view without adversarial training rows: `held_out(view, n)` sets test rows aside.
    """
    if "train" not in view.adversarial.splits:
        raise SkillkitError(
            f"{view.name} has no adversarial training rows; take them from held_out(view, {n})"
        )
    splits = {"train": _both(view, "train", n, seed, adversarial)}
    size = len(view.clean["validation"]) // 2
    splits["validation"] = (
        _both(view, "validation", size, seed, adversarial)
        if "validation" in view.adversarial.splits
        else view.clean["validation"]
    )
    name = f"{view.clean.name} with {n} {'adversarial' if adversarial else 'more clean'} rows"
    return replace(view.clean, name=name, splits=splits | {"test": view.adversarial["test"]})


def _both(view, split, n, seed, adversarial):
    """n clean rows, and n others: adversarial or clean."""
    clean = view.clean.sample(split, n if adversarial else 2 * n, seed)
    if not adversarial:
        return clean
    return _joined(clean, view.adversarial.sample(split, n, seed + 1))


def _joined(*parts):
    names = parts[0].column_names
    return datasets.Dataset.from_dict({name: [x for part in parts for x in part[name][:]] for name in names})


def held_out(view, n, seed=0):
    """The view with n of its adversarial test rows, class-balanced, as adversarial training rows instead.

    >>> view = held_out(adversarial_view("world/movies", "typos"), 48)

    For sets that were made for testing only; what is left of the test split is no longer paired. Raises
    SkillkitError when it has not more than n rows.
    """
    test = view.adversarial["test"]
    if n >= len(test):
        raise SkillkitError(f"{view.name} has {len(test)} test rows, so {n} of them cannot be set aside")
    texts = list(zip(*(test[name][:] for name in test.column_names), strict=True))
    train = view.adversarial.sample("test", n, seed)
    taken = set(zip(*(train[name][:] for name in test.column_names), strict=True))
    rest = test.select([row for row, text in enumerate(texts) if text not in taken])
    splits = view.adversarial.splits | {"train": train, "test": rest}
    return replace(view, adversarial=replace(view.adversarial, splits=splits), per_row=None)
