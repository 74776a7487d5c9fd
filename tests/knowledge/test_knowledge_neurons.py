"""Coarse and refined neurons by their definitions, and a planted fact that is found exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skillkit.core import cached
from skillkit.knowledge import FactNeurons, KnowledgeNeurons, attribute, coarse_neurons, knowledge_neurons
from skillkit.knowledge.attribution import Attribution, Attributions
from skillkit.knowledge.knowledge_neurons import adaptive_share, often
from tests.helpers import refused
from tests.planted_facts import FIRST_MATRIX, planted_facts
from tests.tiny import NEURONS, families, tiny_backbone

planted = families("bert", slow=FIRST_MATRIX)
PROMPTS = [
    "the capital of france is [MASK] .", "france and [MASK] are in a story .", "you watch france in [MASK] .",
    "what is the capital of france ? [MASK] .",
]  # fmt: skip


@planted
@pytest.mark.parametrize("rule", ["endpoints", "right", "left", "gauss-legendre"])
def test_planted_neurons_are_found_and_no_others(model, rule):
    bb, facts = planted_facts(model)
    for fact in facts.values():
        found = knowledge_neurons(bb, fact.prompts, fact.answer, rule=rule, coarse={"adaptive": 0.2})
        assert found.pairs == fact.pairs
        assert found.predicted == (fact.answer,) * len(fact.prompts)


@families("bert", slow=FIRST_MATRIX)
def test_what_a_negative_prompt_has_too_is_removed(model, tmp_path):
    bb, facts = planted_facts(model)
    france, germany = facts["france"], facts["germany"]
    prompts, answers = france.prompts + germany.prompts, [france.answer] * 4 + [germany.answer] * 4
    options = {"coarse": {"adaptive": 0.2}, "share": 0.4}
    both = knowledge_neurons(bb, prompts, answers, **options)
    assert both.pairs == sorted(france.pairs + germany.pairs)
    negatives = [(prompt, germany.answer) for prompt in germany.prompts]
    without = knowledge_neurons(bb, prompts, answers, negatives=negatives, **options)
    assert without.pairs == france.pairs
    without.save(tmp_path / "new/folder")
    again = KnowledgeNeurons.load(tmp_path / "new/folder")
    assert again.pairs == france.pairs and torch.equal(again.negatives, without.negatives)
    assert again.refine(0.1).pairs == without.refine(0.1).pairs and again.prompts == without.prompts
    FactNeurons(france=without, germany=both).save(tmp_path)
    loaded = FactNeurons.load(tmp_path)
    assert loaded["france"].pairs == france.pairs and loaded["germany"].negatives is None
    refused("the neurons of 2 facts", KnowledgeNeurons.load, tmp_path)
    same_answer = knowledge_neurons(bb, france.prompts, "paris", negatives=germany.prompts, **options)
    assert same_answer.pairs == france.pairs  # in Germany's prompts, they are not active


def scores_with(*values):
    """Scores of a tiny BERT: zero but for the first neurons of layer 0."""
    scores = torch.zeros(3, NEURONS)
    scores[0, : len(values)] = torch.tensor(values)
    return scores


@pytest.mark.parametrize("threshold, expected", [
    ({"absolute": 0.2}, [0, 1]), ({"absolute": 5.0}, []), ({"adaptive": 0.3}, [0, 1]), ({"adaptive": 0.0}, [0, 1, 2]),
    ({"percentile": 99.5}, [0]), ({"percentile": 99.0}, [0, 1]), ({"percentile": 98.0}, [0, 1, 2]),
])  # fmt: skip
def test_three_thresholds(threshold, expected):
    bb = tiny_backbone("bert")
    mask = coarse_neurons(bb, scores_with(1.0, 0.5, 0.2, -3.0), **threshold)
    assert mask.shape == (3, NEURONS) and mask.nonzero().tolist() == [[0, neuron] for neuron in expected]
    if "percentile" in threshold:
        level = np.percentile(scores_with(1.0, 0.5, 0.2, -3.0).numpy(), threshold["percentile"])
        assert mask.sum() == (scores_with(1.0, 0.5, 0.2, -3.0) > level).sum() > 0
    assert not coarse_neurons(bb, scores_with(-1.0) - 1, adaptive=0.3).any()  # no score is positive


@pytest.mark.parametrize("threshold, reason", [
    ({}, "exactly one of absolute, adaptive, percentile"), ({"adaptive": 0.3, "absolute": 1.0}, "exactly one"),
    ({"adaptive": 1.0}, "nothing or everything"), ({"adaptive": -0.1}, "nothing or everything"),
    ({"percentile": 100}, "between 0 and 100"), ({"absolute": -9.0}, "every neuron scores above"),
])  # fmt: skip
def test_thresholds_that_are_none(threshold, reason):
    refused(reason, coarse_neurons, tiny_backbone("bert"), scores_with(1.0), **threshold)


@pytest.mark.parametrize("share, strict, expected", [
    (0.5, True, [0]), (0.5, False, [0, 1]), (0.75, True, []), (0.75, False, [0]), (0.2, True, [0, 1, 2]),
])  # fmt: skip
def test_a_refined_neuron_is_in_more_than_a_share_of_the_prompts(share, strict, expected):
    rows = [(1.0, 1.0, 0.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)]
    made = lambda i, row: Attribution(f"{i} [MASK]", "x", scores_with(*row), None, None, 0.5, "y")
    made = Attributions(map(made, range(4), rows))
    how = dict(coarse={"adaptive": 0.5}, share=share, strict=strict)
    found = knowledge_neurons(tiny_backbone("bert"), made, **how)
    assert found.counts[0, :3].tolist() == [3, 2, 1]
    assert found.pairs == [(0, neuron) for neuron in expected] and len(found) == len(expected)
    assert found.prompts[3] == "3 [MASK]" and found.predicted == ("y",) * 4


def test_shares_are_not_led_astray_by_rounding():
    counts = torch.tensor([6, 7, 8])
    assert often(counts, 10, 0.7).tolist() == [False, False, True]
    assert often(counts, 10, 0.7, strict=False).tolist() == [False, True, True]
    assert not often(torch.tensor([0]), 10, 0.0, strict=False).any()


def with_counts(*counts):
    mask, counts = torch.zeros(1, len(counts), dtype=torch.bool), torch.tensor([counts], dtype=torch.int16)
    return KnowledgeNeurons(mask, counts, None, *(("p",) * 20,) * 4, 0.5, True, 0.5, 0)


def test_the_authors_share_moves_until_there_are_two_to_five_neurons():
    assert adaptive_share([with_counts(16, 16, 16)]) == 0.7
    assert adaptive_share([with_counts(16, 13, 13, 13, 5)]) == pytest.approx(0.6)
    assert adaptive_share([with_counts(*[16] * 4, *[15] * 9)]) == pytest.approx(0.75)
    assert adaptive_share([with_counts(1, 1), with_counts(20, 20, 20)]) > 0  # a mean, not every fact
    assert 0 < adaptive_share([with_counts(0)]) < 0.1
    assert adaptive_share([with_counts(*[20] * 9)]) == pytest.approx(0.95)
    assert adaptive_share([with_counts(*[14] * 9)]) in (0.65, 0.7)  # jumps from none to nine
    refused("no fact", adaptive_share, [])


@pytest.mark.parametrize("options, reason", [
    ({"minimum_prompts": 5}, "minimum_prompts=5"), ({"coarse": {"adaptive": 2}}, "nothing or everything"),
    ({"share": 1.0}, "nothing or everything"), ({"share": 0.0, "strict": False}, "nothing or everything"),
    ({"rule": "up"}, "no rule 'up'"), ({"answer": None}, "there, not .*, None"), ({"coarse": 0.3}, "exactly one of"),
    ({"answer": ["paris"] * 4, "negatives": ["it is [MASK] ."]}, "a .cloze, answer. pair"),
    ({"negatives": 4}, "a .cloze, answer. pair"), ({"coarse": {"adaptive": "0.3"}}, "nothing or everything"),
])  # fmt: skip
def test_options_that_make_no_sense(options, reason):
    refused(reason, knowledge_neurons, tiny_backbone("bert"), PROMPTS, **{"answer": "paris", **options})


def test_attributions_and_knowledge_neurons_are_stored(store):
    bb = tiny_backbone("bert")
    one, again = (cached(attribute, bb, PROMPTS[0], "paris", steps=3) for _ in range(2))
    assert torch.equal(one.scores, again.scores) and again.predicted == one.predicted
    many, again = (cached(attribute, bb, PROMPTS[:2], "paris", steps=3) for _ in range(2))
    assert len(again) == 2 and torch.equal(again[1].token_scores, many[1].token_scores)
    found, again = (cached(knowledge_neurons, bb, PROMPTS, "paris", steps=3) for _ in range(2))
    assert torch.equal(found.mask, again.mask) and again.prompts == tuple(PROMPTS)
    assert len(list(store.glob("*/*/meta.json"))) == 3


def test_coarse_neurons_of_every_prompt_are_kept(tmp_path):
    bb, scores = tiny_backbone("bert"), [(1.0, 0.9, 0.1), (0.1, 1.0, 0.0), (0.0, 0.0, 0.0)]
    made = lambda i, row: Attribution(f"{i} [MASK]", "x", scores_with(*row), None, None, 0.5, "y")
    found = knowledge_neurons(bb, Attributions(map(made, range(3), scores)), coarse={"adaptive": 0.5})
    assert found.coarse == [[(0, 0), (0, 1)], [(0, 1)], []] and found.refine(0.1).coarse == found.coarse
    both = KnowledgeNeurons.merge([found, found])
    assert both.coarse == found.coarse * 2
    FactNeurons(one=found, two=both).save(tmp_path)
    again = FactNeurons.load(tmp_path)
    assert again["one"].coarse == found.coarse and again["two"].coarse == both.coarse
    old = replace(found, coarse_at=None)  # as what was saved before has them
    FactNeurons(one=old, two=both).save(tmp_path / "old")
    assert FactNeurons.load(tmp_path / "old")["one"].pairs == found.pairs
    refused("coarse neurons were not kept", lambda: FactNeurons.load(tmp_path / "old")["one"].coarse)
    refused("were not kept", lambda: KnowledgeNeurons.merge([found, old]).coarse)
