"""Is a prompt nearer to prompts of its own task, tuned with other seeds, than to those of other tasks?

>>> same_task(tables["cosine_mean"], tasks, seeds)
SameType(same=..., different=..., difference=..., p_value=...)
"""

from itertools import combinations

import numpy as np

from skillkit.core.errors import SkillkitError
from skillkit.neurons import SameType


def same_task(table, tasks, seeds, permutations=9999, seed=0):
    """Mean likeness of prompts of one task and of different tasks, over different seeds; a permutation test.

    >>> names = [f"{task}, seed {number}" for number in (33, 34) for task in ("SST2", "MNLI")]
    >>> same_task(table, dict(zip(names, ["SST2", "MNLI"] * 2)), dict(zip(names, [33, 33, 34, 34])))

    table: symmetric DataFrame, prompts × prompts; tasks, seeds: {name of the prompt: its task, its seed}. Only
    pairs of different seeds count, since prompts of one seed share where they started. The test deals the
    tasks of each seed anew, so that what is exchanged is a task and not a pair. The p-value is one-sided.
    Raises SkillkitError unless there are two tasks and two seeds, and a prompt for each of both.
    """
    names = {(tasks[name], seeds[name]): name for name in table.index}
    kinds, numbers = (sorted(set(told.values())) for told in (tasks, seeds))
    if (
        min(len(kinds), len(numbers)) < 2
        or len(names) != len(kinds) * len(numbers)
        or len(names) != len(table)
    ):
        raise SkillkitError(
            f"{len(table)} prompts of {len(kinds)} tasks and {len(numbers)} seeds; compare two tasks or more, "
            "each with one prompt for every one of two seeds or more"
        )
    order = [names[kind, number] for number in numbers for kind in kinds]
    shape = (len(numbers), len(kinds))
    blocks = table.loc[order, order].to_numpy(dtype=float).reshape(*shape, *shape)
    random = np.random.default_rng(seed)
    dealt = random.permuted(np.tile(np.arange(shape[1]), (permutations, shape[0], 1)), axis=-1)
    same = _same(blocks, np.tile(np.arange(shape[1]), (1, shape[0], 1)))[0]
    everything = np.mean([blocks[a, :, b].mean() for a, b in combinations(range(shape[0]), 2)])
    different = (everything * shape[1] - same) / (shape[1] - 1)
    as_high = (_same(blocks, dealt) >= same - 1e-12).sum()
    return SameType(
        float(same), float(different), float(same - different), float((1 + as_high) / (1 + permutations))
    )


def _same(blocks, dealt):
    """Mean likeness between the prompts that hold one place in the dealt orders, [permutations]."""
    pairs = combinations(range(len(blocks)), 2)
    return np.mean([blocks[a, dealt[:, a], b, dealt[:, b]].mean(1) for a, b in pairs], axis=0)
