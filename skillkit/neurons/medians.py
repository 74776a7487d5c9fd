"""Streaming per-neuron median, in memory that does not grow with the rows.

>>> medians = Medians(stream, sample)      # places the thresholds
>>> stream(rows, medians.visit)
>>> medians.values()                       # {layer: [views, neurons]}
"""

from collections import defaultdict

import torch


class Medians:
    """Streaming median: counts the values between a few thresholds per neuron, and interpolates.

    >>> medians = Medians(stream, sample)
    >>> stream(sample, medians.visit)
    >>> {layer: list(values.shape) for layer, values in medians.values().items()}
    {5: [5, 512]}

    The thresholds are the sorted values of the rows of `sample`, so they are dense where the values are, and
    exactly repeated where values are (a ReLU's zeros). With no more rows than that, the median is exact (the
    lower one of an even number); else it is interpolated between two neighbouring thresholds.
    """

    def __init__(self, stream, sample):
        seen = defaultdict(list)
        stream(sample, lambda layer, values, batch: seen[layer].append(values.permute(1, 2, 0)))
        self.edges = {layer: torch.cat(parts, dim=-1).sort(dim=-1).values for layer, parts in seen.items()}
        self.counts = {
            layer: torch.zeros(*edges.shape[:2], edges.shape[2] + 1, dtype=torch.int32, device=edges.device)
            for layer, edges in self.edges.items()
        }

    def visit(self, layer, values, batch):
        """Count the values [B, views, neurons] of one batch."""
        bins = torch.searchsorted(self.edges[layer], values.permute(1, 2, 0).contiguous())
        self.counts[layer].scatter_add_(-1, bins, torch.ones_like(bins, dtype=torch.int32))

    def values(self):
        """{layer: medians [views, neurons]}."""
        return {layer: _median(edges, self.counts[layer]) for layer, edges in self.edges.items()}


def _median(edges, counts):
    """Edges [..., K], counts [..., K + 1] between them → the value that half of all do not exceed, [...]."""
    below = counts.cumsum(-1)
    target = (below[..., -1:] + 1) // 2
    upper = torch.searchsorted(below, target).clamp(max=edges.shape[-1] - 1)
    lower = (upper - 1).clamp(min=0)
    low, high = edges.gather(-1, lower), edges.gather(-1, upper)
    before = torch.where(upper > 0, below.gather(-1, lower), 0)
    share = ((target - before) / (below.gather(-1, upper) - before).clamp(min=1)).clamp(max=1)
    return torch.lerp(low, high, share.to(low))[..., 0]
