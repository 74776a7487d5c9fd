import numpy as np
import pytest
import torch
from scipy.stats import hypergeom

from skillkit.neurons import Probe, probe, prune, skill_neurons, suppress
from skillkit.prompts import evaluate, random_prompt
from tests.helpers import refused
from tests.plain_probing import probed
from tests.planted import planted
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = toy_task(40)


def test_p_values_are_exact_and_pay_for_slots_and_directions():
    bb, _, found = probed("t5", TASK)
    for name, side in found.stacks.items():
        fires, hits = side.fired.sum(0).numpy(), side.fired[1].numpy()
        tails = [hypergeom.sf(hits - 1, 40, 20, fires), hypergeom.cdf(hits, 40, 20, fires)]
        expected = np.minimum(1, np.min(tails, axis=(0, 2)) * 2 * len(side.slots))
        np.testing.assert_allclose(found.p_values[list(bb.stacks[name])].numpy(), expected, rtol=1e-9)


def test_p_values_of_carried_figures_pay_for_nothing():
    bb, prompt, chosen = probed("roberta", TASK)
    carried = probe(bb, TASK, prompt, split="test", carry=chosen)
    side = carried.sides["layer"]
    at = 1, int(chosen.slot[1, 20]), 20
    fires, hits = (int(part[at]) for part in (side.fired.sum(0), side.fired[1]))
    up = chosen.direction[1, 20] > 0
    expected = hypergeom.sf(hits - 1, 40, 20, fires) if up else hypergeom.cdf(hits, 40, 20, fires)
    assert float(carried.p_values[1, 20]) == pytest.approx(expected, rel=1e-9)


def test_p_values_agree_with_permuted_labels():
    # Of neurons that know nothing, at most a share p has a p-value below p.
    *_, found = probed("roberta", TASK, 1, permutations=200, layers=[2], text=False)
    at = 2, int(found.predictivity[2].argmax())
    exceed = (found.null[:, *at] >= found.predictivity[at] - 1e-6).float().mean()
    assert exceed <= float(found.p_values[at]) + 3 * (exceed * (1 - exceed) / 200) ** 0.5 + 0.01


def test_discoveries_find_what_was_planted_and_little_else():
    bb, task, prompt, mask = planted()
    found = probe(bb, task, prompt)
    assert (found.discoveries(0.05) & mask).sum() == mask.sum()
    assert (found.discoveries(0.001) & ~mask)[:2].sum() == 0


def test_best_and_its_baseline():
    bb, _, found = probed("t5", TASK, slots=[2, 0])
    places = found.best(20)
    scores = [float(found.predictivity[layer, neuron]) for layer, _, neuron in places]
    assert scores == sorted(scores, reverse=True) and scores[0] == found.predictivity.max()
    assert {layer for layer, _, _ in places} & set(bb.decoder_layers)
    for layer, slot, neuron in places:
        at = ("decoder", layer - 3, 0) if layer > 2 else ("encoder", layer, [2, 0].index(slot))
        assert found.baseline_at(layer, slot, neuron) == found.baseline[at[0]][*at[1:], neuron]


def test_layers_of_different_width_are_padded():
    bb = tiny_backbone("roberta")
    keep = torch.zeros(3, 48, dtype=torch.bool)
    keep[:, :9] = True
    small = prune(bb, keep, None, layers=[1])
    found = probe(small, TASK, random_prompt(bb, 2))
    side = found.sides["layer"]
    assert side.baseline[1, :, 9:].isnan().all() and not side.baseline[[0, 2]].isnan().any()
    assert side.fired[:, 1, :, 9:].eq(0).all() and found.predictivity[1, 9:].isnan().all()
    assert found.p_values[1, 9:].isnan().all() and len(found.best(999)) == 48 + 9 + 48
    with suppress(small, skill_neurons(found, 0.1), layers=[0]):
        evaluate(small, TASK, random_prompt(bb, 2))
    unprobed = probe(small, TASK, random_prompt(bb, 2), layers=[0])
    assert unprobed.predictivity[2].isnan().all() and not found.discoveries()[1, 9:].any()


def test_fingerprint_follows_the_content_and_a_damaged_file_is_noticed(tmp_path):
    one, same, other = (probed("roberta", TASK, 2, split=s)[-1] for s in ("test", "test", "validation"))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    refused("weights are not those", one.made_on, tiny_backbone("roberta", seed=1))
    one.save(tmp_path)
    (tmp_path / "probe.json").write_text('{"sides": {}, "balanced": false}')
    refused("lack shape, counts", Probe.load, tmp_path)
    (tmp_path / "probe.safetensors").write_bytes(b"x")
    refused("damaged", Probe.load, tmp_path)
