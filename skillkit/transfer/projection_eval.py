"""How well projected prompts work on the other model, beside every control.

>>> table = translations(target_bb, {"task loss": projector, "constant prompt": control}, tasks, prompts, own)
>>> summary(table)                              # relative accuracy on learned and on unseen tasks
>>> sameness(projector, prompts, target_bb)     # 1: every prompt is translated into the same one
0...
"""

from itertools import combinations

import pandas as pd
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.stats import mean_interval
from skillkit.core.store import artifact
from skillkit.prompts import SoftPrompt
from skillkit.transfer.zero_shot import transfer_matrix

OWN = "own prompt"


@artifact("translations", version=1)
def translations(bb, projectors, tasks, prompts, own, random=3, examples=None, seed=0):
    """Zero-shot accuracy of projected prompts on the target backbone `bb`: a DataFrame.

    >>> translations(target_bb, projectors, tasks, prompts, own).query("tasks == 'unseen'")

    projectors  {name: Projector}, all trained on the same tasks
    tasks       {name: Task}, learned ones and others
    prompts     {name: SoftPrompt of the source backbone, or a list of them, one per seed}
    own         {name: SoftPrompt of the target backbone}: what `relative` is relative to
    random      draws of an untrained prompt;  examples: at most so many test rows, as in `transfer_matrix`

    Columns prompt (a projector's name, "own prompt" or "random prompt"), task, tasks ("learned" or "unseen"),
    seed, accuracy, relative. Raises SkillkitError for projectors of other tasks, and for prompts or backbones
    that are not theirs.
    """
    learned = {tuple(one.told["tasks"]) for one in projectors.values()}
    if len(learned) != 1:
        raise SkillkitError(
            f"{len(learned)} sets of tasks were learned; compare projectors trained on the same"
        )
    listed = {name: [one] if isinstance(one, SoftPrompt) else list(one) for name, one in prompts.items()}
    rows = []
    for name, task in tasks.items():
        candidates = {
            plan: [one.project(prompt, bb) for prompt in listed[name]] for plan, one in projectors.items()
        }
        candidates[OWN] = [own[name]] * len(listed[name])
        found = transfer_matrix(bb, {name: task}, candidates, random, "test", examples, seed, progress=False)
        rows += [{"prompt": row["source"], "task": name, "seed": row["seed"], "accuracy": row["accuracy"]}
                 for row in found.rows if row["source"] != OWN or row["seed"] == 0]  # fmt: skip
    table = pd.DataFrame(rows)
    best = table[table["prompt"] == OWN].set_index("task")["accuracy"]
    kind = table["task"].isin(next(iter(learned))).map({True: "learned", False: "unseen"})
    return table.assign(tasks=kind, relative=table["accuracy"] / table["task"].map(best))


def summary(table):
    """Mean relative accuracy with its 95 % interval over tasks and seeds, by prompt and kind of tasks.

    >>> summary(table).query("prompt == 'constant prompt'")
    """
    rows = []
    for (tasks, prompt), group in table.groupby(["tasks", "prompt"], sort=False):
        if prompt != OWN:
            mean, low, high = mean_interval(group["relative"])
            about = {"tasks": tasks, "prompt": prompt, "relative": mean, "low": low, "high": high}
            rows.append(about | {"accuracy": group["accuracy"].mean(), "n": len(group)})
    return pd.DataFrame(rows)


def gap(table, prompt, control, tasks="unseen"):
    """Mean difference in relative accuracy between two kinds of prompt, paired by task: (mean, low, high).

    >>> gap(table, "task loss", "constant prompt")        # does the projector look at its input?

    Seeds are averaged first. One task gives no interval (NaN).
    """
    chosen = table[table["tasks"] == tasks]
    means = chosen.groupby(["task", "prompt"])["relative"].mean().unstack()
    return mean_interval(means[prompt] - means[control])


def sameness(projector, prompts, bb):
    """Mean cosine between the projections of prompts for different tasks: 1 where the input is ignored.

    >>> sameness(control, prompts, target_bb)
    1.0...
    """
    firsts = [one if isinstance(one, SoftPrompt) else one[0] for one in prompts.values()]
    if len(firsts) < 2:
        raise SkillkitError(
            "projections of one prompt have nothing to be compared with; give two tasks or more"
        )
    flat = [projector.project(prompt, bb).weight.flatten().double() for prompt in firsts]
    cosines = [torch.cosine_similarity(a, b, dim=0) for a, b in combinations(flat, 2)]
    return float(torch.stack(cosines).mean())
