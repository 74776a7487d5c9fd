"""What the other rooms compute is the same with everything of `skillkit.models.fast`, and with nothing of it."""

import pytest
import torch

from skillkit.knowledge import attribute
from skillkit.models import fast
from skillkit.models.fast import packing
from skillkit.models.fast.resuming import Resuming
from skillkit.neurons import probe, suppress, suppression_curve
from skillkit.prompts import evaluate, random_prompt
from tests.tiny import slowly, tiny_backbone
from tests.toys import toy_task

TASK = toy_task(14)


def of_evaluation(bb):
    return [evaluate(bb, TASK, random_prompt(bb, 3), batch_size=4).logits]


def of_suppression(bb):
    mask = torch.rand(bb.num_layers, bb.num_neurons, generator=torch.Generator().manual_seed(0)) < 0.3
    kinds = [{"kind": "zero"}, {"kind": "gaussian", "alpha": 2.0}, {"kind": "zero", "positions": "text"}]
    found = []
    for options in kinds:
        with suppress(bb, mask, **options):
            found += of_evaluation(bb)
    return found


def of_a_curve(bb):
    scores = torch.rand(bb.num_layers, bb.num_neurons, generator=torch.Generator().manual_seed(0))
    options = dict(rates=(0, 0.2, 0.5), windows=(None, [1], [2]), draws=2, batch_size=4, progress=False)
    return [torch.tensor(suppression_curve(bb, TASK, random_prompt(bb, 3), scores, **options).table.margin)]


def of_probing(bb):
    sides = probe(bb, TASK, random_prompt(bb, 3), batch_size=4).sides
    return [tensor for side in sides.values() for tensor in (side.means, side.baseline)]


def of_attribution(bb):
    cloze = "the capital of france is" if bb.family == "causal" else "the capital of france is [MASK] ."
    found = [attribute(bb, cloze, "paris", steps=4, rule=rule) for rule in ("right", "endpoints")]
    return [tensor for one in found for tensor in (one.scores, one.completeness_error)]


@pytest.mark.parametrize(
    "job", [of_evaluation, of_suppression, slowly(of_a_curve), of_probing, of_attribution]
)
@pytest.mark.parametrize(
    "model_type", ["roberta", "gpt2", "t5", *map(slowly, ("bert", "xlm-roberta-xl", "llama"))]
)
def test_results_are_those_without(model_type, job, packings, multiplied, both_ways):
    bb = tiny_backbone(model_type)
    for found, expected in zip(*both_ways(lambda: job(bb)), strict=True):
        scale = 1e-4 * float(expected.nan_to_num().abs().max())
        torch.testing.assert_close(found, expected, atol=scale, rtol=1e-5, equal_nan=True)


def test_the_switch_leaves_nothing_on(packings, both_ways, monkeypatch):
    bb = tiny_backbone("roberta")
    inputs = dict(bb.tokenizer(["good food", "the movie was good"], return_tensors="pt", padding=True))
    seen = []
    for _ in both_ways(lambda: seen.append((fast.enabled(), packing.packing_of(bb, inputs) is None))):
        pass
    assert seen == [(True, False), (False, True)]
    monkeypatch.setenv("SKILLKIT_PLAIN", "1")
    again = Resuming(bb, 1)
    with again:
        of_evaluation(bb)
    assert not again.known and not packings
