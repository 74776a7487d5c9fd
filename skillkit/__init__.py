"""Skill neurons, knowledge neurons and prompt transfer: a thin helper for the notebooks.

>>> import skillkit as sk
>>> bb, task = sk.load_backbone("embedded/roberta"), sk.load_task("world/movies")
>>> prompt = sk.tune_prompt(bb, task, length=16, seed=0)

Names are resolved when first used, so that importing the package stays quick.
"""

from importlib import import_module

__version__ = "0.1.0"

_ROOMS = (
    "core",
    "tasks",
    "models",
    "prompts",
    "neurons",
    "transfer",
    "knowledge",
    "robustness",
    "plots",
    "studies",
    "small_world",
)
_HOME = {
    "models": ("load_backbone", "list_backbones", "from_model", "Backbone"),
    "tasks": ("load_task", "list_tasks", "Task"),
    "prompts": (
        "SoftPrompt",
        "random_prompt",
        "Tuned",
        "tune_prompt",
        "tune_bitfit",
        "tune_adapter",
        "evaluate",
        "predict",
    ),
    "neurons": ("probe", "skill_neurons", "random_neurons", "suppress", "suppression_curve", "prune"),
    "transfer": ("indicators", "activated_neurons", "transfer_matrix", "train_projector"),
    "knowledge": ("attribute", "knowledge_neurons", "enhance", "erase", "edit"),
    "robustness": ("adversarial_view",),
    "core.store": ("cached",),
    "studies.notebook": ("start",),
    "core.errors": ("SkillkitError",),
}
_ROOM_OF = {name: room for room, names in _HOME.items() for name in names}
__all__ = sorted(_ROOM_OF)


def __getattr__(name):
    if name in _ROOM_OF:
        return getattr(import_module(f"skillkit.{_ROOM_OF[name]}"), name)
    if name in _ROOMS:
        return import_module(f"skillkit.{name}")
    raise AttributeError(f"module 'skillkit' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
