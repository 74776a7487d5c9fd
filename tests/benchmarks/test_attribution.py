"""How much faster attribution is than the formula written down plainly, in CPU time of one run.

    OMP_NUM_THREADS=1 python -m pytest -s tests/benchmarks/test_attribution.py

Random weights in the shape of BERT-base and GPT-2, 20 steps, 12 layers, one prompt. The plain version
(tests/plain_attribution.py) runs one layer and one α at a time; "as published" runs the steps of a layer as one
batch, with gradients of all weights and the head at every position, which is what the authors' code does. Both are
timed on two layers of twelve, whose mean is that of all, since their cost falls evenly from layer to layer (the
backward pass gets shorter). All take turns, and medians over the rounds count.
"""

import statistics
import time

import pytest
import torch
import transformers

from skillkit.backbones import from_model
from skillkit.clozes import Question
from skillkit.integrals import Plan, integrals
from skillkit.quadrature import rule_nodes
from tests.plain_attribution import plain_question

STEPS, ROUNDS, LAYERS, SHARE = 20, 3, (3, 8), 2 / 12
FULL = rule_nodes("endpoints", STEPS)


class NoTokenizer:
    pad_token = "-"


def backbone(kind):
    """(backbone of random weights, a question of 14 tokens)"""
    torch.manual_seed(0)
    ids = tuple(torch.randint(1000, 30_000, (14,)).tolist())
    if kind == "bert":
        model, slot = transformers.BertForMaskedLM(transformers.BertConfig()), 7
    else:
        model, slot = transformers.GPT2LMHeadModel(transformers.GPT2Config()), 13
    return from_model(model, NoTokenizer(), f"{kind} of random weights"), Question(ids, (slot,), (2000,))


def formula(bb, question):
    return plain_question(bb, question, *FULL, layers=LAYERS)[0][0, list(LAYERS)]


def as_published(bb, question):
    bb.model.requires_grad_(True)
    scores = torch.stack([layer_as_published(bb, bb.value_matrices[layer], question) for layer in LAYERS])
    bb.model.requires_grad_(False)
    return scores


def layer_as_published(bb, matrix, question):
    ids, slot, seen = torch.tensor([question.ids]), question.slots[0], []
    with (
        matrix.register_forward_pre_hook(lambda _, args: seen.append(args[0][0, slot].detach())),
        torch.no_grad(),
    ):
        bb.model(input_ids=ids)
    scaled = (torch.tensor(FULL[0]).float()[:, None] * seen[0]).requires_grad_()
    with matrix.register_forward_pre_hook(lambda _, args: put(args[0], slot, scaled)):
        logits = bb.model(input_ids=ids.expand(STEPS, -1)).logits
    (slopes,) = torch.autograd.grad(logits[:, slot].softmax(-1)[:, question.targets[0]].sum(), scaled)
    return seen[0] * slopes.mean(0)


def put(hidden, slot, scaled):
    hidden = hidden.clone()
    hidden[:, slot] = scaled
    return (hidden,)


def ours(bb, question, nodes=None):
    return integrals(bb, [question], Plan("endpoints", STEPS, nodes))[0][0][0, list(LAYERS)]


def cpu_seconds(function, *args):
    began = time.process_time()
    result = function(*args)
    return time.process_time() - began, result


@pytest.mark.parametrize("kind, exact_mark, guarded_mark", [("bert", 3, 8), ("gpt2", 12, 12)])
def test_faster_than_the_formula(kind, exact_mark, guarded_mark):
    bb, question = backbone(kind)
    ours(bb, question)  # warm up
    rounds = []
    for _ in range(ROUNDS):
        plain, expected = cpu_seconds(formula, bb, question)
        published, same = cpu_seconds(as_published, bb, question)
        exact, found = cpu_seconds(ours, bb, question)
        guarded, near = cpu_seconds(ours, bb, question, 5)
        scale = expected.abs().max()
        assert max((found - expected).abs().max(), (same - expected).abs().max()) <= 1e-4 * scale
        assert (near - expected).abs().max() <= 0.01 * scale
        rounds.append((plain / SHARE, published / SHARE, exact, guarded))
    plain, published, exact, guarded = map(statistics.median, zip(*rounds, strict=True))
    print(
        f"\n{kind}: CPU-s plain {plain:.2f}, as published {published:.2f}, exact {exact:.2f}, guarded {guarded:.2f}; "
        f"exact {plain / exact:.1f}× plain and {published / exact:.1f}× as published, "
        f"guarded {plain / guarded:.1f}× and {published / guarded:.1f}×"
    )
    assert plain / exact >= exact_mark and plain / guarded >= guarded_mark
