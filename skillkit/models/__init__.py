"""Frozen backbones: loading, the table of architectures, the one hook primitive."""

from skillkit.models.backbone import Backbone, from_model, load_backbone
from skillkit.models.ffn import networks
from skillkit.models.hooks import (
    Hooks,
    any_batching,
    checked_layers,
    hidden_of,
    hooked,
    of_layer,
    placed,
    put,
    replace_neurons,
    take,
    undone,
    weakly,
)
from skillkit.models.loading import find_device, list_backbones, read_vocabulary
from skillkit.models.precision import precision, training_dtype

__all__ = [
    "Backbone", "from_model", "list_backbones", "load_backbone",
    # for other rooms
    "Hooks", "any_batching", "checked_layers", "find_device", "hidden_of", "hooked", "networks", "of_layer",
    "placed", "precision", "put", "read_vocabulary", "replace_neurons", "take", "training_dtype", "undone", "weakly",
]  # fmt: skip
