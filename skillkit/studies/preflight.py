"""What would stop a study after minutes, looked up before its first kernel starts: tasks, models, words, facts.

>>> preflight(load_study("params/embedded.yaml").notebooks.values())
"""

from itertools import product
from types import SimpleNamespace

from skillkit.core.provenance import CHECKPOINTS
from skillkit.small_world import TASKS
from skillkit.studies import params

_TASKS = ("tasks", "start_targets", "project_tasks", "unseen_tasks")
_ATTACKS = set(params.AdversarialRobustness().attacks)
_MODELS = ("backbones", "others", "project_to")


def preflight(notebooks):
    """Load each task and adversarial set, read each model's vocabulary, and find each label word in it.

    >>> preflight([sk.studies.params.PromptTuning(tasks=["world/moovies"])])
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: no task is called 'world/moovies', …

    notebooks: their parameters. No weights are read, and the package's own tasks and models are only looked for.
    Raises the SkillkitError that the notebook would raise.
    """
    told = [one.model_dump() for one in notebooks]
    _find_words(dict.fromkeys(plan for one in told for plan in _plans(one)))
    for one in told:
        _find_sets(one)
        _find_facts(one)


def _plans(told):
    """(task or None, data root, model) of all that a notebook puts together, but for what is shipped."""
    if told.get("published"):  # prompts that others have tuned: neither tasks nor models
        return []
    tasks = [name for field in _TASKS for name in told.get(field, ())] or [None]
    tasks += [view["task"] for view in told.get("views", ())]
    models = [
        told.get("backbone"),
        told.get("project_from"),
        *(m for field in _MODELS for m in told.get(field, ())),
    ]
    return [
        (task, told.get("data_root"), model)
        for task, model in product(tasks, filter(None, models))
        if not (
            _is_shipped(task) and (CHECKPOINTS / model.removeprefix("embedded/") / "config.json").is_file()
        )
    ]


def _is_shipped(task):
    return task is None or task in {f"world/{name}" for name in TASKS}


def _find_words(plans):
    if not plans:
        return
    from skillkit.models.loading import read_vocabulary  # takes seconds, for torch
    from skillkit.tasks import load_task

    tasks = {plan[:2]: plan[0] and load_task(plan[0], data_root=plan[1]) for plan in plans}
    models = {
        name: _reader(name, *read_vocabulary(name)) for name in dict.fromkeys(name for *_, name in plans)
    }
    for name, root, model in plans:
        if name:
            tasks[name, root].label_ids(models[model])


def _reader(name, tokenizer, family):
    """As much of a backbone as label words need."""
    return SimpleNamespace(name=name, tokenizer=tokenizer, family=family)


def _find_sets(told):
    """Adversarial sets, for which a name is taken that is no attack."""
    shipped = not told.get("views") and all(map(_is_shipped, told.get("tasks", ())))
    if not told.get("attacks") or (shipped and set(told["attacks"]) <= _ATTACKS):
        return
    from skillkit.robustness import attacks_on

    made = [dict(task=task, adversarial=attack) for task, attack in product(told["tasks"], told["attacks"])]
    for view in told["views"] or made:
        if view["adversarial"] not in attacks_on(SimpleNamespace(name=view["task"])):
            from skillkit.robustness import adversarial_view

            adversarial_view(**view, data_root=told["data_root"])


def _find_facts(told):
    if told.get("source", "world") != "world":
        from skillkit.knowledge import load_facts

        load_facts(told["source"], told["languages"], told["relations"])
