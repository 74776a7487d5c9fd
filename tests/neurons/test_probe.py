import numpy as np
import pytest
import torch
from scipy.stats import hypergeom

from skillkit.core.errors import SkillkitError
from skillkit.neurons.probe import Probe, Side
from skillkit.neurons.probing import _padded, probe
from skillkit.prompts.soft_prompt import random_prompt
from tests.planted import planted
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = toy_task(40)


def test_p_values_are_exact_and_pay_for_slots_and_directions():
    bb = tiny_backbone("t5")
    found = probe(bb, TASK, random_prompt(bb, 3))
    for side, rows in ((found.sides["encoder"], slice(0, 3)), (found.sides["decoder"], slice(3, 5))):
        fires, hits = side.fired.sum(0).numpy(), side.fired[1].numpy()
        tails = [hypergeom.sf(hits - 1, 40, 20, fires), hypergeom.cdf(hits, 40, 20, fires)]
        expected = np.minimum(1, np.min(tails, axis=(0, 2)) * 2 * len(side.slots))
        np.testing.assert_allclose(found.p_values[rows].numpy(), expected, rtol=1e-9)


def test_p_values_of_carried_figures_pay_for_nothing():
    bb = tiny_backbone("roberta")
    prompt = random_prompt(bb, 3)
    chosen = probe(bb, TASK, prompt)
    carried = probe(bb, TASK, prompt, split="test", carry=chosen)
    side = carried.sides["layer"]
    layer, neuron = 1, 20
    slot = int(chosen.slot[layer, neuron])
    fires, hits = (int(part[layer, slot, neuron]) for part in (side.fired.sum(0), side.fired[1]))
    up = chosen.direction[layer, neuron] > 0
    expected = hypergeom.sf(hits - 1, 40, 20, fires) if up else hypergeom.cdf(hits, 40, 20, fires)
    assert float(carried.p_values[layer, neuron]) == pytest.approx(expected, rel=1e-9)


def test_p_values_agree_with_permuted_labels():
    # Of neurons that know nothing, at most a share p has a p-value below p.
    bb = tiny_backbone("roberta")
    found = probe(bb, TASK, random_prompt(bb, 1), permutations=200, layers=[2], text=False)
    layer, neuron = 2, int(found.predictivity[2].argmax())
    exceed = (found.null[:, layer, neuron] >= found.predictivity[layer, neuron] - 1e-6).float().mean()
    assert exceed <= float(found.p_values[layer, neuron]) + 3 * (exceed * (1 - exceed) / 200) ** 0.5 + 0.01


def test_discoveries_find_what_was_planted_and_little_else():
    bb, task, prompt, mask = planted()
    found = probe(bb, task, prompt)
    assert (found.discoveries(0.05) & mask).sum() == mask.sum()
    assert (found.discoveries(0.001) & ~mask)[:2].sum() == 0


def test_best_and_its_baseline():
    bb = tiny_backbone("t5")
    found = probe(bb, TASK, random_prompt(bb, 3), slots=[2, 0])
    places = found.best(20)
    scores = [float(found.predictivity[layer, neuron]) for layer, _, neuron in places]
    assert scores == sorted(scores, reverse=True) and scores[0] == found.predictivity.max()
    assert {layer for layer, _, _ in places} & set(bb.decoder_layers)
    for layer, slot, neuron in places:
        part = found.baseline["decoder"] if layer > 2 else found.baseline["encoder"]
        row, column = (layer - 3, 0) if layer > 2 else (layer, [2, 0].index(slot))
        assert found.baseline_at(layer, slot, neuron) == part[row, column, neuron]


def test_layers_of_different_width_are_padded():
    tensors = [torch.ones(2, 3), torch.ones(2, 5)]
    whole = _padded(tensors)
    assert whole.shape == (2, 2, 5) and whole[0, :, 3:].isnan().all() and not whole[1].isnan().any()
    counts = _padded([torch.ones(2, 2, 3, dtype=torch.int), torch.ones(2, 2, 5, dtype=torch.int)])
    assert counts.shape == (2, 2, 2, 5) and counts[:, 0, :, 3:].eq(0).all()
    fired = torch.zeros(2, 2, 2, 5, dtype=torch.int)
    side = Side((0, 1), ("1", "2"), (0, 1), whole, counts.float(), fired, (4, 6), (4, 6))
    assert side.predictivity()[0].tolist()[:3] == pytest.approx([0.6] * 3)
    assert side.predictivity()[0, 3:].isnan().all() and side.p_values[0, 3:].isnan().all()
    found = Probe({"layer": side}, {"shape": [3, 5], "counts": [4, 6], "balanced": False})
    assert found.predictivity[2].isnan().all() and len(found.best(99)) == 8 and not found.discoveries().any()


def test_a_damaged_file_is_told(tmp_path):
    bb = tiny_backbone("roberta")
    probe(bb, TASK, random_prompt(bb, 2)).save(tmp_path)
    (tmp_path / "probe.safetensors").write_bytes(b"x")
    with pytest.raises(SkillkitError, match="damaged"):
        Probe.load(tmp_path)


def test_fingerprint_follows_the_content():
    bb = tiny_backbone("roberta")
    one, same = (probe(bb, TASK, random_prompt(bb, 2)) for _ in range(2))
    other = probe(bb, TASK, random_prompt(bb, 2), split="test")
    assert one.fingerprint == same.fingerprint != other.fingerprint
    with pytest.raises(SkillkitError, match="weights are not those"):
        one.made_on(tiny_backbone("roberta", seed=1))
