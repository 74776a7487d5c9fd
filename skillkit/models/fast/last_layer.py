"""The last feed-forward network at the answer alone: nothing else of its output is read.

>>> with last_network_at(bb, answer): hidden = bb.run(inputs)      # right at the answer, wrong elsewhere
"""

from contextlib import contextmanager

from skillkit.models.fast import enabled
from skillkit.models.hooks import any_batching, placed, put, take


@contextmanager
def last_network_at(bb, answer):
    """Context in which the last feed-forward network is given one token of each text, and zeros are added elsewhere.

    >>> with last_network_at(bb, torch.tensor([0, 0])): bb.run(inputs).shape
    torch.Size([2, ..., 128])

    answer [batch] indexes the last hidden states. Nothing is changed where the last layer is recorded, or edited in
    another way than the same at every position.
    """
    matrix, activation = bb.value_matrices[-1], bb.activation_functions[-1]
    hooks = [hook for module in (matrix, activation) for hook in module._forward_pre_hooks.values()]
    if not (enabled() and all(getattr(hook, "tokenwise", False) for hook in hooks)):
        yield
        return
    shape, slot = [], answer[:, None]

    @any_batching
    def narrow(module, args):
        shape[:] = args[0].shape
        return (take(args[0], bb.batching.places(slot)),)

    @any_batching
    def widen(module, args, out):
        return put(out.new_zeros(shape), out, bb.batching.places(slot))

    with placed(
        (bb.feed_forward[-1].register_forward_pre_hook, narrow), (matrix.register_forward_hook, widen)
    ):
        yield
