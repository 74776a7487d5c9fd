"""Interventions do what they say to the weights they stand for, and leave nothing behind."""

import copy
from functools import partial

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.knowledge.clozes import ask, encode_cloze, inputs_of, slots_of
from skillkit.knowledge.interventions import answer_tokens, edit, enhance, erase
from skillkit.knowledge.knowledge_neurons import knowledge_neurons
from skillkit.neurons import suppress
from tests.planted_facts import FIRST_MATRIX, planted_facts
from tests.tiny import TINY_MODELS, tiny_backbone

every_family = pytest.mark.parametrize("model_type", TINY_MODELS)
planted = pytest.mark.parametrize("model_type", FIRST_MATRIX)
CLOZE = "the capital of france is [MASK] ."


def some_mask(bb, share=0.3, seed=0):
    return torch.rand(bb.num_layers, bb.num_neurons, generator=torch.Generator().manual_seed(seed)) < share


def hidden(bb, cloze=CLOZE):
    return bb.run(inputs_of(bb, encode_cloze(bb, cloze, "paris")[:1]))


def embedding(bb, word):
    return bb.model.get_output_embeddings().weight[answer_tokens(bb, word, CLOZE)[0]]


def with_vectors(bb, mask, change):
    """A copy whose value columns of the mask are really overwritten by `change(old column)`."""
    changed = copy.deepcopy(bb)
    for layer, neuron in mask.nonzero().tolist():
        column = changed.value_weight(layer)[:, neuron]
        column.copy_(change(column.clone()))
    return changed


@every_family
@pytest.mark.parametrize(
    "make, change",
    [
        (suppress, lambda bb: lambda v: 0 * v),
        (lambda bb, mask: enhance(bb, mask, 3), lambda bb: lambda v: 3 * v),
        (lambda bb, mask: enhance(bb, mask, -1.5), lambda bb: lambda v: -1.5 * v),
        (erase, lambda bb: lambda v: 0 * v),
        (
            lambda bb, mask: erase(bb, mask, "unknown"),
            lambda bb: lambda v: bb.model.get_output_embeddings().weight[bb.tokenizer.unk_token_id],
        ),
        (
            lambda bb, mask: edit(bb, mask, "london", "paris", "plain"),
            lambda bb: lambda v: v + 2 * (embedding(bb, "london") - embedding(bb, "paris")),
        ),
        (
            lambda bb, mask: edit(bb, mask, "london", "paris", strength=(2, 5)),
            lambda bb: (
                lambda v: (
                    v
                    - 2 * v.norm() * embedding(bb, "paris") / embedding(bb, "paris").norm()
                    + 5 * v.norm() * embedding(bb, "london") / embedding(bb, "london").norm()
                )
            ),
        ),
    ],
)
def test_equal_to_overwriting_the_value_columns(model_type, make, change):
    bb = tiny_backbone(model_type)
    mask, before = some_mask(bb), hidden(bb)
    expected = hidden(with_vectors(bb, mask, change(bb)))
    with make(bb, mask):
        torch.testing.assert_close(hidden(bb), expected, atol=2e-4, rtol=2e-4)
    assert not torch.allclose(expected, before, atol=1e-2)
    assert torch.equal(hidden(bb), before)


@every_family
def test_they_nest_and_restore_on_exceptions_too(model_type):
    bb = tiny_backbone(model_type)
    mask, before, weights = some_mask(bb), hidden(bb), copy.deepcopy(bb.model.state_dict())
    double = with_vectors(bb, mask, lambda v: 4 * v)
    with enhance(bb, mask), enhance(bb, mask):
        torch.testing.assert_close(hidden(bb), hidden(double), atol=1e-4, rtol=1e-4)
    with pytest.raises(RuntimeError, match="halfway"), erase(bb, mask), edit(bb, mask, "london", "paris"):
        hidden(bb)
        raise RuntimeError("halfway")
    assert torch.equal(hidden(bb), before)
    assert all(torch.equal(weights[name], now) for name, now in bb.model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in bb.model.modules())


def test_an_enhanced_and_edited_neuron_speaks_louder_for_the_new_answer():
    bb = tiny_backbone("gpt2")
    mask = some_mask(bb)
    both = with_vectors(bb, mask, lambda v: 2 * (v + 2 * (embedding(bb, "london") - embedding(bb, "paris"))))
    for contexts in (
        (enhance(bb, mask), edit(bb, mask, "london", "paris", "plain")),
        (edit(bb, mask, "london", "paris", "plain"), enhance(bb, mask)),
    ):
        with contexts[0], contexts[1]:
            torch.testing.assert_close(hidden(bb), hidden(both), atol=1e-4, rtol=1e-4)


@every_family
def test_the_inner_one_acts_on_what_the_outer_one_made(model_type):
    bb = tiny_backbone(model_type)
    mask, before, step = some_mask(bb), hidden(bb), 2 * (embedding(bb, "london") - embedding(bb, "paris"))
    nothing, written, alone = (
        with_vectors(bb, mask, change) for change in (lambda v: 0 * v, lambda v: step, lambda v: v + step)
    )
    swap = lambda: edit(bb, mask, "london", "paris", "plain")
    with swap(), erase(bb, mask):
        torch.testing.assert_close(hidden(bb), hidden(nothing), atol=2e-4, rtol=2e-4)
    with erase(bb, mask), swap():
        torch.testing.assert_close(hidden(bb), hidden(written), atol=2e-4, rtol=2e-4)
    with swap():
        with pytest.raises(RuntimeError), erase(bb, mask):
            raise RuntimeError
        torch.testing.assert_close(hidden(bb), hidden(alone), atol=2e-4, rtol=2e-4)
    assert torch.equal(hidden(bb), before)


@every_family
@pytest.mark.parametrize("make", [suppress, enhance, partial(erase, to="unknown")])
def test_at_the_answer_only(model_type, make):
    bb = tiny_backbone(model_type)
    clozes = [CLOZE, "it is true , the capital of germany is [MASK] .", "london is [MASK] ."]
    mask = some_mask(bb)
    with make(bb, mask, positions="answer"):
        found = ask(bb, clozes, "paris")
    for cloze, reply in zip(clozes, found, strict=True):
        slots = slots_of(bb, encode_cloze(bb, cloze, "paris"))
        with make(bb, mask, positions=slots):
            assert ask(bb, cloze, "paris").probability == pytest.approx(reply.probability, rel=1e-3)
    with make(bb, mask, positions=None):
        assert ask(bb, clozes, "paris")[0].probability != pytest.approx(found[0].probability, rel=1e-3)


def answers(bb, fact, answer=None):
    replies = ask(bb, fact.prompts, answer or fact.answer)
    return torch.tensor([reply.probability for reply in replies]), [reply.top for reply in replies]


@planted
def test_suppressing_forgets_and_another_fact_is_untouched(model_type):
    bb, facts = planted_facts(model_type)
    france, germany = facts["france"], facts["germany"]
    found = knowledge_neurons(bb, france.prompts, "paris", coarse={"adaptive": 0.2})
    (own, tops), (other, _) = answers(bb, france), answers(bb, germany)
    assert set(tops) == {"paris"}
    for context in (suppress(bb, found, positions="answer"), erase(bb, found, positions="answer")):
        with context:
            (after, tops), (other_after, other_tops) = answers(bb, france), answers(bb, germany)
        assert "paris" not in tops and (after < 0.2 * own).all()
        assert set(other_tops) == {"berlin"} and ((other_after - other).abs() < 1e-3).all()


@planted
def test_the_answer_gets_surer_as_its_neurons_are_scaled_up(model_type):
    bb, facts = planted_facts(model_type)
    found = knowledge_neurons(bb, facts["france"].prompts, "paris", coarse={"adaptive": 0.2})
    scaled = []
    for factor in (0, 0.5, 1, 2):
        with enhance(bb, found, factor, positions="answer"):
            scaled.append(answers(bb, facts["france"])[0])
    assert (torch.stack(scaled).diff(dim=0) > 0).all()
    torch.testing.assert_close(scaled[2], answers(bb, facts["france"])[0], rtol=1e-3, atol=0)


@planted
@pytest.mark.parametrize("form", ["normed", "plain"])
def test_editing_swaps_the_answer_and_another_fact_is_untouched(model_type, form):
    bb, facts = planted_facts(model_type)
    france, germany = facts["france"], facts["germany"]
    found = knowledge_neurons(bb, france.prompts, "paris", coarse={"adaptive": 0.2})
    other = answers(bb, germany)[0]
    with edit(bb, found, to="london", form=form, positions="answer"):
        assert set(answers(bb, france)[1]) == {"london"}
        assert ((answers(bb, germany)[0] - other).abs() < 1e-3).all()


def test_an_edit_may_change_the_number_of_tokens():
    bb = tiny_backbone("bert")
    prompts = ["the capital of france is [MASK] [MASK] .", "[MASK] [MASK] is the capital of france ."]
    found = knowledge_neurons(bb, prompts, "paris london", steps=2, share=0.3)
    one, two = embedding(bb, "paris"), (embedding(bb, "paris") + embedding(bb, "london")) / 2
    expected = hidden(with_vectors(bb, found.mask, lambda v: v + 2 * (one - two)))
    with edit(bb, found, to="paris", form="plain"):
        torch.testing.assert_close(hidden(bb), expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize(
    "wrong, reason",
    [
        (lambda bb, mask: enhance(bb, mask & False), "mask is empty"),
        (lambda bb, mask: enhance(bb, mask[:1]), "bool tensor"),
        (lambda bb, mask: erase(bb, mask, "one"), "'zero' or 'unknown'"),
        (lambda bb, mask: edit(bb, mask, "london"), "give answer="),
        (lambda bb, mask: edit(bb, mask, "london", "paris", "big"), "'normed' or 'plain'"),
        (lambda bb, mask: edit(bb, mask, "ζ", "paris"), "not in the vocabulary"),
        (lambda bb, mask: enhance(bb, mask, 2, "here"), "None, 'answer' or numbers"),
        (lambda bb, mask: suppress(bb, mask, positions="here"), "'answer', 'prompt', 'text' or numbers"),
    ],
)
def test_bad_input(wrong, reason):
    bb = tiny_backbone("bert")
    with pytest.raises(SkillkitError, match=reason):
        wrong(bb, some_mask(bb))


def test_unused_contexts_and_passes_without_an_answer_raise():
    bb = tiny_backbone("bert")
    with pytest.raises(SkillkitError, match="no forward pass"), edit(bb, some_mask(bb), "london", "paris"):
        pass
    for context in (suppress, erase):
        with pytest.raises(SkillkitError, match="only ask"), context(bb, some_mask(bb), positions="answer"):
            hidden(bb)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in bb.model.modules())
