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
    put,
    replace_neurons,
    take,
)
from skillkit.models.loading import list_backbones, quiet, read_vocabulary
from skillkit.models.precision import precision, training_dtype

__all__ = [
    "Backbone",
    "Hooks",
    "checked_layers",
    "any_batching",
    "replace_neurons",
    "hidden_of",
    "from_model",
    "hooked",
    "list_backbones",
    "load_backbone",
    "networks",
    "of_layer",
    "precision",
    "put",
    "quiet",
    "read_vocabulary",
    "take",
    "training_dtype",
]
