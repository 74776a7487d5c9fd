"""The small world: tasks, facts and attacks with a known truth, and the models pretrained on its text."""

from importlib import import_module

from skillkit.small_world.attacks import ATTACKS
from skillkit.small_world.corpus import documents
from skillkit.small_world.world import TASKS, adversarial, facts, held_out, task_splits

# Imported when first used, for start-up time: torch and transformers take seconds, and tasks need only the texts.
_LATER = {"pretrain": "pretraining", "zero_shot_accuracy": "zero_shot_eval"}
__all__ = ["ATTACKS", "TASKS", "adversarial", "documents", "facts", "held_out", "task_splits", *_LATER]


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError(f"module 'skillkit.small_world' has no attribute {name!r}")
    return getattr(import_module(f"skillkit.small_world.{_LATER[name]}"), name)
