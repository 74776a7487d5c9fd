"""Feed-forward networks narrower than the configuration says: cut to size, and built that way for a checkpoint.

>>> networks(bb.model.base_model, bb.row)[3].keep(torch.tensor([0, 7, 21]))          # layer 3 has 3 neurons now
>>> narrow_class(BertForMaskedLM, bb.row).from_pretrained("pruned")                 # doctest: +SKIP

What a configuration has no name for stands in its entry `pruned`: the width of every layer, and the layers whose
output bias was added.
"""

from typing import NamedTuple

import torch

from skillkit.core.errors import SkillkitError


class Network(NamedTuple):
    """One layer's matrices `into` its neurons (two in a gated network) and `out` of them.

    >>> network.width
    512
    """

    into: tuple
    out: torch.nn.Module
    transposed: bool

    @property
    def width(self):
        return self.out.weight.shape[0 if self.transposed else 1]

    def keep(self, neurons, constant=None):
        """Leave out all but some neurons (numbers [kept]) for good, and add a constant [hidden] to the output.

        >>> network.keep(torch.arange(16)); network.width
        16
        """
        first, second = (1, 0) if self.transposed else (0, 1)
        for matrix in self.into:
            matrix.weight = _taken(matrix.weight, first, neurons)
            if matrix.bias is not None:
                matrix.bias = _taken(matrix.bias, 0, neurons)
            setattr(matrix, "nf" if self.transposed else "out_features", len(neurons))
        self.out.weight = _taken(self.out.weight, second, neurons)
        setattr(self.out, "nx" if self.transposed else "in_features", len(neurons))
        if constant is not None:
            old = 0 if self.out.bias is None else self.out.bias.to(constant)
            self.out.bias = _frozen((old + constant).to(self.out.weight))


def networks(base, row):
    """The feed-forward network of every layer of a base model, in the order of `Backbone.layers`.

    >>> [network.width for network in networks(bb.model.base_model, bb.row)] == bb.widths
    True

    Raises SkillkitError for a network that is not made of matrices into the neurons and one out of them.
    """
    return [
        _network(base, value.format(layer), activation.format(layer).rpartition(".")[0], row.transposed)
        for stack, value, activation in zip(row.stacks, row.value, row.activation, strict=True)
        for layer in range(len(base.get_submodule(stack)))
    ]


def narrow_class(model_class, row):
    """The same class, whose new models have the widths that `config.pruned` says, for `from_pretrained`.

    >>> narrow_class(BertForMaskedLM, row)(config).config.pruned["widths"]
    [16, 3]
    """

    def init(self, config, *args, **kwargs):
        model_class.__init__(self, config, *args, **kwargs)
        _narrow(networks(self.base_model, row), config.pruned)

    own = {"__init__": init, "__module__": model_class.__module__}
    return type(model_class.__name__, (model_class,), own)


def _narrow(found, pruned):
    """Cut newly made networks; which neurons stay does not matter, their weights are yet to come."""
    widths, most = pruned.get("widths", []), [network.width for network in found]
    if len(widths) != len(most) or not all(0 <= a <= b for a, b in zip(widths, most, strict=True)):
        raise SkillkitError(
            f"the configuration says that layers were pruned to widths {widths}, but the model has {len(most)} "
            f"layers of at most {max(most)} neurons; take config.json from the folder that was saved"
        )
    for layer, (network, width) in enumerate(zip(found, widths, strict=True)):
        hidden = network.out.weight.shape[1 if network.transposed else 0]
        bias = network.out.weight.new_zeros(hidden) if layer in pruned.get("biases", []) else None
        network.keep(torch.arange(width), bias)


def _network(base, value, holder, transposed):
    out = base.get_submodule(value)
    matrices = [part for part in base.get_submodule(holder).children() if hasattr(part, "weight")]
    network = Network(tuple(part for part in matrices if part is not out), out, transposed)
    sizes = {part.weight.shape[1 if transposed else 0] for part in network.into if part.weight.ndim == 2}
    if sizes != {network.width}:
        raise SkillkitError(
            f"the matrices in {holder} do not lead to the {network.width} neurons of {value}, so this network "
            "cannot be pruned; check its row in skillkit/models/architectures.py"
        )
    return network


def _taken(weight, dim, numbers):
    return _frozen(weight.index_select(dim, numbers.to(weight.device)))


def _frozen(tensor):
    return torch.nn.Parameter(tensor.detach(), requires_grad=False)
