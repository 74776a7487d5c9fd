"""Self-attention in which a few tokens read a text: for a block of which only those tokens are wanted.

>>> with reading(attention, text): read, _ = attention(text[:, :1])            # [batch, 1, hidden]
"""

from torch.nn.functional import scaled_dot_product_attention

from skillkit.models.fast import replaced


def reading(attention, text):
    """Context in which the tokens given to a module of self-attention read `text` instead of themselves.

    >>> attention = bb.blocks[0].attention.self
    >>> with reading(attention, text): attention(text[:, [0, 3]])[0].shape
    torch.Size([2, 2, 128])

    attention   has `query`, `key` and `value` as linear layers, as `NeuronRow.attention` says
    text        [batch, T, hidden], of which nothing is masked
    """
    heads = lambda hidden: hidden.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)

    def forward(tokens, *args, **kwargs):
        query, key, value = attention.query(tokens), attention.key(text), attention.value(text)
        read = scaled_dot_product_attention(heads(query), heads(key), heads(value), scale=attention.scaling)
        return read.transpose(1, 2).flatten(2), None

    return replaced(attention, "forward", forward)
