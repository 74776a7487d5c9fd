"""Passes that begin at a layer: what lies below the lowest neurons that are changed is computed once.

>>> again, found = Resuming(bb, 3), []
>>> for rate in (0.1, 0.2, 0.3):                   # the first pass goes through all blocks, others begin in layer 3
...     with again, suppress(bb, skill_neurons(probe, rate), layers=[3, 4]):
...         found.append(evaluate(bb, task, prompt))

Changing neurons of layer 3 leaves everything below as it was, and in layer 3 all but what its value matrix gives.
"""

from functools import partial
from typing import NamedTuple

import torch

from skillkit.models.fast import all_replaced, enabled
from skillkit.models.hooks import Reentrant, any_batching, has_hooks, hidden_of, placed, weakly

MEMORY = 2**30  # bytes that may be kept; batches beyond that are computed each time


class Known(NamedTuple):
    """What is kept of a batch.

    >>> Known(hidden, [None], neurons, rest)                # doctest: +SKIP

    entering  hidden states before the first block, by which the batch is recognised
    outputs   of the blocks, without hidden states that are not needed again
    neurons   of the lowest changed layer, before the change; None where that layer's whole block is run again
    rest      the sum behind its network, without what the value matrix gives
    """

    entering: torch.Tensor
    outputs: list
    neurons: torch.Tensor | None = None
    rest: torch.Tensor | None = None

    @property
    def size(self):
        """Bytes, without what several blocks share."""
        kept = [self.entering, self.neurons, self.rest, *map(hidden_of, self.outputs)]
        return sum(one.nbytes for one in kept if one is not None)


class Resuming(Reentrant):
    """Context in which passes over batches that were read in it before begin at a layer.

    >>> again = Resuming(bb, 2)
    >>> with again: first = evaluate(bb, task, prompt)
    >>> with again: second = evaluate(bb, task, prompt)                                # begins in layer 2

    layer   all weights below it, and those that lead to its neurons, must be the same each time
    memory  bytes to keep, about

    A batch is recognised by its row numbers (`bb.now`) and its hidden states before the first block. Passes are whole
    with gradients, in half precision (sums taken apart there would not come together again), in compiled blocks, and
    where neurons below the layer are read or changed.
    """

    def __init__(self, bb, layer, memory=MEMORY):
        path = bb.row.block_norm
        # The last network may be computed at the answer alone, of which a pass that leaves it out knows nothing.
        inside = layer < bb.num_layers - 1 and bb.plain_sum
        self.bb, self.layer, self.room = bb, layer, memory
        self.blocks = bb.blocks[: layer + inside]
        self.norm = bb.model.base_model.get_submodule(path.format(layer)) if path else None
        self.known = {}

    def _during(self):
        compiled = any(block._compiled_call_impl is not None for block in self.blocks)
        whole = compiled or not enabled() or self.bb.dtype not in (torch.float32, torch.float64)
        return _forwards([] if whole else self.blocks, weakly(self._pass))

    def _pass(self, number, compute, hidden, *args, **kwargs):
        if number == 0:
            self._open(hidden)
        if self.rows is None:
            return compute(hidden, *args, **kwargs)
        if self.read is None:
            return self._first_time(number, partial(compute, hidden, *args, **kwargs))
        output = self.read.outputs[number]
        if hidden_of(output) is not None:
            return output
        return _with(self._changed() if number == self.layer else hidden, output)

    def _open(self, hidden):
        below = [*self.bb.value_matrices[: self.layer], *self.bb.activation_functions[: len(self.blocks)]]
        whole = self.bb.now is None or torch.is_grad_enabled() or has_hooks(below)
        self.rows = None if whole else tuple(self.bb.now.index.tolist())
        self.entering, self.outputs = hidden, []
        read = self.known.get(self.rows)
        self.read = read if read is not None and torch.equal(read.entering, hidden) else None

    def _first_time(self, number, compute):
        output, *inside = self._split(compute) if number == self.layer else (compute(),)
        needed = not inside and number + 1 in (len(self.blocks), len(self.bb.encoder_layers))
        self.outputs.append(output if needed else _with(None, output))
        if number + 1 == len(self.blocks):
            known = Known(self.entering, self.outputs, *inside)
            if known.size <= self.room:
                self.known[self.rows] = known
                self.room -= known.size
        return output

    def _split(self, compute):
        """(what the block returns, its neurons before they are changed, the rest of the sum behind the network)."""
        seen, value = {}, self.bb.value_matrices[self.layer]
        before = any_batching(lambda _, args: seen.update(neurons=args[0]))
        after = any_batching(lambda _, args, out: seen.update(given=out))
        hooks = [(value.register_forward_pre_hook, before, "prepend"), (value.register_forward_hook, after)]
        if self.norm is not None:
            hooks.append((self.norm.register_forward_pre_hook, lambda _, args: seen.update(whole=args[0])))
        with placed(*hooks):
            output = compute()
        return output, seen["neurons"], seen.get("whole", hidden_of(output)) - seen["given"]

    def _changed(self):
        hidden = self.read.rest + self.bb.value_matrices[self.layer](self.read.neurons)
        return hidden if self.norm is None else self.norm(hidden)


def _forwards(blocks, compute):
    """Blocks that `compute(number, forward, hidden, …)` computes until the generator is closed."""
    # No hook can leave a block out.
    new = [(block, "forward", partial(compute, number, block.forward)) for number, block in enumerate(blocks)]
    with all_replaced(*new):
        yield


def _with(hidden, output):
    """A block's output with these hidden states instead of its own."""
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden
