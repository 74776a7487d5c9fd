"""The texts of a batch one after another instead of side by side, so that no time goes into padding.

>>> if how := packing_of(bb, inputs):              # None where it would change or gain nothing
...     hidden = read_packed(bb, bb.model.base_model, inputs, how)     # [batch, T, hidden], zeros in the padding

All that a block does, it does token by token, but for attention; that goes text by text then. Whoever reads or
changes neurons meanwhile sees them as [batch, positions, neurons] all the same (`skillkit.models.hooks`).
"""

import sys
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

from skillkit.models.fast import all_replaced, enabled
from skillkit.models.hooks import undone

# In narrower models, many small matrix products of changing shapes cost more than padding.
NARROW = 256
# Where this share of a batch is text, it stays as it is.
FULL = 0.98

_NAME = "one_text_after_another"
_running = []  # packings of the passes that are running, the innermost last: not every block hands on what it is given


class Packing(NamedTuple):
    """How many tokens the texts of a batch have, and how wide the batch is.

    >>> Packing([2, 3], 4).pack(torch.zeros(2, 4, 768)).shape
    torch.Size([1, 5, 768])
    """

    lengths: list[int]
    width: int

    def pack(self, tensor):
        """[batch, width, …] → [1, tokens, …], without what stands in the padding."""
        return torch.cat([row[:count] for row, count in zip(tensor, self.lengths, strict=True)])[None]

    def unpack(self, tensor):
        """[1, tokens, …] → [batch, width, …], with zeros in the padding.

        >>> Packing([2, 3], 4).unpack(torch.ones(1, 5, 1))[..., 0]
        tensor([[1., 1., 0., 0.],
                [1., 1., 1., 0.]])
        """
        rows = pad_sequence(tensor[0].split(self.lengths), batch_first=True)
        missing = self.width - rows.shape[1]
        return torch.cat([rows, rows.new_zeros(len(rows), missing, *rows.shape[2:])], 1) if missing else rows

    def texts(self, tensor, dim=1):
        """[1, tokens, …] → for every text [1, its tokens, …].

        >>> [list(text.shape) for text in Packing([2, 3], 4).texts(torch.zeros(1, 5, 768))]
        [[1, 2, 768], [1, 3, 768]]
        """
        return tensor.split(self.lengths, dim)

    def places(self, slots):
        """Slots of the texts, [batch, S], as slots of what is packed: [1, batch · S].

        >>> Packing([2, 3], 4).places(torch.tensor([[0], [1]]))
        tensor([[0, 3]])
        """
        starts = torch.tensor([0, *self.lengths[:-1]], device=slots.device).cumsum(0)
        return (starts[:, None] + slots).reshape(1, -1)

    def take(self, tensor, slots):
        """What stands at slots of the texts: [1, tokens, …] and [batch, S] → [batch, S, …].

        >>> Packing([2, 3], 4).take(torch.arange(5)[None], torch.tensor([[0], [1]]))
        tensor([[0],
                [3]])
        """
        return tensor[0][self.places(slots)].reshape(*slots.shape, *tensor.shape[2:])


def open_to_packing(bb):
    """Whether a backbone's model can be given packed texts, and all hooks on it are right for them.

    >>> open_to_packing(bb)
    True
    """
    plain = enabled() and bb.device.type == "cpu" and bb.model.config._attn_implementation == "sdpa"
    # The table of attention functions, in which packing puts its own: not all families look there.
    modules = {sys.modules[type(block).__module__] for block in bb.blocks}
    by_name = all(hasattr(module, "ALL_ATTENTION_FUNCTIONS") for module in modules)
    return plain and by_name and not bb.local_attention and not any(map(_closed, bb.model.modules()))


def packing_of(bb, inputs):
    """How to pack keyword arguments of a backbone's model, or None where that changes or gains nothing.

    >>> packing_of(bb, inputs)                         # None, or for texts of 2 and of 3 tokens Packing([2, 3], 3)

    On a CPU, in wide models, for texts padded on the right; not with a cache, where slots are counted (local
    attention), where a hook needs padded texts, in compiled blocks, and in families whose attention cannot be replaced.
    """
    mask = inputs.get("attention_mask")
    if mask is None or mask.ndim != 2 or bb.hidden_size < NARROW:
        return None
    tensors = [value for value in inputs.values() if value is not None and not isinstance(value, bool)]
    if not all(isinstance(one, torch.Tensor) and one.shape[:2] == mask.shape for one in tensors):
        return None
    lengths = mask.sum(1).tolist()
    if sum(lengths) > FULL * mask.numel() or not min(lengths) or (mask[:, 1:] > mask[:, :-1]).any():
        return None
    return Packing(lengths, mask.shape[1]) if open_to_packing(bb) else None


def read_packed(bb, module, inputs, packing):
    """Last hidden states [batch, T, hidden] of the base model or one of its stacks, zeros where padding is.

    >>> given = {"input_ids": torch.tensor([[7, 8, 0], [7, 8, 9]])}
    >>> read_packed(bb, bb.model.base_model, given, Packing([2, 3], 3)).shape
    torch.Size([2, 3, 128])

    Meanwhile hooks find in `bb.batching` how the texts stand.
    """
    given = {name: packing.pack(one) if torch.is_tensor(one) else one for name, one in inputs.items()}
    with _packed(bb, packing):
        return packing.unpack(module(**given).last_hidden_state)


@contextmanager
def _packed(bb, packing):
    from transformers import AttentionInterface  # start-up time: seconds, for the classes of models

    AttentionInterface.register(_NAME, _attend)
    configs = {id(module.config): module.config for module in bb.model.modules() if hasattr(module, "config")}
    before = [(config, config._attn_implementation) for config in configs.values()]
    running, values = list(_running), [(bb, "batching", packing)]
    for module in bb.model.modules():
        if getattr(
            module, "has_relative_attention_bias", False
        ):  # T5: every text has the bias of its own tokens
            bias = partial(module.compute_bias, max(packing.lengths), max(packing.lengths))
            values.append((module, "compute_bias", lambda *_, bias=bias, **__: bias()))

    def put_back():
        _running[:] = running
        for config, implementation in before:
            config._attn_implementation = implementation

    with undone(put_back), all_replaced(*values):
        _running.append(packing)
        for config, _ in before:
            config._attn_implementation = _NAME
        yield


def _closed(module):
    """Whether a module is compiled or has a hook that needs padded texts."""
    hooks = module._forward_hooks | module._forward_pre_hooks | (module._backward_hooks or {})
    needs_padding = any(not getattr(hook, "any_batching", False) for hook in hooks.values())
    return needs_padding or module._compiled_call_impl is not None


def _attend(module, query, key, value, mask, position_bias=None, **kwargs):
    """Every text by itself: query, key, value [1, heads, tokens, d] → [1, tokens, heads, d]; masks are not needed."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward  # start-up time

    read = []
    for three in zip(*map(partial(_running[-1].texts, dim=2), (query, key, value)), strict=True):
        count = three[0].shape[2]
        bias = None if position_bias is None else position_bias[..., :count, :count]
        read.append(sdpa_attention_forward(module, *three, None, position_bias=bias, **kwargs)[0])
    return torch.cat(read, 1), None
