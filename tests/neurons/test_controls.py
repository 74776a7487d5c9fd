import pytest
import torch

from skillkit.neurons import controls, probe
from skillkit.neurons.controls import random_backbone
from skillkit.prompts import random_prompt
from tests.tiny import TINY_MODELS, tiny_backbone
from tests.toys import toy_task


@pytest.mark.parametrize("model", TINY_MODELS)
def test_a_random_backbone_is_the_same_but_for_its_weights(model):
    bb = tiny_backbone(model)
    bb.model.bfloat16()
    state = torch.random.get_rng_state()
    fresh, again, other = random_backbone(bb, 0), random_backbone(bb, 0), random_backbone(bb, 1)
    assert torch.equal(torch.random.get_rng_state(), state) and fresh.dtype == torch.bfloat16
    assert (fresh.layers, fresh.widths, fresh.family) == (bb.layers, bb.widths, bb.family)
    assert fresh.fingerprint == again.fingerprint not in (bb.fingerprint, other.fingerprint)
    assert not torch.allclose(fresh.value_weight(0), bb.value_weight(0))


@pytest.mark.parametrize("model", ["roberta", "t5", "gpt2"])
def test_controls_can_all_be_probed(model):
    bb, task = tiny_backbone(model), toy_task(16)
    tried = controls(bb, random_prompt(bb, 3, seed=7), seed=1)
    assert list(tried) == ["prompt", "random prompt", "no prompt", "random backbone"]
    found = {name: probe(where, task, given) for name, (where, given) in tried.items()}
    assert len({one.fingerprint for one in found.values()}) == 4
    assert all(one.predictivity.max() > 0.5 for one in found.values())
