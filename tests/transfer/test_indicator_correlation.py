import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from skillkit.core.errors import SkillkitError
from skillkit.transfer.indicator_correlation import by_type, forecasts, per_target

TYPES = {"a": "sentiment", "b": "sentiment", "c": "sentiment", "d": "topic", "e": "topic", "f": "pairs"}
NAMES = list(TYPES)
SAME = np.array([[TYPES[one] == TYPES[other] for other in NAMES] for one in NAMES])


def frame(values):
    return pd.DataFrame(values, index=NAMES, columns=NAMES)


def noise(seed, size=6):
    return np.random.default_rng(seed).standard_normal((size, size))


def test_means_and_area_equal_the_plain_ones():
    values = SAME + noise(0)
    found = by_type(frame(values), TYPES)["value"]
    apart = ~np.eye(6, dtype=bool)
    assert found["same type"] == pytest.approx(values[SAME & apart].mean())
    assert found["different"] == pytest.approx(values[~SAME].mean())
    assert found["AUC"] == pytest.approx(roc_auc_score(SAME[apart], values[apart]))
    assert found["difference"] == pytest.approx(found["same type"] - found["different"])


def test_ties_count_half():
    assert by_type(frame(np.ones((6, 6))), TYPES).loc["AUC", "value"] == pytest.approx(0.5)


def test_the_diagonal_is_left_out_and_rows_without_a_type_stand_apart():
    values = SAME + noise(0)
    more = frame(values)
    more.loc["random prompt"] = noise(1)[0]
    for name in NAMES:
        more.loc[name, name] = -50
    found = by_type(more, TYPES)
    pd.testing.assert_frame_equal(found.iloc[:4], by_type(frame(values), TYPES))
    random = found.loc["random prompt"]
    assert (
        random["value"] == pytest.approx(noise(1)[0].mean())
        and random["low"] < random["value"] < random["high"]
    )


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
    found = per_target(table, transfer)
    for number, name in enumerate(NAMES):
        others = [at for at in range(6) if at != number]
        pair = table.to_numpy()[others, number], transfer.to_numpy()[others, number]
        assert found[name] == pytest.approx(spearmanr(*pair).statistic)


def test_a_perfect_indicator_and_a_useless_one():
    random = np.random.default_rng(0)
    names = [f"t{number}" for number in range(30)]
    truth = pd.DataFrame(random.standard_normal((30, 30)), names, names)
    tables = {"exact": truth**3, "noise": pd.DataFrame(random.standard_normal((30, 30)), names, names)}
    found = forecasts(tables, truth).set_index("indicator")
    assert found.loc["exact", "rho"] == pytest.approx(1) and found.loc["exact", "low"] == pytest.approx(1)
    assert found.loc["noise", "low"] < 0 < found.loc["noise", "high"]
    assert found.loc["noise", "high"] - found.loc["noise", "low"] == pytest.approx(
        4 / np.sqrt(29 * 30), rel=0.4
    )


def test_a_constant_indicator_has_no_correlation():
    found = forecasts({"constant": frame(np.ones((6, 6)))}, frame(noise(1))).iloc[0]
    assert np.isnan(found["rho"]) and np.isnan(found["low"]) and found["targets"] == 0


def test_bad_input():
    with pytest.raises(SkillkitError, match="pairs of both"):
        by_type(frame(noise(0)), dict.fromkeys(NAMES, "sentiment"))
    with pytest.raises(SkillkitError, match="2 sources for a"):
        per_target(frame(noise(0)).iloc[:3, :3], frame(noise(1)).iloc[:3, :3])
