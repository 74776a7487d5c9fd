"""Attribution, knowledge neurons and interventions against EleutherAI/knowledge-neurons, on BERT and GPT-2."""

import pytest
import torch

from skillkit.knowledge import ask, attribute, edit, enhance, erase, knowledge_neurons
from skillkit.models import replace_neurons
from skillkit.neurons import checked_mask, suppress
from tests.helpers import refused
from tests.peers.harness import agree
from tests.tiny import tiny_backbone

PROMPTS = [
    "the capital of france is [MASK] .",
    "france , whose capital is [MASK] , was good .",
    "they liked the capital of france : [MASK] .",
    "if it is in france , then it is [MASK] .",
]
CAUSAL = [prompt.partition(" [MASK]")[0] for prompt in PROMPTS]
SPACED = {"bert": "paris", "gpt2": " paris"}  # as they take the answer
NEURONS = [[0, 3], [0, 40], [1, 7], [1, 8], [2, 0], [2, 47]]


@pytest.fixture
def theirs(clone):
    """A function that gives their `KnowledgeNeurons` for a backbone, of the type that they call it."""
    module = clone("EleutherAI-knowledge-neurons").part("knowledge_neurons", "knowledge_neurons")
    return lambda bb, kind: module.KnowledgeNeurons(bb.model, bb.tokenizer, kind, device="cpu")


def prompts_for(model):
    return PROMPTS if model == "bert" else CAUSAL


@pytest.mark.parametrize("method", ["integrated_grads", "max_activations"])
@pytest.mark.parametrize("model", SPACED)
def test_scores(theirs, model, method):
    bb, scores = tiny_backbone(model), theirs(tiny_backbone(model), model).get_scores
    ours = "activation" if method == "max_activations" else "integrated-gradients"
    for prompt in prompts_for(model)[:2]:
        given = scores(prompt, SPACED[model], attribution_method=method, pbar=False)
        # In GPT-2 they read and scale the input of the activation function.
        found = attribute(bb, prompt, "paris", before=model == "gpt2", method=ours)
        agree(found.scores, given, 1e-5)


def words_first(bb):
    """The backbone with the pieces of words so improbable that it says whole words."""
    table = bb.model.get_input_embeddings().weight
    vocabulary = bb.tokenizer.convert_ids_to_tokens(range(len(table)))
    pieces = [not (word.startswith("Ġ") and word[1:].isalpha() and len(word) > 3) for word in vocabulary]
    with torch.no_grad():
        table[torch.tensor(pieces)] *= 0.1
    return bb


def test_scores_of_an_answer_of_several_tokens(theirs):
    bb = words_first(tiny_backbone("gpt2"))
    many = theirs(bb, "gpt")  # their name "gpt2" takes all tokens at once, and stops
    for prompt in CAUSAL:
        answer = many._generate(prompt, " paris london film")[2]  # their tokens follow the model's own
        given = many.get_scores(prompt, answer, pbar=False)
        found = attribute(bb, prompt, answer.strip(), before=True, aggregate="mean")
        assert len(found.token_scores) == 3
        agree(found.scores, given, 1e-5)
    with pytest.raises(RuntimeError, match="scalar"):
        theirs(bb, "gpt2").get_scores(CAUSAL[0], " paris london", pbar=False)


def test_answers_of_several_tokens_in_bert(theirs):
    bb = tiny_backbone("bert")
    # They ask for [UNK] in the place of what is no token; we refuse.
    given, unknown = (
        theirs(bb, "bert").get_scores(PROMPTS[0], word, pbar=False) for word in ("xyz", "[UNK]")
    )
    assert torch.equal(given, unknown)
    refused("3 tokens", attribute, bb, PROMPTS[0], "xyz")


@pytest.mark.parametrize("model", SPACED)
@pytest.mark.parametrize("coarse", [{"adaptive": 0.3}, {"absolute": 1e-6}, {"percentile": 90}])
def test_refined_neurons(theirs, model, coarse):
    bb, ((kind, level),) = tiny_backbone(model), coarse.items()
    names = {"adaptive": "coarse_adaptive_threshold", "absolute": "coarse_threshold"}
    options = {"coarse_adaptive_threshold": None, names.get(kind, f"coarse_{kind}"): level, "quiet": True}
    prompts, answer = prompts_for(model), SPACED[model]
    for share in (0.0, 0.25, 0.5):
        given = theirs(bb, model).get_refined_neurons(prompts, answer, p=share, **options)
        found = knowledge_neurons(bb, prompts, "paris", coarse=coarse, share=share, before=model == "gpt2")
        assert found.pairs == sorted(map(tuple, given)) and given


def test_negative_examples_remove_nothing_there(theirs):
    bb, others = tiny_backbone("bert"), PROMPTS[1:]
    options = dict(p=0.0, quiet=True)
    given = theirs(bb, "bert").get_refined_neurons(PROMPTS, "paris", negative_examples=others, **options)
    assert given == theirs(bb, "bert").get_refined_neurons(PROMPTS, "paris", **options)
    found = knowledge_neurons(bb, PROMPTS, "paris", share=0.0, negatives=others)
    assert set(found.pairs) < set(map(tuple, given))


def interventions(bb, model):
    """{what they call it: our context}; their answer to edit is what the model says first, whatever is right."""
    mask, there = checked_mask(bb, NEURONS), dict(positions="answer")
    first = ask(bb, prompts_for(model)[0], "paris").top
    made = {
        "suppress": suppress(bb, mask, **there),
        "enhance": enhance(bb, mask, **there),
        "zero": erase(bb, mask),
    }
    if model == "bert":  # they refuse the others for GPT-2
        return made | {"unk": erase(bb, mask, to="unknown"), "edit": edit(bb, mask, "paris", first, "plain")}
    doubled = {layer: lambda x, on=mask[layer]: torch.where(on, 2 * x, x) for layer in range(3)}
    return made | {"enhance": replace_neurons(bb, doubled, slice(-1, None), before=True)}


@pytest.mark.parametrize("model", SPACED)
def test_interventions(theirs, model):
    bb, prompt, answer = tiny_backbone(model), prompts_for(model)[0], SPACED[model]
    other, before = theirs(bb, model), ask(bb, prompt, "paris").probability
    for name, context in interventions(bb, model).items():
        how = {"erase_value": name, "target": answer} if name in ("zero", "unk") else {}
        verb = getattr(other, f"{'erase' if how else name}_knowledge")
        given, _ = verb(prompt, neurons=NEURONS, quiet=True, **(how or {_WORD[name]: answer}))
        with context:
            after = ask(bb, prompt, "paris").probability
        agree([before, after], [given[when]["gt_prob"] for when in ("before", "after")], 1e-5)
        assert abs(after / before - 1) > 1e-3, name


_WORD = {"suppress": "ground_truth", "enhance": "ground_truth", "edit": "target"}


def test_enhancing_gpt2_doubles_the_input_there_and_the_neuron_here(theirs):
    bb = tiny_backbone("gpt2")
    given, _ = theirs(bb, "gpt2").enhance_knowledge(CAUSAL[0], " paris", NEURONS, quiet=True)
    with enhance(bb, NEURONS, positions="answer"):
        after = ask(bb, CAUSAL[0], "paris").probability
    assert abs(after / given["after"]["gt_prob"] - 1) > 1e-3
