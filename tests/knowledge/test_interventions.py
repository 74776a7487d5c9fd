"""Interventions do what they say to the weights they stand for, and leave nothing behind."""

import copy
from functools import partial

import pytest
import torch

from skillkit.core import SkillkitError
from skillkit.knowledge import ask, edit, enhance, erase, knowledge_neurons
from skillkit.knowledge.clozes import encode_cloze, inputs_of, slots_of
from skillkit.knowledge.interventions import answer_tokens
from skillkit.neurons import suppress
from tests.helpers import refused
from tests.planted_facts import FIRST_MATRIX, planted_facts
from tests.tiny import every_family, families, tiny_backbone
from tests.toys import some_mask

planted = families("bert", "gpt2", slow=FIRST_MATRIX)
CLOZE = "the capital of france is [MASK] ."
swapped = partial(edit, to="london", answer="paris", form="plain")


def hidden(bb):
    return bb.run(inputs_of(bb, encode_cloze(bb, CLOZE, "paris")[:1]))


def embedding(bb, word):
    return bb.model.get_output_embeddings().weight[answer_tokens(bb, word, CLOZE)[0]]


def unknown(bb):
    return bb.model.get_output_embeddings().weight[bb.tokenizer.unk_token_id]


def step(bb):
    return 2 * (embedding(bb, "london") - embedding(bb, "paris"))


def normed_step(bb):
    old, new = embedding(bb, "paris"), embedding(bb, "london")
    return 5 * new / new.norm() - 2 * old / old.norm()


def assert_as_with_vectors(bb, mask, change):
    """The model answers as a copy whose value columns of the mask are overwritten by `change(old column)`."""
    changed = copy.deepcopy(bb)
    for layer, neuron in mask.nonzero().tolist():
        column = changed.value_weight(layer)[:, neuron]
        column.copy_(change(column.clone()))
    for module in changed.model.modules():
        module._forward_hooks.clear(), module._forward_pre_hooks.clear()
    expected = hidden(changed)
    torch.testing.assert_close(hidden(bb), expected, atol=2e-4, rtol=2e-4)
    return expected


@every_family
@pytest.mark.parametrize("make, change", [
    (suppress, lambda bb: lambda v: 0 * v),
    (partial(enhance, factor=3), lambda bb: lambda v: 3 * v),
    (partial(enhance, factor=-1.5), lambda bb: lambda v: -1.5 * v),
    (erase, lambda bb: lambda v: 0 * v),
    (partial(erase, to="unk"), lambda bb: lambda v: unknown(bb)),
    (swapped, lambda bb: lambda v: v + step(bb)),
    (partial(edit, to="london", answer="paris", strength=(2, 5)), lambda bb: lambda v: v + v.norm() * normed_step(bb)),
])  # fmt: skip
def test_equal_to_overwriting_the_value_columns(model, make, change):
    bb = tiny_backbone(model)
    mask, before = some_mask(bb), hidden(bb)
    with make(bb, mask):
        expected = assert_as_with_vectors(bb, mask, change(bb))
    assert not torch.allclose(expected, before, atol=1e-2)
    assert torch.equal(hidden(bb), before)


@families("roberta", "gpt2")
def test_they_nest_and_restore_on_exceptions_too(model):
    bb = tiny_backbone(model)
    mask, before, weights = some_mask(bb), hidden(bb), copy.deepcopy(bb.model.state_dict())
    for contexts, change in [
        ((enhance(bb, mask), enhance(bb, mask)), lambda v: 4 * v),
        ((enhance(bb, mask), swapped(bb, mask)), lambda v: 2 * (v + step(bb))),
        ((swapped(bb, mask), enhance(bb, mask)), lambda v: 2 * (v + step(bb))),
        # The inner one acts on what the outer one made.
        ((swapped(bb, mask), erase(bb, mask)), lambda v: 0 * v),
        ((erase(bb, mask), swapped(bb, mask)), lambda v: step(bb)),
    ]:
        with contexts[0], contexts[1]:
            assert_as_with_vectors(bb, mask, change)
    with swapped(bb, mask):
        with pytest.raises(RuntimeError, match="halfway"), erase(bb, mask):
            hidden(bb)
            raise RuntimeError("halfway")
        assert_as_with_vectors(bb, mask, lambda v: v + step(bb))
    assert torch.equal(hidden(bb), before)
    assert all(torch.equal(weights[name], now) for name, now in bb.model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in bb.model.modules())


@every_family
@pytest.mark.parametrize("make", [suppress, enhance, partial(erase, to="unknown")])
def test_at_the_answer_only(model, make):
    bb = tiny_backbone(model)
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


def answers(bb, fact):
    replies = ask(bb, fact.prompts, fact.answer)
    return torch.tensor([reply.probability for reply in replies]), {reply.top for reply in replies}


@planted
def test_a_fact_follows_its_neurons_and_another_is_untouched(model):
    bb, facts = planted_facts(model)
    france, germany, at = facts["france"], facts["germany"], {"positions": "answer"}
    found = knowledge_neurons(bb, france.prompts, "paris", coarse={"adaptive": 0.2})
    (own, tops), (other, _) = answers(bb, france), answers(bb, germany)
    assert tops == {"paris"}
    contexts = [(make(bb, found, **at), None) for make in (suppress, erase)]
    contexts += [(edit(bb, found, to="london", form=form, **at), {"london"}) for form in ("normed", "plain")]
    for context, expected in contexts:
        with context:
            (after, tops), (other_after, other_tops) = answers(bb, france), answers(bb, germany)
        assert tops == expected if expected else "paris" not in tops and (after < 0.2 * own).all()
        assert other_tops == {"berlin"} and ((other_after - other).abs() < 1e-3).all()
    scaled = []
    for factor in (0, 0.5, 1, 2):
        with enhance(bb, found, factor, **at):
            scaled.append(answers(bb, france)[0])
    assert (torch.stack(scaled).diff(dim=0) > 0).all()
    torch.testing.assert_close(scaled[2], own, rtol=1e-3, atol=0)


def test_an_edit_may_change_the_number_of_tokens():
    bb = tiny_backbone("bert")
    prompts = ["the capital of france is [MASK] [MASK] .", "[MASK] [MASK] is the capital of france ."]
    found = knowledge_neurons(bb, prompts, "paris london", steps=2, share=0.3)
    one, two = embedding(bb, "paris"), (embedding(bb, "paris") + embedding(bb, "london")) / 2
    with edit(bb, found, to="paris", form="plain"):
        assert_as_with_vectors(bb, found.mask, lambda v: v + 2 * (one - two))


@pytest.mark.parametrize("wrong, reason", [
    (lambda bb, mask: enhance(bb, mask & False), "empty"), (lambda bb, mask: enhance(bb, mask[:1]), "bool tensor"),
    (lambda bb, mask: erase(bb, mask, "one"), "'zero'"), (lambda bb, mask: edit(bb, mask, "london"), "give answer="),
    (lambda bb, mask: edit(bb, mask, "london", "paris", "big"), "'normed' or 'plain'"),
    (lambda bb, mask: edit(bb, mask, "ζ", "paris"), "not in the vocabulary"),
    (lambda bb, mask: enhance(bb, mask, 2, "here"), "a slice or a tensor"),
    (lambda bb, mask: suppress(bb, mask, positions="here"), "'text', a slice or a tensor"),
])  # fmt: skip
def test_bad_input(wrong, reason):
    bb = tiny_backbone("bert")
    refused(reason, wrong, bb, some_mask(bb))


def test_unused_contexts_and_passes_without_an_answer_raise():
    bb = tiny_backbone("bert")
    with pytest.raises(SkillkitError, match="no forward pass"), swapped(bb, some_mask(bb)):
        pass
    for context in (suppress, erase):
        with pytest.raises(SkillkitError, match="only ask"), context(bb, some_mask(bb), positions="answer"):
            hidden(bb)
