"""What would stop a study after minutes, looked up before its first kernel starts: tasks, models, label words, facts.

>>> preflight(load_study("params/embedded.yaml").notebooks.values())
"""

from itertools import product
from pathlib import Path
from types import SimpleNamespace

from skillkit.core.files import read_json
from skillkit.core.provenance import CHECKPOINTS
from skillkit.small_world import ATTACKS, TASKS

_TASKS = ("tasks", "start_targets", "project_tasks", "unseen_tasks")
_MODELS = ("backbones", "others", "project_to")
_SHIPPED = {f"world/{name}" for name in TASKS}


def preflight(notebooks):
    """Load each task and adversarial set, read each model's vocabulary, and find each label word in it.

    >>> preflight([validate("01_prompt_tuning", {"tasks": ["world/moovies"]})])
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: no task is called 'world/moovies', …

    notebooks: their parameters. No weights are read, and the package's own tasks and models are only looked for.
    Raises the SkillkitError that the notebook would raise.
    """
    dumped = [one.model_dump(exclude={"seeds", "seed", "shard"}) for one in notebooks]
    different = {str(own): own for own in dumped}
    _find_words(dict.fromkeys(plan for own in different.values() for plan in _plans(own)))
    for own in different.values():
        _find_places(own)
        _find_sets(own)
        if own.get("source", "world") != "world":
            from skillkit.knowledge import load_facts  # takes seconds, for torch

            load_facts(own["source"], own["languages"], own["relations"])


def _plans(own):
    """(task or None, data root, model) of all that a notebook puts together, but for what is shipped."""
    if own.get("published"):  # prompts that others have tuned: neither tasks nor models
        return []
    tasks = [name for field in _TASKS for name in own.get(field, ())] or [None]
    tasks += [view["task"] for view in own.get("views", ())]
    shipped = {name: (CHECKPOINTS / name.removeprefix("embedded/")).is_dir() for name in _models(own)}
    plans = [(task, own.get("data_root"), model) for task, model in product(tasks, shipped)]
    return [plan for plan in plans if not (plan[0] in {*_SHIPPED, None} and shipped[plan[2]])]


def _models(own):
    """Every model that a notebook loads."""
    named = [
        own.get("backbone"),
        own.get("project_from"),
        *(one for field in _MODELS for one in own.get(field, ())),
    ]
    return [name for name in named if name]


def _find_places(own):
    """The device is there, the layout is one of the model's family, and the prompt leaves room for texts."""
    if own.get("device", "auto") not in ("auto", "cpu"):
        from skillkit.models import find_device  # here and below: torch takes seconds

        find_device(own["device"])
    for model in _models(own) if own.get("prompt_length") and not own.get("published") else ():
        shipped = CHECKPOINTS / model.removeprefix("embedded/")
        config = read_json((shipped if shipped.is_dir() else Path(model)) / "config.json") or {}
        positions = (
            config.get("max_position_embeddings") or config.get("n_positions") or own["prompt_length"] + 8
        )
        if own["prompt_length"] + 8 > positions:
            from skillkit.prompts import free_positions

            free_positions(model, positions, own["prompt_length"])
        if own.get("layout"):
            from skillkit.models import read_vocabulary
            from skillkit.prompts import find_layout

            find_layout(SimpleNamespace(name=model, family=read_vocabulary(model)[1]), own["layout"])


def _find_words(plans):
    """Every label word is one token for the model it is read by."""
    if not plans:
        return
    from skillkit.models import read_vocabulary  # takes seconds, for torch
    from skillkit.tasks import load_task

    tasks = {plan[:2]: plan[0] and load_task(plan[0], data_root=plan[1]) for plan in plans}
    for model in dict.fromkeys(model for *_, model in plans):
        tokenizer, family = read_vocabulary(model)
        reader = SimpleNamespace(name=model, tokenizer=tokenizer, family=family)  # all that label words need
        for name, root, _ in (plan for plan in plans if plan[0] and plan[2] == model):
            tasks[name, root].label_ids(reader)


def _find_sets(own):
    """Adversarial sets can be loaded; any name that is no attack is taken for one."""
    known, made = {*ATTACKS, "characters"}, product(own.get("tasks", ()), own.get("attacks", ()))
    views = own.get("views") or [dict(task=task, adversarial=attack) for task, attack in made]
    sets = [one for one in views if not (one["task"] in _SHIPPED and one["adversarial"] in known)]
    if sets:
        from skillkit.robustness import adversarial_view, attacks_on  # takes seconds, for torch

        for view in sets:
            if view["adversarial"] not in attacks_on(SimpleNamespace(name=view["task"])):
                adversarial_view(**view, data_root=own["data_root"])
