"""Transferred prompts as a place to start tuning from: learning curves, and the steps that are saved.

>>> starts = sources(prompts, tables["cosine_mean"], transfer.absolute, "gadgets")
>>> curves = learning_curves(bb, task, starts, seeds=[0], length=4, max_steps=4, evaluate_every=2)
>>> saved(curves)                          # steps to 90 % of what the random start reaches in the end
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from skillkit.core.errors import SkillkitError
from skillkit.core.stats import mean_interval
from skillkit.core.store import artifact
from skillkit.core.tables import Table
from skillkit.prompts import Evaluation, SoftPrompt, initial_weight, prepare, tune_prompt
from skillkit.transfer.zero_shot import tuned_on

RANDOM_START = "random prompt"


def sources(prompts, nearness, transfer, target):
    """Where to start for a target: {"random prompt": "random", "nearest": prompts, "best transfer": prompts}.

    >>> sources(prompts, tables["ON"], transfer.absolute, "gadgets")

    prompts {name: [SoftPrompt per seed]}; nearness, an indicator's DataFrame (SPoT takes the cosine of mean
    vectors; Vu et al. 2022); transfer, DataFrame sources × targets, the oracle. The target itself is no source.
    """
    others = [name for name in prompts if name != target]
    if not others or target not in nearness or target not in transfer:
        raise SkillkitError(
            f"{target} has no sources to choose from; take it and other tasks into the matrix of transfer"
        )
    chosen = {"nearest": nearness, "best transfer": transfer}
    best = {start: table.loc[others, target].idxmax() for start, table in chosen.items()}
    return {RANDOM_START: "random"} | {start: prompts[name] for start, name in best.items()}


@artifact("learning_curves", version=1)
def learning_curves(bb, task, starts, seeds, progress=False, **options) -> Table:
    """Tune a task from several starts, otherwise alike: columns task, start, from, seed, step, score.

    >>> starts = {"random prompt": "random", "movies": [prompt_of_seed_0]}
    >>> learning_curves(bb, task, starts, seeds=[0], length=4, max_steps=2)

    starts   {name: "random", or a SoftPrompt, or one for each seed}
    options  of `tune_prompt`; `length` is that of the prompts that are started from

    The curve has a point before the first step, by the same rows as the later ones (the recipe's validation
    rows). Su et al. 2022, section 4.3. Raises SkillkitError for a start of another backbone or shape.
    """
    rows = []
    for name, start in starts.items():
        for at, seed in enumerate(seeds):
            init = start if isinstance(start, str | SoftPrompt) else start[at]
            length = (
                {} if isinstance(init, str) else {"length": tuned_on(bb, init, f"the start {name}").length}
            )
            tuned = tune_prompt(bb, task, seed=seed, init=init, progress=progress, **options | length)
            origin = "" if isinstance(init, str) else init.metadata.get("task", "")
            about = {"task": task.name, "start": name, "from": origin, "seed": seed}
            rows += [about | point for point in learning_curve(bb, task, tuned, init)]
    return Table(rows)


def learning_curve(bb, task, tuned, init="random"):
    """Validation score during tuning, from before the first step on: [{"step", "score"}, …].

    >>> tuned = tune_prompt(bb, task, seed=0, init=source, length=4, max_steps=4, evaluate_every=2)
    >>> learning_curve(bb, task, tuned, init=source)[0]
    {'step': 0, 'score': ...}
    """
    told = tuned.metadata
    weight = initial_weight(bb, task, tuned.length, init, told["seed"])
    rows = task.sample("validation", told["recipe"]["validation_examples"])
    start = prepare(bb, task, replace(tuned, weight=weight), rows)
    logits = start.logits(task.label_ids(bb))
    score = Evaluation(logits, start.labels, tuple(task.labels), task.metric).score
    points = [{"step": 0, "score": score}, *told["history"]]
    return [{"step": point["step"], "score": float(point["score"])} for point in points]


def steps_to(curve, bar):
    """The first step at which a learning curve (DataFrame: step, score) reaches `bar`; NaN when it never does.

    >>> steps_to(curves.query("start == 'nearest' and seed == 0"), bar=0.9 * final)
    4.0
    """
    reached = curve.loc[curve["score"] >= bar, "step"]
    return float(reached.min()) if len(reached) else float("nan")


def saved(curves, share=0.9):
    """Steps to a share of the random start's final score, and how many fewer than from there: DataFrame.

    >>> curves = learning_curves(bb, task, starts, seeds, length=4, max_steps=2)
    >>> saved(curves)[["task", "start", "steps", "saved", "low", "high"]]

    The start called "random prompt" is the reference. One row per task and start: `steps`, the mean over seeds;
    `saved`, the mean difference to the reference of the same seed with its 95 % interval; `n`, the seeds. The
    final score is the best that the reference reaches. A curve that never gets there counts as the whole length
    of the tuning, which is the least it can be; `missed` counts these.
    """
    rows = []
    for (task, start, seed), curve in curves.groupby(["task", "start", "seed"], sort=False):
        same = curves[(curves["task"] == task) & (curves["seed"] == seed)]
        reference = same[same["start"] == RANDOM_START]
        bar, last = share * reference["score"].max(), curve["step"].max()
        steps = [steps_to(one, bar) for one in (reference, curve)]
        counted = np.nan_to_num(steps, nan=last)
        rows.append({"task": task, "start": start, "steps": counted[1], "saved": counted[0] - counted[1],
                     "missed": int(np.isnan(steps[1]))})  # fmt: skip
    table = []
    for (task, start), group in pd.DataFrame(rows).groupby(["task", "start"], sort=False):
        mean, low, high = mean_interval(group["saved"])
        table.append({"task": task, "start": start, "steps": group["steps"].mean(), "saved": mean, "low": low,
                      "high": high, "missed": group["missed"].sum(), "n": len(group)})  # fmt: skip
    return pd.DataFrame(table)
