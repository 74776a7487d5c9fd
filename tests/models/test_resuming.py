"""Passes that begin at a layer give what whole ones give, and compute nothing below it (packed: test_fast)."""

from contextlib import nullcontext

import pytest
import torch

from skillkit.models.fast.resuming import Resuming
from skillkit.models.hooks import record, replace_neurons
from skillkit.neurons import suppress
from skillkit.prompts import prepare, random_prompt
from tests.tiny import TINY_MODELS, slowly, tiny_backbone
from tests.toys import toy_task

TASK = toy_task(14)


class Setting:
    """Rows read by a tiny model, and how often each of its blocks was computed."""

    def __init__(self, model_type):
        self.bb = tiny_backbone(model_type)
        self.blocks = self.bb.blocks
        self.reading = prepare(self.bb, TASK, random_prompt(self.bb, 3), TASK["test"])
        self.words = TASK.label_ids(self.bb)
        self.computed = [0] * len(self.blocks)
        for number, block in enumerate(self.blocks):
            block.forward = self._counted(number, block.forward)

    def _counted(self, number, compute):
        def forward(*args, **kwargs):
            self.computed[number] += 1
            return compute(*args, **kwargs)

        return forward

    def logits(self, batch_size=4):
        return self.reading.logits(self.words, batch_size)

    def suppressed(self, seed, layers, kind="zero", again=None, positions=None):
        """Logits under a random mask; counts anew how often each block is computed."""
        draw = torch.Generator().manual_seed(seed)
        mask = torch.rand(self.bb.num_layers, self.bb.num_neurons, generator=draw) < 0.4
        fill = torch.ones(mask.shape)
        self.computed = [0] * len(self.blocks)
        change = suppress(
            self.bb, mask, kind, alpha=2.0, fill=fill, layers=layers, seed=seed, positions=positions
        )
        with again or nullcontext(), change:
            return self.logits()


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["zero", slowly("constant"), slowly("gaussian")])
@pytest.mark.parametrize("model_type", TINY_MODELS)
def test_answers_are_those_of_whole_passes(model_type, kind):
    here = Setting(model_type)
    plain = here.logits()
    batches = here.computed[0]
    for layer in range(here.bb.num_layers):
        layers, again = range(layer, here.bb.num_layers), Resuming(here.bb, layer)
        inside = layer < here.bb.num_layers - 1
        for seed in range(2):
            expected = here.suppressed(seed, layers, kind)
            close(here.suppressed(seed, layers, kind, again), expected)
            assert not torch.equal(expected, plain)
            computed = [0 if seed else batches] * (layer + inside)
            assert here.computed == computed + [batches] * (len(here.blocks) - len(computed))
    assert torch.equal(here.logits(), plain)


@pytest.mark.parametrize("positions", ["prompt", "text", slice(0, 2)], ids=str)
def test_positions_and_windows(positions):
    here = Setting("t5")
    again = Resuming(here.bb, 1)
    for seed in range(2):
        expected = here.suppressed(seed, [1, 2], positions=positions)
        close(here.suppressed(seed, [1, 2], again=again, positions=positions), expected)
    assert not here.computed[0]


def test_what_does_not_fit_is_computed_again():
    here = Setting("roberta")
    again = Resuming(here.bb, 1)
    here.suppressed(0, [1], again=again)
    sizes = [known.size for known in again.known.values()]
    for memory, kept in ((0, 0), (sizes[0] + sizes[1], 2), (sum(sizes), len(sizes))):
        again = Resuming(here.bb, 1, memory)
        for seed in range(2):
            close(here.suppressed(seed, [1], again=again), here.suppressed(seed, [1]))
        assert len(again.known) == kept and again.room == memory - sum(sizes[:kept])


def test_other_rows_are_other_batches():
    here = Setting("roberta")
    again = Resuming(here.bb, 1)
    expected = here.suppressed(0, [1], again=again)
    with again, suppress(here.bb, torch.ones(3, here.bb.num_neurons, dtype=torch.bool), layers=[1]):
        few, many = here.logits(2), here.logits(8)
    close(few, many)
    assert not torch.equal(few, expected)


def test_passes_are_whole_where_a_part_would_not_do():
    here = Setting("roberta")
    before = [vars(block)["forward"] for block in here.blocks]
    again = Resuming(here.bb, 1)
    edit = replace_neurons(here.bb, {1: torch.zeros_like}, before=True)
    with again, record(here.bb, [0]) as acts, edit:
        here.logits()
    assert len(acts) == 1 and not again.known
    with again:  # with gradients, and of rows whose numbers are not known
        attached, _ = next(here.reading.batches(4))
        here.bb.run(attached.inputs)
        with torch.no_grad():
            here.bb.run(attached.inputs)
    assert not again.known
    with pytest.raises(KeyboardInterrupt), again:
        assert [vars(block)["forward"] for block in here.blocks[:2]] != before[:2]
        raise KeyboardInterrupt
    assert [vars(block)["forward"] for block in here.blocks] == before
    here.blocks[0]._compiled_call_impl = here.blocks[0]._call_impl
    with again:
        here.logits()
    here.blocks[0]._compiled_call_impl = None
    here.bb.model.bfloat16()
    with again:
        here.logits()
    assert not again.known


def test_a_block_without_a_forward_of_its_own_has_none_afterwards():
    bb = tiny_backbone("gpt2")
    reading, words = prepare(bb, TASK, random_prompt(bb, 3), TASK["test"]), TASK.label_ids(bb)
    with Resuming(bb, 1) as again:
        reading.logits(words)
    assert again.known and not any("forward" in vars(module) for module in bb.model.modules())
