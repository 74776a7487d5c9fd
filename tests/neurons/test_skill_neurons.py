import pytest
import torch

from skillkit.neurons import load_neurons, probe, random_neurons, save_neurons, scores_of, skill_neurons
from skillkit.prompts import random_prompt
from tests.helpers import refused
from tests.plain_probing import probed
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = toy_task(40)
NAN = torch.nan


@pytest.fixture(scope="module")
def probes():
    bb, _, first = probed("roberta", TASK)
    return [first, *(probe(bb, TASK, random_prompt(bb, 3, seed)) for seed in (1, 2))]


def chosen(*args, **options):
    """Numbers of the chosen neurons, layer by layer."""
    return [row.nonzero().flatten().tolist() for row in skill_neurons(*args, **options)]


def test_top_of_every_layer_or_of_the_whole_model():
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6], [0.5, 0.55, 0.95, 0.5]])
    assert chosen(scores, 0.5) == [[0, 1], [1, 2]]
    assert chosen(scores, 0.5, per_layer=False) == [[0, 1, 2], [2]]
    assert skill_neurons(scores, 1).all() and not skill_neurons(scores, 0).any()
    assert chosen(torch.full((1, 8), 0.6), 0.25) == [[0, 1]]  # ties go to the lower number
    unprobed = torch.tensor([[NAN] * 4, [0.5, 0.6, NAN, NAN]])
    assert chosen(unprobed, 0.5) == chosen(unprobed, 0.5, per_layer=False) == [[], [1]]
    # The integer part; 0.29 · 100 is 28.999… in floating point.
    for neurons, top, count in ((100, 0.07, 7), (100, 0.58, 58), (3072, 0.02, 61), (100, 0.29, 29)):
        assert skill_neurons(torch.rand(2, neurons), top).sum(1).tolist() == [count] * 2
    for top in (-0.1, 1.01, NAN, 0.1):
        refused("no neuron" if top == 0.1 else "between 0 and 1", skill_neurons, torch.rand(2, 8), top)


def test_a_probe_and_several(probes):
    one = skill_neurons(probes[0], 0.1)
    assert torch.equal(one, skill_neurons(probes[0].predictivity, 0.1)) and one.sum(1).tolist() == [4] * 3
    every = torch.stack([found.predictivity for found in probes])
    for seeds, combined in (("mean", every.mean(0)), ("min", every.amin(0))):
        torch.testing.assert_close(scores_of(probes, seeds), combined)
        assert torch.equal(skill_neurons(probes, 0.1, seeds=seeds), skill_neurons(combined, 0.1))
    slots = torch.stack([found.score("mean", torch.float64) for found in probes]).mean(0).float()
    assert torch.equal(skill_neurons(probes, 0.1, slots="mean"), skill_neurons(slots, 0.1))


def test_halves_of_subtasks_and_the_next_best_for_duplicates(probes):
    first = torch.tensor([[0.9, 0.8, 0.7, 0.1, 0.1, 0.1, 0.2, 0.3]])
    second = torch.tensor([[0.9, 0.1, 0.1, 0.8, 0.7, 0.1, 0.2, 0.3]])
    # First 0; second wants 0 too and takes 3; first 1; second 4.
    assert chosen({"pn": first, "neu": second}, 0.5) == [[0, 1, 3, 4]]
    assert chosen({"pn": first, "neu": first}, 0.5) == chosen(first, 0.5)
    assert chosen({"a": first, "b": second, "c": first.flip(1)}, 3 / 8) == [[0, 3, 7]]
    # By halves the first takes 0 and 1 before the second chooses of those left; an odd one goes to the last.
    assert chosen({"pn": first, "neu": second.flip(1)}, 0.5, subtasks="halves") == [[0, 1, 4, 7]]
    assert chosen({"pn": first, "neu": second}, 3 / 8, subtasks="halves") == [[0, 3, 4]]
    refused("'turns' or by 'halves'", skill_neurons, first, 0.5, subtasks="thirds")
    *_, other = probed("roberta", toy_task(20, seed=1))
    mask = skill_neurons({"pn": probes, "neu": other}, 0.25)
    halves = [skill_neurons(one, 0.125) for one in (probes, other)]
    assert mask.sum(1).tolist() == [12] * 3
    assert all((half & ~mask).sum() <= (halves[0] & halves[1]).sum() for half in halves)
    assert all((mask & half).sum() >= 12 for half in halves)


def test_random_neurons_match_the_layers_and_keep_out():
    skills = torch.zeros(3, 40, dtype=torch.bool)
    skills[0, :4] = skills[2, 10:30] = True
    draws = [random_neurons(skills, seed) for seed in range(8)]
    for mask in draws:
        assert mask.sum(1).tolist() == [4, 0, 20] and not (mask & skills).any()
    assert torch.equal(draws[0], random_neurons(skills, 0))
    assert len({tuple(mask[0].nonzero().flatten().tolist()) for mask in draws}) > 4
    assert (sum(mask.int() for mask in draws)[0, 4:] > 0).sum() > 12  # all others have their chance
    # They stay within narrow layers.
    skills = torch.zeros(2, 10, dtype=torch.bool)
    skills[:, 0] = True
    assert not any(random_neurons(skills, seed, widths=[10, 3])[1, 3:].any() for seed in range(20))
    for mask, widths in ((skills, [10, 1]), (torch.arange(10)[None] < 6, None)):
        refused("only . others .* lower rate", random_neurons, mask, widths=widths)


def test_random_neurons_by_the_rule_of_robust_neurons():
    """As many draws over the whole model, with replacement."""
    skills = torch.zeros(3, 40, dtype=torch.bool)
    skills[0, :30] = True
    drawn = [random_neurons(skills, seed, among="model") for seed in range(40)]
    counts = torch.stack([mask.sum(1) for mask in drawn]).double()
    assert (
        (counts.sum(1) <= 30).all() and counts.sum(1).min() < 30 and torch.unique(counts, dim=0).shape[0] > 1
    )
    expected = 120 * (1 - (1 - 1 / 120) ** 30)  # different neurons among 30 draws
    assert abs(counts.sum(1).mean() - expected) < 1 and (counts.mean(0) - expected / 3).abs().max() < 1
    narrow = random_neurons(skills, 0, widths=[40, 5, 1], among="model")
    assert not narrow[1, 5:].any() and not narrow[2, 1:].any()
    assert torch.equal(random_neurons(skills, 3, among="model"), drawn[3])
    refused("'layer' or the 'model'", random_neurons, skills, among="all")


def test_probes_must_belong_together(probes):
    first, stranger = probes[0], probed("bert", TASK)[-1]
    for match, given in (
        ("different backbones", [first, stranger]),
        ("different layouts", [first, probed("roberta", TASK, layout="zero-position")[-1]]),
        ("different tasks", [first, probed("roberta", toy_task(20, seed=2))[-1]]),
        ("different layers", [first, probed("roberta", TASK, layers=[1])[-1]]),
        ("different backbones", {"pn": first, "neu": stranger}),
        ("different backbones", {"pn": torch.rand(2, 8), "neu": torch.rand(3, 8)}),
        ("no probe", []),
    ):
        refused(match, skill_neurons, given, 0.5)
    refused("mean or min", skill_neurons, probes, seeds="max")


def test_a_saved_mask_is_of_its_backbone(tmp_path):
    bb, mask = tiny_backbone("roberta"), torch.rand(3, 48) > 0.5
    save_neurons(mask, tmp_path / "mask", bb)
    assert torch.equal(load_neurons(tmp_path / "mask", bb), mask)
    refused("not of", load_neurons, tmp_path / "mask", tiny_backbone("roberta", seed=1))
    refused("no saved neurons", load_neurons, tmp_path / "nothing", bb)
