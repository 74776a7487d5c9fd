import numpy as np
import pandas as pd
import pytest

from skillkit.core.errors import SkillkitError
from skillkit.transfer.replicas import same_task

TASKS, SEEDS = "abcde", (1, 2, 3)
NAMES = [f"{task}{seed}" for seed in SEEDS for task in TASKS]
TASK = {name: name[0] for name in NAMES}
SEED = {name: int(name[1]) for name in NAMES}


def alike(task=0.0, seed=0.0, noise=None):
    """Likeness made of what is shared by task, by seed, and noise."""
    random = np.random.default_rng(noise)
    table = pd.DataFrame(1.0, NAMES, NAMES)
    for number, one in enumerate(NAMES):
        for other in NAMES[number + 1 :]:
            value = task * (one[0] == other[0]) + seed * (one[1] == other[1])
            value += random.standard_normal() if noise is not None else 0
            table.loc[one, other] = table.loc[other, one] = value
    return table


def test_by_hand():
    found = same_task(alike(task=0.4, seed=5.0), TASK, SEED, permutations=99)
    assert (found.same, found.different, found.difference) == pytest.approx((0.4, 0.0, 0.4))
    assert found.p_value == pytest.approx(1 / 100)


def test_means_equal_loops_whatever_the_order_of_the_rows():
    table = alike(task=0.3, noise=0)
    shuffled = table.sample(frac=1, random_state=0)
    found = same_task(shuffled[shuffled.index], TASK, SEED, permutations=9)
    pairs = [(a, b) for a in NAMES for b in NAMES if a[1] < b[1]]
    assert found.same == pytest.approx(np.mean([table.loc[a, b] for a, b in pairs if a[0] == b[0]]))
    assert found.different == pytest.approx(np.mean([table.loc[a, b] for a, b in pairs if a[0] != b[0]]))


def test_what_a_seed_shares_is_no_evidence():
    p_values = [same_task(alike(seed=9.0, noise=n), TASK, SEED, 199, seed=n).p_value for n in range(40)]
    assert 0.3 < np.mean(p_values) < 0.7 and np.mean(np.array(p_values) < 0.1) < 0.3


def test_bad_input():
    table = alike()
    with pytest.raises(SkillkitError, match="each with one prompt"):
        same_task(table.iloc[:-1, :-1], TASK, SEED)
    with pytest.raises(SkillkitError, match="1 seeds"):
        same_task(table.iloc[:5, :5], {n: TASK[n] for n in NAMES[:5]}, dict.fromkeys(NAMES[:5], 1))
