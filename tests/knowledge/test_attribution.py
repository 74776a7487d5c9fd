"""The fast attribution equals the formula, in every family and with every rule."""

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.knowledge.attribution import attribute
from skillkit.knowledge.clozes import encode_cloze, inputs_of, slots_of
from skillkit.knowledge.integrated_gradients import RULES, _footprint, rule_nodes
from skillkit.knowledge.upper_layers import UpperLayers
from skillkit.models.backbone import load_backbone
from skillkit.models.hooks import replace_neurons
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
def test_before_the_non_linearity(double, model_type):
    bb = double(model_type)
    expected = plain_attribution(bb, CLOZE, ANSWER, *rule_nodes("left", 5), before=True)
    assert_close(attribute(bb, CLOZE, ANSWER, steps=5, rule="left", before=True), expected, 1e-9)


@every_family
@pytest.mark.parametrize("before", [False, True])
def test_plain_passes_of_the_whole_model_give_the_same(double, monkeypatch, model_type, before):
    bb, asked = double(model_type), dict(steps=4, before=before)
    clozes = [CLOZE, "the capital of germany is [MASK] .", "it is [MASK] ."]
    quick = attribute(bb, clozes, ANSWER, **asked)
    monkeypatch.setenv("SKILLKIT_PLAIN", "1")
    for one, other in zip(attribute(bb, clozes, ANSWER, **asked), quick, strict=True):
        assert_close(one, (other.token_scores, other.completeness_error[None], other.probability), 1e-9)


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


def test_a_budget_divides_the_layers_before_it_divides_the_steps(monkeypatch):
    bb, sweeps, sweep = tiny_backbone("bert", layers=6), [], UpperLayers.sweep

    def noted(stack, layers, alphas, **options):
        sweeps.append((len(layers), len(alphas)))
        return sweep(stack, layers, alphas, **options)

    monkeypatch.setattr(UpperLayers, "sweep", noted)
    asked = encode_cloze(bb, CLOZE, ANSWER)
    lowest = _footprint(bb, asked[0], range(1))
    attribute(bb, CLOZE, ANSWER, steps=20, memory=25 * lowest)
    assert {alphas for _, alphas in sweeps} == {20} and sum(layers for layers, _ in sweeps) == 6
    assert sweeps[0][0] < sweeps[-1][0]  # the higher, the fewer blocks are above
    sweeps.clear()
    attribute(bb, CLOZE, ANSWER, steps=20, memory=4 * lowest)
    assert sweeps[0] == (1, 4)


@every_family
def test_the_integral_is_complete(double, model_type):
    found = attribute(double(model_type), CLOZE, ANSWER, steps=200, rule="gauss-legendre")
    smooth = 1e-2 if model_type.startswith("t5") else 1e-6  # ReLU bends, and unscaled logits turn sharply
    assert found.completeness_error.abs().max() < smooth * found.scores.abs().max()


@every_family
def test_activation_is_the_baseline_method(model_type):
    bb = tiny_backbone(model_type)
    found = attribute(bb, CLOZE, ANSWER, method="activation")
    question = encode_cloze(bb, CLOZE, ANSWER)[0]
    with bb.record(positions=slots_of(bb, [question])) as acts:
        bb.run(inputs_of(bb, [question]))
    expected = torch.cat([acts[layer][0] for layer in range(bb.num_layers)])
    torch.testing.assert_close(found.scores, expected, atol=1e-5, rtol=1e-4)
    assert found.completeness_error.isnan().all()


@pytest.mark.parametrize(
    "aggregate, expected",
    [
        ("sum", lambda t: t[0] + t[1]),
        ("mean", lambda t: (t[0] + t[1]) / 2),
        ("max", lambda t: torch.maximum(t[0], t[1])),
        ("start", lambda t: t[0]),
        ("end", lambda t: t[1]),
    ],
)
def test_scores_of_several_tokens_are_aggregated(aggregate, expected):
    found = attribute(tiny_backbone("t5"), CLOZE, "paris london", steps=2, aggregate=aggregate)
    torch.testing.assert_close(found.scores, expected(found.token_scores))


@every_family
def test_probability_and_prediction_are_the_models_own(model_type):
    bb = tiny_backbone(model_type)
    found = attribute(bb, CLOZE, ANSWER, steps=2)
    question = encode_cloze(bb, CLOZE, ANSWER)[0]
    inputs = {"input_ids": torch.tensor([question.ids])}
    if question.decoder:
        inputs["decoder_input_ids"] = torch.tensor([question.decoder])
    slot = len(question.decoder) - 1 if question.decoder else question.slots[0]
    likely = bb.model(**inputs).logits[0, slot].softmax(-1)
    assert found.probability == pytest.approx(float(likely[question.targets[0]]), rel=1e-4)
    assert found.predicted == bb.tokenizer.decode([int(likely.argmax())]).strip()


@every_family
def test_results_are_detached_and_the_backbone_is_left_alone(model_type):
    bb = tiny_backbone(model_type)
    found = attribute(bb, CLOZE, ANSWER, steps=2)
    assert not found.scores.requires_grad and not found.token_scores.requires_grad
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in bb.model.modules())
    assert all(weight.grad is None and not weight.requires_grad for weight in bb.model.parameters())


def test_top_names_layer_neuron_and_score():
    found = attribute(tiny_backbone("bert"), CLOZE, ANSWER, steps=2)
    (layer, neuron, score), second = found.top(2)
    assert score == found.scores.max() == found.scores[layer, neuron] >= second[2]


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "t5"])
def test_half_precision_gives_float32_scores(model_type):
    bb = tiny_backbone(model_type)
    exact = attribute(bb, CLOZE, "true", steps=4).scores
    bb.model.bfloat16()
    half = attribute(bb, CLOZE, "true", steps=4).scores
    assert half.dtype == torch.float32
    assert torch.corrcoef(torch.stack([half.flatten(), exact.flatten()]))[0, 1] > 0.9


@pytest.mark.parametrize("before", [False, True])
def test_attribution_inside_an_intervention_is_refused(before):
    bb = tiny_backbone("bert")
    with (
        pytest.raises(SkillkitError, match="inside an intervention"),
        replace_neurons(bb, {0: torch.relu}, before=before),
    ):
        attribute(bb, CLOZE, ANSWER)


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"rule": "middle"}, "no rule 'middle'"),
        ({"steps": 0}, "at least 2 steps"),
        ({"steps": 0, "rule": "left"}, "at least 1 steps"),
        ({"method": "magic"}, "method 'magic'"),
        ({"aggregate": "median"}, "'median' is not known"),
    ],
)
def test_wrong_options(options, reason):
    with pytest.raises(SkillkitError, match=reason):
        attribute(tiny_backbone("bert"), CLOZE, ANSWER, **options)


def test_rules_integrate_what_they_should():
    for rule in RULES:
        alphas, weights = rule_nodes(rule, 7)
        assert weights.sum() == pytest.approx(1) and len(alphas) == 7
    alphas, weights = rule_nodes("gauss-legendre", 4)
    assert weights @ alphas**7 == pytest.approx(1 / 8)


def test_a_real_llama_like_model():
    bb = load_backbone(shared_path("models/stories260k"))
    cloze, answer = "Once upon a time, there was a little girl named [MASK]", "Lily"
    found = attribute(bb, cloze, answer, steps=50, rule="gauss-legendre")
    expected = plain_attribution(bb, cloze, answer, *rule_nodes("gauss-legendre", 50))
    assert_close(found, expected, 1e-4)
    assert found.probability > 0.05
    assert found.completeness_error.abs().max() < 1e-3
