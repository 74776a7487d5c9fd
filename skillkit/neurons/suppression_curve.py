"""Suppression curves: accuracy as more and more skill neurons are suppressed, against as many random ones.

>>> curve = suppression_curve(bb, task, prompt, probe, rates=(0, 0.1), kind="zero", draws=2)
>>> curve.table                                    # one row per rate, kind of neurons and draw
>>> curves = sum([curve_of_seed_0, curve_of_seed_1, curve_of_seed_2])
>>> curves.summary()                               # means with 95 % intervals over seeds; `plots.lines` draws them
>>> curves.damage(rate=0.1)
Damage(rate=0.1, skill=..., random=..., difference=..., low=..., high=..., n=3)
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Integral

import pandas as pd

from skillkit.core.errors import SkillkitError, at_least, check_objects, each_once, listed, of_kind
from skillkit.core.progress import progress as steps
from skillkit.core.serialization import Table
from skillkit.core.stats import accuracy_interval, difference_interval, mean_interval
from skillkit.core.store import artifact
from skillkit.models import checked_layers
from skillkit.models.fast.resuming import Resuming
from skillkit.neurons.skill_neurons import probes_in, random_neurons, skill_neurons
from skillkit.neurons.suppression import suppress
from skillkit.prompts import Evaluation, prepare

RATES = (0, 0.01, 0.03, 0.05, 0.1, 0.15, 0.2)


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracies under suppression, of one run or several; made by `suppression_curve`.

    >>> curve.table.groupby(["neurons", "rate"]).accuracy.mean()
    >>> (curve_of_seed_0 + curve_of_seed_1).table["run"].unique().tolist(), sum(curves) is not None
    ([0, 1], True)

    rows  dicts: task, layers, rate, neurons ("skill" or "random"), draw, count, accuracy, score, margin (by how
          much the right label's logit is above the best other one), n; of several runs also the number of the run
    """

    rows: list
    _groups = ("task", "layers", "rate", "neurons")

    @property
    def table(self):
        """The rows as a DataFrame."""
        return pd.DataFrame(self.rows)

    def __add__(self, other):
        count = 1 + self._runs.max()
        more = [row | {"run": row.get("run", 0) + count} for row in other.rows]
        return type(self)([row | {"run": row.get("run", 0)} for row in self.rows] + more)

    def __radd__(self, zero):
        return self  # `sum` begins with 0

    def __repr__(self):
        table = self.table
        values = [f"{name} {', '.join(map(str, table[name].unique()))}" for name in self._groups]
        return f"{type(self).__name__}({'; '.join(values)}; runs: {self._runs.nunique()}, rows: {len(table)})"

    def summary(self, value="accuracy"):
        """Mean accuracy (or another column) with its 95 % interval for every rate and kind of neurons: DataFrame.

        >>> sum(curves).summary("margin")[["rate", "neurons", "margin", "low", "high", "n"]]

        Of several runs the draws are averaged in each, and the interval is over the runs; of a single run it is over
        the draws. Accuracies have `accuracy_interval`, over new rows too; other columns Student's t, and NaN for
        fewer than three values. n says over how many.
        """
        table, groups = self.table.assign(run=self._runs), list(self._groups)
        if table.run.nunique() > 1:
            table = table.groupby([*groups, "run"], as_index=False, sort=False)[list({value, "n"})].mean()
        rows = []
        for key, group in table.groupby(groups, sort=False):
            found = (
                accuracy_interval(group[value], group["n"].mean())
                if value == "accuracy"
                else mean_interval(group[value])
            )
            figures = dict(zip((value, "low", "high"), found)) | {"n": len(group)}
            rows.append(dict(zip(groups, key, strict=True)) | figures)
        return pd.DataFrame(rows)

    def costs(self, value="accuracy"):
        """What is lost against the untouched model: DataFrame by layers, rate, kind of neurons and run.

        >>> curve.costs("margin")[["layers", "rate", "neurons", "cost"]]

        value: "accuracy", lost in points (0.01 is one in a hundred rows), or "margin", lost as a share of the
        untouched margin, which shrinks long before an answer changes. Draws are averaged. Raises SkillkitError
        for a curve without rate 0.
        """
        table = self.table.assign(run=self._runs)
        untouched = table[table.rate == 0].groupby("run")[value].first()
        if len(untouched) < table.run.nunique():
            raise SkillkitError("costs are measured against the untouched model; give rate 0 as well")
        means = table.groupby([*self._groups, "run"], as_index=False, sort=False)[value].mean()
        before = means.run.map(untouched)
        return means.assign(cost=(before - means[value]) / (before if value == "margin" else 1))

    def damage(self, rate, value="accuracy"):
        """What suppressing skill neurons costs beyond what random ones cost, with its interval: `Damage`.

        >>> sum(curves).damage(rate=0.1).difference

        Runs are paired, the interval (95 %) is over them. Raises SkillkitError when a run lacks the rate or rate
        0, and for several windows of layers.
        """
        costs = self.costs(value)
        lost = costs[costs.rate == rate].pivot_table("cost", "run", "neurons")
        if costs.layers.nunique() > 1 or len(lost) < costs.run.nunique():
            raise SkillkitError(f"damage takes curves over one window of layers with rates 0 and {rate}")
        mean, low, high = difference_interval(lost.skill, lost.random)
        skill, random = float(lost.skill.mean()), float(lost.random.mean())
        return Damage(float(rate), skill, random, mean, low, high, len(lost))

    @property
    def _runs(self):
        return pd.Series([row.get("run", 0) for row in self.rows])


@dataclass(frozen=True)
class Damage:
    """What is lost to suppression at one rate (see `Curve.costs`), in means over runs; interval of the difference.

    >>> curve.damage(0.1).clear

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


# Raised, as those of damage, ensembles and shrinkage: ties between neurons go by counts.
@artifact("suppression", version=4, ignore=("batch_size", "progress"))
def suppression_curve(
    bb, task, prompt, ranking, rates=RATES, kind="zero", alpha=0.1, fill=None, positions=None, windows=(None,),
    draws=5, per_layer=True, split="test", examples=None, seed=0, batch_size=None, progress=True,
) -> Curve:  # fmt: skip
    """Evaluate a task with more and more neurons suppressed: skill neurons, and as many random ones.

    >>> suppression_curve(bb, task, prompt, probe, rates=(0, 0.1), kind="gaussian", alpha=0.3, draws=1)
    Curve(task world/movies; layers 0 1 2 3 4 5; rate 0.0, 0.1; neurons skill, random; runs: 1, rows: 4)
    >>> suppression_curve(bb, other_task, other_prompt, probe, rates=(0, 0.1), draws=1)  # damage elsewhere
    >>> suppression_curve(bb, task, prompt, probe, (0, 0.1), windows=[[0], [5]], draws=1)         # by layer

    ranking    what `skill_neurons` takes: probes (of this task or another), or scores [layers, neurons]
    rates      shares of neurons, or one; 0 is the untouched model
    kind, alpha, fill, positions   as in `suppress`; `fill` defaults to the probes, if they are of this task
    windows    the layers to suppress in: a curve for each entry; None: all layers
    draws      random draws per rate, and draws of the noise for the skill neurons when it is gaussian
    per_layer  as in `skill_neurons`
    examples   at most so many rows of the split, drawn with `seed`, which the random draws depend on too

    Texts are tokenised once for the whole curve, and what lies below a window is computed once. Raises SkillkitError
    for a rate outside [0, 1], one that selects no neuron, a mask, a ranking of another backbone or layout, and
    where means are wanted and `ranking` has only another task's.
    """
    check_objects(bb, task, prompt), at_least(1, most=10_000, draws=draws), at_least(0, seed=seed)
    at_least(1, examples=1 if examples is None else examples)
    rates, windows = each_once("rates", listed(rates)), [None] if windows is None else listed(windows)
    if not (rates and windows) or any(isinstance(window, Integral) for window in windows):
        raise SkillkitError("a curve takes at least one rate, and one window (a list of layers)")
    windows = [window if window is None else checked_layers(bb, window) for window in windows]
    each_once("windows", windows)
    target = _Target(bb, task, prompt, task.sample(split, examples, seed), batch_size)
    _check_layout(bb, ranking, target.reading.layout.name)
    fill = _own_means(task, ranking) if fill is None and kind in ("mean", "constant") else fill
    masks = [
        (rate, *one) for rate in rates
        for one in _draws(bb, skill_neurons(ranking, rate, per_layer), draws, draws * seed, kind == "gaussian")
    ]  # fmt: skip
    rows, untouched = [], target.evaluate() if 0 in rates else None
    # Window by window: what is below one is of no use to the next.
    jobs = [(window, *one) for window in windows for one in masks]
    for window, rate, neurons, draw, mask in steps(jobs, f"suppressing in {task.name}", disable=not progress):
        how = dict(kind=kind, alpha=alpha, fill=fill, positions=positions, layers=window, seed=draw)
        found = target.evaluate(mask, **how) if rate else untouched
        layers = list(range(bb.num_layers) if window is None else window)
        rows.append({
            "task": task.name, "layers": " ".join(map(str, layers)), "rate": float(rate), "neurons": neurons,
            "draw": draw, "count": int(mask[layers].sum()), "accuracy": found.accuracy, "score": found.score,
            "margin": found.margin, "n": found.n,
        })  # fmt: skip
    return Curve(sorted(rows, key=lambda row: rates.index(row["rate"])))


def _own_means(task, ranking):
    """The probes of a ranking, for their means: of this task, since another's must be named by who wants them."""
    probes, own = probes_in(ranking), {task.name, *(sub.name for sub in task.subtasks())}
    if others := {probe.metadata["task"] for probe in probes} - own:
        whose = f"{', '.join(sorted(others))}, not of {task.name}"
        raise SkillkitError(f"the probes know the means of {whose}; name the means to write with fill=")
    return probes or None


def _draws(bb, mask, draws, first, noisy):
    """(neurons, draw, mask) for everything that is evaluated at one rate."""
    if not mask.any():
        return [("skill", first, mask), ("random", first, mask)]
    numbers = range(first, first + draws)
    skill = [("skill", number, mask) for number in (numbers if noisy else numbers[:1])]
    return skill + [("random", number, random_neurons(mask, number, bb.widths)) for number in numbers]


class _Target:
    """A task with its prompt, tokenised once, to be evaluated under many masks."""

    def __init__(self, bb, task, prompt, rows, batch_size):
        self.bb, self.task, self.batch_size = bb, task, batch_size
        self.reading = prepare(bb, task, prompt, rows)
        self.words = self.reading.layout.label_ids(bb, task)
        self.below: Resuming | nullcontext = nullcontext()

    def evaluate(self, mask=None, **options):
        change = nullcontext()
        if mask is not None:
            change = suppress(self.bb, mask, **options)
            if getattr(self.below, "layer", None) != change.layers[0]:
                self.below = Resuming(self.bb, change.layers[0])  # passes begin at the lowest changed layer
        with self.below, change:
            logits = self.reading.logits(self.words, self.batch_size)
        return Evaluation(logits, self.reading.labels, self.task.labels, self.task.metric)


def _check_layout(bb, ranking, layout):
    for probe in probes_in(ranking):
        if probe.made_on(bb).metadata["layout"] != layout:
            theirs = probe.metadata["layout"]
            raise SkillkitError(f"the probe has layout {theirs}, the prompt has layout {layout}")


@artifact("damage", version=4)
def damage_matrix(bb, rankings, targets, rate=0.1, **options) -> Table:
    """Is the damage specific? The cost, on every task, of suppressing the skill neurons of every other.

    >>> rankings = {"movies": probe, "gadgets": other_probe}
    >>> damage_matrix(bb, rankings, {"movies": (task, prompt), "gadgets": (other_task, other_prompt)}, rate=0.1)

    Returns a DataFrame: source, target, value ("accuracy" or "margin"), skill and random (what is lost of it, see
    `Curve.costs`); options as in `suppression_curve`. Where means are written, they are those of the task that is
    damaged, from the ranking of the same name.
    """
    of_kind(Mapping, rankings=rankings, targets=targets)
    rows = []
    for target, (task, prompt) in targets.items():
        untouched = []  # the same whichever neurons are suppressed afterwards
        means = {"fill": probes_in(rankings[target]) or None} if target in rankings else {}
        for source, ranking in rankings.items():
            rates = (rate,) if untouched else (0, rate)
            curve = suppression_curve(
                bb, task, prompt, ranking, rates, **{"progress": False} | means | options
            )
            untouched = untouched or [row for row in curve.rows if not row["rate"]]
            curve = Curve([*untouched, *(row for row in curve.rows if row["rate"])])
            for value in ("accuracy", "margin"):
                lost = curve.damage(rate, value)
                rows.append((source, target, value, lost.skill, lost.random))
    return Table(rows, columns=["source", "target", "value", "skill", "random"])
