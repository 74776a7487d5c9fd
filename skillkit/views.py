"""A view: one task with clean and with adversarial texts, as one object.

>>> view = adversarial_view("world/movies", "typos", strength=0.5)
>>> view.clean["test"][0]["text"], view.adversarial["test"][0]["text"]
>>> adversarial_view("glue/sst2", "adv_glue/sst2", data_root="../shared/data")
>>> adversarial_view(task, "attacked.csv", text="review", label="stars", paired=True)

Prompts are tuned on the clean task; both sides answer with its label words.
"""

import hashlib
import random
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import datasets
from statsmodels.stats.proportion import proportion_confint

from skillkit import sources
from skillkit.attacks import ATTACKS
from skillkit.errors import SkillkitError
from skillkit.perturbations import PERTURBATIONS
from skillkit.registry import describe
from skillkit.splits import labelled_splits
from skillkit.tasks import Task, list_tasks, load_task

FEW = 10  # with fewer examples of a class, an accuracy there says next to nothing
# Of a pair, these touch the second text only.
_AT_THE_END = {"distractors", "negation", "distractor"}


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
        """Attack and strength: "typos 0.5"; of texts that came as they are, the name of their set."""
        return self.attack if self.strength is None else f"{self.attack} {self.strength:g}"

    @property
    def name(self):
        """Task, attack and strength in one line."""
        return f"{self.clean.name}, {self.how}"

    @property
    def chance(self):
        """Accuracy of guessing among the labels."""
        return 1 / self.clean.num_labels

    @cached_property
    def fingerprint(self):
        """Hash of both sides and of how their rows belong together."""
        told = f"{self.clean.fingerprint} {self.adversarial.fingerprint} {self.per_row}"
        return hashlib.sha256(told.encode()).hexdigest()

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
        pairs = self.per_row == 1 and list(clean["test"]["label"]) == list(adversarial["test"]["label"])
        return replace(self, clean=clean, adversarial=adversarial, per_row=1 if pairs else None)


def attacks_on(task):
    """Attacks that can be made on a task: those of the small world on its own, the perturbations on any.

    >>> list(attacks_on(load_task("glue/sst2")))
    ['characters', 'dropout', 'distractor', 'casing']
    """
    return (ATTACKS if task.name.startswith("world/") else {}) | PERTURBATIONS


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
    >>> adversarial_view("snli", "adv_glue/mnli", without=["neutral"], data_root="../shared/data")
    >>> adversarial_view(sst2, "cad_imdb/revised", clean="cad_imdb/original", data_root="../shared/data")

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
    told = {"labels": labels, "data_root": data_root, **columns}
    if clean is not None:
        rows = _matched(_read(clean, task, told), task, labels)["test"]
        task = replace(task, splits=task.splits | {"test": rows}, notes=(*task.notes, f"test is {clean}"))
    adversarial = adversarial.removeprefix(f"{task.name}/") if isinstance(adversarial, str) else adversarial
    if isinstance(adversarial, str) and adversarial in attacks_on(task):
        view = View(task, attacked(task, adversarial, strength, seed), adversarial, float(strength), 1)
    else:
        other = _matched(_read(adversarial, task, told), task, labels)
        view = View(task, other, other.name, None, _per_row(task, other) if paired else None)
    return _warned(_without(view, without))


def attacked(task, attack, strength=1.0, seed=0):
    """A task whose texts an attack has changed, in every split; labels and order of the rows stay.

    >>> attacked(load_task("world/movies"), "typos", 0.5)["test"][0]["text"]

    Raises SkillkitError for a strength outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise SkillkitError(f"the strength of an attack lies between 0 and 1, not {strength}")
    change, splits = attacks_on(task)[attack], {}
    for split, rows in task.splits.items():
        rng, columns = random.Random(f"{seed}/{task.name.removeprefix('world/')}/{attack}/{split}"), {}
        last = "text_pair" if task.pair else "text"
        for column in [last] if attack in _AT_THE_END else dict.fromkeys(["text", last]):
            columns[column] = [change(rng, text, strength, task) for text in rows[column]]
        splits[split] = datasets.Dataset.from_dict(rows.to_dict() | columns)
    return replace(task, name=f"{task.name}/{attack}", splits=splits)


def _read(source, task, told):
    """A Task from what the user named."""
    if isinstance(source, Task):
        return source
    path, labels = Path(source).expanduser(), told["labels"]
    columns = {name: value for name, value in told.items() if name not in ("labels", "data_root")}
    _of_another(source, task)
    if str(source) not in list_tasks() and not path.exists():
        raise SkillkitError(
            f"{str(source)!r} is no attack on {task.name}, no task and no file; the attacks are "
            f"{', '.join(attacks_on(task))}"
        )
    if path.suffix in sources.SUFFIXES or path.is_dir():
        columns |= {
            "labels": list(labels or task.labels),
            "type": task.type,
            "verbalizer": list(labels or task.labels),
        }
    if path.suffix in sources.SUFFIXES:
        return _file(path, task, {name: value for name, value in columns.items() if value is not None})
    return load_task(str(source), data_root=told["data_root"], **columns)


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
    return Task(about.name, task.type, names, list(names), splits, notes=notes)


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
        split: datasets.Dataset.from_dict(rows.to_dict() | {"label": [number[y] for y in rows["label"]]})
        for split, rows in other.splits.items()
        # A set made for testing often repeats the clean training rows: they are no adversarial ones.
        if split != "train" or rows.to_dict() != task.splits.get("train", rows).to_dict()
    }
    return replace(task, name=other.name, splits=splits, notes=other.notes)


def _per_row(clean, adversarial):
    """How many adversarial rows each clean one has; SkillkitError where rows do not look like pairs."""
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
        mine = rows.select([row for row, label in enumerate(rows["label"]) if label in kept])
        splits[split] = datasets.Dataset.from_dict(
            mine.to_dict() | {"label": [kept.index(label) for label in mine["label"]]}
        )
    verbalizer = {family: [words[number] for number in kept] for family, words in task.verbalizer.items()}
    return replace(
        task, labels=[task.labels[number] for number in kept], verbalizer=verbalizer, splits=splits
    )


def _warned(view):
    rows = list(view.adversarial["test"]["label"])
    for number, label in enumerate(view.adversarial.labels):
        count = rows.count(number)
        if count < FEW:
            low, high = proportion_confint((count + 1) // 2, count, method="wilson") if count else (0, 1)
            warnings.warn(
                f"{view.adversarial.name} has {count} test rows of class {label!r}: an accuracy of one half "
                f"there has the 95 % interval [{low:.2f}, {high:.2f}]",
                stacklevel=3,
            )
    return view
