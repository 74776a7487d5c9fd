import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from skillkit.core import SkillkitError
from skillkit.transfer import by_type, indicator_correlation, same_task
from tests.helpers import refused

TYPES = {"a": "sentiment", "b": "sentiment", "c": "sentiment", "d": "topic", "e": "topic", "f": "pairs"}
NAMES = list(TYPES)
SAME = np.array([[TYPES[one] == TYPES[other] for other in NAMES] for one in NAMES])
PROMPTS = [f"{task}{seed}" for seed in (1, 2, 3) for task in "abcde"]
TASK, SEED = {name: name[0] for name in PROMPTS}, {name: int(name[1]) for name in PROMPTS}


def frame(values):
    return pd.DataFrame(values, index=NAMES, columns=NAMES)


def noise(seed, size=6):
    return np.random.default_rng(seed).standard_normal((size, size))


def test_means_and_area_equal_the_plain_ones_and_ties_count_half():
    values = SAME + noise(0)
    found = by_type(frame(values), TYPES)["value"]
    apart = ~np.eye(6, dtype=bool)
    assert found["same type"] == pytest.approx(values[SAME & apart].mean())
    assert found["different"] == pytest.approx(values[~SAME].mean())
    assert found["AUC"] == pytest.approx(roc_auc_score(SAME[apart], values[apart]))
    assert found["difference"] == pytest.approx(found["same type"] - found["different"])
    assert by_type(frame(np.ones((6, 6))), TYPES).loc["AUC", "value"] == pytest.approx(0.5)


def test_the_diagonal_is_left_out_and_rows_without_a_type_stand_apart():
    more = frame(SAME + noise(0)).mask(np.eye(6, dtype=bool), -50)
    more.loc["random prompt"] = noise(1)[0]
    found = by_type(more, TYPES)
    pd.testing.assert_frame_equal(found.iloc[:4], by_type(frame(SAME + noise(0)), TYPES))
    value, low, high, _ = found.loc["random prompt"]
    assert value == pytest.approx(noise(1)[0].mean()) and low < value < high


def test_the_interval_holds_the_planted_difference_about_as_often_as_it_says():
    # Every task has an effect of its own, shared by its pairs: what a bootstrap of pairs would ignore.
    names = [f"{kind}{number}" for kind in "pqrs" for number in range(5)]
    types = {name: name[0] for name in names}
    same = np.array([[one[0] == other[0] for other in names] for one in names])
    hits = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        effect = random.standard_normal(20)
        values = 0.5 * same + effect[:, None] + effect + random.standard_normal((20, 20))
        found = by_type(pd.DataFrame(values, names, names), types, draws=200, seed=seed).loc["difference"]
        hits.append(found["low"] < 0.5 < found["high"])
    assert np.mean(hits) > 0.8


def test_rank_correlation_leaves_out_the_target_itself():
    table, transfer = frame(noise(0)), frame(noise(1))
    found = indicator_correlation({"mine": table}, transfer)["mine"]
    for number, name in enumerate(NAMES):
        others = [at for at in range(6) if at != number]
        pair = table.to_numpy()[others, number], transfer.to_numpy()[others, number]
        assert found[name] == pytest.approx(spearmanr(*pair).statistic)


def test_perfect_useless_and_constant_indicators():
    random = np.random.default_rng(0)
    names = [f"t{number}" for number in range(30)]
    truth = pd.DataFrame(random.standard_normal((30, 30)), names, names)
    tables = {"exact": truth**3, "noise": pd.DataFrame(random.standard_normal((30, 30)), names, names),
              "constant": truth * 0}  # fmt: skip
    found = indicator_correlation(tables, truth).summary().set_index("indicator")
    assert found.loc["exact", ["rho", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
    low, high = found.loc["noise", ["low", "high"]]
    assert low < 0 < high and high - low == pytest.approx(4 / np.sqrt(29 * 30), rel=0.4)
    assert found.loc["constant", ["rho", "low"]].isna().all() and found.loc["constant", "targets"] == 0


def alike(task=0.0, seed=0.0, noise=None):
    """Similarities made of what is shared by task, by seed, and noise."""
    rows = [[task * (a[0] == b[0]) + seed * (a[1] == b[1]) for b in PROMPTS] for a in PROMPTS]
    table = pd.DataFrame(rows, PROMPTS, PROMPTS)
    added = np.zeros(table.shape) if noise is None else np.random.default_rng(noise).normal(size=table.shape)
    return table + added + added.T


def test_same_task_equals_loops_whatever_the_order_of_the_rows():
    table = alike(task=0.3, seed=5.0, noise=0)
    order = pd.Series(PROMPTS).sample(frac=1, random_state=0)
    found = same_task(table.loc[order, order], TASK, SEED, permutations=9)
    pairs = [(a, b) for a in PROMPTS for b in PROMPTS if a[1] < b[1]]
    values = pd.DataFrame([(a[0] == b[0], table.loc[a, b]) for a, b in pairs]).groupby(0)[1].mean()
    assert (found.same, found.different) == pytest.approx((values[True], values[False]))
    assert found.difference == pytest.approx(values[True] - values[False])
    assert same_task(alike(task=0.4), TASK, SEED, permutations=99).p_value == pytest.approx(1 / 100)


def test_what_a_seed_shares_is_no_evidence():
    found = [same_task(alike(seed=9.0, noise=n), TASK, SEED, 199, seed=n).p_value for n in range(40)]
    assert 0.3 < np.mean(found) < 0.7 and np.mean(np.array(found) < 0.1) < 0.3


def test_a_pair_without_a_value_counts_for_nothing():
    values = SAME + noise(0)
    holes = frame(values)
    holes.loc["a", "b"] = holes.loc["c", "f"] = np.nan
    found, apart = by_type(holes, TYPES), ~np.eye(6, dtype=bool) & holes.notna().to_numpy()
    assert found["value"]["AUC"] == pytest.approx(roc_auc_score(SAME[apart], values[apart]))
    assert found.loc[["same type", "different"], "pairs"].tolist() == [7, 21]
    refused("must be a DataFrame", by_type, values, TYPES)


def test_bad_input():
    refused("two tasks of one type", by_type, frame(noise(0)), dict.fromkeys(NAMES, "sentiment"))
    with pytest.raises(SkillkitError, match="2 sources for a"):
        indicator_correlation({"": frame(noise(0)).iloc[:3, :3]}, frame(noise(1)).iloc[:3, :3])
    refused("each with one prompt", same_task, alike().iloc[:-1, :-1], TASK, SEED)
    with pytest.raises(SkillkitError, match="1 seeds"):
        same_task(alike().iloc[:5, :5], {n: TASK[n] for n in PROMPTS[:5]}, dict.fromkeys(PROMPTS[:5], 1))
