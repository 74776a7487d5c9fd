from functools import partial

import pytest
import torch

from skillkit.core import accuracy_interval, cached, mean_interval
from skillkit.neurons import (
    Probe,
    damage_matrix,
    probe,
    random_neurons,
    skill_neurons,
    suppress,
    suppression_curve,
)
from skillkit.neurons.suppression_curve import Curve, Damage
from skillkit.prompts import evaluate, random_prompt, tune_adapter, tune_bitfit
from tests.helpers import refused
from tests.tiny import slowly, tiny_backbone
from tests.toys import toy_task

TASK = toy_task(30)


def small(model="roberta", seed=0):
    bb = tiny_backbone(model, seed)
    prompt = random_prompt(bb, 3)
    return bb, prompt, probe(bb, TASK, prompt)


@pytest.mark.parametrize("kind", ["mean", "gaussian", slowly("zero"), slowly("constant")])
def test_a_curve_is_what_single_calls_give(kind):
    bb, prompt, _ = small()
    bb.model.double()  # sums are taken apart and put together again
    found = probe(bb, TASK, prompt, text=True)  # another dtype, another backbone
    options = dict(alpha=2.0, draws=3, seed=1, progress=False)
    curve = suppression_curve(bb, TASK, prompt, found, (0, 0.1, 0.3), kind, **options)
    table = curve.table.set_index(["rate", "neurons", "draw"])
    assert len(table) == 2 + 2 * (3 + (3 if kind == "gaussian" else 1))
    assert set(table.loc[0.0].accuracy) == {evaluate(bb, TASK, prompt).accuracy}
    for rate in (0.1, 0.3):
        mask = skill_neurons(found, rate)
        for neurons, draw in table.loc[rate].index:
            here = mask if neurons == "skill" else random_neurons(mask, draw)
            with suppress(bb, here, kind, alpha=2.0, fill=found, seed=draw):
                expected = evaluate(bb, TASK, prompt)
            row = table.loc[rate, neurons, draw]
            assert (row.accuracy, row["count"]) == (expected.accuracy, mask.sum())
            assert row.margin == pytest.approx(expected.margin)


@pytest.mark.parametrize("tune", [slowly(tune_bitfit), tune_adapter])
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


def test_windows_give_a_curve_each():
    bb, prompt, found = small()
    options = dict(windows=[[0], range(1, 3)], draws=2, progress=False)
    curve = suppression_curve(bb, TASK, prompt, found, (0, 0.25), **options)
    assert curve.table.layers.tolist() == ["0"] * 2 + ["1 2"] * 2 + ["0"] * 3 + ["1 2"] * 3
    assert curve.table["count"].tolist() == [0] * 4 + [12] * 3 + [24] * 3
    refused("one window", curve.damage, 0.25)


def test_rankings_of_several_kinds_and_draws_of_several_seeds():
    bb, prompt, found = small("t5")
    other = probe(bb, TASK, random_prompt(bb, 3, seed=1))
    both = (found.fill + other.fill) / 2
    for ranking, fill in ((found, found.fill), ([found, other], both), ({"pn": found, "neu": [other]}, both)):
        curve = suppression_curve(bb, TASK, prompt, ranking, (0.1,), "constant", draws=1, progress=False)
        with suppress(bb, skill_neurons(ranking, 0.1), "constant", fill=fill):
            assert curve.rows[0]["accuracy"] == evaluate(bb, TASK, prompt).accuracy
    scores, options = torch.rand(5, 48), dict(per_layer=False, draws=2, progress=False)
    curves = [suppression_curve(bb, TASK, prompt, scores, (0.1,), seed=seed, **options) for seed in range(3)]
    assert curves[0].rows[0]["count"] == 24
    assert len({draw for curve in curves for draw in curve.table.draw}) == 6
    for kind in ("mean", "constant"):
        refused("fill=", suppression_curve, bb, TASK, prompt, scores, (0.1,), kind, progress=False)


def test_a_damage_matrix_is_a_curve_for_every_pair(store):
    bb, prompt, found = small()
    rankings = {"one": found, "other": probe(bb, TASK, random_prompt(bb, 3, seed=1))}
    given = bb, rankings, {"toy": (TASK, prompt)}, 0.2
    table, again = (cached(damage_matrix, *given, draws=2) for _ in range(2))
    assert table.equals(again) and list(table) == ["source", "target", "value", "skill", "random"]
    for source, ranking in rankings.items():
        given = (suppression_curve, bb, TASK, prompt, ranking, (0, 0.2))
        curve, again = (cached(*given, draws=2, progress=progress) for progress in (False, True))
        assert curve.rows == again.rows
        for value in ("accuracy", "margin"):
            lost = curve.costs(value).query("rate > 0").set_index("neurons").cost
            row = table[(table.source == source) & (table["value"] == value)].iloc[0]
            assert (row.skill, row.random) == (lost.skill, lost.random)


def test_means_are_those_of_the_task_that_is_damaged():
    bb, prompt, found = small()
    stranger = Probe.of(
        found.metadata | {"task": "another"},
        found.tensors | {"layer.means": found.tensors["layer.means"] + 1},
    )
    curve = partial(
        suppression_curve, bb, TASK, prompt, rates=(0, 0.2), kind="constant", draws=1, progress=False
    )
    refused("means of another, not of toy", curve, stranger)
    table = damage_matrix(
        bb, {"toy": found, "another": stranger}, {"toy": (TASK, prompt)}, 0.2, kind="constant", draws=1
    )
    lost = curve(stranger, fill=found).damage(0.2)
    assert table[(table.source == "another") & (table["value"] == "accuracy")].skill.item() == lost.skill


def made(untouched, skill, random):
    """A curve with rates 0 and .1; margins are four times the accuracies."""
    rows = [(0.0, "skill", untouched), (0.0, "random", untouched), (0.1, "skill", skill)]
    rows += [(0.1, "random", value) for value in random]
    same = {"task": "toy", "layers": "0 1", "n": 200}
    return Curve([
        same | {"rate": rate, "neurons": neurons, "draw": draw, "accuracy": accuracy, "margin": 4 * accuracy}
        for draw, (rate, neurons, accuracy) in enumerate(rows)
    ])  # fmt: skip


def test_damage_and_costs_by_hand():
    curves = [made(0.9, 0.7, [0.9, 0.88]), made(0.8, 0.65, [0.8, 0.8]), made(1.0, 0.7, [0.96, 0.98])]
    lost = sum(curves).damage(0.1)
    assert lost.skill == pytest.approx((0.2 + 0.15 + 0.3) / 3)
    assert lost.random == pytest.approx((0.01 + 0 + 0.03) / 3)
    expected = mean_interval([0.19, 0.15, 0.27])
    assert (lost.difference, lost.low, lost.high) == pytest.approx(expected) and lost.n == 3
    assert sum(curves).damage(0.1, "margin").skill == pytest.approx((2 / 9 + 15 / 80 + 0.3) / 3)  # shares
    short = Curve([row for row in curves[0].rows if not row["rate"]])
    for curve, rate in ((curves[0], 0.2), (curves[0] + short, 0.1)):
        refused(f"rates 0 and {rate}", curve.damage, rate)
    curve = curves[0]
    for value, scale in (("accuracy", 1), ("margin", 0.9)):
        lost = curve.costs(value).set_index(["rate", "neurons"]).cost * scale
        assert lost.tolist() == pytest.approx([0, 0, 0.2, 0.01])
    refused("rate 0 as well", (curve + Curve([row for row in curve.rows if row["rate"]])).costs)
    # It is clear when skill neurons cost three points at least, and three times what random ones cost.
    clear = lambda skill, random, low: Damage(0.1, skill, random, skill - random, low, 1.0, 5).clear
    assert clear(0.031, 0.005, 0.01)
    assert not clear(0.029, 0.0, 0.01)
    assert not clear(0.1, 0.04, 0.01)
    assert not clear(0.1, 0.01, -0.01)
    assert not clear(0.1, -0.02, float("nan"))  # a single seed has no interval


def test_summary_averages_draws_before_runs():
    curves = [made(0.9, 0.7, [0.9, 0.88]), made(0.8, 0.65, [0.8, 0.8]), made(0.8, 0.6, [0.7, 0.8])]
    row = sum(curves).summary().set_index(["rate", "neurons"]).loc[(0.1, "random")]
    assert (row.accuracy, row.low, row.high) == pytest.approx(
        accuracy_interval([0.89, 0.8, 0.75], 200)
    ) and row.n == 3
    alone = curves[0].summary("margin").set_index(["rate", "neurons"])
    assert alone.loc[(0.1, "random")].n == 2 and alone.loc[(0.1, "random")].margin == pytest.approx(3.56)
    assert torch.tensor(alone.loc[(0.1, "skill")].low).isnan()
    nested = curves[0] + sum(curves[:2])
    assert nested.table.run.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert repr(nested).count("\n") == 0 and "neurons skill, random; runs: 3, rows: 15" in repr(nested)


def test_bad_input():
    bb, prompt, found = small()
    elsewhere = probe(bb, TASK, random_prompt(bb, 3, layout="zero-position"))
    other = probe(tiny_backbone("roberta", seed=1), TASK, prompt)
    for given, match in (
        ({"ranking": other}, "weights are not those"), ({"ranking": elsewhere}, "has layout mask-first"),
        ({"rates": (0, 1.5)}, "between 0 and 1"), ({"rates": (-0.1,)}, "between 0 and 1"),
        ({"rates": (0.01,)}, "selects no neuron"), ({"rates": (0.6,)}, "lower rate"),
        ({"rates": ()}, "at least one"), ({"windows": ()}, "at least one"), ({"draws": 0}, "at least 1"),
        ({"rates": (0.1, 0.1)}, "rates has 0.1 twice"), ({"windows": ([0], 0)}, "a list of layers"),
        ({"windows": ([1], range(1, 2))}, "windows has .* twice"), ({"windows": ([9],)}, "not all in 0"),
        ({"draws": 10**6}, "at most 10,000"),
    ):  # fmt: skip
        refused(match, suppression_curve, bb, TASK, prompt, **{"ranking": found, "progress": False} | given)
