"""Prompts on other tasks and other models, and what predicts the transfer."""

from skillkit.transfer.indicator_correlation import by_type, indicator_correlation, same_task
from skillkit.transfer.indicators import indicators
from skillkit.transfer.projection_eval import evaluate_projections
from skillkit.transfer.projector import train_projector
from skillkit.transfer.prompt_activations import activated_neurons, suppress_activated
from skillkit.transfer.published import Published
from skillkit.transfer.warm_start import learning_curves
from skillkit.transfer.zero_shot import transfer_matrix

__all__ = [
    "Published", "activated_neurons", "by_type", "evaluate_projections", "indicator_correlation",
    "indicators", "learning_curves", "same_task", "suppress_activated", "train_projector", "transfer_matrix",
]  # fmt: skip
