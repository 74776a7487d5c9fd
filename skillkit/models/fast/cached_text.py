"""The text in front of a causal model's prompt, read once and without gradients: no text sees the prompt behind it."""

import torch
from transformers.cache_utils import DynamicCache

from skillkit.models.fast import enabled
from skillkit.models.hooks import hooked


def cached_text(bb, batch):
    """Keys and values of right-padded texts, for a step that trains only vectors behind them; or None.

    >>> cached_text(gpt, batch).get_seq_length() == batch.ids.shape[1]
    True

    None where there is no text, where slots are counted (local attention) and where neurons are read or changed.
    """
    if not enabled() or not batch.ids.shape[1] or bb.local_attention or hooked(bb):
        return None
    # Without a mask: padding stands behind the text, and the prompt will not look at it.
    cache, positions = DynamicCache(), bb.position_ids(torch.ones_like(batch.mask))
    with torch.no_grad():
        bb.run({"input_ids": batch.ids, "position_ids": positions, "past_key_values": cache})
    return cache
