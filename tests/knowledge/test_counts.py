"""Counts of knowledge neurons, and what facts and languages share, on a backbone in which two facts are planted."""

from dataclasses import replace
from math import isnan

import pytest

from skillkit.knowledge import KnowledgeNeurons, suppress_across_languages
from skillkit.knowledge.counts import FactNeurons
from tests.helpers import refused


def test_counts_layers_and_intersections(study):
    bb, facts, found = study
    capitals = FactNeurons({key: found[key] for key in ("france/en", "germany/en")})
    table = found.counts(facts).set_index("fact")
    assert table.loc["france/en", "neurons"] == 3 and table.loc["germany/en", "known"] == 1
    layers = capitals.by_layer(bb, facts).set_index("layer")
    assert layers["share"].tolist() == [0, 0.5, 0.5] and set(layers["language"]) == {"en"}
    assert layers.index.tolist() == bb.layers
    assert layers["low"].isna().all()  # two facts are no sample
    assert capitals.upper_share(part=1 / 3)[0] == 0.5 and capitals.upper_share(part=0.5)[0] == 1
    shared = found.intersections(facts[:2]).set_index("pairs of facts")
    assert shared.loc["within a relation", ["number", "shared"]].tolist() == [1, 0]
    assert shared.loc["between relations", "number"] == 0
    refused("no neurons", FactNeurons().upper_share)


def test_pairs_of_many_facts_are_drawn(study):
    """Of more than a thousand facts pairs are sampled, with the same result."""
    _, facts, found = study
    many = [replace(fact, uuid=f"{fact.uuid}{i}") for i in range(501) for fact in facts[:2]]
    neurons = FactNeurons({fact.key: found[f"{fact.subject}/en"] for fact in many})
    few, all_pairs = neurons.intersections(many[:40]), neurons.intersections(many, pairs=50)
    assert few.loc[0, "number"] == 400 and all_pairs.loc[0, "number"] == 50
    assert few.loc[0, "shared"] == all_pairs.loc[0, "shared"] == 0


def in_two_languages(facts, found):
    """The capitals again, in a second "language" that has the same prompts but another fact's neurons."""
    second = [replace(fact, language="xx") for fact in facts[:2]]
    return facts[:2] + second, found + {"france/xx": found["germany/en"], "germany/xx": found["germany/en"]}


def test_overlap_between_languages(study):
    _, facts, found = study
    refused("two languages", found.by_language, facts[:1])
    facts, found = in_two_languages(facts, found)
    (row,) = found.language_overlap(facts).to_dict("records")
    assert (row["languages"], row["facts"]) == ("en – xx", 2)
    assert row["shared"] == 1.5 and row["jaccard"] == 0.5  # France shares none, Germany all three
    assert row["another_fact"] == 1.5 and isnan(row["shared_low"]) and isnan(row["shared_high"])
    assert row["chance"] == pytest.approx(((2 * 1 + 1 * 2) / 48 + (1 * 1 + 2 * 2) / 48) / 2)


def test_suppressing_in_one_language_is_measured_in_the_other(study, pairs):
    bb, facts, found = study
    facts, found = in_two_languages(facts, found)
    table = suppress_across_languages(bb, facts, found, draws=1, positions="answer")
    rows = table.assign(change=table["after"] / table["before"] - 1)
    change = rows.set_index(["fact", "source", "neurons", "on"])["change"]
    for on in ("en", "xx"):
        assert change["france", "en", "fact", on] < -0.9 and change["germany", "xx", "fact", on] < -0.9
        assert abs(change["france", "xx", "fact", on]) < 0.01  # Germany's neurons
        assert abs(change["france", "en", "random", on]) < 0.2
    together = KnowledgeNeurons.merge([found["france/en"], found["france/xx"]], share=0.4)
    assert together.pairs == sorted(pairs["france"] + pairs["germany"]) and len(together.prompts) == 8
    assert set(table["source"]) == {"en", "xx", "pooled"}
