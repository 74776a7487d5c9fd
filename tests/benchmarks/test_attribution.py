"""Integrated gradients: 20 steps, all layers.

The plain version does what the authors' code does: a layer at a time, its steps as one batch, with gradients of all
weights and the head at every position. It is timed on two layers, whose mean is that of all, since their cost falls
evenly from layer to layer (the backward pass gets shorter).
"""

from math import nan

import pytest
import torch

from skillkit.knowledge.clozes import Question
from skillkit.knowledge.integrated_gradients import integrals, rule_nodes
from skillkit.models import replace_neurons
from tests.benchmarks.harness import Job, Mark, near
from tests.benchmarks.shapes import base, called, counted

STEPS = 20
ALPHAS = rule_nodes("endpoints", STEPS)[0]


def questions(kind, lengths):
    """Random tokens; the answer is read in the middle, or at the end of a causal model's."""
    draw = torch.Generator().manual_seed(0)
    slots = [count // 2 if kind == "bert" else count - 1 for count in lengths]
    ids = [tuple(torch.randint(1000, 30_000, (count,), generator=draw).tolist()) for count in lengths]
    return [Question(tokens, (slot,), (2000,)) for tokens, slot in zip(ids, slots, strict=True)]


@pytest.mark.parametrize("kind, lengths, mark", [
    ("bert", [8, 9, 10, 11, 11, 12, 13, 14], 3.0), ("gpt2", [14], 12.0), ("gpt2", [64], 30.0),
    ("smollm2", [14], 30.0), ("smollm2", [64], 60.0),
])  # fmt: skip
def test_scores(bench, kind, lengths, mark):
    bb, asked = base(kind), questions(kind, lengths)
    ways = {"as published": lambda: as_published(bb, asked), "ours": lambda: ours(bb, asked)}
    tokens = " ".join(map(str, sorted(set(lengths))))
    shape = f"{called(kind)}, {len(asked)} of {tokens} tokens, {bb.num_layers} layers × {STEPS} steps"
    scale = {"as published": bb.num_layers / len(timed(bb))}
    needed, marks = floor(bb, lengths) if kind == "bert" else nan, [Mark("as published", "ours", mark)]
    bench.run(Job("attribution", shape, ways, marks, near(1e-4), needed, scale=scale))


def timed(bb):
    """Two layers at a quarter from either end."""
    return [bb.num_layers // 4, bb.num_layers - 1 - bb.num_layers // 4]


def floor(bb, lengths):
    """There and back through all blocks above the scaled one and the head, for every α but the plain pass's 1."""
    whole, last = counted(bb, lengths)
    above = range(bb.num_layers - 1)  # blocks between a layer and the last block
    head = len(lengths) * bb.num_layers * bb.hidden_size * (bb.hidden_size + bb.model.config.vocab_size)
    return 2 * (STEPS - 1) * (sum(above) * whole + len(above) * last + head)


def ours(bb, asked):
    return torch.stack(
        [found[0][0, timed(bb)] for found in integrals(bb, asked, rule_nodes("endpoints", STEPS))]
    )


def as_published(bb, asked):
    bb.model.requires_grad_(True)
    try:
        found = [torch.stack([_layer(bb, layer, question) for layer in timed(bb)]) for question in asked]
        return torch.stack(found).cpu()
    finally:
        bb.model.requires_grad_(False)


def _layer(bb, layer, question):
    slots, ids = torch.tensor([question.slots]), torch.tensor([question.ids], device=bb.device)
    with bb.record([layer], slots) as acts, torch.no_grad():
        bb.model(input_ids=ids)
    alphas = torch.tensor(ALPHAS, device=bb.device).float()
    scaled = (alphas[:, None, None] * acts[layer]).requires_grad_()
    with replace_neurons(bb, {layer: lambda _: scaled}, slots.expand(STEPS, 1)):
        logits = bb.model(input_ids=ids.expand(STEPS, -1)).logits
    answers = logits[:, slots[0, 0]].softmax(-1)[:, question.targets[0]]
    (slopes,) = torch.autograd.grad(answers.sum(), scaled)
    return (acts[layer][0] * slopes.mean(0))[0]
