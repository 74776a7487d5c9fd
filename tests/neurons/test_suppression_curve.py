from unittest import mock

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.stats import mean_interval
from skillkit.core.store import cached
from skillkit.neurons.probing import probe
from skillkit.neurons.skill_neurons import random_neurons, skill_neurons
from skillkit.neurons.suppression import suppress
from skillkit.neurons.suppression_curve import (
    Curve,
    Damage,
    costs,
    damage,
    damage_across,
    summary,
    suppression_curve,
)
from skillkit.prompts import dataset as reading
from skillkit.prompts.evaluation import evaluate
from skillkit.prompts.soft_prompt import random_prompt
from skillkit.prompts.tuning import tune_adapter, tune_bitfit
from tests.planted import MODELS, planted
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = toy_task(30)


def small(model="roberta", seed=0):
    bb = tiny_backbone(model, seed)
    prompt = random_prompt(bb, 3)
    return bb, prompt, probe(bb, TASK, prompt)


@pytest.mark.parametrize("kind", ["zero", "mean", "gaussian"])
def test_a_curve_is_what_single_calls_give(kind):
    bb, prompt, found = small()
    bb.model.double()  # sums are taken apart and put together again
    curve = suppression_curve(
        bb, TASK, prompt, found, (0, 0.1, 0.3), kind, alpha=2.0, draws=3, seed=1, progress=False
    )
    table = curve.table.set_index(["rate", "neurons", "draw"])
    assert len(table) == 2 + 2 * (3 + (3 if kind == "gaussian" else 1))
    assert set(table.loc[0.0].accuracy) == {evaluate(bb, TASK, prompt).accuracy}
    for rate in (0.1, 0.3):
        mask = skill_neurons(found, rate)
        for neurons, draw in table.loc[rate].index:
            here = mask if neurons == "skill" else random_neurons(mask, draw)
            with suppress(bb, here, kind, alpha=2.0, fill=found.fill, seed=draw):
                expected = evaluate(bb, TASK, prompt)
            assert table.loc[rate, neurons, draw].accuracy == expected.accuracy
            assert table.loc[rate, neurons, draw].margin == pytest.approx(expected.margin)
            assert table.loc[rate, neurons, draw]["count"] == mask.sum()


@pytest.mark.parametrize("tune", [tune_bitfit, tune_adapter])
def test_curves_of_tuned_backbones_are_what_single_calls_give(tune):
    bb = tiny_backbone("roberta")
    scores = torch.rand(bb.num_layers, bb.num_neurons, generator=torch.Generator().manual_seed(0))
    tuned = tune(bb, TASK, max_steps=3, learning_rate=0.1, layout="prefix", progress=False)
    options = {"draws": 2, "windows": [[0], [1], [2]], "progress": False}
    for row in suppression_curve(bb, TASK, tuned, scores, (0.3,), **options).rows:
        mask = skill_neurons(scores, 0.3)
        here = mask if row["neurons"] == "skill" else random_neurons(mask, row["draw"])
        with suppress(bb, here, layers=[int(row["layers"])]):
            expected = evaluate(bb, TASK, tuned)
        assert row["margin"] == pytest.approx(expected.margin, abs=1e-5)
        assert row["margin"] != pytest.approx(evaluate(bb, TASK, tuned).margin, abs=1e-4)


def test_draws_of_different_seeds_are_different():
    bb, prompt, found = small()
    draws = [
        set(suppression_curve(bb, TASK, prompt, found, (0.1,), seed=seed, draws=4, progress=False).table.draw)
        for seed in range(3)
    ]
    assert len(set.union(*draws)) == 12


def test_texts_are_tokenised_once():
    bb, prompt, found = small()
    with mock.patch.object(reading, "encode_for", wraps=reading.encode_for) as encode:
        suppression_curve(bb, TASK, prompt, found, draws=1, rates=(0, 0.1, 0.2), progress=False)
    assert encode.call_count == 1


def test_windows_give_a_curve_each():
    bb, prompt, found = small()
    curve = suppression_curve(
        bb, TASK, prompt, found, (0, 0.25), windows=[[0], range(1, 3)], draws=2, progress=False
    )
    assert set(curve.table.layers) == {"0", "1 2"}
    mask = skill_neurons(found, 0.25)
    for layers, window in (("0", [0]), ("1 2", [1, 2])):
        rows = curve.table[(curve.table.layers == layers) & (curve.table.rate > 0)]
        with suppress(bb, mask, layers=window):
            assert rows.accuracy.iloc[0] == evaluate(bb, TASK, prompt).accuracy
        assert set(rows["count"]) == {12 * len(window)}
    with pytest.raises(SkillkitError, match="one window"):
        damage([curve], 0.25)


def test_rankings_of_several_kinds():
    bb, prompt, found = small("t5")
    other = probe(bb, TASK, random_prompt(bb, 3, seed=1))
    for ranking in (found, [found, other], {"pn": found, "neu": [other]}):
        curve = suppression_curve(bb, TASK, prompt, ranking, (0.1,), "mean", draws=1, progress=False)
        with suppress(bb, skill_neurons(ranking, 0.1), "mean", fill=mean_fill(ranking, found, other)):
            assert curve.rows[0]["accuracy"] == evaluate(bb, TASK, prompt).accuracy
    scores = torch.rand(5, 48)
    curve = suppression_curve(bb, TASK, prompt, scores, (0.1,), draws=1, per_layer=False, progress=False)
    assert curve.rows[0]["count"] == 24
    with pytest.raises(SkillkitError, match="needs fill"):
        suppression_curve(bb, TASK, prompt, scores, (0.1,), "mean", progress=False)


def mean_fill(ranking, found, other):
    return found.fill if ranking is found else (found.fill + other.fill) / 2


@pytest.mark.parametrize("model", MODELS)
def test_planted_neurons_cost_everything_and_others_nothing(model):
    bb, task, prompt, mask = planted(model)
    found, share = probe(bb, task, prompt), 6 / mask.numel()
    options = {"per_layer": False, "draws": 5, "progress": False}
    curves = [
        suppression_curve(bb, task, prompt, found, (0, share), seed=seed, **options) for seed in range(3)
    ]
    told = damage(curves, share)
    assert told.skill == pytest.approx(0.5, abs=0.1) and told.random == 0
    assert told.low > 0.4 and told.n == 3
    table = damage_across(bb, {"planted": found}, {"planted": (task, prompt)}, share, **options)
    assert table.iloc[0].skill == pytest.approx(0.5, abs=0.1) and table.iloc[0].random == 0


def test_damage_across_is_a_curve_for_every_pair():
    bb, prompt, found = small()
    other = probe(bb, TASK, random_prompt(bb, 3, seed=1))
    table = damage_across(bb, {"one": found, "other": other}, {"toy": (TASK, prompt)}, 0.2, draws=2)
    for source, ranking in {"one": found, "other": other}.items():
        curve = suppression_curve(bb, TASK, prompt, ranking, (0, 0.2), draws=2)
        for value in ("accuracy", "margin"):
            lost = costs(curve, value).query("rate > 0").set_index("neurons").cost
            row = table[(table.source == source) & (table.value == value)].iloc[0]
            assert (row.skill, row.random) == (lost.skill, lost.random)


def made(accuracies, name="toy"):
    """A curve with rates 0 and .1: the untouched, the skill and the random accuracies."""
    untouched, skill, random = accuracies
    rows = [(0.0, "skill", untouched), (0.0, "random", untouched), (0.1, "skill", skill)]
    rows += [(0.1, "random", value) for value in random]
    return Curve(
        [
            {
                "task": name,
                "layers": "0 1",
                "rate": rate,
                "neurons": neurons,
                "draw": at,
                "accuracy": accuracy,
            }
            for at, (rate, neurons, accuracy) in enumerate(rows)
        ]
    )


def test_damage_by_hand():
    curves = [made((0.9, 0.7, [0.9, 0.88])), made((0.8, 0.65, [0.8, 0.8])), made((1.0, 0.7, [0.96, 0.98]))]
    told = damage(curves, 0.1)
    assert told.skill == pytest.approx((0.2 + 0.15 + 0.3) / 3)
    assert told.random == pytest.approx((0.01 + 0 + 0.03) / 3)
    expected = mean_interval([0.19, 0.15, 0.27])
    assert (told.difference, told.low, told.high) == pytest.approx(expected) and told.n == 3
    with pytest.raises(SkillkitError, match="rates 0 and 0.2"):
        damage(curves, 0.2)


def test_costs_by_hand():
    table = costs(made((0.9, 0.7, [0.9, 0.88]))).set_index(["rate", "neurons"]).cost
    assert table[0.1, "skill"] == pytest.approx(0.2) and table[0.1, "random"] == pytest.approx(0.01)
    assert table[0.0, "skill"] == table[0.0, "random"] == 0
    curve = Curve([row | {"margin": 4 * row["accuracy"]} for row in made((0.8, 0.6, [0.8])).rows])
    lost = costs(curve, "margin").set_index(["rate", "neurons"]).cost
    assert lost[0.1, "skill"] == pytest.approx(0.25) and lost[0.1, "random"] == 0  # a share of 3.2
    assert damage([curve, curve], 0.1, "margin").skill == pytest.approx(0.25)
    assert summary([curve, curve], "margin").margin.tolist() == pytest.approx([3.2, 3.2, 2.4, 3.2])
    with pytest.raises(SkillkitError, match="rate 0 as well"):
        costs(Curve([row for row in made((0.9, 0.7, [0.9])).rows if row["rate"]]))


@pytest.mark.parametrize(
    ("skill", "random", "low", "clear"),
    [
        (0.031, 0.005, 0.01, True),
        (0.029, 0.0, 0.01, False),  # three points at least
        (0.1, 0.04, 0.01, False),  # three times what random ones cost
        (0.1, 0.01, -0.01, False),
        (0.1, -0.02, float("nan"), False),  # a single seed has no interval
    ],
)
def test_when_damage_is_clear(skill, random, low, clear):
    assert Damage(0.1, skill, random, skill - random, low, 1.0, 5).clear == clear


def test_summary_averages_draws_before_seeds():
    curves = [made((0.9, 0.7, [0.9, 0.88])), made((0.8, 0.65, [0.8, 0.8]))]
    table = summary(curves).set_index(["rate", "neurons"])
    assert tuple(table.loc[(0.1, "random")][["accuracy", "low", "high"]]) == pytest.approx(
        mean_interval([0.89, 0.8])
    )
    assert table.loc[(0.1, "random")].n == 2
    alone = summary(curves[:1]).set_index(["rate", "neurons"])
    assert alone.loc[(0.1, "random")].n == 2 and alone.loc[(0.1, "random")].accuracy == pytest.approx(0.89)
    assert torch.tensor(alone.loc[(0.1, "skill")].low).isnan()


def test_a_curve_is_stored(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    bb, prompt, found = small()
    one, two = (
        cached(suppression_curve, bb, TASK, prompt, found, (0, 0.1), draws=1, progress=False)
        for _ in range(2)
    )
    assert one.rows == two.rows and len(list((tmp_path / "suppression").iterdir())) == 1
    arguments = ({"toy": found}, {"toy": (TASK, prompt)}, 0.1)
    first, again = (cached(damage_across, bb, *arguments, draws=1) for _ in range(2))
    assert first.equals(again) and list(first) == ["source", "target", "value", "skill", "random"]


def test_bad_input():
    bb, prompt, found = small()
    other = tiny_backbone("roberta", seed=1)
    elsewhere = probe(bb, TASK, random_prompt(bb, 3, layout="zero-position"))
    for ranking, what in (
        (probe(other, TASK, prompt), "weights are not those"),
        (elsewhere, "has layout mask-first"),
    ):
        with pytest.raises(SkillkitError, match=what):
            suppression_curve(bb, TASK, prompt, ranking, progress=False)
    for rates, what in (
        ((0, 1.5), "between 0 and 1"),
        ((-0.1,), "between 0 and 1"),
        ((0.01,), "selects no neuron"),
    ):
        with pytest.raises(SkillkitError, match=what):
            suppression_curve(bb, TASK, prompt, found, rates, progress=False)
    for nothing in ({"rates": ()}, {"windows": ()}):
        with pytest.raises(SkillkitError, match="at least one rate and one window"):
            suppression_curve(bb, TASK, prompt, found, progress=False, **nothing)
    with pytest.raises(SkillkitError, match="at least one draw"):
        suppression_curve(bb, TASK, prompt, found, draws=0, progress=False)
    with pytest.raises(SkillkitError, match="lower rate"):
        suppression_curve(bb, TASK, prompt, found, (0.6,), progress=False)
