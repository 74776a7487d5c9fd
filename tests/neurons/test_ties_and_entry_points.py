import numpy as np
import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.neurons.activations import activations
from skillkit.neurons.probe import Probe, Side
from skillkit.neurons.probing import probe
from skillkit.neurons.skill_neurons import skill_neurons
from skillkit.prompts import prepare, random_prompt
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = toy_task(20)


def chosen(*args, **options):
    """Numbers of the chosen neurons, layer by layer."""
    return [row.nonzero().flatten().tolist() for row in skill_neurons(*args, **options)]


@pytest.mark.parametrize("counts", [(5, 5), (50, 50), (48, 52), (7, 33), (150, 150), (384, 384), (3, 997)])
@pytest.mark.parametrize("balanced", [False, True])
def test_ties_are_of_counts(counts, balanced):
    """Neurons that are right equally often are ties, by slot, by direction, and in means over slots and seeds."""
    n, random = sum(counts), torch.Generator().manual_seed(0)
    metadata = dict(shape=[1, 800], backbone="b", layout="l", layers=[0], task="t")
    zeros, slots = torch.zeros(2, 1, 3, 800), (("1", "2", "3"), (0, 1, 2))
    made = lambda fired: Probe(
        {"layer": Side((0,), *slots, zeros[0], zeros, fired, counts, counts, balanced)}, metadata
    )
    fired = torch.stack([torch.randint(0, top + 1, (1, 3, 400), generator=random) for top in counts])
    mirrored = torch.tensor(counts).view(2, 1, 1, 1) - fired  # wrong where the other is right
    both = torch.stack([fired, mirrored], -1).flatten(-2)
    below = torch.stack([counts[0] - both[0], both[1]])
    points = (below * torch.tensor(counts).flip(0).view(2, 1, 1, 1)).sum(0) if balanced else below.sum(0)
    whole = 2 * counts[0] * counts[1] if balanced else n
    best = torch.maximum(points, whole - points)
    seeds = [made(both), made(both.roll(1, -1))]
    for given, slots, exact in (
        (seeds[0], "max", best.amax(1)), (seeds[0], "mean", best.sum(1)), (seeds[0], "min", best.amin(1)),
        (seeds, "mean", best.sum(1) + best.sum(1).roll(1, -1)), (seeds, "max", best.amax(1) + best.amax(1).roll(1, -1)),
    ):  # fmt: skip
        order = sorted(range(800), key=lambda at, exact=exact: (-int(exact[0, at]), at))
        for top in (0.01, 0.05, 0.2, 0.5):
            assert chosen(given, top, slots=slots) == [sorted(order[: int(top * 800)])]
    first = sorted(range(800), key=lambda at: (-int(best.amax(1)[0, at]), at))
    assert [neuron for _, _, neuron in seeds[0].best(60)] == first[:60]


def test_scores_as_an_array():
    scores = np.random.default_rng(0).random((2, 8))
    assert torch.equal(skill_neurons(scores, 0.5), skill_neurons(torch.from_numpy(scores), 0.5))
    assert skill_neurons({"a": scores, "b": scores[::-1].copy()}, 0.5).sum() == 8


def test_subtasks_by_halves():
    first = torch.tensor([[0.9, 0.8, 0.7, 0.1, 0.1, 0.1, 0.2, 0.3]])
    second = torch.tensor([[0.9, 0.1, 0.1, 0.8, 0.7, 0.1, 0.2, 0.3]])
    # By halves the first takes 0 and 1 before the second chooses of those left; an odd one goes to the first.
    assert chosen({"pn": first, "neu": second.flip(1)}, 0.5, subtasks="halves") == [[0, 1, 4, 7]]
    assert chosen({"pn": first, "neu": second}, 3 / 8, subtasks="halves") == [[0, 1, 3]]
    with pytest.raises(SkillkitError, match="'turns' or by 'halves'"):
        skill_neurons({"pn": first, "neu": second}, 0.5, subtasks="thirds")


@pytest.mark.parametrize("model", ["roberta", "bert", "gpt2", "t5"])
@pytest.mark.parametrize("layout", [None, "prefix"])
def test_pooling_with_special_tokens(model, layout):
    bb = tiny_backbone(model)
    prompt, seen = None if model == "t5" and layout else random_prompt(bb, 3, layout=layout), []
    reading = prepare(bb, TASK, prompt, TASK["test"].select(range(5)))
    reading.stream([0], lambda *one: seen.append(one), text="special")
    for attached, batch in reading.batches():
        with bb.record([0]) as acts:
            bb.run(attached.inputs)
        for row in range(len(batch)):
            here = attached.inputs["attention_mask"][row].bool().clone()
            here[attached.slots[row]] = False
            values = acts[0][row, here]
            found = next(
                values_[batch_.index == batch.index[row]][0, -2:]
                for _, values_, batch_ in seen
                if batch.index[row] in batch_.index
            )
            torch.testing.assert_close(
                found, torch.stack([values.mean(0), values.amax(0)]), atol=1e-5, rtol=1e-4
            )
            assert here.sum() >= attached.text[row].sum()


def test_a_prompt_is_one_and_text_is_pooled_in_two_ways():
    bb = tiny_backbone("roberta")
    prompt = random_prompt(bb, 3)
    for given in ([prompt, prompt], {"a": prompt}, prompt.weight):
        with pytest.raises(SkillkitError, match="no such object"):
            activations(bb, TASK, given, [(0, 0, 3)])
    with pytest.raises(SkillkitError, match="'special'"):
        probe(bb, TASK, prompt, text="all")
    found = probe(bb, TASK, prompt, text="special")
    assert probe(bb, TASK, prompt, split="test", carry=found).metadata["text"] == "special"
    assert not torch.equal(found.sides["text"].baseline, probe(bb, TASK, prompt).sides["text"].baseline)


def test_a_place_without_a_slot():
    for places in ([(0, 3)], (0, 0, 3), [(0, 0, 3), [1, 2]]):
        with pytest.raises(SkillkitError, match="say which slot"):
            activations(tiny_backbone("roberta"), TASK, None, places)
