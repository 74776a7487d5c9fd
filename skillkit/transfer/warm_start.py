"""Transfer as initialisation: learning curves from other tasks' prompts, and the steps that are saved.

>>> curves = learning_curves(bb, task, starts, seeds=[0], length=4, max_steps=4, evaluate_every=2)
>>> curves.summary()                       # steps to 90 % of what the random start reaches in the end
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from skillkit.core import SkillkitError, artifact, mean_interval
from skillkit.core.errors import listed, of_kind
from skillkit.core.serialization import Table
from skillkit.prompts import SoftPrompt, evaluate, initial_weight, tune_prompt
from skillkit.transfer.zero_shot import RANDOM, tuned_on


class LearningCurves(Table):
    """Validation scores during tuning, columns task, start, from, seed, step, score; see `learning_curves`.

    >>> curves.groupby("start")["score"].max()
    """

    def steps_saved(self, share=0.9):
        """Steps to a share of the random start's best score, and the steps saved against that start: DataFrame.

        >>> curves.steps_saved()[["task", "start", "seed", "steps", "saved", "missed"]]

        The start called "random prompt" is the reference, of the same task and seed. A curve that never gets
        there counts as the whole length of the tuning, which is the least it can be, and is `missed`.
        """
        rows = []
        for (task, start, seed), curve in self.groupby(["task", "start", "seed"], sort=False):
            same = self[(self["task"] == task) & (self["seed"] == seed)]
            reference = same[same["start"] == RANDOM]
            bar, last = share * reference["score"].max(), curve["step"].max()
            steps = [one.loc[one["score"] >= bar, "step"].min() for one in (reference, curve)]
            counted = np.nan_to_num(steps, nan=last)
            about = {"task": task, "start": start, "seed": seed, "steps": counted[1]}
            rows.append(about | {"saved": counted[0] - counted[1], "missed": int(np.isnan(steps[1]))})
        return pd.DataFrame(rows)

    def summary(self, share=0.9):
        """`steps_saved`, averaged over seeds: a row for each task and start.

        >>> curves.summary()[["task", "start", "steps", "saved", "low", "high"]]

        `saved` is the mean difference with its 95 % interval over `n` seeds; `missed` counts curves.
        """
        rows = []
        for (task, start), group in self.steps_saved(share).groupby(["task", "start"], sort=False):
            mean, low, high = mean_interval(group["saved"])
            about = {"task": task, "start": start, "steps": group["steps"].mean(), "saved": mean}
            rows.append(about | {"low": low, "high": high, "missed": group["missed"].sum(), "n": len(group)})
        return pd.DataFrame(rows)


@artifact("learning_curves", version=1)
def learning_curves(bb, task, starts, seeds, progress=False, **options) -> LearningCurves:
    """Tune a task from several initial prompts, otherwise alike: `LearningCurves`.

    >>> starts = {"random prompt": "random", "movies": [prompt_of_seed_0]}
    >>> learning_curves(bb, task, starts, seeds=[0], length=4, max_steps=2)

    starts   {name: "random", or a SoftPrompt, or one for each seed}
    options  of `tune_prompt`; `length` is that of the initial prompts

    The curve has a point before the first step, by the same rows as the later ones (the recipe's validation
    rows). Su et al. 2022, section 4.3. Raises SkillkitError for a start of another backbone or shape.
    """
    of_kind(Mapping, starts=starts)
    seeds, rows = listed(seeds), []
    for name, start in starts.items():
        mine = [start] * len(seeds) if isinstance(start, str | SoftPrompt) else list(start)
        if len(mine) != len(seeds):
            raise SkillkitError(f"{name} has {len(mine)} starts for {len(seeds)} seeds; give one for each")
        for seed, init in zip(seeds, mine, strict=True):
            length, origin = {}, ""
            if isinstance(init, SoftPrompt):
                length = {"length": tuned_on(bb, init, f"the start {name}").length}
                origin = init.metadata.get("task", "")
            tuned = tune_prompt(bb, task, seed=seed, init=init, progress=progress, **options | length)
            about = {"task": task.name, "start": name, "from": origin, "seed": seed}
            rows += [about | point for point in learning_curve(bb, task, tuned, init)]
    return LearningCurves(rows)


def learning_curve(bb, task, tuned, init="random"):
    """Validation score during tuning, from before the first step on: [{"step", "score"}, …].

    >>> tuned = tune_prompt(bb, task, seed=0, init=source, length=4, max_steps=4, evaluate_every=2)
    >>> learning_curve(bb, task, tuned, init=source)[0]
    {'step': 0, 'score': ...}
    """
    metadata = tuned.metadata
    weight = initial_weight(bb, task, tuned.length, init, metadata["seed"], tuned.layout)
    rows = metadata["recipe"]["validation_examples"]
    start = evaluate(bb, task, replace(tuned, weight=weight), "validation", rows)
    points = [{"step": 0, "score": start.score}, *metadata["history"]]
    return [{"step": point["step"], "score": float(point["score"])} for point in points]
