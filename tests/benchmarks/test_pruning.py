"""A RoBERTa-base that keeps 2 % of its neurons in layers 3 to 11, against the whole one: forward passes.

Here the two do not compute the same; tests/unit/test_pruning.py tests that the small one computes what it should.
"""

import torch

from skillkit.neurons.pruning import prune
from tests.benchmarks.harness import Job, Mark
from tests.benchmarks.shapes import base

BATCH, TOKENS, PASSES, KEPT, FIRST = 8, 64, 4, 0.02, 3


def test_forward_passes(bench):
    bb = base("roberta")
    keep = torch.zeros(bb.num_layers, bb.num_neurons, dtype=torch.bool)
    keep[FIRST:, : int(KEPT * bb.num_neurons)] = True
    keep[:FIRST] = True
    small = prune(bb, keep, fill=None)
    ids = torch.randint(100, (BATCH, TOKENS), device=bb.device)
    ways = {"whole": lambda: forward(bb, ids), "pruned": lambda: forward(small, ids)}
    shape = f"roberta base, 2 % in layers 3–11, {PASSES} × {BATCH} texts of {TOKENS} tokens"
    bench.run(Job("pruning", shape, ways, [Mark("whole", "pruned", 1.5)], rounds=5))


@torch.inference_mode()
def forward(bb, ids):
    for _ in range(PASSES):
        bb.run({"input_ids": ids})
