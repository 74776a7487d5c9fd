"""Accuracy of projected prompts on the target backbone, beside every control.

>>> found = evaluate_projections(target_bb, projectors, tasks, prompts, own)
>>> found.summary()                                # relative accuracy on learned and on unseen tasks
>>> found.gap("task loss", "constant prompt")      # does the projector look at its input?
"""

import pandas as pd

from skillkit.core import SkillkitError, artifact, mean_interval
from skillkit.transfer.zero_shot import RANDOM, by_seed, by_task, transfer_matrix

OWN = "own prompt"


class Projections(pd.DataFrame):
    """Accuracies of projected prompts, columns prompt, task, seed, accuracy, tasks, relative.

    >>> found.query("tasks == 'unseen'")
    """

    @property
    def _constructor(self):
        return pd.DataFrame

    def summary(self):
        """Mean relative accuracy with its 95 % interval over tasks, seeds averaged first, by prompt and kind of tasks.

        >>> found.summary().query("prompt == 'constant prompt'")
        """
        rows = []
        for (tasks, prompt), group in self[self["prompt"] != OWN].groupby(["tasks", "prompt"], sort=False):
            mean, low, high = mean_interval(group.groupby("task")["relative"].mean())
            about = {"tasks": tasks, "prompt": prompt, "relative": mean, "low": low, "high": high}
            rows.append(about | {"accuracy": group["accuracy"].mean(), "n": group["task"].nunique()})
        return pd.DataFrame(rows)

    def gap(self, prompt, control, tasks="unseen"):
        """Mean difference in relative accuracy between two kinds of prompt, paired by task: (mean, low, high).

        >>> found.gap("task loss", "random prompt")

        Seeds are averaged first. Fewer than three tasks give no interval (NaN).
        """
        chosen = self[self["tasks"] == tasks]
        means = chosen.groupby(["task", "prompt"])["relative"].mean().unstack()
        return mean_interval(means[prompt] - means[control])


@artifact("translations", version=1)
def evaluate_projections(bb, projectors, tasks, prompts, own, random=3, examples=None, seed=0) -> Projections:
    """Zero-shot accuracy of projected prompts on the target backbone `bb`: `Projections`, a DataFrame.

    >>> evaluate_projections(target_bb, projectors, tasks, prompts, own).query("tasks == 'unseen'")

    projectors  {name: Projector}, all trained on the same tasks
    tasks       {name: Task}, learned ones and others, or a list of them
    prompts     {name: SoftPrompt of the source backbone, or a list of them, one per seed}
    own         {name: SoftPrompt of the target backbone}: what `relative` is relative to
    random      draws of an untrained prompt;  examples: at most so many test rows, as in `transfer_matrix`

    Columns prompt (a projector's name, "own prompt" or "random prompt"), task, tasks ("learned" or "unseen"),
    seed, accuracy, relative. Raises SkillkitError for projectors of other tasks, and for prompts or backbones
    that are not theirs.
    """
    for name in projectors.keys() & {OWN, RANDOM}:
        raise SkillkitError(f"{name!r} is the name of a control; call that projector something else")
    learned = {tuple(one.metadata["tasks"]) for one in projectors.values()}
    if len(learned) != 1:
        raise SkillkitError(f"{len(learned)} sets of tasks were learned; compare projectors of the same one")
    tasks, prompts, own = by_task(tasks, prompts, own)
    prompts, rows = by_seed(prompts), []
    for name, task in tasks.items():
        candidates = {
            plan: [one.project(prompt, bb) for prompt in prompts[name]] for plan, one in projectors.items()
        }
        candidates[OWN] = [own[name]] * len(prompts[name])
        found = transfer_matrix(bb, {name: task}, candidates, random, "test", examples, seed, progress=False)
        rows += [row for row in found.rows if row["source"] != OWN or row["seed"] == 0]
    table = pd.DataFrame(rows, columns=["source", "target", "seed", "accuracy"])
    table = table.rename(columns={"source": "prompt", "target": "task"})
    best = table[table["prompt"] == OWN].set_index("task")["accuracy"]
    kind = table["task"].isin(next(iter(learned))).map({True: "learned", False: "unseen"})
    return Projections(table.assign(tasks=kind, relative=table["accuracy"] / table["task"].map(best)))
