"""What suppressing more and more skill neurons costs, against as many random ones.

>>> curve = suppression_curve(bb, task, prompt, probe, rates=(0, 0.1), kind="zero", draws=2)
>>> curve.table                                    # one row per rate, kind of neurons and draw
>>> damage([curve_of_seed_0, curve_of_seed_1, curve_of_seed_2], rate=0.1)
Damage(rate=0.1, skill=..., random=..., difference=..., low=..., high=..., n=3)
"""

from contextlib import nullcontext
from dataclasses import dataclass

import pandas as pd
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress as steps
from skillkit.core.stats import difference_interval, mean_interval
from skillkit.core.store import artifact
from skillkit.core.tables import Table
from skillkit.models.fast.resuming import Resuming
from skillkit.neurons.skill_neurons import probes_in, random_neurons, skill_neurons
from skillkit.neurons.suppression import suppress
from skillkit.prompts import Evaluation, prepare

RATES = (0, 0.01, 0.03, 0.05, 0.1, 0.15, 0.2)


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracies under suppression; see `suppression_curve`.

    >>> curve.table.groupby(["neurons", "rate"]).accuracy.mean()

    `rows` are dicts: task, layers, rate, neurons ("skill" or "random"), draw, count, accuracy, score, margin (by
    how much the right label's logit is above the best other one), n.
    """

    rows: list

    @property
    def table(self):
        return pd.DataFrame(self.rows)


@artifact("suppression", version=2, ignore=("batch_size", "progress"))
def suppression_curve(
    bb,
    task,
    prompt,
    ranking,
    rates=RATES,
    kind="zero",
    alpha=0.1,
    fill=None,
    positions=None,
    windows=(None,),
    draws=5,
    per_layer=True,
    split="test",
    examples=None,
    seed=0,
    batch_size=None,
    progress=True,
) -> Curve:
    """Evaluate a task with more and more neurons suppressed: skill neurons, and as many random ones.

    >>> suppression_curve(bb, task, prompt, probe, rates=(0, 0.1), kind="gaussian", alpha=0.3, draws=1)
    >>> suppression_curve(bb, other_task, other_prompt, probe, rates=(0, 0.1), draws=1)  # damage elsewhere
    >>> suppression_curve(bb, task, prompt, probe, (0, 0.1), windows=[[0], [5]], draws=1)         # by layer

    ranking    what `skill_neurons` takes: probes (of this task or another), or scores [layers, neurons]
    rates      shares of neurons; 0 is the untouched model
    kind, alpha, fill, positions   as in `suppress`; `fill` defaults to that of the probes
    windows    the layers to suppress in: a curve for each entry; None: all layers
    draws      random draws per rate, and draws of the noise for the skill neurons when it is gaussian
    per_layer  as in `skill_neurons`
    examples   at most so many rows of the split, drawn with `seed`, which the random draws depend on too

    Texts are tokenised once for the whole curve, and what lies below a window is computed once. Raises
    SkillkitError for a rate outside [0, 1], one that selects no neuron, and a ranking of another backbone or layout.
    """
    if draws < 1:
        raise SkillkitError(
            f"random neurons take at least one draw (five and more tell something), not {draws}"
        )
    if not (len(rates) and len(windows)):
        raise SkillkitError("a curve takes at least one rate and one window of layers")
    target = _Target(bb, task, prompt, task.sample(split, examples, seed), batch_size)
    fill = _mean_fill(ranking) if fill is None and kind == "mean" else fill
    options = {"kind": kind, "alpha": alpha, "fill": fill, "positions": positions}
    _check(bb, ranking, target)
    plan = []
    for rate in rates:
        mask = skill_neurons(ranking, rate, per_layer)
        drawn = _draws(bb, mask, draws, draws * seed, noisy=kind == "gaussian")
        plan += [(number, rate, *one) for number in range(len(windows)) for one in drawn]
    rows, untouched = {}, target.evaluate() if 0 in rates else None
    # Window by window: what is below one is of no use to the next.
    order = sorted(enumerate(plan), key=lambda one: one[1][0])
    for place, one in steps(order, f"suppressing in {task.name}", disable=not progress):
        number, rate, neurons, draw, mask = one
        window = windows[number]
        found = target.evaluate(mask, layers=window, seed=draw, **options) if rate else untouched
        layers = list(range(bb.num_layers) if window is None else window)
        rows[place] = {
            "task": task.name, "layers": " ".join(map(str, layers)), "rate": float(rate), "neurons": neurons,
            "draw": draw, "count": int(mask[layers].sum()), "accuracy": found.accuracy, "score": found.score,
            "margin": found.margin, "n": found.n,
        }  # fmt: skip
    return Curve([rows[place] for place in sorted(rows)])


def _draws(bb, mask, draws, first, noisy):
    """(neurons, draw, mask) for everything that is evaluated at one rate."""
    if not mask.any():
        return [("skill", first, mask), ("random", first, mask)]
    numbers = range(first, first + draws)
    skill = [("skill", number, mask) for number in (numbers if noisy else numbers[:1])]
    return skill + [("random", number, random_neurons(mask, number, bb.widths)) for number in numbers]


class _Target:
    """A task with its prompt, tokenised, to be evaluated again and again."""

    def __init__(self, bb, task, prompt, rows, batch_size):
        self.bb, self.task, self.batch_size = bb, task, batch_size
        self.reading, self.words = prepare(bb, task, prompt, rows), task.label_ids(bb)
        self.again = None

    def evaluate(self, mask=None, **options):
        change = below = nullcontext()
        if mask is not None:
            change = suppress(self.bb, mask, **options)
            below = self._from(change.layers[0])
        with below, change:
            logits = self.reading.logits(self.words, self.batch_size)
        return Evaluation(logits, self.reading.labels, self.task.labels, self.task.metric)

    def _from(self, layer):
        """Context in which passes begin at a layer, once they went through the blocks below; of the latest layer."""
        if self.again is None or self.again.layer != layer:
            self.again = Resuming(self.bb, layer)
        return self.again


def _check(bb, ranking, target):
    for probe in probes_in(ranking):
        if probe.made_on(bb).metadata["layout"] != target.reading.layout.name:
            raise SkillkitError(
                f"the probe was made in layout {probe.metadata['layout']}, the prompt has layout "
                f"{target.reading.layout.name}; use a probe of this layout"
            )


def _mean_fill(ranking):
    """The mean activation of several probes, [layers, neurons]; None without a probe."""
    fills = [probe.fill for probe in probes_in(ranking)]
    return torch.stack(fills).mean(0) if fills else None


def summary(curves, value="accuracy"):
    """Mean accuracy (or another column) with its 95 % interval by rate and kind of neurons: DataFrame.

    >>> summary([curve_of_seed_0, curve_of_seed_1, curve_of_seed_2])[["rate", "neurons", "accuracy", "low"]]

    The interval is over curves, each of which (a seed) is averaged over its draws first; of a single curve it
    is over the draws. n says over how many; one value has no interval (NaN).
    """
    tables = [curve.table.assign(curve=number) for number, curve in enumerate(curves)]
    table, keys = pd.concat(tables), ["task", "layers", "rate", "neurons"]
    if len(tables) > 1:
        table = table.groupby([*keys, "curve"], as_index=False, sort=False)[value].mean()
    rows = []
    for key, group in table.groupby(keys, sort=False):
        mean, low, high = mean_interval(group[value])
        told = {value: mean, "low": low, "high": high, "n": len(group)}
        rows.append(dict(zip(keys, key, strict=True)) | told)
    return pd.DataFrame(rows)


def costs(curve, value="accuracy"):
    """What is lost against the untouched model, draws averaged: DataFrame by window, rate and kind of neurons.

    >>> costs(curve)[["layers", "rate", "neurons", "cost"]]

    value: "accuracy", lost in points (0.01 is one in a hundred rows), or "margin", lost as a share of the
    untouched margin, which shrinks long before an answer changes. Raises SkillkitError for a curve without
    rate 0.
    """
    table = curve.table
    if not (table.rate == 0).any():
        raise SkillkitError("a cost is measured against the untouched model; give the curve rate 0 as well")
    untouched = table[table.rate == 0][value].iloc[0]
    means = table.groupby(["task", "layers", "rate", "neurons"], as_index=False, sort=False)[value].mean()
    return means.assign(cost=(untouched - means[value]) / (untouched if value == "margin" else 1))


@dataclass(frozen=True)
class Damage:
    """What is lost to suppression at one rate (see `costs`), in means over seeds; interval of the difference.

    >>> damage(curves, 0.1).clear

    `clear`: skill neurons cost at least 3 times what random ones do, and at least 3 points, and the interval
    of the difference lies above 0.
    """

    rate: float
    skill: float
    random: float
    difference: float
    low: float
    high: float
    n: int

    @property
    def clear(self):
        return self.skill >= 3 * max(0.01, self.random) and self.low > 0


def damage(curves, rate, value="accuracy"):
    """What suppressing skill neurons costs (accuracy, or margin) beyond what random ones cost, with its interval.

    >>> damage([curve_of_seed_0, curve_of_seed_1, curve_of_seed_2], rate=0.1).difference

    One curve per seed, all with rate 0; draws are averaged within a curve, differences are paired, the
    interval (95 %) is over curves. Raises SkillkitError when a curve lacks the rate, or has several windows.
    """
    lost = pd.DataFrame([_at(curve, rate, value) for curve in curves])
    mean, low, high = difference_interval(lost["skill"], lost["random"])
    skill, random = lost.mean()[["skill", "random"]]
    return Damage(float(rate), skill, random, mean, low, high, len(lost))


def _at(curve, rate, value="accuracy"):
    """Cost of skill and of random neurons at one rate of a curve over one window."""
    if curve.table.layers.nunique() != 1 or not {0.0, float(rate)} <= set(curve.table.rate):
        raise SkillkitError(f"damage takes curves over one window with rates 0 and {rate}")
    table = costs(curve, value)
    return table[table.rate == rate].set_index("neurons").cost


@artifact("damage", version=1)
def damage_across(bb, rankings, targets, rate=0.1, **options) -> Table:
    """Is the damage specific? The cost, on every task, of suppressing the skill neurons of every other.

    >>> rankings = {"movies": probe, "gadgets": other_probe}
    >>> damage_across(bb, rankings, {"movies": (task, prompt), "gadgets": (other_task, other_prompt)}, rate=0.1)

    Returns a DataFrame: source, target, value ("accuracy" or "margin"), skill and random (what is lost of it, see
    `costs`); options as in `suppression_curve`.
    """
    rows = []
    for target, (task, prompt) in targets.items():
        untouched = []  # the same whichever neurons are suppressed afterwards
        for source, ranking in rankings.items():
            rates = (rate,) if untouched else (0, rate)
            curve = suppression_curve(bb, task, prompt, ranking, rates, **{"progress": False} | options)
            untouched = untouched or [row for row in curve.rows if not row["rate"]]
            curve = Curve([*untouched, *(row for row in curve.rows if row["rate"])])
            for value in ("accuracy", "margin"):
                rows.append({"source": source, "target": target, "value": value, **_at(curve, rate, value)})
    return Table(rows)
