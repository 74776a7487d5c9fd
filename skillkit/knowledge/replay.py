"""The upper part of a model, run again and again from where neurons are scaled: the engine of attribution.

>>> for stack in stacks(bb, questions):                         # questions of one shape
...     slopes, probability = stack.sweep(stack.layers, [0.0, 0.5])
>>> slopes[3].shape                                             # [2, questions, slots, hidden]

Scaling the neurons of layer l at the answer slot leaves everything below as it was. One plain pass keeps what
enters and leaves every block; then one sweep upwards carries all variants (layer, α, question) together: each
layer's variants join where its value matrix ends. A causal model's variants are one token wide, since what
stands before the slot is in the cache. In the last block of a masked model only the slots are computed.
"""

from contextlib import ExitStack
from functools import cached_property, partial

import torch
from torch.autograd.function import once_differentiable
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache

from skillkit.core.errors import SkillkitError
from skillkit.knowledge.clozes import inputs_of, slots_of
from skillkit.knowledge.prefixes import Prefix, spread
from skillkit.models import hidden_of, hooked, put, replace_neurons, take
from skillkit.models.fast import enabled
from skillkit.models.fast.attention import reading
from skillkit.models.fast.packing import Packing, open_to_packing, read_packed


def stacks(bb, questions, before=False):
    """A `Stack` for each stack of blocks, the encoder's first, after a plain pass over questions of one shape.

    >>> asked = encode_cloze(t5, "the capital of velmora is [MASK].", "hilvek")
    >>> [stack.layers for stack in stacks(t5, asked)]
    [range(0, 5), range(5, 8)]

    `before` scales the input of the activation function instead of the neurons. Raises SkillkitError inside an
    intervention: what is scaled would no longer be what the intervention changed.
    """
    return next(iter(stacks_of_groups(bb, [questions], before)))


def stacks_of_groups(bb, groups, before=False):
    """The `stacks` of several groups of questions, each of one shape, one after another.

    >>> [[stack]] = stacks_of_groups(bb, [questions])

    In masked models all groups share one plain pass: one of a few tokens would mostly wait for the weights.
    """
    if hooked(bb):
        raise SkillkitError("attribution inside an intervention is not defined; leave its with block first")
    if bb.family == "masked" and len(groups) > 1 and open_to_packing(bb):
        return _together(bb, groups, before)
    return (_alone(bb, questions, before) for questions in groups)


def _together(bb, groups, before):
    inputs, at, made = inputs_of(bb, [question for group in groups for question in group]), 0, []
    packing = Packing(inputs["attention_mask"].sum(1).tolist(), inputs["input_ids"].shape[1])
    inputs["position_ids"] = bb.position_ids(inputs["attention_mask"])
    for questions in groups:
        tokens = slice(at, at + len(questions) * len(questions[0].ids))
        made.append(_masked(bb, questions, before, tokens))
        at = tokens.stop
    _passed(made, partial(read_packed, bb, bb.model.base_model, inputs, packing))
    return [[stack] for stack in made]


def _masked(bb, questions, before, tokens=None):
    slots, finish = slots_of(bb, questions)[0], lambda hidden: bb.head(_norm(bb, 0)(hidden))
    return Stack(bb, slots, finish, _targets(bb, questions), before=before, tokens=tokens)


def _alone(bb, questions, before):
    ids = torch.tensor([question.ids for question in questions], device=bb.device)
    make = partial(Stack, bb, targets=_targets(bb, questions), before=before)
    if bb.family == "seq2seq":
        return _encoder_and_decoder(bb, questions, ids, make)
    inputs = {"input_ids": ids}
    if bb.row.positions != "relative":
        inputs["position_ids"] = bb.position_ids(torch.ones_like(ids))
    if bb.family == "causal":
        return _last_token(bb, bb.model.base_model, inputs, make)
    return _passed([_masked(bb, questions, before)], partial(bb.run, inputs))


def _targets(bb, questions):
    return torch.tensor([question.targets for question in questions], device=bb.device)


def _passed(made, run):
    """Stacks of which `run` does the plain pass; one way back tells the slopes of all."""
    with ExitStack() as hooks, torch.enable_grad():
        for stack in made:
            stack.listen(hooks)
        run()
        probability = sum(
            stack.answered(logits).sum() for stack, logits in zip(made, _logits(made), strict=True)
        )
        taps = [tap for stack in made for tap in stack.taps.values()]
        slopes = iter(torch.autograd.grad(probability, taps))
    for stack in made:
        stack.slopes = {layer: next(slopes) for layer in stack.taps}
    return made


def _logits(made):
    """At the slots of each stack, [questions, S, vocabulary]; the head reads several stacks at once."""
    if len(made) == 1:
        return [made[0].finish(made[0].last_hidden())]
    hidden = torch.cat([stack.last_hidden().flatten(0, 1) for stack in made])
    logits = made[0].finish(hidden[None])[0].split([stack.slots.numel() for stack in made])
    return [one.unflatten(0, stack.slots.shape) for one, stack in zip(logits, made, strict=True)]


def _encoder_and_decoder(bb, questions, ids, make):
    tokens = torch.tensor([question.decoder for question in questions], device=bb.device)

    def finish(hidden):
        hidden = _norm(bb, 0)(hidden)
        read = {"input_ids": spread(tokens, len(hidden)), "encoder_hidden_states": hidden}
        return bb.head(bb.model.decoder(**read, use_cache=False).last_hidden_state[:, -1:])

    run = partial(bb.model.encoder, input_ids=ids)
    encoder = make(slots=slots_of(bb, questions)[0], finish=finish, whole=True)
    _passed([encoder], run)
    hidden = _norm(bb, 0)(encoder.outputs[encoder.layers[-1]])
    return [
        encoder,
        *_last_token(bb, bb.model.decoder, {"input_ids": tokens}, make, encoder_hidden_states=hidden),
    ]


def _last_token(bb, module, inputs, make, **given):
    """One stack that the last token alone goes through; the tokens before it are in the cache."""
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache()) if given else DynamicCache()
    module = partial(module, past_key_values=cache, use_cache=True, **given)
    count, length = inputs["input_ids"].shape
    if length > 1:
        with torch.no_grad():
            module(**{name: tensor[:, :-1] for name, tensor in inputs.items()})
    run = partial(module, **{name: tensor[:, -1:] for name, tensor in inputs.items()})
    number, slots = len(bb.row.value) - 1, torch.zeros(count, 1, dtype=torch.long, device=bb.device)
    finish = lambda hidden: bb.head(_norm(bb, number)(hidden))
    return _passed([make(number=number, slots=slots, finish=finish, cache=cache)], run)


class Stack:
    """Blocks after a plain pass over some questions, ready to be run again from any layer.

    >>> [stack] = stacks(bb, questions)
    >>> stack.probability, stack.scaled[3]         # [questions]; [questions, slots, neurons]

    slots     [questions, S], where neurons are scaled and answers are read
    finish    from the last block's output at the slots to logits [variants, S, vocabulary]
    targets   [questions, S], token ids of the answers
    number    which stack of the model, from 0
    cache     keys and values of the tokens before the one that passes
    whole     `finish` reads all of the last block's output, not only the slots
    tokens    which tokens of the plain pass are of these questions, where it is one packed text (a slice)

    `narrow` says whether the last block need not compute all tokens of the variants (`models.fast.attention`);
    `scaled[layer]` is what α scales: the neurons, or (`before`) the input of the activation function;
    `slopes[layer]` the slope of the probability at α = 1, for all layers from one backward pass; `predicted`
    [questions, S] the tokens that the model puts first.
    """

    def __init__(
        self, bb, slots, finish, targets, number=0, cache=None, before=False, whole=False, tokens=None
    ):
        self.bb, self.slots, self.finish, self.targets, self.number = bb, slots, finish, targets, number
        self.cache, self.before, self.whole, self.tokens = cache, before, whole, tokens
        self.layers = (bb.encoder_layers, bb.decoder_layers)[number]
        alone = not whole and bb.row.attention is not None and enabled()
        self.narrow = cache is not None or alone
        self.calls, self.outputs, self.sums, self.scaled, self.slopes = {}, {}, {}, {}, {}
        self.given, self.read, self.taps, self.nothing = {}, {}, {}, {}

    def sweep(self, layers, alphas, slopes=True):
        """Scale `layers` (a range), one at a time, by each α; all variants go upwards together.

        >>> slopes, probability = stack.sweep(range(3, 5), [0.0, 0.5])

        Returns {layer: [alphas, questions, slots, ·]}, the slope of the probability along the value matrix's
        output (`before`: along what is scaled), and the probability [layers, alphas, questions].
        """
        alphas = torch.tensor(alphas, dtype=self.probability.dtype, device=self.slots.device)
        leaves, variants, joining = {}, None, None
        with torch.set_grad_enabled(slopes):
            for layer in range(layers[0], self.layers.stop):
                if layer > layers[0]:
                    variants, joining = self._block(layer, variants, joining), None
                if layer in layers:
                    leaves[layer] = self._leaf(layer, alphas).requires_grad_(slopes)
                    joining = self._scaled(layer, leaves[layer])
            variants = self._joined(layer, variants, joining)
            if not (self.whole or self.narrow):
                variants = take(variants, spread(self.slots, len(variants)))
            probability = self._of_targets(self.finish(variants))
        shape = (len(alphas), len(self.slots))
        found = torch.autograd.grad(probability.sum(), list(leaves.values())) if slopes else ()
        found = {layer: slope.unflatten(0, shape) for layer, slope in zip(leaves, found, strict=slopes)}
        return found, probability.detach().view(len(leaves), *shape)

    def pull(self, layer, slope):
        """From a slope along the value matrix's output to one along its input: [questions, S, neurons]."""
        neurons, given = self._of_nothing(layer)
        return torch.autograd.grad(given, neurons, slope.to(given), retain_graph=True)[0]

    def _of_targets(self, logits):
        """Probability of the answers [variants]: the product over their tokens."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        wanted = spread(self.targets.to(logits.device), len(logits))
        return _Probability.apply(logits, wanted).prod(1)

    # ---- the plain pass ---------------------------------------------------------------------------------------

    def listen(self, hooks):
        """Keep what a replay needs of the pass that comes, as long as `hooks` (an ExitStack) is open."""
        for layer in self.layers:
            for listener in self._listeners(layer):
                hooks.callback(listener.remove)

    def last_hidden(self):
        """What `finish` reads of the plain pass."""
        output = self.outputs[self.layers[-1]]
        self.outputs = {layer: tensor.detach() for layer, tensor in self.outputs.items()}
        return output if self.whole else take(output, self.slots)

    def answered(self, logits):
        """Take note of the answer of the plain pass; its probability [questions], with a gradient."""
        probability = self._of_targets(logits)
        self.probability, self.predicted = probability.detach(), logits.argmax(-1)
        return probability

    def _listeners(self, layer):
        block, value, norm, network, activation = self._modules(layer)
        listeners = [
            block.register_forward_pre_hook(partial(self._keep_call, layer), with_kwargs=True),
            block.register_forward_hook(
                lambda _, args, out: self.outputs.update({layer: self._own(hidden_of(out))})
            ),
            value.register_forward_hook(partial(self._keep_neurons, layer)),
        ]
        if norm is not None:
            listeners.append(norm.register_forward_pre_hook(self._keeper(self.sums, layer)))
        if self.before:
            listeners.append(network.register_forward_pre_hook(self._keeper(self.read, layer)))
            listeners.append(activation.register_forward_pre_hook(partial(self._keep_inputs, layer)))
        return listeners

    def _keeper(self, kept, layer):
        return lambda _, args: kept.update({layer: self._take(args[0])})

    def _keep_call(self, layer, block, args, kwargs):
        if layer > self.layers[0]:
            own = {name: value for name, value in kwargs.items() if name != "lengths"}  # of packed texts
            self.calls[layer] = self._any_row(args[1:]), self._any_row(own)

    def _any_row(self, value):
        """Masks and positions of the first question stand for all: questions of one shape share them."""
        if isinstance(value, torch.Tensor) and value.ndim > 1 and len(value) == len(self.slots):
            return value[:1].detach()
        if isinstance(value, tuple):
            return tuple(self._any_row(item) for item in value)
        return {k: self._any_row(v) for k, v in value.items()} if isinstance(value, dict) else value

    def _keep_neurons(self, layer, value, args, out):
        self.given[layer] = self._take(out)
        if self.before:
            return None
        self.scaled[layer] = self._take(args[0])
        return self._tapped(layer, out)

    def _keep_inputs(self, layer, activation, args):
        self.scaled[layer] = self._take(args[0])
        return (self._tapped(layer, args[0]),)

    def _tapped(self, layer, tensor):
        """The tensor unchanged, with a leaf of zeros added at the slots to tell the slope."""
        here = take(tensor, self._places)
        self.taps[layer] = here.new_zeros(*self.slots.shape, here.shape[2]).requires_grad_()
        return put(tensor, here + self.taps[layer].view_as(here), self._places)

    def _take(self, tensor):
        return take(tensor, self._places).detach().reshape(*self.slots.shape, -1)

    def _own(self, tensor):
        """What belongs to these questions, [questions, T, ·]."""
        return tensor if self.tokens is None else tensor[0, self.tokens].unflatten(0, (len(self.slots), -1))

    @cached_property
    def _places(self):
        """The slots, in what passes: [questions, S], or in one packed text [1, questions · S]."""
        if self.tokens is None:
            return self.slots
        count = len(self.slots)
        length = (self.tokens.stop - self.tokens.start) // count
        return self.tokens.start + Packing([length] * count, length).places(self.slots)

    # ---- the sweep --------------------------------------------------------------------------------------------

    def _leaf(self, layer, alphas):
        """What the value matrix gives back when its input is scaled (`before`: the scaled input itself)."""
        alphas = alphas.view(-1, 1, 1, 1)
        if self.before:
            return (alphas.to(self.scaled[layer]) * self.scaled[layer]).flatten(0, 1)
        nothing = self._of_nothing(layer)[1].detach()
        return torch.lerp(nothing, self.given[layer], alphas.to(nothing)).flatten(0, 1)

    def _of_nothing(self, layer):
        """No neurons [questions, S, ·] and what the value matrix gives back for them, which gradients go through."""
        if layer not in self.nothing:
            with torch.enable_grad():
                neurons = torch.zeros_like(self.scaled[layer]).requires_grad_()
                self.nothing[layer] = neurons, self.bb.value_matrices[layer](neurons)
        return self.nothing[layer]

    def _scaled(self, layer, leaf):
        """Hidden states at the slots after a block in which the value matrix gave back something else."""
        count, (_, value, norm, network, _) = len(leaf), self._modules(layer)
        if self.before:
            with replace_neurons(self.bb, {layer: lambda _: leaf}, before=True):
                leaf = network(spread(self.read[layer], count))
            leaf = leaf if any(module is value for module in network.modules()) else value(leaf)
        whole = self.sums[layer] if norm is not None else take(self.outputs[layer], self.slots)
        hidden = spread(whole - self.given[layer], count) + leaf
        return hidden if norm is None else norm(hidden)

    def _joined(self, layer, variants, joining):
        """All variants after a block: those from further below, and those that join there; either may be missing."""
        if joining is None:
            return variants
        if not self._slots_alone(layer):
            count = len(joining)
            joining = put(spread(self.outputs[layer], count), joining, spread(self.slots, count))
        return joining if variants is None else torch.cat([variants, joining])

    def _block(self, layer, before, joining):
        """What a block makes of the variants `_joined` below it."""
        block, *_ = self._modules(layer)
        args, kwargs = self.calls[layer]
        variants = self._joined(layer - 1, before, joining)
        if self.cache is not None:
            cache = self._prefix(layer, len(variants))
            args = tuple(cache if isinstance(value, Cache) else value for value in args)
            kwargs = {k: cache if isinstance(value, Cache) else value for k, value in kwargs.items()}
        elif self._slots_alone(layer):
            slots = take(variants, spread(self.slots, len(variants)))
            with reading(self._module(self.bb.row.attention, layer), variants):
                return hidden_of(block(slots, *args, **kwargs))
        return hidden_of(block(variants, *args, **kwargs))

    def _slots_alone(self, layer):
        """Whether a block's output is computed at the slots only: with a cache always, else in the last block."""
        return self.narrow and (self.cache is not None or layer == self.layers[-1])

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

    def _modules(self, layer):
        bb, row, path = self.bb, self.bb.row, self.bb.row.activation[self.number]
        norm = row.block_norm and self._module(row.block_norm, layer)
        network = self._module(path.rpartition(".")[0], layer)
        return bb.blocks[layer], bb.value_matrices[layer], norm, network, bb.activation_functions[layer]

    def _module(self, path, layer):
        return self.bb.model.base_model.get_submodule(path.format(layer - self.layers[0]))


class _Probability(torch.autograd.Function):
    """Probability [...] of tokens [...]: the way back writes over those of all tokens, the widest tensor of a sweep."""

    @staticmethod
    def forward(ctx, logits, tokens):
        everything, tokens = logits.softmax(-1), tokens[..., None]
        wanted = everything.gather(-1, tokens)
        ctx.save_for_backward(everything, wanted, tokens)
        return wanted[..., 0]

    @staticmethod
    @once_differentiable
    def backward(ctx, slope):
        everything, wanted, tokens = ctx.saved_tensors
        slope = slope[..., None] * wanted
        return everything.mul_(-slope).scatter_add_(-1, tokens, slope), None


def _norm(bb, number):
    """The norm that follows the last block of a stack."""
    paths = bb.row.final_norm
    return bb.model.base_model.get_submodule(paths[number]) if paths else torch.nn.Identity()
