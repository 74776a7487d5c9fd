"""Attention without the products that are not needed: of a text that few queries read, or that is mostly known.

>>> attention = quicken(BertForMaskedLM(config)).bert.encoder.layer[0].attention          # doctest: +SKIP
>>> attention(slots, text=hidden)                 # the slots read the text             # doctest: +SKIP
"""

from typing import NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.bert.modeling_bert import BertSelfAttention
from transformers.models.roberta.modeling_roberta import RobertaSelfAttention
from transformers.models.t5.modeling_t5 import T5Attention
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaSelfAttention

from skillkit.models.hooks import put


def read_text(query, text, key, value, mask=None, scale=1.0):
    """What a few queries read of a text, without keys and values for its tokens.

    >>> read, weights = read_text(query, text, attention.key, attention.value)
    >>> read.shape                                 # [batch, queries, heads · d]
    torch.Size([2, 1, 8])

    query [batch, heads, queries, d], text [batch, T, hidden], key and value linear layers, mask [batch, 1, queries,
    T] with False or −∞ at what is hidden. Returns also the weights [batch, heads, queries, T].

    With q a query, K and V the matrices of a head, and h_n the text: q · K h_n = (Kᵀ q) · h_n, and
    Σ aₙ V h_n = V Σ aₙ h_n. So the matrices go to the queries instead of to all tokens of the text. The bias of
    the keys adds the same to all scores of a query, which the softmax takes away again.
    """
    heads = query.shape[1]
    keys, values = (of.weight.unflatten(0, (heads, -1)) for of in (key, value))  # [heads, d, hidden]
    asking = torch.einsum("bhsd,hdD->bhsD", query, keys)
    scores = scale * (asking.flatten(1, 2) @ text.mT).unflatten(1, (heads, -1))
    if mask is not None:
        hidden = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(~mask, hidden) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(-1, torch.promote_types(scores.dtype, torch.float32)).type_as(scores)
    found = (weights.flatten(1, 2) @ text).unflatten(1, (heads, -1))
    read = torch.einsum("bhsD,hdD->bshd", found, values).flatten(2)
    return read if value.bias is None else read + value.bias, weights


def only_multiplies(*layers):
    """Whether these are linear layers that nobody trains or listens to, so that their matrices say it all.

    >>> only_multiplies(attention.key, attention.value)
    True
    """
    return all(
        isinstance(of, torch.nn.Linear)
        and of.weight.is_floating_point()  # quantised ones do more than to multiply
        and not (of._forward_hooks or of._forward_pre_hooks or of.weight.requires_grad or of.weight.is_meta)
        for of in layers
    )


class Joined(NamedTuple):
    """Texts of which the last ones differ from known ones at some tokens only.

    >>> Joined(before, fresh, known, slots)          # doctest: +SKIP

    before   [texts, T, hidden] that may differ everywhere, or None
    fresh    [joined, S, hidden], the tokens that differ in the others
    known    queries, keys and values [joined, T, hidden] of what they differ from
    slots    [joined, S], where
    """

    before: torch.Tensor | None
    fresh: torch.Tensor
    known: tuple
    slots: torch.Tensor


class QuickSelfAttention(torch.nn.Module):
    """Self-attention of BERT and its kin as `quicken` has changed it; it takes two more keyword arguments.

    >>> type(attention).__mro__[1].__name__
    'QuickSelfAttention'

    `text` [batch, T, hidden] is read by the given tokens instead of themselves (see `read_text`); `joined` says of
    which of the given texts only some tokens need queries, keys and values. Nothing is masked then.
    """

    query: torch.nn.Linear
    key: torch.nn.Linear
    value: torch.nn.Linear
    scaling: float
    num_attention_heads: int

    def forward(
        self, hidden_states, attention_mask=None, past_key_values=None, text=None, joined=None, **kwargs
    ):
        """What the class before gives, (hidden states, weights)."""
        if text is not None:
            query = self._heads(self.query(hidden_states))
            return read_text(query, text, self.key, self.value, scale=self.scaling)
        if joined is not None:
            return self._join(*joined), None
        return super().forward(hidden_states, attention_mask, past_key_values, **kwargs)

    def _join(self, before, fresh, known, slots):
        layers = self.query, self.key, self.value
        here = [put(all_of, layer(fresh), slots) for layer, all_of in zip(layers, known, strict=True)]
        if before is None:
            return self._attend(here)
        return torch.cat([self._attend([layer(before) for layer in layers]), self._attend(here)])

    def _attend(self, three):
        query, key, value = map(self._heads, three)
        read = scaled_dot_product_attention(query, key, value, scale=self.scaling)
        return read.transpose(1, 2).flatten(2)

    def _heads(self, hidden):
        return hidden.unflatten(-1, (self.num_attention_heads, -1)).transpose(1, 2)


class QuickT5Attention(T5Attention):
    """T5's attention as `quicken` has changed it: one query reads the text itself (see `read_text`), and a token
    that sees nothing but itself needs neither query nor key.

    >>> type(t5.model.decoder.block[0].layer[1].EncDecAttention).__name__
    'QuickT5Attention'
    """

    def forward(
        self,
        hidden_states,
        mask=None,
        key_value_states=None,
        position_bias=None,
        past_key_values=None,
        **kwargs,
    ):
        """T5Attention's arguments and what it returns; cases other than those above go the long way."""
        text = hidden_states if key_value_states is None else key_value_states
        alone = past_key_values is None and self._one_query(hidden_states, text)
        if alone and key_value_states is None and only_multiplies(self.q, self.k):
            weights = hidden_states.new_ones(len(hidden_states), self.n_heads, 1, 1)
            return self.o(self.v(hidden_states)), position_bias, weights
        if alone and key_value_states is not None and only_multiplies(self.k, self.v):
            query = self.q(hidden_states).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            read, weights = read_text(query, key_value_states, self.k, self.v, mask)
            return self.o(read), position_bias, weights
        if position_bias is None and "lengths" in kwargs and self.has_relative_attention_bias:
            longest = max(kwargs["lengths"])  # packed texts: the bias is every text's own
            position_bias = self.compute_bias(longest, longest, hidden_states.device)
        return super().forward(
            hidden_states, mask, key_value_states, position_bias, past_key_values, **kwargs
        )

    def _one_query(self, hidden_states, text):
        return (
            hidden_states.shape[1] == 1
            and not self.training
            and self.config._attn_implementation in ("sdpa", "eager")  # others have masks of their own
            and text.dtype == self.k.weight.dtype
            and text.device == self.k.weight.device
        )


def _quick(kind):
    return type(f"Quick{kind.__name__}", (QuickSelfAttention, kind), {"__module__": __name__})


# What `quicken` replaces, and by what. The names are the module's too, so that copies and pickles find the classes.
QuickBertSelfAttention = _quick(BertSelfAttention)
QuickRobertaSelfAttention = _quick(RobertaSelfAttention)
QuickXLMRobertaSelfAttention = _quick(XLMRobertaSelfAttention)
QUICK_ATTENTION = {
    BertSelfAttention: QuickBertSelfAttention,
    RobertaSelfAttention: QuickRobertaSelfAttention,
    XLMRobertaSelfAttention: QuickXLMRobertaSelfAttention,
    T5Attention: QuickT5Attention,
}
