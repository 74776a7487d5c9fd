"""Zero-shot transfer of prompts between tasks: the matrix of sources × targets.

>>> transfer = transfer_matrix(bb, tasks, prompts)             # {name: Task}, {name: [SoftPrompt per seed]}
>>> transfer.absolute, transfer.relative                       # DataFrames
>>> transfer.relative.loc["random prompt"]                     # the control

As initialisation: `skillkit.transfer.warm_start`. To another model: `skillkit.transfer.projector`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from skillkit.core import SkillkitError, artifact, by_name
from skillkit.core import progress as progress_bar
from skillkit.core.errors import listed, of_kind
from skillkit.prompts import SoftPrompt, evaluate, random_prompt
from skillkit.tasks import Task

RANDOM = "random prompt"


@dataclass(frozen=True, eq=False, repr=False)
class Transfer:
    """Accuracies of source prompts on target tasks; see `transfer_matrix`.

    >>> transfer.absolute.loc["movies", "hotels"]       # accuracy on hotels under the prompt for movies
    >>> transfer.relative.loc["random prompt"].mean()   # share of the targets' own accuracy

    `rows` are dicts: source, target, seed, accuracy (and n, the evaluated texts, where it was measured here);
    the source "random prompt" counts its draws as seeds.
    """

    rows: list

    def __repr__(self):
        sources, targets, seeds = ({row[name] for row in self.rows} for name in ("source", "target", "seed"))
        return f"Transfer({len(sources)} sources × {len(targets)} targets, {len(seeds)} seeds)"

    @property
    def table(self):
        """A DataFrame with a row for every source, target and seed, and the accuracy relative to `own`.

        >>> transfer.table.columns.tolist()
        ['source', 'target', 'seed', 'accuracy', 'n', 'own', 'relative']
        """
        table = pd.DataFrame(self.rows)
        own = table[table["source"] == table["target"]]
        paired = own.set_index(["target", "seed"])["accuracy"].rename("own")
        mean = table["target"].map(own.groupby("target")["accuracy"].mean())
        table = table.join(paired, on=["target", "seed"])
        # Random draws are not paired with seeds: they are compared with the mean.
        table["own"] = mean.where((table["source"] == RANDOM) | table["own"].isna(), table["own"])
        return table.assign(relative=table["accuracy"] / table["own"])

    @property
    def absolute(self):
        """Mean accuracy over seeds, sources × targets; the row "random prompt" comes last."""
        return self._wide("accuracy")

    @property
    def relative(self):
        """Accuracy divided by that of the target's own prompt of the same seed, averaged over seeds."""
        return self._wide("relative")

    def _wide(self, column):
        table = self.table
        wide = table.groupby(["source", "target"])[column].mean().unstack()
        sources = sorted(table["source"].unique(), key=lambda name: name == RANDOM)
        targets = [name for name in dict.fromkeys([*sources, *table["target"]]) if name in wide.columns]
        return wide.loc[sources, targets].rename_axis(index=None, columns=None)


@artifact("transfer", version=1, ignore=("batch_size", "progress"))
def transfer_matrix(
    bb, tasks, prompts, random=3, split="test", examples=None, seed=0, batch_size=None, progress=True
) -> Transfer:
    """Evaluate every source prompt on every target task, as it is: a `Transfer`.

    >>> tuned = {name: [tune_prompt(bb, task, seed=s) for s in (0, 1)] for name, task in tasks.items()}
    >>> transfer_matrix(bb, tasks, tuned).relative

    tasks     {name: Task}, the targets; or a list of them; or one Task, whose own `prompts` may stand alone. The label
              words are always the target's
    prompts   {name: SoftPrompt, or a list of them, one per seed}, the sources; the target's own prompt has
              the target's name
    random    draws of an untrained prompt for the row "random prompt"; 0 leaves it out
    examples  at most so many rows of the split, balanced between classes and drawn with `seed`

    Su et al. 2022, section 4. Raises SkillkitError, before any text is read, for prompts that do not fit the
    backbone, were tuned for another one, differ in number, or are called "random prompt".
    """
    tasks, prompts = by_task(tasks, prompts)
    sources = by_seed(prompts)
    _check_sources(bb, tasks, sources)
    first = next(iter(sources.values()))[0]
    sources |= {RANDOM: [random_prompt(bb, first.length, draw, first.layout) for draw in range(random)]}
    rows = []
    for target, task in progress_bar(tasks.items(), "transfer", disable=not progress):
        chosen = task.cut(seed, **{split: examples})
        for source, mine in sources.items():
            for number, prompt in enumerate(mine):
                found = evaluate(bb, chosen, prompt, split, batch_size=batch_size)
                about = dict(source=source, target=target, seed=number)
                rows.append(about | {"accuracy": found.accuracy, "n": found.n})
    order = list(sources)
    return Transfer(sorted(rows, key=lambda row: order.index(row["source"])))


def by_task(tasks, *prompts):
    """[{name: Task} of tasks in a dict, a list or alone, and prompts by name: of a lone task, those that stand alone].

    >>> by_task([task, other_task])[0].keys()
    dict_keys(['world/movies', 'world/gadgets'])
    """
    if isinstance(tasks, Task):
        alone = lambda given: given if given is None or isinstance(given, Mapping) else {tasks.name: given}
        return [{tasks.name: tasks}, *map(alone, prompts)]
    for task in tasks.values() if isinstance(tasks, Mapping) else listed(tasks):
        of_kind(Task, task=task)
    return [dict(tasks) if isinstance(tasks, Mapping) else by_name(tasks), *prompts]


def by_seed(prompts):
    """{name: list of prompts, one per seed}, where single prompts may be given.

    >>> by_seed({"movies": prompt})
    {'movies': [SoftPrompt(...)]}
    """
    of_kind(Mapping, prompts=prompts)
    return {name: listed(one) for name, one in prompts.items()}


def _check_sources(bb, tasks, sources):
    if not tasks or not sources:
        raise SkillkitError("transfer takes at least one task and one source prompt; give both")
    if RANDOM in sources:
        raise SkillkitError(f"{RANDOM!r} is the name of the control; call that prompt something else")
    counts = {name: len(mine) for name, mine in sources.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise SkillkitError(f"every source needs a prompt for each seed, as many as the others, not {counts}")
    for name, mine in sources.items():
        for prompt in mine:
            tuned_on(bb, prompt, f"the source prompt {name}")


def tuned_on(bb, prompt, what="the prompt"):
    """The prompt, or SkillkitError when it was tuned for another backbone or does not fit this one.

    >>> tuned_on(bb, prompt).on(bb)
    """
    of_kind(SoftPrompt, **{what: prompt})
    prompt.on(bb)
    if prompt.metadata.get("backbone_fingerprint", bb.fingerprint) != bb.fingerprint:
        own = prompt.metadata.get("backbone", "another backbone")
        remedy = f"whose weights are not those of {bb.name}; tune one on it, or map it there with a projector"
        raise SkillkitError(f"{what} was tuned for {own}, {remedy}")
    return prompt
