"""Keys and values that many variants of a question share, handed to blocks as if they were a cache.

>>> block(variants, past_key_values=Prefix(layer, known, len(variants)))          # doctest: +SKIP
"""

from types import SimpleNamespace

import torch
from transformers.cache_utils import Cache


class Prefix(Cache):
    """Keys and values of the tokens before, the same for all variants of a question.

    >>> Prefix(3, cache.layers[3], count=40, before_last=True)          # doctest: +SKIP

    known        one layer of a cache, for some questions; `before_last` leaves out its last token
    count        how many variants there are, the questions again and again
    """

    def __init__(self, layer, known, count, before_last=False):
        keys, values = known.keys.detach(), known.values.detach()
        if before_last:
            keys, values = keys[:, :, :-1], values[:, :, :-1]
        self.layers = {layer: SimpleNamespace(keys=spread(keys, count), values=spread(values, count))}

    def update(self, keys, values, layer, *args, **kwargs):
        known = self.layers[layer]
        return torch.cat([known.keys, keys], 2), torch.cat([known.values, values], 2)

    def get_seq_length(self, layer=0):
        return next(iter(self.layers.values())).keys.shape[2]


def spread(tensor, count):
    """[questions, …] → [count, …], the questions again and again; of a single one without a copy.

    >>> spread(torch.tensor([[1], [2]]), 4).flatten()
    tensor([1, 2, 1, 2])
    """
    if len(tensor) == 1:
        return tensor.expand(count, *tensor.shape[1:])
    return tensor.expand(count // len(tensor), *tensor.shape).flatten(0, 1)
