"""The fast attribution equals the formula, in every family and with every rule."""

import numpy as np
import pytest
import torch

from skillkit.core import SkillkitError
from skillkit.knowledge import attribute, knowledge_neurons
from skillkit.knowledge.attribution import AGGREGATES
from skillkit.knowledge.clozes import encode_cloze, inputs_of, slots_of
from skillkit.knowledge.integrated_gradients import RULES, rule_nodes
from skillkit.knowledge.upper_layers import UpperLayers
from skillkit.models import load_backbone, replace_neurons
from tests.helpers import refused, shared_path
from tests.plain_attribution import plain_attribution
from tests.tiny import NEURONS, every_family, families, tiny_backbone

either_side = pytest.mark.parametrize("before", [False, True])
CLOZE, ANSWER = "the capital of france is [MASK] .", "paris"


@pytest.fixture
def double(monkeypatch, model):
    """A tiny backbone that computes in float64 throughout.

    Several architectures compute norms or attention in float32 whatever their weights are; for the length of a
    test, float32 means float64 to them.
    """
    bb = tiny_backbone(model)
    bb.model.double()
    monkeypatch.setattr(torch, "float32", torch.float64)
    return bb


def assert_close(found, expected, share=1e-9):
    """Scores and completeness error differ by no more than a share of the highest score."""
    scores, errors, probability = expected
    scale = share * scores.abs().max()
    assert (found.token_scores - scores).abs().max() <= scale
    if len(errors) == 1:
        assert (found.completeness_error - errors[0]).abs().max() <= scale * NEURONS
    assert found.probability == pytest.approx(float(probability), rel=share * 100)


@families("roberta", "gpt2")
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_equals_the_formula(double, rule):
    expected = plain_attribution(double, CLOZE, ANSWER, *rule_nodes(rule, 5))
    assert_close(attribute(double, CLOZE, ANSWER, steps=5, rule=rule), expected)


@families("roberta", "gpt2")
def test_float32_is_as_good_as_float32_can_be(model):
    bb = tiny_backbone(model)
    answer = "true"  # likely enough everywhere: a probability of 1e-6 is ill-conditioned in either version
    expected = plain_attribution(bb, CLOZE, answer, *rule_nodes("endpoints", 20))
    found = attribute(bb, CLOZE, answer)
    assert_close(found, expected, 1e-4)
    assert not found.scores.requires_grad and not found.token_scores.requires_grad
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in bb.model.modules())


@families("roberta", "gpt2")
@either_side
def test_answers_of_several_tokens(double, before):
    cloze = "the capital of france is [MASK] [MASK] ." if double.family == "masked" else CLOZE
    expected = plain_attribution(double, cloze, "paris london", *rule_nodes("left", 4), before=before)
    found = attribute(double, cloze, "paris london", steps=4, rule="left", before=before)
    assert found.token_scores.shape == (2, double.num_layers, NEURONS)
    assert_close(found, expected)


@families("roberta", "gpt2")
@pytest.mark.parametrize("way", ["little memory", "much memory", "whole model", "whole model, before"])
def test_several_clozes_with_any_memory_and_in_plain_passes(double, monkeypatch, way):
    bb, before = double, way.endswith("before")
    monkeypatch.setenv("SKILLKIT_PLAIN", str(int("whole model" in way)))
    clozes, answers = [CLOZE, "in germany you watch [MASK] .", "it is [MASK] ."], ["paris", "sport", "good"]
    memory = 2**17 if way == "little memory" else 2**40
    found = attribute(bb, clozes, answers, steps=3, memory=memory, before=before)
    for cloze, answer, one in zip(clozes, answers, found, strict=True):
        assert (one.cloze, one.answer) == (cloze, answer)
        assert_close(one, plain_attribution(bb, cloze, answer, *rule_nodes("endpoints", 3), before=before))


@pytest.mark.parametrize("model", ["bert", "gpt2", "t5"])
def test_sweeps_are_split_to_fit_the_memory_and_change_nothing(double, monkeypatch):
    sweep, found, sizes = UpperLayers.sweep, {}, {}

    def counted(self, layers, alphas):
        sizes.setdefault(memory, []).append(len(layers) * len(alphas) * len(self.slots))
        return sweep(self, layers, alphas)

    monkeypatch.setattr(UpperLayers, "sweep", counted)
    for memory in (2**40, 2**18, 1):
        found[memory] = attribute(double, [CLOZE] * 3, ANSWER, steps=4, rule="right", memory=memory)
        for one, whole in zip(found[memory], found[2**40], strict=True):
            assert_close(one, (whole.token_scores, whole.completeness_error[None], whole.probability))
    assert max(sizes[2**40]) > max(sizes[2**18]) > max(sizes[1]) == 1
    assert len({sum(those) for those in sizes.values()}) == 1  # each variant once


@every_family
def test_the_integral_is_complete(double, model):
    found = attribute(double, CLOZE, ANSWER, steps=200, rule="gauss-legendre")
    smooth = 1e-2 if model.startswith("t5") else 1e-6  # ReLU bends, and unscaled logits turn sharply
    assert found.completeness_error.abs().max() < smooth * found.scores.abs().max()


@every_family
def test_activation_is_the_baseline_and_the_prediction_the_models_own(model):
    bb = tiny_backbone(model)
    found = attribute(bb, CLOZE, ANSWER, method="activation")
    question = encode_cloze(bb, CLOZE, ANSWER)
    slots = slots_of(bb, question)
    with bb.record(positions=slots) as acts:
        hidden = bb.run(inputs_of(bb, question))
    expected = torch.cat([acts[layer][0] for layer in range(bb.num_layers)])
    torch.testing.assert_close(found.scores, expected, atol=1e-5, rtol=1e-4)
    assert found.completeness_error.isnan().all()
    likely = bb.head(hidden)[0, int(slots[bb.num_layers - 1])].argmax()
    assert found.predicted == bb.tokenizer.decode([int(likely)]).strip()


def test_scores_of_several_tokens_are_aggregated():
    bb, both = tiny_backbone("t5"), "paris london"
    found = {name: attribute(bb, CLOZE, both, steps=2, aggregate=name) for name in AGGREGATES}
    first, second = found["sum"].token_scores
    expected = first + second, (first + second) / 2, torch.maximum(first, second), first, second
    for name, scores in zip(("sum", "mean", "max", "start", "end"), expected, strict=True):
        torch.testing.assert_close(found[name].scores, scores)
    assert torch.equal(attribute(bb, CLOZE, both, steps=2).scores, found["start"].scores)  # as published
    (layer, neuron, score), runner_up = found["sum"].top(2)
    assert score == found["sum"].scores.max() == found["sum"].scores[layer, neuron] >= runner_up[2]


@pytest.mark.parametrize("model", ["bert", "gpt2", "t5"])
def test_half_precision_gives_float32_scores(model):
    bb = tiny_backbone(model)
    exact = attribute(bb, CLOZE, "true", steps=4).scores
    bb.model.bfloat16()
    half = attribute(bb, CLOZE, "true", steps=4).scores
    assert half.dtype == torch.float32
    assert torch.corrcoef(torch.stack([half.flatten(), exact.flatten()]))[0, 1] > 0.9


@either_side
def test_attribution_inside_an_intervention_is_refused(before):
    bb = tiny_backbone("bert")
    inside = replace_neurons(bb, {0: torch.relu}, before=before)
    with pytest.raises(SkillkitError, match="inside an intervention"), inside:
        attribute(bb, CLOZE, ANSWER)


@pytest.mark.parametrize("options, reason", [
    ({"rule": "middle"}, "no rule 'middle'"), ({"steps": 0}, "at least 2 steps"),
    ({"steps": 0, "rule": "left"}, "at least 1 steps"), ({"method": "magic"}, "method 'magic'"),
    ({"aggregate": "median"}, "'median' is not known"), ({"steps": 2.0}, "a whole number"),
    ({"steps": True, "rule": "left"}, "a whole number"),
])  # fmt: skip
def test_wrong_options(options, reason):
    refused(reason, attribute, tiny_backbone("bert"), CLOZE, ANSWER, **options)


@pytest.mark.parametrize("model", ["bert", "gpt2"])
def test_a_batch_size_is_a_budget_and_published_words_are_known(model):
    bb = tiny_backbone(model)
    clozes = [CLOZE, CLOZE.replace("france", "germany")]
    plain = attribute(bb, clozes, ANSWER, steps=4)
    for size in (1, 20):
        for one, other in zip(attribute(bb, clozes, ANSWER, steps=4, batch_size=size), plain, strict=True):
            torch.testing.assert_close(one.scores, other.scores, atol=1e-6, rtol=1e-4)
    refused("batch_size cannot be 0", attribute, bb, CLOZE, ANSWER, batch_size=0)
    acts = [attribute(bb, CLOZE, ANSWER, method=one).scores for one in ("max_activations", "activation")]
    assert torch.equal(*acts)
    assert knowledge_neurons(bb, clozes, ANSWER, steps=4, batch_size=3).coarse is not None


def test_rules_integrate_what_they_should():
    for rule in RULES:
        alphas, weights = rule_nodes(rule, 7)
        assert weights.sum() == pytest.approx(1) and len(alphas) == 7
        assert all(map(np.array_equal, rule_nodes(rule, np.int64(7)), (alphas, weights)))
    alphas, weights = rule_nodes("gauss-legendre", 4)
    assert weights @ alphas**7 == pytest.approx(1 / 8)


@pytest.mark.slow
def test_a_real_llama_like_model():
    bb = load_backbone(shared_path("models/stories260k"))
    cloze, answer = "Once upon a time, there was a little girl named [MASK]", "Lily"
    found = attribute(bb, cloze, answer, steps=50, rule="gauss-legendre")
    expected = plain_attribution(bb, cloze, answer, *rule_nodes("gauss-legendre", 50))
    assert_close(found, expected, 1e-4)
    assert found.probability > 0.05
    assert found.completeness_error.abs().max() < 1e-3
