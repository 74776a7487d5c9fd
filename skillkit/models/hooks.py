"""The one hook primitive: read the neurons of a backbone, or replace them, and always leave it as it was.

>>> with bb.record(layers=[0, 3]) as acts, replace_neurons(bb, {1: torch.zeros_like}):
...     bb.run(inputs)
>>> acts[3]                                        # [batch, positions, neurons]

A neuron is one coordinate of the input of the feed-forward network's second ("value") matrix: after the
non-linearity, and for gated networks after the product. One forward pre-hook on that matrix therefore reads
and edits neurons in every architecture; no weight is ever touched. Contexts nest in any order. Hooks run in
the order in which their contexts were entered: a recorder sees the edits entered before it, not later ones.
"""

import weakref
from collections.abc import Mapping
from contextlib import contextmanager
from functools import partial

import torch

from skillkit.core.errors import SkillkitError, check_objects, whole_numbers


class Stopped(Exception):
    """Raised to end a forward pass early, after the last neuron that is wanted; `Backbone.run` catches it.

    >>> with record(bb, layers=[0], stop=True):
    ...     bb.run(inputs) is None                         # the layers above were not reached
    True
    """


@contextmanager
def undone(undo):
    """Context at whose end `undo` is called, twice, so that an interruption of the one leaves the other.

    >>> with undone(lambda: vars(bb).update(now=None)): ...

    Where the end itself is interrupted, before its first line, it is called when the context is let go.
    """
    try:
        try:
            yield
        finally:
            undo()
    finally:
        undo()


def _placed(*hooks):
    with undone(partial(_take_off, hooks)):
        for register, hook, *options in hooks:
            register(hook, **dict.fromkeys(options, True))
        yield


@contextmanager
def placed(*hooks):
    """Context in which forward hooks are on modules: (method that registers, hook, names of options).

    >>> with placed((bb.blocks[0].register_forward_pre_hook, lambda module, args: None)): bb.run(inputs)

    They are gone afterwards wherever an interruption came, also between a hook and its handle.
    """
    yield from _placed(*hooks)


def _take_off(hooks):
    for register, hook, *_ in hooks:
        module = register.__self__
        more = module._forward_pre_hooks_with_kwargs, module._forward_hooks_with_kwargs
        for table in (module._forward_pre_hooks, module._forward_hooks):
            for key in [key for key, one in table.items() if one is hook]:
                for other in (*more, module._forward_hooks_always_called, table):
                    other.pop(key, None)


def weakly(method, *first):
    """A function that calls a method, and does not keep its object alive.

    >>> weakly(bb.embed)(torch.tensor([[1]])).shape
    torch.Size([1, 1, 128])
    """
    held = weakref.WeakMethod(method)
    return lambda *args, **kwargs: held()(*first, *args, **kwargs)


class Reentrant:
    """A context that can be opened again and again, by a generator `_during` that undoes what it did.

    >>> reading = bb.record(layers=[0])                # `record` is one
    >>> for _ in range(2):
    ...     with reading: bb.run(inputs)

    What it puts into a model must not keep it alive (`weakly`): then it also ends when it is let go, should its
    end be interrupted.
    """

    opened = None

    def __enter__(self):
        if self.opened is not None:
            raise SkillkitError("this context is already open; make a second one to nest it")
        try:
            self.opened = self._during()
            next(self.opened)
            return self
        except BaseException:  # an interruption
            self._close()
            raise

    def __exit__(self, kind, error, traceback):
        try:
            self._close()
        finally:
            self._close()

    def _close(self):
        if self.opened is not None:
            self.opened.close()
            self.opened = None

    def _during(self):
        raise NotImplementedError


class Hooks(Reentrant):
    """Forward pre-hooks on some layers of a backbone, for the length of a `with` block.

    >>> with Hooks(bb, [0, 2], lambda layer, neurons: None): bb.run(inputs)

    `layers` are indices into `bb.layers`. `visit(layer, neurons)` gets the tensor [batch, positions, neurons]
    and returns None, or a tensor of the same shape to go on with. With `before=True` it gets the input of the
    activation function instead (in a gated network: of the gate's). With `tokenwise=True` it does the same to
    every position, and may get the tokens as they stand in the batch (`Backbone.batching`), or only those that are
    read. With `stop=True` a forward pass ends after the last of the layers; `Backbone.run` returns None then. Raises
    SkillkitError when there is no layer or an unknown one, and on a normal exit when no forward pass reached one.
    Exceptions pass through.
    """

    def __init__(self, bb, layers, visit=None, before=False, tokenwise=False, stop=False):
        self.bb, self.before, self.tokenwise, self.stop = bb, before, tokenwise, stop
        if visit is not None:
            self.visit = visit
        self.layers = checked_layers(bb, layers)
        self.used, self.grad = set(), False

    def __exit__(self, kind, error, traceback):
        super().__exit__(kind, error, traceback)
        if kind is None and not self.used:
            wanted = ", ".join(self.bb.layers[layer] for layer in self.layers)
            raise SkillkitError(f"no forward pass reached {wanted}; run the backbone inside the with block")

    def _during(self):
        self.used.clear()
        return _placed(*self._hooks())

    def _hooks(self):
        """What is put on the modules, as `placed` takes it."""
        modules = self.bb.activation_functions if self.before else self.bb.value_matrices
        return [(modules[layer].register_forward_pre_hook, self._hook(layer)) for layer in self.layers]

    def _pass(self, layer, module, args):
        self.used.add(layer)
        batching = Padded() if self.tokenwise else self.bb.batching
        changed = self.visit(layer, batching.unpack(args[0]))
        if self.stop and layer == self.layers[-1]:
            raise Stopped
        return None if changed is None else (batching.pack(changed), *args[1:])

    def _hook(self, layer):
        pre_hook = weakly(self._pass, layer)
        pre_hook.opened_by = type(self).__name__
        # What is kept for its gradient must be part of the graph, which an unpacked copy is not.
        return pre_hook if self.grad else any_batching(pre_hook, self.tokenwise)


class record(Hooks, Mapping):
    """Keep the neurons of the latest forward pass.

    >>> with record(bb, layers=[0, 3], positions=slice(0, 17)) as acts:
    ...     bb.run(inputs)
    >>> acts[0]                                    # [batch, 17, neurons]

    layers     indices into `bb.layers`; None means all of them
    positions  None (all), a slice, a LongTensor [batch, P] gathered per example, or a dict of these by layer
               (encoder and decoder have different positions); `acts.positions = …` sets them before a pass
    before     read the input of the activation function instead of its output
    grad       keep the tensors in the autograd graph instead of detaching them
    stop       end the forward pass after the last of these layers; needs `bb.run`, which then returns None

    `acts` is a read-only mapping from layer to tensor [batch, positions, neurons] in the backbone's dtype. What
    stands at padding means nothing; where padding was not computed it is zero.
    """

    def __init__(self, bb, layers=None, positions=None, before=False, grad=False, stop=False):
        layers = range(bb.num_layers) if layers is None else layers
        super().__init__(bb, layers, before=before, stop=stop)
        self.positions, self.grad, self.kept = positions, grad, {}

    def visit(self, layer, neurons):
        taken = take(neurons, of_layer(self.positions, layer))
        # A view would keep all positions alive, and show edits made in place later on.
        self.kept[layer] = taken if self.grad else taken.detach().clone()

    def __getitem__(self, layer):
        if layer not in self.kept:
            raise SkillkitError(f"layer {layer} was not recorded; recorded so far: {sorted(self.kept)}")
        return self.kept[layer]

    def __iter__(self):
        return iter(sorted(self.kept))

    def __len__(self):
        return len(self.kept)


class replace_neurons(Hooks):
    """Replace neurons by a function of them.

    >>> with replace_neurons(bb, {2: lambda a: 0 * a}, positions=slice(0, 1)):
    ...     bb.run(inputs)

    `functions` maps a layer to a function from [batch, positions, neurons] to the same shape; `positions` are
    those of `record`; the rest of the sequence stays as it is. Gradients flow through. `tokenwise=True` says that
    the function does the same to every position; then it is not given the padding. Raises SkillkitError when a
    function returns another shape.
    """

    def __init__(self, bb, functions, positions=None, before=False, tokenwise=False):
        super().__init__(bb, functions, before=before, tokenwise=tokenwise and positions is None)
        self.functions, self.positions = dict(functions), positions

    def visit(self, layer, neurons):
        positions = of_layer(self.positions, layer)
        old = take(neurons, positions)
        new = self.functions[layer](old)
        if not isinstance(new, torch.Tensor) or new.shape != old.shape:
            got = tuple(new.shape) if isinstance(new, torch.Tensor) else type(new).__name__
            wanted = f"the edit of {self.bb.layers[layer]} must return shape {tuple(old.shape)}"
            raise SkillkitError(f"{wanted}, not {got}")
        return put(neurons, new.to(neurons.dtype), positions)


class Padded:
    """Padded batches, texts side by side: the default, unless `skillkit.models.fast` packs them.

    >>> bb.batching.take(neurons, torch.tensor([[3], [5]])).shape
    torch.Size([2, 1, 512])

    `unpack` gives [batch, positions, …] of a tensor inside the model, `pack` the reverse; `texts` its texts, some
    at a time; `places` where slots [batch, S] stand in it, and `take` what stands there.
    """

    def pack(self, tensor):
        return tensor

    def unpack(self, tensor):
        return tensor

    def texts(self, tensor):
        return [tensor]

    def places(self, slots):
        return slots

    def take(self, tensor, slots):
        return take(tensor, slots)


def any_batching(hook, tokenwise=False):
    """Mark a hook as valid for packed and for padded batches (`Backbone.batching`); others need padded ones.

    >>> bb.value_matrices[0].register_forward_hook(any_batching(lambda module, args, out: 2 * out)).remove()

    `tokenwise`: it does the same to every token, so that it may get only those that are read.
    """
    hook.any_batching, hook.tokenwise = True, tokenwise
    return hook


def hooked(bb):
    """Whether the neurons of a backbone are read or changed at the moment.

    >>> hooked(bb)
    False
    """
    return has_hooks([*bb.value_matrices, *bb.activation_functions])


def has_hooks(modules):
    """Whether some of these modules have forward hooks.

    >>> has_hooks(bb.value_matrices[:2])
    False
    """
    return any(module._forward_pre_hooks or module._forward_hooks for module in modules)


def hidden_of(output):
    """Hidden states in what a block returns: some return a tuple that begins with them.

    >>> hidden_of(("hidden states", "more")), hidden_of("hidden states")
    ('hidden states', 'hidden states')
    """
    return output[0] if isinstance(output, tuple) else output


def take(neurons, positions=None):
    """The neurons at some positions: [batch, T, neurons] → [batch, P, neurons].

    >>> take(neurons, torch.tensor([[3], [5]])).shape      # one position for each of two examples
    torch.Size([2, 1, 512])
    """
    if positions is None:
        return neurons
    if isinstance(positions, slice):
        return neurons[:, positions]
    return neurons.gather(1, _expanded(positions, neurons))


def put(neurons, new, positions=None):
    """A copy of `neurons` with `new` at some positions; the inverse of `take`.

    >>> torch.equal(put(neurons, take(neurons, where), where), neurons)
    True
    """
    if positions is None:
        return new
    if isinstance(positions, slice):
        copy = neurons.clone()
        copy[:, positions] = new
        return copy
    return neurons.scatter(1, _expanded(positions, neurons), new)


def checked_layers(bb, layers):
    """Sorted distinct layer indices, also of a single one, or SkillkitError.

    >>> checked_layers(bb, [3, 0])
    [0, 3]
    """
    check_objects(bb)
    layers = sorted(set(whole_numbers("layers", layers)))
    if not layers:
        raise SkillkitError("no layer was chosen, so nothing would be read or changed; name at least one")
    if layers[0] < 0 or layers[-1] >= bb.num_layers:
        raise SkillkitError(f"layers {layers} are not all in 0 … {bb.num_layers - 1} of {bb.name}")
    return layers


def of_layer(positions, layer):
    """The positions of one layer where `positions` is a dict by layer, else `positions`.

    >>> of_layer({0: slice(0, 1)}, 0)
    slice(0, 1, None)
    """
    return positions.get(layer) if isinstance(positions, Mapping) else positions


def _expanded(positions, neurons):
    if getattr(positions, "ndim", None) != 2 or positions.shape[0] != neurons.shape[0]:
        wanted = f"None, a slice or a tensor [batch, P] with batch {neurons.shape[0]}"
        given = tuple(positions.shape) if hasattr(positions, "shape") else repr(positions)
        raise SkillkitError(f"positions {given} must be {wanted}")
    return positions.to(neurons.device)[:, :, None].expand(-1, -1, neurons.shape[2])
