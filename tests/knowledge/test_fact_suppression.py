"""Suppressing the neurons of facts, on a backbone in which two facts are planted."""

from dataclasses import replace

import numpy as np
import pandas
import pytest

from skillkit.core import cached
from skillkit.knowledge import ask, edit_facts, suppress_facts, suppression_by_count
from skillkit.knowledge.fact_suppression import Changes, neighbours
from skillkit.neurons import suppress
from tests.helpers import refused


def test_suppressing_forgets_its_own_fact_alone(study, store):
    bb, facts, found = study
    table, again = (cached(suppress_facts, bb, facts, found, draws=3, positions="answer") for _ in range(2))
    pandas.testing.assert_frame_equal(table, again)
    assert (store / "forgetting").is_dir() and type(again) is Changes
    assert type(pandas.concat([table, again])) is Changes
    capital = table[table["relation"] == "capital"].set_index(["kind", "neurons", "on"])
    change = lambda *where: (capital.loc[where, "after"] / capital.loc[where, "before"] - 1).to_numpy()
    assert (change("suppress", "fact", "own") < -0.9).all()
    assert (change("enhance", "fact", "own") > 0.01).all()
    assert (np.abs(change("suppress", "fact", "same relation")) < 0.01).all()
    assert (np.abs(change("suppress", "random", "own")) < 0.2).all()
    assert (table.groupby(["fact", "kind"])["size"].nunique() == 1).all()


def test_neighbours_speak_the_language_and_have_another_answer(study):
    _, facts, _ = study
    french = replace(facts[1], language="fr", object="Berlin")
    twin = replace(facts[0], uuid="gaul")
    near = neighbours(facts[0], [*facts, french, twin], 5)
    assert near["same relation"] == ["germany/en"] and set(near["other relations"]) == {"film/en", "food/en"}


def test_ratio_of_means_and_mean_of_ratios():
    table = Changes({
        "fact": ["a", "b", "a", "a", "b", "b"],
        "kind": "suppress",
        "neurons": ["fact", "fact", "random", "random", "random", "random"],
        "on": "own",
        "before": [0.5, 0.001, 0.5, 0.5, 0.001, 0.001],
        "after": [0.25, 0.01, 0.5, 0.4, 0.001, 0.002],
    })  # fmt: skip
    fact, control = table.summary().to_dict("records")
    assert fact["ratio_of_means"] == pytest.approx(0.26 / 0.501 - 1)
    assert fact["mean_of_ratios"] == pytest.approx((0.5 + 10) / 2 - 1)
    assert np.isnan(fact["ratio_low"])  # two facts are no sample
    assert control["facts"] == 2 and control["after"] == pytest.approx((0.45 + 0.0015) / 2)
    assert table.summary(by=("kind", "on"))["facts"].tolist() == [2]
    one = table.iloc[:1].summary().iloc[0]
    assert one["ratio_of_means"] == pytest.approx(-0.5) and np.isnan(one["ratio_low"])


def test_more_and_more_neurons_are_switched_off(study):
    bb, facts, found = study
    table = suppression_by_count(bb, facts[:2], counts=(1, 3), positions="answer", steps=5)
    means = table.groupby(["fact", "neurons", "count"])["probability"].mean()
    asked = lambda: np.mean([reply.probability for reply in ask(bb, facts[0].prompts, "paris")])
    before = asked()
    assert means["france/en", "fact", 0] == means["france/en", "random", 0] == pytest.approx(before, rel=1e-4)
    assert means["france/en", "fact", 3] < 0.1 * before < means["france/en", "random", 3]
    with suppress(bb, found["france/en"], positions="answer"):  # the three best are the planted ones
        assert means["france/en", "fact", 3] == pytest.approx(asked(), rel=1e-4)
    for run in (suppress_facts, edit_facts):
        refused("neurons", run, bb, facts, {})
