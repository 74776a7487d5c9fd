"""Repairing a prompt that an attack has hurt: by pushing its neurons, or by tuning on a few adversarial texts.

>>> with push(bb, probe, skills, strength=1.0):
...     evaluate(bb, view.adversarial, prompt)
>>> push_curve(bb, view.adversarial, prompt, probe, skills, strengths=(0, 0.5, 1))
>>> tune_prompt(bb, mixed(view, 16), init=prompt, length=4, max_steps=2)
>>> repairs(bb, view, prompt, probe, skills, n=16, steps=2)                     # all of it, with what each returns
"""

from contextlib import nullcontext
from dataclasses import replace
from itertools import product

import datasets
import torch

from skillkit.core.errors import SkillkitError, at_least, listed, of_kind
from skillkit.core.serialization import Table
from skillkit.core.store import artifact
from skillkit.models import put, replace_neurons, take
from skillkit.neurons import Probe, checked_mask, random_neurons
from skillkit.prompts import evaluate, tune_prompt
from skillkit.robustness.measures import difference
from skillkit.tasks import balanced

RULES = ("vote", "alone", "truth")
COLUMNS = ["method", "strength", "accuracy", "low", "high", "gain", "gain_low", "gain_high", "clean", "n"]


def push(bb, probe, skills, strength=1.0, rule="vote", labels=None):
    """Context in which skill neurons are moved towards a clean class mean, on the side on which they are.

    >>> with push(bb, probe, skill_neurons(probe, 0.05), strength=0.5):
    ...     evaluate(bb, view.adversarial, prompt).accuracy

    probe     for slots, baselines, class means μ and accuracies, all of clean texts
    skills    a mask, as `suppress` takes it
    strength  λ: a ← a + λ (μ_c − a) at every probed slot; 0 changes nothing, 1 sets the mean
    rule      which class c: "alone", the one that a neuron's own activation speaks for (above or below its
              baseline); "vote", the one that most of the layer's skill neurons speak for, at all slots, each
              weighted by how far its accuracy lies from one half; "truth", the row's label, from `labels` [rows]

    With "vote" and "alone" no label is used: neurons are made to say more clearly what they say. "truth" is no
    repair, but shows how much of the answer these neurons decide. Works inside `evaluate` and
    `predict`, for prompts in the layout of the probe. Raises SkillkitError for another backbone, an empty
    mask, layers or slots that were not probed, and another rule.
    """
    of_kind(Probe, probe=probe)
    probe.made_on(bb)
    if rule not in RULES:
        raise SkillkitError(f"the class is decided by {' or '.join(RULES)}, not {rule!r}")
    if (rule == "truth") != (labels is not None):
        raise SkillkitError("labels= are what rule='truth' goes by; give both or neither")
    skills = checked_mask(bb, skills)
    layers = skills.any(1).nonzero()[:, 0].tolist()
    if not set(layers) <= set(probe.layers) or probe.metadata["slots"] is not None:
        raise SkillkitError("the probe lacks layers or slots of these neurons; probe all of them")
    given = dict(strength=strength, rule=rule, labels=labels)
    return replace_neurons(bb, {layer: _Push(bb, probe, skills[layer], layer, **given) for layer in layers})


class _Push:
    """What is done to the neurons of one layer."""

    def __init__(self, bb, probe, mask, layer, strength, rule, labels):
        side, at = probe.side_of(layer)
        neurons = mask[: bb.widths[layer]].nonzero()[:, 0]
        of = lambda tensor: tensor[..., at, :, :][..., neurons].to(bb.device)
        self.means, self.baseline = of(side.means), of(side.baseline)  # [2, S, K], [S, K]
        self.vote = of(side.decided) - 0.5  # > 0: above the baseline speaks for class 1
        self.bb, self.layer, self.neurons, self.strength = bb, layer, neurons.to(bb.device), strength
        self.rule, self.labels = rule, None if labels is None else torch.as_tensor(labels)
        # In this layout the answer is slot 0 and stands behind the others.
        self.rolled = bb.family == "masked" and probe.metadata["layout"] == "prefix"

    def __call__(self, neurons):
        positions = self.positions(neurons)
        new = take(neurons, positions).clone()
        mine = new[..., self.neurons]  # [B, S, K]
        says = torch.where(mine > self.baseline, self.vote, -self.vote)
        if self.rule == "vote":
            says = says.sum((1, 2), keepdim=True).expand_as(says)
        elif self.rule == "truth":
            label = self.labels[self.bb.now.index.cpu()].to(says)
            says = (label - 0.5)[:, None, None].expand_as(says)
        target = torch.where(says > 0, self.means[1], self.means[0]).to(mine)
        new[..., self.neurons] = mine + self.strength * (target - mine)
        return put(neurons, new, positions)

    def positions(self, neurons):
        """The probed slots of every row, in the probe's order, [B, S]."""
        if self.bb.now is None:
            raise SkillkitError("neurons are pushed inside evaluate and predict only")
        if self.layer in self.bb.decoder_layers:
            return torch.zeros(len(neurons), 1, dtype=torch.long, device=neurons.device)
        where = self.bb.now.places["prompt"]
        if not where.any() or int(where[0].sum()) != len(self.baseline):
            raise SkillkitError(
                "the prompt in this input does not have the probe's slots; take the probed prompt"
            )
        positions = where.nonzero()[:, 1].view(len(where), -1)
        return positions.roll(1, 1) if self.rolled else positions


def _pushed(bb, task, prompt, probe, mask, strength, rule="vote", rows=None, split="test"):
    """The evaluation with neurons pushed, or as it is without a mask or at strength 0."""
    labels = task[split]["label"][:]
    if rows is not None:
        rows = balanced(labels, rows).tolist()
        labels = [labels[row] for row in rows]
    labels = labels if rule == "truth" else None
    untouched = mask is None or not strength
    with nullcontext() if untouched else push(bb, probe, mask, strength, rule, labels):
        return evaluate(bb, task, prompt, split, rows)


@artifact("push", version=2)
def push_curve(
    bb, task, prompt, probe, skills, strengths=(0, 0.5, 1, 1.5), rule="vote", draws=3, split="test", rows=None
) -> Table:
    """Accuracy with skill neurons pushed harder and harder, and with as many random ones: Table.

    >>> push_curve(bb, view.adversarial, prompt, probe, skills)[["strength", "neurons", "draw", "accuracy"]]

    Strength 0 is the untouched model. rows: only so many rows of the split. rule as in `push`; "truth" takes
    the labels of these rows.
    """
    strengths, skills = listed(strengths), checked_mask(bb, skills)
    masks = [("skill", 0, skills)]
    masks += [("random", draw, random_neurons(skills, draw, bb.widths)) for draw in range(draws)]
    found = []
    for strength, (neurons, draw, mask) in product(strengths, masks):
        accuracy = _pushed(bb, task, prompt, probe, mask, strength, rule, rows, split).accuracy
        found.append(dict(strength=float(strength), neurons=neurons, draw=draw, accuracy=accuracy))
    return Table(found)


@artifact("repairs", version=3)  # 3: rows made of one text are set aside together
def repairs(
    bb, view, prompt, probe, skills, strengths=(0.5, 1), n=64, steps=20, recipe="embedded", rows=None, seed=0
) -> Table:
    """What each repair returns of the accuracy on adversarial test rows: Table, a row per method.

    >>> repairs(bb, view, prompt, probe, skills, n=16, steps=2)[["method", "accuracy", "gain", "gain_low", "gain_high"]]

    Methods: none; push, push random (as many other neurons) and push to truth (an upper bound: it uses the labels),
    with the one of `strengths` that does best under "push" on adversarial validation rows (the highest without any);
    tuned on adversarial, and on more clean, rows (`mixed`): the prompt is trained on for so many `steps`.

    Columns method, strength, accuracy with its interval (Wilson), gain over none with its interval (bootstrap
    over pairs), clean (accuracy on clean test rows). rows: only so many test rows, class-balanced.
    """
    strengths, skills = listed(strengths), checked_mask(bb, skills)
    view = view if "train" in view.adversarial.splits else set_aside(view, n, seed)
    given = dict(rows=rows, split="validation")
    score = lambda one: _pushed(bb, view.adversarial, prompt, probe, skills, one, **given).accuracy
    strength = max(strengths, key=score if "validation" in view.adversarial.splits else None)
    tuned = lambda on: _tuned_further(bb, mixed(view, n, seed, on), prompt, recipe, steps, seed)
    table, none = [], None
    for method, one, mask, rule in (
        ("none", prompt, None, "vote"),
        ("push", prompt, skills, "vote"),
        ("push random", prompt, random_neurons(skills, seed, bb.widths), "vote"),
        ("push to truth", prompt, skills, "truth"),
        ("tuned on adversarial", tuned(True), None, "vote"),
        ("tuned on more clean", tuned(False), None, "vote"),
    ):
        read = lambda task, row=(one, probe, mask, strength, rule, rows): _pushed(bb, task, *row)
        hurt, clean = read(view.adversarial), read(view.clean)
        none = hurt.correct if none is None else none
        gain = difference(hurt.correct, none, per_row=1)
        figures = (hurt.accuracy, *hurt.interval, *gain, clean.accuracy, hurt.n)
        table.append((method, None if mask is None else strength, *figures))
    return Table(table, columns=COLUMNS)


def _tuned_further(bb, task, prompt, recipe, steps, seed):
    """The prompt after more steps: the best of two measurements, half way and at the end."""
    options = dict(length=prompt.length, layout=prompt.layout, recipe=recipe, max_steps=steps, seed=seed)
    options |= dict(evaluate_every=max(1, steps // 2), validation_examples=100, progress=False)
    return tune_prompt(bb, task, init=prompt, **options)


def mixed(view, n, seed=0, adversarial=True):
    """A task to tune further on: n adversarial training rows and as many clean ones.

    >>> better = tune_prompt(bb, mixed(view, 16), init=prompt, length=4, max_steps=2)
    >>> same = tune_prompt(bb, mixed(view, 16, adversarial=False), init=prompt, length=4, max_steps=2)      # control

    Class-balanced, drawn with `seed`; with `adversarial=False` all 2n rows are clean. Validation rows are
    mixed alike where the adversarial side has some, else clean. The test split is the adversarial one. Raises
    SkillkitError for a view without adversarial training rows: `set_aside(view, n)` takes them from its test rows.
    """
    if "train" not in view.adversarial.splits:
        raise SkillkitError(f"{view.name} has no adversarial training rows; take set_aside(view, {n})")

    def rows(split, n):
        """n clean rows, and n others: adversarial or clean."""
        if not adversarial:
            return view.clean.sample(split, 2 * n, seed)
        clean, other = view.clean.sample(split, n, seed), view.adversarial.sample(split, n, seed + 1)
        both = {name: [*clean[name][:], *other[name][:]] for name in clean.column_names}
        return datasets.Dataset.from_dict(both)

    validation = view.clean["validation"]
    if "validation" in view.adversarial.splits:
        validation = rows("validation", len(validation) // 2)
    name = f"{view.clean.name} with {n} {'adversarial' if adversarial else 'more clean'} rows"
    splits = {"train": rows("train", n), "validation": validation, "test": view.adversarial["test"]}
    return replace(view.clean, name=name, splits=splits)


def set_aside(view, n, seed=0):
    """The view with n of its adversarial test rows, class-balanced, as adversarial training rows instead.

    >>> view = set_aside(adversarial_view("world/movies", "typos"), 48)

    For sets that were made for testing only. What else was made of the same clean texts leaves the test split, too, and
    so do those texts themselves on the clean side; what is left is no longer paired. Raises SkillkitError when nothing
    would be left.
    """
    at_least(1, n=n)
    test, clean = view.adversarial["test"], view.clean["test"]
    if n >= len(test):
        raise SkillkitError(f"{view.name} has {len(test)} test rows, so {n} of them cannot be set aside")
    rows, sources = balanced(test["label"], n, seed), _sources(view)
    taken = {sources[row] for row in rows}
    rest = [row for row, source in enumerate(sources) if source not in taken]
    kept = [row for row in range(len(clean)) if row not in taken]
    if not rest or not kept:
        raise SkillkitError(f"{n} rows of {view.name} and what belongs to them are all there is; take fewer")
    parts = {"train": test.select(rows), "test": test.select(rest)}
    adversarial = replace(view.adversarial, splits=view.adversarial.splits | parts)
    clean = replace(view.clean, splits=view.clean.splits | {"test": clean.select(kept)})
    return replace(view, clean=clean, adversarial=adversarial, per_row=None)


def _sources(view):
    """For every adversarial test row a number that rows made of one text share: that of the clean test row.

    Rows that are no pairs belong to the row, clean or adversarial, with which they share most words, half at least.
    """
    test, clean = view.adversarial["test"], view.clean["test"]
    if view.paired:
        return [row // view.per_row for row in range(len(test))]
    words = lambda row: set(f"{row['text']} {row.get('text_pair', '')}".lower().split())
    known, found = [(words(row), number) for number, row in enumerate(clean)], []
    for at, row in enumerate(test, start=len(clean)):
        mine = words(row)
        share, source = max(
            ((len(mine & one) / len(mine | one), -number) for one, number in known if one), default=(0, 0)
        )
        found.append(-source if share >= 0.5 else at)
        known.append((mine, found[-1]))
    return found
