"""Prompts on other tasks and other models, and what predicts the transfer."""

from skillkit.transfer.indicators import indicators
from skillkit.transfer.projector import train_projector
from skillkit.transfer.prompt_activations import activated_neurons
from skillkit.transfer.published import TYPES, published_prompts, published_seeds, published_transfer
from skillkit.transfer.replicas import same_task
from skillkit.transfer.zero_shot import RANDOM, transfer_matrix

__all__ = [
    "RANDOM",
    "TYPES",
    "activated_neurons",
    "indicators",
    "published_prompts",
    "published_seeds",
    "published_transfer",
    "same_task",
    "train_projector",
    "transfer_matrix",
]
