"""Skill neurons under attack: one prompt's neurons, probed on the clean and the adversarial side of a view.

>>> found = contrast(bb, view, prompt)                              # four probes
>>> overlap_curve(found.chosen, found.rival, tops=(0.01, 0.05))      # clean and adversarial skill neurons
>>> mean_specificity(found.chosen, found.rival)                      # rank correlation (skillkit.neurons.similarity)
>>> staying([found], top=0.05)                                       # do clean skill neurons stay predictive?
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import pandas as pd

from skillkit.core.errors import SkillkitError
from skillkit.core.store import artifact
from skillkit.neurons import Probe, overlap, probe, random_neurons, scores_of, skill_neurons

BASELINES = ("clean", "adversarial")
TOPS = (0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True, eq=False)
class Contrast:
    """Four probes of one prompt, made by `contrast`.

    >>> found.chosen.predictivity, found.adversarial.predictivity        # [layers, neurons] each

    chosen       on clean validation rows: decides on slots and directions, so on the clean skill neurons
    clean        on clean test rows, slots and directions carried over
    adversarial  on adversarial test rows, carried over too: what is left of the clean skill
    rival        on adversarial rows, slots and directions chosen there: the adversarial skill neurons. The
                 rows are those of the validation split; where there is none, of the test split
    """

    chosen: Probe
    clean: Probe
    adversarial: Probe
    rival: Probe

    def save(self, folder):
        """Write each probe into a folder of its own.

        >>> found.save("dir"); found.load("dir").rival.fingerprint == found.rival.fingerprint
        True
        """
        for field in fields(self):
            getattr(self, field.name).save(Path(folder) / field.name)

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote.

        >>> found.save("dir"); Contrast.load("dir").chosen.n == found.chosen.n
        True
        """
        return cls(**{field.name: Probe.load(Path(folder) / field.name) for field in fields(cls)})


@artifact("contrast", version=1, ignore=("batch_size",))
def contrast(
    bb, view, prompt, baseline="clean", train_examples=None, examples=None, seed=0, batch_size=None
) -> Contrast:
    """Probe both sides of a two-class view.

    >>> contrast(bb, view, prompt, train_examples=400, examples=300).rival.predictivity.max()

    baseline  what adversarial activations are compared with: the mean over the "clean" training rows, or over
              "adversarial" ones (the training split; where there is none, the rows that are looked at, as
              Ackermann & Ohmer 2024 do)
    train_examples, examples   at most so many rows of each split, as in `probe`

    Raises SkillkitError for another baseline, and for more than two classes: take `view.subtasks()`.
    """
    if baseline not in BASELINES:
        raise SkillkitError(f"the baseline is {' or '.join(BASELINES)}, not {baseline!r}")
    options = dict(text=False, examples=examples, seed=seed, batch_size=batch_size)
    chosen = probe(bb, view.clean, prompt, train_examples=train_examples, **options)
    split = "validation" if "validation" in view.adversarial.splits else "test"
    if baseline == "clean":
        base = chosen
        rival = choosing(probe(bb, view.adversarial, prompt, split, carry=chosen, **options))
    else:
        rows = view.adversarial.splits
        own = replace(view.adversarial, splits=rows | {"train": rows.get("train", rows[split])})
        rival = probe(bb, own, prompt, split, train_examples=train_examples, **options)
        base = rebased(chosen, rival)
    clean = probe(bb, view.clean, prompt, "test", carry=chosen, **options)
    return Contrast(chosen, clean, probe(bb, view.adversarial, prompt, "test", carry=base, **options), rival)


def choosing(carried):
    """The same counts, slots and directions now chosen on them instead of carried over.

    >>> choosing(probe(bb, task, prompt, "test", carry=chosen)).predictivity >= chosen.predictivity
    """
    sides = {name: replace(side, chosen=None) for name, side in carried.sides.items()}
    return Probe(sides, carried.metadata | {"carried": False})


def rebased(chosen, other):
    """A probe that carries the slots and directions of `chosen`, with the baselines of `other`.

    >>> probe(bb, task, prompt, "test", carry=rebased(chosen, other))
    """
    sides = {
        name: replace(side, chosen=side.decided, baseline=new.baseline, means=new.means)
        for (name, side), new in zip(chosen.sides.items(), other.sides.values(), strict=True)
    }
    told = {name: other.metadata[name] for name in ("baseline", "train_counts")}
    sides = {name: replace(side, train_counts=tuple(told["train_counts"])) for name, side in sides.items()}
    return Probe(sides, chosen.metadata | told)


def overlap_curve(first, second, tops=TOPS):
    """Share of the top neurons that two rankings have in common, by layer: DataFrame.

    >>> overlap_curve([one.chosen for one in contrasts], [one.rival for one in contrasts])

    first, second: what `skill_neurons` takes. Columns top, layer (a number, or "mean" over the layers),
    overlap, chance, count (neurons of the layer that are compared). Identical rankings give 1 at every top.
    Rates that select no neuron are left out. Ackermann & Ohmer 2024 (their code takes the least predictive
    neurons instead, so that even identical rankings score near 0).
    """
    rows = []
    for top in tops:
        if int(top * scores_of(first).shape[1] + 1e-9):
            masks = skill_neurons(first, top), skill_neurons(second, top)
            rows += _by_layer(top, *masks)
    return pd.DataFrame(rows)


def _by_layer(top, first, second):
    layers = [layer for layer in range(len(first)) if first[layer].any() and second[layer].any()]
    rows = []
    for layer in layers:
        shared, chance = overlap(first[layer : layer + 1], second[layer : layer + 1])
        rows.append(dict(top=top, layer=layer, overlap=shared, chance=chance, count=int(first[layer].sum())))
    means = pd.DataFrame(rows)[["overlap", "chance", "count"]].mean()
    return [*rows, dict(top=top, layer="mean", **means)]


def staying(contrasts, top=0.05, draws=5):
    """Mean predictivity of clean skill neurons on clean and adversarial test rows, against random neurons.

    >>> staying([contrast_of_seed_0, contrast_of_seed_1]).groupby(["side", "neurons"]).predictivity.mean()

    A row per contrast (`seed` counts them), side and kind of neurons: predictivity, with slot and direction as
    chosen on clean validation rows, and majority (what a dead neuron scores). Random neurons: as many in each
    layer, mean over `draws`.
    """
    rows = []
    for seed, one in enumerate(contrasts):
        skills = skill_neurons(one.chosen, top)
        masks = {"skill": [skills], "random": [random_neurons(skills, draw) for draw in range(draws)]}
        for side, found in (("clean", one.clean), ("adversarial", one.adversarial)):
            for neurons, mine in masks.items():
                mean = sum(float(found.predictivity[mask].mean()) for mask in mine) / len(mine)
                told = dict(seed=seed, side=side, neurons=neurons, predictivity=mean)
                rows.append(told | dict(majority=found.majority))
    return pd.DataFrame(rows)
