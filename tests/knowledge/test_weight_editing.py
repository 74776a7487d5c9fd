"""Editing and erasing facts, on a backbone in which two facts are planted."""

import random
from dataclasses import replace

import numpy as np
import pandas
import pytest
import torch

from skillkit.knowledge import FactQuestions, edit_facts, erase, erase_relations
from skillkit.knowledge.weight_editing import Edits, shared_neurons
from tests.helpers import refused


@pytest.mark.parametrize("form", ["normed", "plain"])
def test_edits_succeed_at_no_cost_where_facts_are_apart(study, form):
    bb, facts, found = study
    table = edit_facts(bb, facts[:2], found, form=form, draws=2, positions="answer")
    mine = table[table["neurons"] == "fact"]
    columns = ["success_1", "mrr", "old_answer_kept", "success_1 before", "old_answer_kept before"]
    assert mine[columns].to_numpy().tolist() == [[1, 1, 0, 0, 1]] * 2
    assert mine["new"].tolist() == ["berlin", "paris"]
    np.testing.assert_allclose(mine["perplexity_within"], mine["perplexity_within before"], rtol=0.01)
    assert table[table["neurons"] == "random"]["success_1"].mean() < 0.7
    means = pandas.concat([table]).summary().set_index("neurons")
    assert means.loc["fact", "success_1"] == 1 and means.loc["fact", "facts"] == 2


def test_perplexity_is_averaged_as_a_logarithm():
    table = Edits({"fact": ["a", "b"], "neurons": "fact", "perplexity_within": [1.0, 100.0], "mrr": [0.5, 1]})
    means = table.summary().iloc[0]
    assert means["perplexity_within"] == pytest.approx(10) and means["mrr"] == pytest.approx(0.75)


def test_erasing_a_relation(study):
    bb, facts, found = study
    table = erase_relations(bb, facts, found, top=6, draws=2)
    capital = table[table["relation"] == "capital"].set_index("neurons")
    erased, control = capital.loc["relation"], capital.loc["random"]
    assert erased["size"] == 6 and erased["accuracy_within before"] == 1 and erased["accuracy_within"] == 0
    assert erased["perplexity_within"] > 10 * erased["perplexity_within before"]
    assert (control["accuracy_within"] > 0.5).all()
    for on in ("within", "between"):
        ratio = table[f"perplexity_{on}"] / table[f"perplexity_{on} before"]
        np.testing.assert_allclose(table[f"rise_{on}"], ratio, rtol=1e-6)
    assert erased[["rise_within_low", "rise_within_high"]].isna().all()  # two facts are no sample
    drawn = table.rises().set_index(["relation", "neurons", "on"]).loc["capital", "random", "within"]
    assert drawn["rise"] == pytest.approx(np.sqrt(control["rise_within"].prod()))
    few = erase_relations(bb, facts, found, top=6, examples=1, draws=1)  # one fact of each relation is asked
    kept = random.Random(0).sample(facts[:2], 1)
    with erase(bb, shared_neurons([found[fact.key] for fact in facts[:2]], 6)):
        after = FactQuestions(bb, kept).ask([kept[0].key])[kept[0].key].surprise
    assert few["perplexity_within"][0] == pytest.approx(np.exp(after.mean()), rel=1e-4)
    refused("no relation has neurons", erase_relations, bb, facts, {})


def test_the_neurons_that_most_facts_share_come_first(study):
    _, _, found = study
    france, germany = found["france/en"], found["germany/en"]
    both = replace(france, mask=france.mask | germany.mask)
    assert torch.equal(shared_neurons([both, france, germany], 3) | france.mask | germany.mask, both.mask)
    assert torch.equal(shared_neurons([both, france], 3), france.mask)
    assert shared_neurons([replace(france, mask=france.mask & False)]) is None
