"""The upper part of a model, run again and again from where neurons are scaled: integrated gradients in less time.

>>> for part in upper_stacks(bb, questions):                    # questions of one shape
...     slopes, probability = part.sweep(part.layers, [0.0, 0.5])
>>> slopes[3].shape                                             # [2, questions, slots, neurons]

Scaling the neurons of layer l at the answer slot leaves everything below as it was. One plain pass keeps what
enters and leaves every block; then one sweep upwards carries all variants (layer, α, question) together: each
layer's variants join where its value matrix ends. A causal model's variants are one token wide, since what
stands before the slot is in the cache. In the last block of a masked model only the slots are computed.
`integrated_gradients.WholeModel` is the plain version with the same results.
"""

from functools import partial
from types import SimpleNamespace

import torch
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache

from skillkit.knowledge.clozes import slots_of
from skillkit.models import hidden_of, placed, put, take
from skillkit.models.fast.attention import reading


def upper_stacks(bb, questions):
    """An `UpperLayers` for each stack of blocks, the encoder's first, after a plain pass over questions of one shape.

    >>> asked = encode_cloze(t5, "the capital of velmora is [MASK].", "hilvek")
    >>> [part.layers for part in upper_stacks(t5, asked)]
    [range(0, 5), range(5, 8)]
    """
    ids = torch.tensor([question.ids for question in questions], device=bb.device)
    targets = torch.tensor([question.targets for question in questions], device=bb.device)
    make, slots = partial(UpperLayers, bb, targets), slots_of(bb, questions)[0]
    if bb.family == "seq2seq":
        tokens = torch.tensor([question.decoder for question in questions], device=bb.device)
        encoder = make(slots, partial(bb.model.encoder, input_ids=ids), partial(_decode, bb, tokens))
        hidden = _last_norm(bb, 0)(encoder.outputs[encoder.layers[-1]])
        decoder = partial(bb.model.decoder, encoder_hidden_states=hidden)
        return [encoder, _last_token(bb, decoder, {"input_ids": tokens}, make, number=1)]
    inputs = {"input_ids": ids, "position_ids": bb.position_ids(torch.ones_like(ids))}
    if bb.family == "causal":
        return [_last_token(bb, bb.model.base_model, inputs, make)]
    return [make(slots, partial(bb.run, inputs), partial(_finish, bb, 0))]


def _decode(bb, tokens, hidden):
    """Logits at the decoder's last slot, from the last encoder block's output for some variants."""
    hidden = _last_norm(bb, 0)(hidden)
    read = {"input_ids": spread(tokens, len(hidden)), "encoder_hidden_states": hidden}
    return bb.head(bb.model.decoder(**read, use_cache=False).last_hidden_state[:, -1:])


def _last_token(bb, module, inputs, make, number=0):
    """The blocks that the last token alone goes through; the tokens before it are in the cache."""
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache()) if number else DynamicCache()
    module = partial(module, past_key_values=cache, use_cache=True)
    count, length = inputs["input_ids"].shape
    if length > 1:
        with torch.no_grad():
            module(**{name: tensor[:, :-1] for name, tensor in inputs.items()})
    run = partial(module, **{name: tensor[:, -1:] for name, tensor in inputs.items()})
    slots = torch.zeros(count, 1, dtype=torch.long, device=bb.device)
    return make(slots, run, partial(_finish, bb, number), number=number, cache=cache)


def _finish(bb, number, hidden):
    return bb.head(_last_norm(bb, number)(hidden))


def _last_norm(bb, number):
    """The norm that follows the last block of a stack."""
    paths = bb.row.final_norm
    return bb.model.base_model.get_submodule(paths[number]) if paths else torch.nn.Identity()


def answer_probability(logits, targets):
    """Probability [batch] of all target tokens together, from logits [batch, S, vocabulary] and targets [., S].

    >>> answer_probability(torch.zeros(1, 2, 10), torch.tensor([[3, 7]]))
    tensor([0.0100])
    """
    targets = spread(targets, len(logits))[..., None]
    return logits.softmax(-1).gather(-1, targets)[..., 0].prod(-1)


class UpperLayers:
    """Blocks after a plain pass over some questions, ready to be run again from any layer.

    >>> [part] = upper_stacks(bb, questions)
    >>> part.probability, part.scaled[3]           # [questions]; [questions, slots, neurons]

    slots     [questions, S], where neurons are scaled and answers are read
    run       the plain pass
    finish    from the last block's output (an encoder's as a whole, else at the slots) to logits [variants, S, V]
    targets   [questions, S], token ids of the answers
    number    which stack of the model, from 0
    cache     keys and values of the tokens before the one that passes

    `scaled`, `probability` and `predicted` are those of `integrated_gradients.WholeModel`; `slopes[layer]` the slopes
    at α = 1, for all layers from one backward pass.
    """

    def __init__(self, bb, targets, slots, run, finish, number=0, cache=None):
        self.bb, self.targets, self.slots, self.finish, self.cache = bb, targets, slots, finish, cache
        self.layers = (bb.encoder_layers, bb.decoder_layers)[number]
        self.calls, self.outputs, self.sums, self.scaled, self.given, self.slopes = ({} for _ in range(6))
        with placed(*(hook for layer in self.layers for hook in self._listeners(layer))), torch.enable_grad():
            run()
            logits = finish(self._answers(self.outputs[self.layers[-1]], everywhere=True))
            probability = answer_probability(logits, targets)
        slopes = torch.autograd.grad(probability.sum(), list(self.slopes.values()))
        self.slopes = dict(zip(self.slopes, slopes, strict=True))
        self.outputs = {layer: output.detach() for layer, output in self.outputs.items()}
        self.probability, self.predicted = probability.detach(), logits.argmax(-1)

    def sweep(self, layers, alphas):
        """Scale `layers` (a range), one at a time, by each α; all variants go upwards together.

        >>> slopes, probability = part.sweep(range(3, 5), [0.0, 0.5])

        Returns {layer: [alphas, questions, slots, neurons]}, the slopes of the probability, and the probability
        [layers, alphas, questions].
        """
        leaves, variants = {}, None
        with torch.enable_grad():
            for layer in range(layers[0], self.layers.stop):
                if variants is not None:
                    variants = self._block(layer, variants)
                if layer in layers:
                    leaves[layer] = self._leaf(layer, alphas)
                    variants = self._join(layer, variants, self._replaced(layer, leaves[layer]))
            logits = self.finish(self._answers(variants, everywhere=not self._at_slots(layer)))
            probability = answer_probability(logits, self.targets)
        slopes = torch.autograd.grad(probability.sum(), list(leaves.values()))
        shape = (len(alphas), len(self.slots))
        found = {layer: slope.unflatten(0, shape) for layer, slope in zip(leaves, slopes, strict=True)}
        return found, probability.detach().view(len(leaves), *shape)

    def _leaf(self, layer, alphas):
        scaled = self.scaled[layer]
        alphas = torch.as_tensor(alphas, dtype=scaled.dtype, device=scaled.device)
        return (alphas.view(-1, 1, 1, 1) * scaled).flatten(0, 1).requires_grad_()

    def _replaced(self, layer, leaf):
        """Hidden states at the slots after a block in which the neurons are replaced by `leaf`."""
        norm = self._norm(layer)
        whole = self.sums[layer] if norm is not None else take(self.outputs[layer], self.slots)
        hidden = spread(whole - self.given[layer], len(leaf)) + self.bb.value_matrices[layer](leaf)
        return hidden if norm is None else norm(hidden)

    def _join(self, layer, variants, joining):
        """All variants after a block: those from further below (or None), and those that join there."""
        if not self._at_slots(layer):
            count = len(joining)
            joining = put(spread(self.outputs[layer], count), joining, spread(self.slots, count))
        return joining if variants is None else torch.cat([variants, joining])

    def _block(self, layer, variants):
        """What a block makes of all variants."""
        block, (args, kwargs) = self.bb.blocks[layer], self.calls[layer]
        if self.cache is not None:
            cache = self._prefix(layer, len(variants))
            args = tuple(cache if isinstance(value, Cache) else value for value in args)
            kwargs = {k: cache if isinstance(value, Cache) else value for k, value in kwargs.items()}
        elif self._at_slots(layer):
            slots = take(variants, spread(self.slots, len(variants)))
            with reading(self._module(self.bb.row.attention, layer), variants):
                return hidden_of(block(slots, *args, **kwargs))
        return hidden_of(block(variants, *args, **kwargs))

    def _at_slots(self, layer):
        """Whether a block's output is computed at the slots only: with a cache always, else in the last block."""
        alone = self.bb.row.attention is not None and layer == self.layers[-1]
        return self.cache is not None or alone

    def _answers(self, hidden, everywhere):
        """What `finish` reads of the last block's output."""
        if self.bb.family == "seq2seq" or not everywhere:
            return hidden
        return take(hidden, spread(self.slots, len(hidden)))

    def _prefix(self, layer, count):
        own = layer - self.layers[0]
        if not isinstance(self.cache, EncoderDecoderCache):
            return Prefix(own, self.cache.layers[own], count, before_last=True)
        both = EncoderDecoderCache(
            Prefix(own, self.cache.self_attention_cache.layers[own], count, before_last=True),
            Prefix(own, self.cache.cross_attention_cache.layers[own], count),
        )
        both.is_updated = {own: True}
        return both

    # ---- the plain pass ---------------------------------------------------------------------------------------

    def _listeners(self, layer):
        block, value, norm = self.bb.blocks[layer], self.bb.value_matrices[layer], self._norm(layer)
        keep = lambda kept: lambda _, args: kept.update({layer: take(args[0], self.slots).detach()})
        yield block.register_forward_pre_hook, partial(self._keep_call, layer), "with_kwargs"
        yield block.register_forward_hook, lambda _, args, out: self.outputs.update({layer: hidden_of(out)})
        yield value.register_forward_hook, lambda _, args, out: keep(self.given)(_, [out])
        yield value.register_forward_pre_hook, partial(self._tap, layer)
        if norm is not None:
            yield norm.register_forward_pre_hook, keep(self.sums)

    def _keep_call(self, layer, block, args, kwargs):
        self.calls[layer] = self._any_row(args[1:]), self._any_row(kwargs)

    def _tap(self, layer, module, args):
        """Keep what is scaled, and add zeros to it that get its slope at α = 1."""
        here = take(args[0], self.slots)
        self.scaled[layer], self.slopes[layer] = here.detach(), torch.zeros_like(here).requires_grad_()
        return (put(args[0], here + self.slopes[layer], self.slots),)

    def _any_row(self, value):
        """Masks and positions of the first question stand for all: questions of one shape share them."""
        if isinstance(value, torch.Tensor) and value.ndim > 1 and len(value) == len(self.slots):
            return value[:1].detach()
        if isinstance(value, tuple):
            return tuple(self._any_row(item) for item in value)
        return {k: self._any_row(v) for k, v in value.items()} if isinstance(value, dict) else value

    def _norm(self, layer):
        """The norm at the end of a block, where it has one."""
        return self._module(self.bb.row.block_norm, layer) if self.bb.row.block_norm else None

    def _module(self, path, layer):
        return self.bb.model.base_model.get_submodule(path.format(layer - self.layers[0]))


class Prefix(Cache):
    """Keys and values of the tokens before, the same for all variants of a question, as if they were a cache.

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
