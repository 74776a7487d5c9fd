"""What more of something costs: time, and memory at its peak beyond what was held before.

Probing takes hardly more memory for many examples than for few, attribution no more than its budget.

A random RoBERTa of 256 hidden units: how costs grow does not depend on the size, and the points are soon made.
"""

import pytest
import transformers

from skillkit.backbones import from_model
from skillkit.integrals import Plan, integrals
from skillkit.probing import probe
from skillkit.prompts import random_prompt
from skillkit.tuning import tune_prompt
from tests.benchmarks.harness import clocked, on, peak_memory
from tests.benchmarks.shapes import lengths, task_of
from tests.benchmarks.test_attribution import questions
from tests.tiny import tiny_tokenizer

LAYERS, BUDGET = 4, 2**26


def model(layers=LAYERS):
    config = transformers.RobertaConfig(
        hidden_size=256, intermediate_size=1024, num_attention_heads=4, num_hidden_layers=layers
    )
    return from_model(transformers.RobertaForMaskedLM(config), tiny_tokenizer("roberta"), "narrow")


def probing(examples):
    bb, task = model(), task_of(lengths(examples))
    prompt = random_prompt(bb, 16, 0)
    return lambda: probe(bb, task, prompt, batch_size=32)


def tuning(length):
    bb, task = model(), task_of([32] * 32)
    return lambda: tune_prompt(
        bb, task, length=length, max_steps=2, evaluate_every=2, dtype="float32", progress=False
    )


def attribution(layers=LAYERS, steps=20, prompts=1):
    bb, asked = model(layers), questions("bert", [14] * prompts)
    return lambda: integrals(bb, asked, Plan("endpoints", steps), memory=BUDGET)


AXES = {
    "probing: examples": (probing, [64, 128, 256, 512]),
    "tuning: prompt length": (tuning, [8, 32, 128, 256]),
    "attribution: layers": (lambda count: attribution(layers=count), [2, 4, 8, 12]),
    "attribution: steps": (lambda count: attribution(steps=count), [10, 20, 40, 80]),
    "attribution: prompts": (lambda count: attribution(prompts=count), [1, 2, 4, 8]),
}


@pytest.mark.parametrize("axis", AXES)
def test_growth(bench, axis):
    make, sizes = AXES[axis]
    with on(1):
        make(sizes[0])()  # what is loaded when it is first used
        kept = [peak_memory(make(size)) for size in sizes]  # before the clock, which lets malloc keep gaps
        times = [clocked(make(size), 1)[0] for size in sizes]
    points = [
        {"axis": axis, "size": size, "seconds": seconds, "memory": memory}
        for size, seconds, memory in zip(sizes, times, kept, strict=True)
    ]
    bench.grown = [point for point in bench.grown if point["axis"] != axis] + points
    bench.keep()
    if None not in kept:
        # Eight times as many rows have a few more megabytes of tokens; activations would be eight times as many.
        assert axis != "probing: examples" or max(kept) <= 1.5 * min(kept)
        assert not axis.startswith("attribution") or max(kept) <= BUDGET
