"""Facts are asked as single clozes are, and each has its neurons."""

import numpy as np
import torch

import skillkit as sk
from skillkit.knowledge import FactQuestions, ask, find_neurons
from skillkit.knowledge.counts import FactNeurons
from tests.helpers import refused
from tests.knowledge.conftest import COARSE


def test_neurons_of_every_fact_and_the_adaptive_share_of_a_relation(study, pairs):
    bb, facts, found = study
    assert list(found) == ["france/en", "germany/en", "film/en", "food/en"]
    assert found["france/en"].pairs == pairs["france"] and found["germany/en"].pairs == pairs["germany"]
    settled = find_neurons(bb, facts[:2], coarse=COARSE)
    assert settled["france/en"].share == settled["germany/en"].share == 0.7
    assert settled["france/en"].pairs == pairs["france"]
    refused("no fact has 5 prompts", find_neurons, bb, facts, minimum_prompts=5)


def test_fact_neurons_are_stored_sparsely(study, tmp_path, monkeypatch):
    bb, facts, found = study
    found.save(tmp_path)
    again = FactNeurons.load(tmp_path)
    assert list(again) == list(found) and list(found + FactNeurons(other=1)) == [*found, "other"]
    for key, one in found.items():
        assert torch.equal(again[key].mask, one.mask) and torch.equal(again[key].counts, one.counts)
        assert again[key].prompts == one.prompts and again[key].probability == one.probability
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path / "store"))
    _, again = (sk.cached(find_neurons, bb, facts[:1], coarse=COARSE, share=0.5) for _ in range(2))
    assert again["france/en"].pairs == found["france/en"].pairs
    assert len(list(tmp_path.glob("store/fact_neurons/*/meta.json"))) == 1


def test_facts_are_asked_as_single_clozes_are(study):
    bb, facts, _ = study
    answers = FactQuestions(bb, facts).ask([facts[1].key, facts[2].key])
    for fact in facts[1:3]:
        replies, found = ask(bb, fact.prompts, fact.object), answers[fact.key]
        np.testing.assert_allclose(found.probability, [r.probability for r in replies], rtol=1e-4)
        assert found.rank.tolist() == [r.rank for r in replies]
    others = FactQuestions(bb, facts[:1], {"france/en": "london good"}).ask(["france/en"])["france/en"]
    replies = ask(bb, facts[0].prompts, "london good")
    np.testing.assert_allclose(others.surprise, [-np.log(r.probability) for r in replies], rtol=1e-4)
