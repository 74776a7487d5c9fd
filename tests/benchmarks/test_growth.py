"""What more of something costs: time, and memory at its peak beyond what was held before.

Probing takes hardly more memory for many examples than for few, attribution no more than its budget.

A random RoBERTa of 256 hidden units: how costs grow does not depend on the size, and the points are soon made.
"""

import statistics

import pandas as pd
import pytest
import transformers

from skillkit.knowledge.integrated_gradients import integrals, rule_nodes
from skillkit.models import from_model
from skillkit.neurons import probe
from skillkit.prompts import random_prompt, tune_prompt
from tests.benchmarks.harness import clocked, on, peak_memory
from tests.benchmarks.shapes import lengths, task_of
from tests.benchmarks.test_attribution import questions
from tests.tiny import tiny_tokenizer

LAYERS, BUDGET = 4, 2**26
ROUNDS = 3


def model(layers=LAYERS):
    sizes = dict(hidden_size=256, intermediate_size=1024, num_attention_heads=4, num_hidden_layers=layers)
    config = transformers.RobertaConfig(**sizes)
    return from_model(transformers.RobertaForMaskedLM(config), tiny_tokenizer("roberta"), "narrow")


def probing(examples):
    bb, task = model(), task_of(lengths(examples))
    prompt = random_prompt(bb, 16, 0)
    return lambda: probe(bb, task, prompt, batch_size=32)


def tuning(length):
    bb, task = model(), task_of([32] * 32)
    options = dict(max_steps=2, evaluate_every=2, dtype="float32", progress=False)
    return lambda: tune_prompt(bb, task, length=length, **options)


def attribution(layers=LAYERS, steps=20, prompts=1):
    bb, asked = model(layers), questions("bert", [14] * prompts)
    return lambda: integrals(bb, asked, rule_nodes("endpoints", steps), memory=BUDGET)


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
    bound, runs = BUDGET if axis.startswith("attribution") else None, sizes * ROUNDS
    with on(1):
        make(sizes[0])()  # what is loaded when it is first used
        # Memory first: the clock lets malloc keep gaps.
        kept = [peak_memory(make(size)) for size in runs]
        times = [clocked(make(size), 1)[0] for size in runs]
    columns = dict(axis=axis, size=runs, seconds=times, memory=kept, bound=bound)
    others = [point for point in bench.grown if point["axis"] != axis]
    bench.grown = others + pd.DataFrame(columns).to_dict("records")
    bench.keep()
    if kept[0] is not None:
        most = [statistics.median(kept[at :: len(sizes)]) for at in range(len(sizes))]
        # Eight times as many rows have a few more megabytes of tokens; activations would be eight times as many.
        assert axis != "probing: examples" or max(most) <= 1.5 * min(most)
        assert bound is None or max(most) <= bound
