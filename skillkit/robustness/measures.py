"""Accuracy under attack and its drop, with bootstrap intervals; how far an attack moves the skill neurons.

>>> compared = view.accuracies(answers(bb, view, [prompt_of_seed_0, prompt_of_seed_1]))
>>> compared.clean, compared.adversarial, compared.drop        # three Estimates: value, low, high
>>> [gap] = activation_gaps(bb, [view], prompt, probes.chosen, skills)

Prompts are tuned on clean texts only. Ackermann & Ohmer, "On the Relationship between Skill Neurons and
Robustness in Prompt Tuning" (2024); the paired intervals and the gap are ours.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from skillkit.core.errors import SkillkitError, listed, of_kind
from skillkit.core.stats import accuracy_interval, bootstrap_interval
from skillkit.core.store import artifact
from skillkit.neurons import Probe, activations, checked_mask
from skillkit.prompts import evaluate
from skillkit.tasks import balanced


class Estimate(NamedTuple):
    """A figure and the ends of its 95 % interval.

    >>> value, low, high = compared.drop
    >>> low <= value <= high
    True
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Accuracies of several prompts of one task on both sides of a view; made by `View.accuracies`.

    >>> compared
    Comparison(world/movies, typos 0.5: clean ..., adversarial ..., drop ... [..., ...], prompts: 2)

    correct: {"clean": bool [prompts, rows], "adversarial": bool [prompts, rows]}. Intervals of accuracies are about
    new prompts and new rows; that of the drop is over the rows, for the mean of these prompts. `drops` has every
    prompt's own.
    """

    view: Any
    correct: dict

    def __repr__(self):
        (drop, low, high), prompts = self.drop, len(self.correct["clean"])
        sides = f"clean {self.clean.value:.3f}, adversarial {self.adversarial.value:.3f}"
        return f"Comparison({self.view.name}: {sides}, drop {drop:.3f} [{low:.3f}, {high:.3f}], prompts: {prompts})"

    @property
    def clean(self):
        """Accuracy on clean test rows, interval over new prompts and new rows."""
        return self._accuracy("clean")

    @property
    def adversarial(self):
        """Accuracy on adversarial test rows, interval over new prompts and new rows."""
        return self._accuracy("adversarial")

    @property
    def drop(self):
        """Clean minus adversarial accuracy; rows are resampled in pairs where they are pairs."""
        clean, adversarial = (self.correct[side].double().mean(0) for side in ("clean", "adversarial"))
        return difference(clean, adversarial, self.view.per_row)

    @property
    def drops(self):
        """Clean minus adversarial accuracy of every prompt."""
        clean, adversarial = (self.correct[side].double().mean(1) for side in ("clean", "adversarial"))
        return [one - other for one, other in zip(clean.tolist(), adversarial.tolist(), strict=True)]

    def row(self):
        """One row of a table: what was compared, three estimates, chance, and how many rows.

        >>> row = compared.row()
        >>> row["task"], row["attack"], row["n_clean"], row["n_adversarial"]
        ('world/movies', 'typos', 16, 16)
        """
        view, figures = self.view, {}
        for name in ("clean", "adversarial", "drop"):
            figures |= zip((name, f"{name}_low", f"{name}_high"), getattr(self, name), strict=True)
        about = dict(task=view.clean.name, attack=view.attack, strength=view.strength, chance=view.chance)
        counts = {f"n_{side}": found.shape[1] for side, found in self.correct.items()}
        return about | figures | dict(paired=view.paired) | counts

    def _accuracy(self, side):
        found = self.correct[side].double()
        return Estimate(*accuracy_interval(found.mean(1).tolist(), found.shape[1]))


@artifact("answers", version=1, ignore=("clean", "batch_size"))
def answers(bb, view, prompts, rows=None, clean=None, batch_size=None):
    """Which test rows prompts get right: {"clean": bool [prompts, rows], "adversarial": bool [prompts, rows]}.

    >>> strong = view.accuracies(sk.cached(answers, bb, view, prompts, rows=300))
    >>> weak = answers(bb, weaker_view, prompts, rows=300, clean=strong)       # clean rows are not read again

    prompts: a list (seeds), or one. rows: only so many clean rows, class-balanced, and what belongs to them. Raises
    SkillkitError for a `clean` comparison of other rows or another number of prompts.
    """
    prompts = listed(prompts)
    if clean is not None and (
        clean.view.clean.fingerprint != view.clean.fingerprint or len(clean.correct["clean"]) != len(prompts)
    ):
        raise SkillkitError(f"{clean.view.name} and {view.name} do not have the same clean rows and prompts")
    read = lambda task, rows: torch.stack([
        evaluate(bb, task, prompt, "test", rows, batch_size).correct for prompt in prompts
    ])  # fmt: skip
    ours = theirs = rows
    if rows is not None and view.paired:
        ours = balanced(view.clean["test"]["label"], rows).tolist()
        theirs = [row * view.per_row + number for row in ours for number in range(view.per_row)]
    known = clean.correct["clean"] if clean else read(view.clean, ours)
    return {"clean": known, "adversarial": read(view.adversarial, theirs)}


def difference(first, second, per_row=None, seed=0):
    """Mean of `first` minus mean of `second`, with its 95 % bootstrap interval: an `Estimate`.

    >>> difference(clean_values, adversarial_values, per_row=1)          # paired
    >>> difference(clean_values, adversarial_values)                     # two independent samples

    per_row: so many values of `second`, one after another, belong to each of `first`; a pair is resampled as
    a whole (Efron & Tibshirani 1993). None: the two are resampled apart.
    """
    first, second = (np.asarray(values, float) for values in (first, second))
    if per_row:
        second = second.reshape(-1, per_row).mean(1)
    gap = lambda one, other, axis=0: one.mean(axis) - other.mean(axis)
    interval = (np.nan, np.nan)
    if min(len(first), len(second)) > 1:
        interval = bootstrap_interval((first, second), gap, paired=bool(per_row), seed=seed)
    return Estimate(float(gap(first, second)), *interval)


def class_projections(bb, task, prompt, chosen, skills, split="test", examples=None, seed=0):
    """Where each example stands between the clean class means, in the space of the skill neurons: [n].

    >>> class_projections(bb, view.clean, prompt, chosen, skills).mean()          # about 1
    >>> class_projections(bb, view.adversarial, prompt, chosen, skills).mean()    # 0: half way to the other class

    With a neuron's class means μ₀, μ₁ over the clean training rows at its best slot, m = (μ₀ + μ₁) / 2 and
    δ = (μ₁ − μ₀) / 2, an example of class y with activations a is at ± Σ (a − m) δ / Σ δ² (+ for
    y = 1): 1 at the mean of its own class, 0 half way, −1 at the mean of the other class.

    chosen: a Probe, for slots and class means; skills: a mask, as `suppress` takes it.
    """
    of_kind(Probe, chosen=chosen)
    slot, skills = chosen.slot, checked_mask(bb, skills)
    places = [(layer, int(slot[layer, neuron]), neuron) for layer, neuron in skills.nonzero().tolist()]
    low, high = torch.stack([_class_means(chosen, *place) for place in places], 1)
    seen = activations(bb, task, prompt, places, split, examples, seed)
    delta = (high - low) / 2
    position = (seen.values - (low + high) / 2) @ delta / (delta @ delta)
    return torch.where(seen.labels == 1, position, -position)


def _class_means(probe, layer, slot, neuron):
    """Mean activation of a neuron at a slot over the training rows of class 0 and of class 1, [2]."""
    side, number = probe.side_of(layer)
    return side.means[:, number, side.numbers.index(slot), neuron].float()


@artifact("gaps", version=1)
def activation_gaps(bb, views, prompt, chosen, skills, examples=None, seed=0):
    """How far attacks move skill neurons from their clean class means: an `Estimate` for each view of a task.

    >>> activation_gaps(bb, [view], prompt, probes.chosen, skill_neurons(probes.chosen, 0.05))
    [Estimate(value=..., low=..., high=...)]

    Mean of `class_projections` over clean minus that over adversarial test rows: 0 where the attack moves nothing,
    1 where it takes the neurons to the middle between the classes, 2 to the other class. examples: at most so
    many rows of each side, the same ones where rows are pairs. Raises SkillkitError for views that differ in
    their clean side.
    """
    views = listed(views)
    if len({view.clean.fingerprint for view in views}) > 1:
        raise SkillkitError("these views differ in their clean rows; measure the gaps of one task at a time")
    options = dict(examples=examples, seed=seed)
    read = lambda task: class_projections(bb, task, prompt, chosen, skills, **options).numpy()
    clean, gaps = read(views[0].clean), []
    for view in views:
        pairs = view.per_row if view.per_row == 1 else None  # of several to one, drawn rows are not in step
        gaps.append(difference(clean, read(view.adversarial), pairs))
    return gaps
