"""Skill neurons, knowledge neurons and prompt transfer: a thin helper for the notebooks.

>>> import skillkit as sk
>>> bb, task = sk.load_backbone("embedded/roberta"), sk.load_task("world/movies")
>>> prompt = sk.tune_prompt(bb, task, length=16, seed=0)

Names are resolved when first used, so that importing the package stays quick.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "backbones": ("load_backbone", "list_backbones", "from_model", "Backbone"),
    "tasks": ("load_task", "list_tasks", "Task"),
    "prompts": ("SoftPrompt", "random_prompt"),
    "adapters": ("Tuned",),
    "tuning": ("tune_prompt", "tune_bitfit", "tune_adapter"),
    "evaluation": ("evaluate", "predict"),
    "probing": ("probe",),
    "skills": ("skill_neurons", "random_neurons"),
    "suppression": ("suppress",),
    "curves": ("suppression_curve",),
    "nearness": ("indicators",),
    "firing": ("activated_neurons",),
    "transfer": ("transfer_matrix",),
    "projector": ("train_projector",),
    "pruning": ("prune",),
    "attribution": ("attribute",),
    "knowledge": ("knowledge_neurons",),
    "interventions": ("enhance", "erase", "edit"),
    "views": ("adversarial_view",),
    "store": ("cached",),
    "notebook": ("start",),
    "errors": ("SkillkitError",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(import_module(f"skillkit.{_MODULE_OF[name]}"), name)
    try:
        return import_module(f"skillkit.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"skillkit.{name}":
            raise
    raise AttributeError(f"module 'skillkit' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
