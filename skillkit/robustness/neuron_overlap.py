"""Clean against adversarial skill neurons: overlap, and whether clean skill neurons stay predictive under attack.

>>> probes = paired_probes(bb, view, prompt)                            # four probes
>>> probes.overlap(tops=(0.01, 0.05))                                   # of clean and adversarial skill neurons
>>> probes.mean_predictivity(top=0.05)                                  # do clean skill neurons stay predictive?
>>> similarity({"clean": probes.chosen, "adversarial": probes.chosen_adversarial}).table     # rank correlations
"""

from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path

import pandas as pd

from skillkit.core.errors import SkillkitError, listed
from skillkit.core.hashing import stored_name
from skillkit.core.store import artifact
from skillkit.neurons import Probe, overlap, probe, random_neurons, scores_of, skill_neurons

BASELINES = ("clean", "adversarial")
TOPS = (0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True, eq=False)
class PairedProbes:
    """Four probes of one prompt on both sides of a view; made by `paired_probes`.

    >>> probes
    PairedProbes(best predictivity: chosen ..., clean ..., adversarial ..., chosen_adversarial ...)
    >>> probes.chosen.predictivity, probes.adversarial.predictivity        # [layers, neurons] each

    chosen       on clean validation rows: decides on slots and directions, so on the clean skill neurons
    clean        on clean test rows, slots and directions carried over
    adversarial  on adversarial test rows, carried over too: what is left of the clean skill
    chosen_adversarial  on adversarial rows, slots and directions chosen there: the adversarial skill neurons. The
                 rows are those of the validation split; where there is none, of the test split
    """

    chosen: Probe
    clean: Probe
    adversarial: Probe
    chosen_adversarial: Probe = field(metadata={"stored": "rival"})  # its folder in the store

    def __repr__(self):
        probes = {one.name: getattr(self, one.name).predictivity.nan_to_num(0) for one in fields(self)}
        best = ", ".join(f"{name} {scores.max():.3f}" for name, scores in probes.items())
        return f"PairedProbes(best predictivity: {best})"

    def overlap(self, tops=TOPS):
        """Share of the top clean skill neurons that are among the top ones elsewhere: DataFrame.

        >>> probes.overlap(tops=(0.05, 0.1)).second.unique().tolist()
        ['adversarial', 'clean', 'itself']

        Column `second` says with what: the ranking on adversarial rows, on other clean rows (how much luck there is
        in a ranking), or the very same ranking (1 at every top). The other columns are those of `overlap_curve`.
        """
        others = dict(adversarial=self.chosen_adversarial, clean=_chosen_anew(self.clean), itself=self.chosen)
        curves = {name: overlap_curve(self.chosen, other, tops) for name, other in others.items()}
        return pd.concat(curves, names=["second", None]).reset_index("second").reset_index(drop=True)

    def mean_predictivity(self, top=0.05, n_random=5):
        """Mean predictivity of clean skill neurons on clean and adversarial test rows, against random ones: DataFrame.

        >>> probes.mean_predictivity(top=0.05).pivot(index="side", columns="neurons", values="predictivity")

        Columns side, neurons ("skill" or "random", a mean over `n_random` draws), predictivity, majority.
        """
        skills, rows = skill_neurons(self.chosen, top), []
        masks = {"skill": [skills], "random": [random_neurons(skills, draw) for draw in range(n_random)]}
        for side, (neurons, mine) in product(BASELINES, masks.items()):
            found = getattr(self, side)
            mean = sum(float(found.predictivity[mask].mean()) for mask in mine) / len(mine)
            rows.append(dict(side=side, neurons=neurons, predictivity=mean, majority=found.majority))
        return pd.DataFrame(rows)

    def save(self, folder):
        """Write each probe into a folder of its own.

        >>> probes.save("dir"); probes.load("dir").chosen.fingerprint == probes.chosen.fingerprint
        True
        """
        for one in fields(self):
            getattr(self, one.name).save(Path(folder) / stored_name(one))

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote."""
        return cls(*(Probe.load(Path(folder) / stored_name(one)) for one in fields(cls)))


# The kind keeps the name that it had at first, so that stored results are found.
@artifact("contrast", version=1, ignore=("batch_size",))
def paired_probes(
    bb, view, prompt, baseline="clean", train_examples=None, examples=None, seed=0, batch_size=None
) -> PairedProbes:
    """Probe both sides of a two-class view.

    >>> paired_probes(bb, view, prompt, train_examples=400, examples=300).chosen_adversarial.predictivity.max()

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
        anew = _chosen_anew(probe(bb, view.adversarial, prompt, split, carry=chosen, **options))
    else:
        rows = view.adversarial.splits
        own = replace(view.adversarial, splits=rows | {"train": rows.get("train", rows[split])})
        anew = probe(bb, own, prompt, split, train_examples=train_examples, **options)
        base = _with_baselines(chosen, anew)
    clean = probe(bb, view.clean, prompt, "test", carry=chosen, **options)
    adversarial = probe(bb, view.adversarial, prompt, "test", carry=base, **options)
    return PairedProbes(chosen, clean, adversarial, anew)


def _chosen_anew(carried):
    """The same counts, slots and directions now chosen on them instead of carried over."""
    sides = {name: replace(side, chosen=None) for name, side in carried.sides.items()}
    return Probe(sides, carried.metadata | {"carried": False})


def _with_baselines(chosen, other):
    """A probe that carries the slots and directions of `chosen`, with the baselines of `other`."""
    moved = {name: other.metadata[name] for name in ("baseline", "train_counts")}
    sides = {
        name: replace(side, chosen=side.decided, baseline=new.baseline, means=new.means,
                      train_counts=tuple(moved["train_counts"]))
        for (name, side), new in zip(chosen.sides.items(), other.sides.values(), strict=True)
    }  # fmt: skip
    return Probe(sides, chosen.metadata | moved)


def overlap_curve(first, second, tops=TOPS):
    """Share of the top neurons that two rankings have in common, by layer: DataFrame.

    >>> overlap_curve([one.chosen for one in several], [one.chosen_adversarial for one in several])

    first, second: what `skill_neurons` takes. Columns top, layer (a number, or "mean" over the layers),
    overlap, chance, count (neurons of the layer that are compared). Identical rankings give 1 at every top.
    Rates that select no neuron are left out. Ackermann & Ohmer 2024 (their code takes the least predictive
    neurons instead, so that rankings which agree on their best neurons alone score near 0).
    """
    rows = []
    for top in (top for top in listed(tops) if int(top * scores_of(first).shape[1] + 1e-9)):
        one, other = skill_neurons(first, top), skill_neurons(second, top)
        for layer in (one.any(1) & other.any(1)).nonzero().flatten().tolist():
            shared, chance = overlap(one[layer : layer + 1], other[layer : layer + 1])[:2]
            rows.append((top, layer, shared, chance, int(one[layer].sum())))
    table = pd.DataFrame(rows, columns=["top", "layer", "overlap", "chance", "count"])
    means = table.drop(columns="layer").groupby("top", as_index=False).mean().assign(layer="mean")
    return pd.concat([table, means], ignore_index=True)
