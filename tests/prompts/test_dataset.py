import pytest
import torch

from skillkit.core import SkillkitError
from skillkit.neurons import suppress
from skillkit.prompts import prepare, random_prompt
from skillkit.prompts.dataset import now, text_pools
from skillkit.prompts.evaluation import label_logits
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = toy_task(20)


def test_logits_that_are_no_numbers_are_an_error():
    bb = tiny_backbone("roberta")
    mask = torch.zeros(bb.num_layers, bb.num_neurons, dtype=torch.bool)
    mask[1, 5] = True
    infinite = suppress(bb, mask, "constant", fill=torch.full(mask.shape, torch.inf))
    with pytest.raises(SkillkitError, match="NaN or infinite"), infinite:
        label_logits(bb, TASK, random_prompt(bb, 3), TASK["test"])


def test_a_backbone_knows_what_it_reads_and_forgets_it():
    bb = tiny_backbone("gpt2")
    reading, seen = prepare(bb, TASK, random_prompt(bb, 3), TASK["test"]), []
    assert reading.labels.tolist() == TASK["test"]["label"] and len(reading) == 20
    reading.stream([0], lambda layer, values, batch: seen.append((bb.now, batch)), batch_size=6)
    assert bb.now is None and len(seen) == 4
    for read, batch in seen:
        assert torch.equal(read.index, batch.index)
        assert read.places["prompt"].sum(1).eq(3).all()
        assert torch.equal(read.places["text"].sum(1), batch.text.sum(1))
        assert not (read.places["text"] & read.places["prompt"]).any()
    (attached, batch), *_ = prepare(bb, TASK, None, TASK["test"]).batches()
    with now(bb, attached, batch.index):
        outer = bb.now
        with pytest.raises(KeyError), now(bb, attached, batch.index[:2]):
            raise KeyError
        assert bb.now is outer
    assert bb.now is None


def test_a_pass_ends_at_the_last_layer_asked_for():
    bb, reached = tiny_backbone("t5"), []
    for at, module in enumerate(bb.value_matrices):
        module.register_forward_hook(lambda *_, at=at: reached.append(at))
    reading = prepare(bb, TASK, random_prompt(bb, 3), TASK["test"].select(range(4)))
    reading.stream([1], lambda *_: None)
    assert reached == [0]  # the second matrix of layer 1 and everything behind it is never computed


def test_pooling_counts_text_only():
    neurons = torch.tensor([[[1.0], [3.0], [9.0]], [[-1.0], [-5.0], [2.0]], [[4.0], [4.0], [4.0]]])
    text = torch.tensor([[True, True, False], [False, True, False], [False] * 3])
    assert text_pools(neurons, text)[..., 0].tolist() == [[2, 3], [-5, -5], [0, 0]]


@pytest.mark.parametrize(("model", "layout", "names"), [
    ("roberta", "mask-first", ("mask", "1", "2", "3")),
    ("roberta", "zero-position", ("mask", "1", "2")),
    ("bert", "prefix", ("mask", "1", "2", "3")),
    ("gpt2", "suffix", ("1", "2", "3")),
    ("gpt2", "prefix", ("last",)),
    ("t5", "encoder", ("1", "2", "3")),
])  # fmt: skip
def test_slots_have_names(model, layout, names):
    bb = tiny_backbone(model)
    assert prepare(bb, TASK, random_prompt(bb, 3, layout=layout), TASK["test"]).slot_names == names
