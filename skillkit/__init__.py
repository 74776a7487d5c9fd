"""Skill neurons, knowledge neurons and prompt transfer: a thin helper for the notebooks.

>>> import skillkit as sk
>>> bb, task = sk.load_backbone("embedded/roberta"), sk.load_task("world/movies")
>>> prompt = sk.tune_prompt(bb, task, length=16, seed=0)

Names are resolved when first used, so that importing the package stays quick.
"""

from importlib import import_module

__version__ = "0.1.0"

_EXPORTS = {
    "core": ("SkillkitError", "cached"),
    "tasks": ("Task", "list_tasks", "load_task", "load_tasks"),
    "models": ("Backbone", "from_model", "list_backbones", "load_backbone"),
    "prompts": (
        "Evaluation", "SoftPrompt", "Tuned", "evaluate", "predict", "random_prompt", "tune_adapter", "tune_bitfit",
        "tune_model", "tune_prompt",
    ),
    "neurons": (
        "Probe", "neurons_from", "pairs", "probe", "prune", "random_neurons", "skill_neurons", "suppress",
        "suppression_curve",
    ),
    "transfer": ("activated_neurons", "indicators", "train_projector", "transfer_matrix"),
    "knowledge": (
        "KnowledgeNeurons", "ask", "attribute", "edit", "enhance", "erase", "knowledge_neurons", "load_facts",
    ),
    "robustness": ("adversarial_view",),
    "plots": (),
    "studies": ("start",),
    "small_world": (),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _EXPORTS.items() for name in names}
__all__ = sorted(_ROOM_OF)


def __getattr__(name):
    if name in _ROOM_OF:
        return getattr(import_module(f"skillkit.{_ROOM_OF[name]}"), name)
    if name in _EXPORTS:
        return import_module(f"skillkit.{name}")
    # Tools ask modules for names with an underscore; those are nowhere.
    homes = (
        []
        if name[0] == "_"
        else [room for room in _EXPORTS if name in dir(import_module(f"skillkit.{room}"))]
    )
    found = (
        f"`{name}` is `skillkit.{homes[0]}.{name}`"
        if homes
        else f"module 'skillkit' has no attribute {name!r}"
    )
    raise AttributeError(found)


def __dir__():
    return sorted({*globals(), *__all__, *_EXPORTS})
