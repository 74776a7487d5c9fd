"""A view: one task with clean and with adversarial texts, as one object.

>>> view = adversarial_view("world/movies", "typos", strength=0.5)
>>> view.clean["test"][0]["text"], view.adversarial["test"][0]["text"]
>>> adversarial_view("glue/sst2", "adv_glue/sst2", data_root="../shared/data")               # doctest: +SKIP
>>> adversarial_view(task, "my.csv", text="review", label="stars", labels={"0": "negative", "1": "positive"})

Prompts are tuned on the clean task; both sides answer with its label words.
"""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import datasets

from skillkit.core.errors import SkillkitError
from skillkit.core.hashing import content_hash
from skillkit.core.stats import share_interval
from skillkit.robustness.counterparts import counterpart, rows_each
from skillkit.robustness.perturbations import attacked, attacks_on
from skillkit.tasks import Task, load_task

FEW = 10  # with fewer examples of a class, an accuracy there says next to nothing


@dataclass(frozen=True, eq=False)
class View:
    """Clean and adversarial texts of one task; made by `adversarial_view`.

    >>> view.clean["test"], view.adversarial["test"], view.paired, view.chance

    attack    what was done to the texts, or the name of the set they are from
    strength  of the attack, from 0 to 1; None for texts that came as they are
    per_row   how many adversarial test rows belong to each clean one, in order; None where rows are no pairs
    """

    clean: Task
    adversarial: Task
    attack: str
    strength: float | None = None
    per_row: int | None = None

    @property
    def paired(self):
        """Whether every adversarial test row is a changed clean one."""
        return self.per_row is not None

    @property
    def how(self):
        """Attack and strength: "typos 0.5"; of texts that came as they are, the name of their set.

        >>> view.how
        'typos 0.5'
        """
        return self.attack if self.strength is None else f"{self.attack} {self.strength:g}"

    @property
    def name(self):
        """Task, attack and strength in one line.

        >>> view.name
        'world/movies, typos 0.5'
        """
        return f"{self.clean.name}, {self.how}"

    @property
    def chance(self):
        """Accuracy of guessing among the labels."""
        return 1 / self.clean.num_labels

    @cached_property
    def fingerprint(self):
        """Hash of both sides and of how their rows belong together."""
        return content_hash(f"{self.clean.fingerprint} {self.adversarial.fingerprint} {self.per_row}")

    def subtasks(self, seed=0):
        """The two-class views that a view of more classes splits into, as `Task.subtasks` does.

        >>> [part.clean.name for part in adversarial_view("world/hotels", "typos").subtasks()]
        ['world/hotels-pn', 'world/hotels-neu']
        """
        if self.clean.num_labels == 2:
            return (self,)
        both = zip(self.clean.subtasks(seed), self.adversarial.subtasks(seed), strict=True)
        return tuple(self._of(clean, adversarial) for clean, adversarial in both)

    def _of(self, clean, adversarial):
        """The view with a part of each side: pairs stay pairs where the parts have the same labels."""
        pairs = self.per_row == 1 and clean["test"]["label"][:] == adversarial["test"]["label"][:]
        return replace(self, clean=clean, adversarial=adversarial, per_row=1 if pairs else None)


def adversarial_view(
    task,
    adversarial,
    strength=1.0,
    seed=0,
    clean=None,
    paired=None,
    without=(),
    labels=None,
    data_root=None,
    **columns,
):
    """Clean and adversarial texts of one task: a `View`.

    >>> adversarial_view("world/movies", "negation", strength=0.5)
    >>> adversarial_view("snli", "adv_glue/mnli", without=["neutral"], data_root="../shared/data")     # doctest: +SKIP
    >>> adversarial_view(sst2, "cad_imdb/revised", clean="cad_imdb/original")                          # doctest: +SKIP

    task         a Task or its name; what prompts are tuned on
    adversarial  an attack (`attacks_on`), which is made on all splits with `strength` and `seed`; or a Task,
                 the name of one, a folder, or one file, all of whose rows are then adversarial test rows
    clean        where the clean test rows come from, if not from `task`: the same kinds of source
    paired       True: each clean test row has its adversarial rows (one or k, consecutive) in the same order
    without      classes that are left out on both sides
    labels       {adversarial label: clean label}, where they have other names
    columns      text=, text_pair=, label= of a file or folder

    A small-world view has the same texts as `load_task("world/movies/negation", strength=…)`. Raises
    SkillkitError for an unknown attack, a view of another task, labels and columns that do not match, and
    pairs that are none; warns, with the interval, of classes with fewer than ten adversarial test rows.
    """
    task = task if isinstance(task, Task) else load_task(task, data_root=data_root)
    told = dict(task=task, labels=labels, data_root=data_root, **columns)
    if clean is not None:
        rows = counterpart(clean, **told)["test"]
        task = replace(task, splits=task.splits | {"test": rows}, notes=(*task.notes, f"test is {clean}"))
    adversarial = adversarial.removeprefix(f"{task.name}/") if isinstance(adversarial, str) else adversarial
    if isinstance(adversarial, str) and adversarial in attacks_on(task):
        view = View(task, attacked(task, adversarial, strength, seed), adversarial, float(strength), 1)
    else:
        other = counterpart(adversarial, **told)
        view = View(task, other, other.name, None, rows_each(task, other) if paired else None)
    return _warned(_without(view, without))


def _without(view, classes):
    """The view without some classes, on both sides."""
    wrong = set(classes) - set(view.clean.labels)
    kept = [number for number, label in enumerate(view.clean.labels) if label not in classes]
    if wrong or len(kept) < 2:
        raise SkillkitError(
            f"{', '.join(wrong) or 'so many classes'} cannot be left out of {view.clean.name}, whose classes "
            f"are {', '.join(view.clean.labels)}; two must stay"
        )
    if not classes:
        return view
    cut = view._of(_cut(view.clean, kept), _cut(view.adversarial, kept))
    return replace(cut, attack=f"{view.attack} without {', '.join(classes)}")


def _cut(task, kept):
    splits = {}
    for split, rows in task.splits.items():
        mine = rows.select([row for row, label in enumerate(rows["label"][:]) if label in kept])
        splits[split] = datasets.Dataset.from_dict(
            mine.to_dict() | {"label": [kept.index(label) for label in mine["label"][:]]}
        )
    verbalizer = {family: [words[number] for number in kept] for family, words in task.verbalizer.items()}
    return replace(
        task, labels=[task.labels[number] for number in kept], verbalizer=verbalizer, splits=splits
    )


def _warned(view):
    rows = view.adversarial["test"]["label"][:]
    for number, label in enumerate(view.adversarial.labels):
        count = rows.count(number)
        if count < FEW:
            low, high = share_interval((count + 1) // 2, count)
            warnings.warn(
                f"{view.adversarial.name} has {count} test rows of class {label!r}: an accuracy of one half "
                f"there has the 95 % interval [{low:.2f}, {high:.2f}]",
                stacklevel=3,
            )
    return view
