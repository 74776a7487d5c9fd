"""The fast attribution equals the formula, in every family and with every rule."""

import pytest
import torch

from skillkit.attribution import attribute
from skillkit.backbones import load_backbone
from skillkit.errors import SkillkitError
from skillkit.neurons import edit
from skillkit.quadrature import RULES, carried_weights, nested_nodes, rule_nodes
from tests.helpers import shared_path
from tests.plain_attribution import plain_attribution
from tests.tiny import NEURONS, TINY_MODELS, tiny_backbone

every_family = pytest.mark.parametrize("model_type", TINY_MODELS)
CLOZE, ANSWER = "the capital of france is [MASK] .", "paris"


@pytest.fixture
def double(monkeypatch):
    """A function giving a tiny backbone that computes in float64 throughout.

    Several architectures compute norms or attention in float32 whatever their weights are; for the length of a
    test, float32 means float64 to them.
    """

    def make(model_type, **options):
        bb = tiny_backbone(model_type, **options)
        bb.model.double()
        monkeypatch.setattr(torch, "float32", torch.float64)
        return bb

    return make


def assert_close(found, expected, share):
    """Scores and completeness error differ by no more than a share of the highest score."""
    scores, errors, probability = expected
    scale = share * scores.abs().max()
    assert (found.token_scores - scores).abs().max() <= scale
    if len(errors) == 1:
        assert (found.completeness_error - errors[0]).abs().max() <= scale * NEURONS
    assert found.probability == pytest.approx(float(probability), rel=share * 100)


@every_family
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_equals_the_formula(double, model_type, rule):
    bb = double(model_type)
    expected = plain_attribution(bb, CLOZE, ANSWER, *rule_nodes(rule, 5))
    assert_close(attribute(bb, CLOZE, ANSWER, steps=5, rule=rule), expected, 1e-9)


@every_family
def test_float32_is_as_good_as_float32_can_be(model_type):
    bb = tiny_backbone(model_type)
    answer = "true"  # likely enough everywhere: a probability of 1e-6 is ill-conditioned in either version
    expected = plain_attribution(bb, CLOZE, answer, *rule_nodes("endpoints", 20))
    assert_close(attribute(bb, CLOZE, answer), expected, 1e-4)


@every_family
@pytest.mark.parametrize("rule", ["endpoints", "left"])
def test_before_the_non_linearity(double, model_type, rule):
    bb = double(model_type)
    expected = plain_attribution(bb, CLOZE, ANSWER, *rule_nodes(rule, 5), before=True)
    assert_close(attribute(bb, CLOZE, ANSWER, steps=5, rule=rule, before=True), expected, 1e-9)


@every_family
@pytest.mark.parametrize("before", [False, True])
def test_answers_of_several_tokens(double, model_type, before):
    bb = double(model_type)
    cloze = "the capital of france is [MASK] [MASK] ." if bb.family == "masked" else CLOZE
    expected = plain_attribution(bb, cloze, "paris london", *rule_nodes("right", 4), before=before)
    found = attribute(bb, cloze, "paris london", steps=4, rule="right", before=before)
    assert found.token_scores.shape == (2, bb.num_layers, NEURONS)
    assert_close(found, expected, 1e-9)


@every_family
@pytest.mark.parametrize("memory", [1, 2**17, 2**40])
def test_prompts_of_different_lengths_and_any_memory_budget(double, model_type, memory):
    bb = double(model_type)
    clozes = [CLOZE, "paris is the capital of [MASK] .", "in germany you watch [MASK] .", "it is [MASK] ."]
    answers = ["paris", "france", "sport", "good"]
    found = attribute(bb, clozes, answers, steps=3, memory=memory)
    for cloze, answer, one in zip(clozes, answers, found, strict=True):
        assert (one.cloze, one.answer) == (cloze, answer)
        assert_close(one, plain_attribution(bb, cloze, answer, *rule_nodes("endpoints", 3)), 1e-9)


@every_family
def test_the_integral_is_complete(double, model_type):
    found = attribute(double(model_type), CLOZE, ANSWER, steps=60, rule="gauss-legendre")
    smooth = 1e-2 if model_type.startswith("t5") else 1e-6  # ReLU bends, and unscaled logits turn sharply
    assert found.completeness_error.abs().max() < smooth * found.scores.abs().max()
