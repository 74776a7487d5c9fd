import pytest
import torch

from skillkit.neurons import activations
from skillkit.prompts import random_prompt
from tests.helpers import refused
from tests.plain_probing import plain_activations
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = toy_task(20)


@pytest.mark.parametrize("model", ["roberta", "gpt2", "t5"])
def test_chosen_neurons_example_by_example(model):
    bb = tiny_backbone(model)
    prompt = random_prompt(bb, 3)
    first = next(iter(bb.stacks))
    places = [(2, 1, 7), (0, "text max", 5), (2, 0, 7), (0, "text mean", 5)]
    places += [(3, 0, 9)] * bool(bb.decoder_layers)
    seen = activations(bb, TASK, prompt, places, split="test", batch_size=3)
    assert seen.labels.tolist() == TASK["test"]["label"] and seen.places == tuple(places)
    for row, example in enumerate(plain_activations(bb, TASK, prompt, TASK["test"])):
        text = example["text"][0, :, 5]
        expected = [example[first][2, 1, 7], text[1], example[first][2, 0, 7], text[0]]
        expected += [example["decoder"][0, 0, 9]] if bb.decoder_layers else []
        torch.testing.assert_close(seen.values[row], torch.stack(expected), atol=1e-5, rtol=1e-4)


def test_few_rows_and_texts_with_the_highest_and_lowest_activations():
    bb = tiny_backbone("roberta")
    few = activations(bb, TASK, None, [(0, 0, 0)], examples=6)
    assert few.values.shape == (6, 1) and repr(few) == "Activations(1 neurons on 6 examples, [3, 3] by class)"
    seen = activations(bb, TASK, None, [(0, 0, 0), (1, 0, 4)], split="test")
    table = seen.extremes(TASK["test"], column=1, k=3)
    order = seen.values[:, 1].sort(descending=True).indices
    for name in ("text", "label"):
        assert table[name].tolist() == [TASK["test"][name][int(row)] for row in (*order[:3], *order[-3:])]
    assert table["activation"].is_monotonic_decreasing
    assert table["excited"].tolist() == ["most"] * 3 + ["least"] * 3
    assert len(seen.extremes(TASK["test"], k=99)) == 20
    refused("20 rows were read, not 5", seen.extremes, TASK["test"].select(range(5)))


NOT_THERE = [(3, 0, 0), (0, 0, 48), (0, 4, 0), (0, "text sum", 0), (-1, 0, 0)]
CASES = [("roberta", place) for place in NOT_THERE] + [("t5", (3, 1, 0)), ("t5", (3, "text mean", 0))]


@pytest.mark.parametrize(("model", "place"), CASES)  # a decoder has one slot and no text
def test_places_that_are_not_there(model, place):
    prompt = random_prompt(tiny_backbone(model), 3)
    refused("no neuron|no slot", activations, tiny_backbone(model), TASK, prompt, [place])


def test_a_neuron_without_a_slot_is_read_at_all_of_them():
    for bb, slots in ((tiny_backbone("roberta"), 4), (tiny_backbone("t5"), 3)):
        prompt = random_prompt(bb, 3)
        every = activations(bb, TASK, prompt, [(1, 7)])
        assert every.places == tuple((1, slot, 7) for slot in range(slots))
        assert torch.equal(every.values, activations(bb, TASK, prompt, list(every.places)).values)
    assert activations(bb, TASK, prompt, [(3, 9)]).places == ((3, 0, 9),)
    refused("not 3", activations, bb, TASK, prompt, (3, 9))
