"""The other side of a view: adversarial rows that a user names, read and matched with the clean task.

>>> counterpart("my.csv", task, text="review", label="stars")["test"].num_rows
40
>>> counterpart("adv_glue/sst2", task, data_root="../shared/data").labels          # doctest: +SKIP
('negative', 'positive')
"""

from dataclasses import replace
from pathlib import Path

import datasets

from skillkit.core.errors import SkillkitError
from skillkit.robustness.perturbations import attacks_on
from skillkit.small_world.attacks import ATTACKS
from skillkit.tasks import Task, describe, labelled_splits, list_tasks, load_task
from skillkit.tasks import readers as sources


def counterpart(source, task, labels=None, data_root=None, **columns):
    """A Task with the rows of `source` under the labels and the label words of `task`.

    >>> counterpart("my.csv", task, **columns).labels
    ('negative', 'positive')

    source: a Task, the name of one, a folder or a file; labels {its label: ours}; columns as in `load_task`.
    Raises SkillkitError where type, columns or labels do not match, and without a test split.
    """
    return _matched(_read(source, task, labels, data_root, columns), task, labels)


def _read(source, task, labels, data_root, columns):
    """A Task from what the user named."""
    if isinstance(source, Task):
        return source
    path = Path(source).expanduser()
    _of_another(source, task)
    if str(source) not in list_tasks() and not path.exists():
        raise SkillkitError(
            f"{str(source)!r} is no attack on {task.name}, no task and no file; the attacks are "
            f"{', '.join(attacks_on(task))}"
        )
    names = list(labels or task.labels)
    is_file = path.suffix.lower() in sources.SUFFIXES
    if is_file or path.is_dir():
        columns = columns | {"labels": names, "type": task.type, "verbalizer": names}
    if is_file:
        return _file(path, task, columns)
    return load_task(str(source), data_root=data_root, **columns)


def _of_another(source, task):
    """SkillkitError for an attack on another task of the small world."""
    name, _, attack = str(source).rpartition("/")
    if attack in ATTACKS and name.startswith("world/"):
        raise SkillkitError(f"{source} is a view of {name}, not of {task.name}; name the same task twice")


def _file(path, task, told):
    """One file is a test split as a whole: nothing of so little data is set aside."""
    about, _ = describe(str(path), told)
    source = sources.read(path)
    source = replace(source, splits={"test": source.splits["train"]})
    names, splits, notes = labelled_splits(source, about, seed=0)
    return Task(about.name, task.type, names, {"masked": names}, splits, notes=notes)


def _matched(other, task, names):
    """The rows of another Task under the labels and the label words of this one."""
    if other.type != task.type and "custom" not in (other.type, task.type):
        raise SkillkitError(
            f"{other.name} is of type {other.type}, {task.name} of type {task.type}; a view needs the same task"
        )
    if other.pair != task.pair:
        kinds = {True: "pairs of texts", False: "single texts"}
        raise SkillkitError(
            f"{other.name} holds {kinds[other.pair]}, {task.name} {kinds[task.pair]}; name the right column "
            "with text_pair=, or take a view of the same task"
        )
    known = [(names or {}).get(label, label) for label in other.labels]
    if not set(known) <= set(task.labels):
        raise SkillkitError(
            f"the labels of {other.name} are {', '.join(other.labels)}, those of {task.name} "
            f"{', '.join(task.labels)}; say which is which with labels={{theirs: ours}}"
        )
    if "test" not in other.splits:
        raise SkillkitError(
            f"{other.name} has no test split to be looked at; it has {', '.join(other.splits)}"
        )
    number = [task.labels.index(label) for label in known]
    splits = {
        split: datasets.Dataset.from_dict(rows.to_dict() | {"label": [number[y] for y in rows["label"][:]]})
        for split, rows in other.splits.items()
        # A set made for testing often repeats the clean training rows: they are no adversarial ones.
        if split != "train" or rows.to_dict() != task.splits.get("train", rows).to_dict()
    }
    return replace(task, name=other.name, splits=splits, notes=other.notes)


def rows_each(clean, adversarial):
    """How many adversarial test rows each clean one has, in the same order.

    >>> rows_each(task, task)
    1

    Raises SkillkitError where rows do not look like pairs: they share no more words than with their neighbours.
    """
    ours, theirs = (list(map(_words, task["test"])) for task in (clean, adversarial))
    count, rest = divmod(len(theirs), len(ours))
    alike = lambda shift: sum(
        len(mine & other) / len(mine | other)
        for mine, other in zip(ours, theirs[shift:] + theirs[:shift], strict=False)
    )
    if rest == 0 and count > 1:
        theirs = theirs[::count]
    if rest or not count or (len(ours) > 1 and alike(0) <= 1.5 * alike(1)):
        raise SkillkitError(
            f"the test rows of {clean.name} ({len(ours)}) and {adversarial.name} do not look like "
            "pairs in the same order; give paired=False"
        )
    return count


def _words(row):
    return set(f"{row['text']} {row.get('text_pair', '')}".lower().split())
