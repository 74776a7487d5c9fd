"""A task with clean and with adversarial texts, as one object: attacks, adversarial sets, files.

>>> view = adversarial_view("world/movies", "typos", strength=0.5)
>>> view.clean["test"][0]["text"], view.adversarial["test"][0]["text"]
>>> adversarial_view("glue/sst2", "adv_glue/sst2", data_root="../shared/data")               # doctest: +SKIP
>>> adversarial_view(task, "my.csv", text="review", label="stars", labels={"0": "negative", "1": "positive"})

Prompts are tuned on the clean task; both sides answer with its label words.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import datasets

from skillkit.core.errors import SkillkitError, listed
from skillkit.core.files import as_path
from skillkit.core.hashing import content_hash
from skillkit.core.stats import share_interval
from skillkit.robustness.measures import Comparison
from skillkit.robustness.perturbations import attacked, attacks_on
from skillkit.small_world import ATTACKS
from skillkit.tasks import Task, known_name, list_tasks, load_task

FEW = 10  # with fewer examples of a class, an accuracy there says next to nothing


@dataclass(frozen=True, eq=False)
class View:
    """Clean and adversarial texts of one task; made by `adversarial_view`.

    >>> view
    View(world/movies, typos 0.5; 16 clean and 16 adversarial test rows, paired)
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

    def __repr__(self):
        clean, adversarial = len(self.clean["test"]), len(self.adversarial["test"])
        pairs = ", paired" if self.paired else ""
        return f"View({self.name}; {clean} clean and {adversarial} adversarial test rows{pairs})"

    @property
    def paired(self):
        """Whether every adversarial test row is a changed clean one."""
        return self.per_row is not None

    @property
    def how(self):
        """Attack and strength, such as "typos 0.5"; of texts that came as they are, the name of their set."""
        return self.attack if self.strength is None else f"{self.attack} {self.strength:g}"

    @property
    def name(self):
        """Task, attack and strength in one line."""
        return f"{self.clean.name}, {self.how}"

    @property
    def chance(self):
        """Accuracy of guessing among the labels."""
        return 1 / self.clean.num_labels

    @property
    def attacks(self):
        """The attacks that can be made on the clean task: {name: function of (random generator, text, strength)}.

        >>> list(view.attacks)
        ['typos', 'synonyms', 'distractors', 'negation', 'characters', 'dropout', 'distractor', 'casing']
        """
        return attacks_on(self.clean)

    @property
    def fingerprint(self):
        """Hash of both sides and of how their rows belong together."""
        return content_hash(f"{self.clean.fingerprint} {self.adversarial.fingerprint} {self.per_row}")

    def accuracies(self, answers):
        """Clean and adversarial accuracy and the drop, with intervals, of what `answers` returned: `Comparison`.

        >>> view.accuracies(answers(bb, view, [prompt]))
        Comparison(world/movies, typos 0.5: clean ..., adversarial ..., drop ... [..., ...], prompts: 1)
        """
        return Comparison(self, answers)

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
    task, adversarial, strength=1.0, seed=0, clean=None, paired=None, without=(), labels=None, data_root=None, **columns
):  # fmt: skip
    """Clean and adversarial texts of one task: a `View`.

    >>> adversarial_view("world/movies", "negation", strength=0.5)
    View(world/movies, negation 0.5; 1000 clean and 1000 adversarial test rows, paired)
    >>> adversarial_view("snli", "adv_glue/mnli", without=["neutral"], data_root="../shared/data")     # doctest: +SKIP
    >>> adversarial_view(sst2, "cad_imdb/revised", clean="cad_imdb/original")                          # doctest: +SKIP

    task         a Task or its name; what prompts are tuned on
    adversarial  an attack (`View.attacks`), which is made on all splits with `strength` and `seed`; or a Task,
                 the name of one, a folder, or one file or table (DataFrame, datasets.Dataset), all of whose rows are
                 then adversarial test rows
    clean        where the clean test rows come from, if not from `task`: the same kinds of source
    paired       True: each clean test row has its adversarial rows (one or k, consecutive) in the same order
    without      classes (or one) that are left out on both sides
    labels       {adversarial label: clean label}, where they have other names
    columns      text=, text_pair=, label= of a file or folder

    A small-world view has the same texts as `load_task("world/movies/negation", strength=…)`. Raises
    SkillkitError for an unknown attack, a view of another task, labels and columns that do not match, and
    pairs that are none; warns, with the interval, of classes with fewer than ten adversarial test rows.
    """
    task = task if isinstance(task, Task) else load_task(task, data_root=data_root)
    matched = lambda source: _matched(_read(source, task, labels, data_root, columns), task, labels)
    if clean is not None:
        other = matched(clean)
        splits = task.splits | {"test": other["test"]}
        task = replace(task, splits=splits, notes=(*task.notes, f"test is {other.name}"))
    attack = adversarial.removeprefix(f"{task.name}/") if isinstance(adversarial, str) else None
    if attack in attacks_on(task):
        view = View(task, attacked(task, attack, strength, seed), attack, float(strength), 1)
    else:
        other = matched(adversarial)
        view = View(task, other, other.name, None, _rows_each(task, other) if paired else None)
    view = _without(view, listed(without))
    _warn_of_few(view.adversarial)
    return view


def _read(source, task, labels, data_root, columns):
    """A Task from what the user named or gave."""
    if isinstance(source, Task):
        return source
    table, folder = not isinstance(source, str | Path | Mapping), isinstance(source, Mapping)
    if isinstance(source, str | Path):
        name, _, attack = str(source).rpartition("/")
        if attack in ATTACKS and name.startswith("world/"):
            raise SkillkitError(f"{source} is a view of {name}, not of {task.name}; name the same task twice")
        path = as_path(source).expanduser()
        if not (str(source) in list_tasks() or known_name(str(source)) or path.exists()):
            attacks = ", ".join(attacks_on(task))
            raise SkillkitError(f"{source!r} is no attack on {task.name} ({attacks}), no task and no file")
        table, folder = path.is_file() and path.suffix not in (".yaml", ".yml"), path.is_dir()
    if table or folder:
        names = list(labels or task.labels)
        columns = columns | {"labels": names, "type": task.type, "verbalizer": names}
    if table:  # a test split as a whole: nothing of so little data is set aside
        columns |= {"splits": {"test": "train"}}
    return load_task(source, data_root=data_root, **columns)


def _matched(other, task, names):
    """The rows of another Task under the labels and the label words of this one."""
    if other.type != task.type and "custom" not in (other.type, task.type):
        raise SkillkitError(f"{other.name} is of type {other.type}, {task.name} of type {task.type}")
    if other.pair != task.pair:
        kinds = {True: "pairs of texts", False: "single texts"}
        holds = f"{other.name} holds {kinds[other.pair]}, {task.name} {kinds[task.pair]}"
        raise SkillkitError(f"{holds}; name the right columns with text= and text_pair=")
    known = [(names or {}).get(label, label) for label in other.labels]
    if not set(known) <= set(task.labels):
        both = f"{', '.join(other.labels)}, those of {task.name} {', '.join(task.labels)}"
        raise SkillkitError(
            f"the labels of {other.name} are {both}; say which is which with labels={{theirs: ours}}"
        )
    if "test" not in other.splits:
        raise SkillkitError(f"{other.name} has no test split, only {', '.join(other.splits)}")
    number = [task.labels.index(label) for label in known]
    splits = {
        split: datasets.Dataset.from_dict(rows.to_dict() | {"label": [number[y] for y in rows["label"][:]]})
        for split, rows in other.splits.items()
        # A set made for testing often repeats the clean training rows: they are no adversarial ones.
        if split != "train" or rows.to_dict() != task.splits.get("train", rows).to_dict()
    }
    return replace(task, name=other.name, splits=splits, notes=other.notes)


def _rows_each(clean, adversarial):
    """How many adversarial test rows each clean one has, in the same order.

    Raises SkillkitError where rows do not look like pairs: they share no more words than with their neighbours.
    """
    words = lambda row: set(f"{row['text']} {row.get('text_pair', '')}".lower().split())
    ours, theirs = ([words(row) for row in task["test"]] for task in (clean, adversarial))
    count, rest = divmod(len(theirs), len(ours))
    firsts = theirs[:: max(count, 1)]
    pairs = lambda shift: zip(ours, firsts[shift:] + firsts[:shift], strict=False)
    shared = lambda shift: sum(len(one & other) / len(one | other) for one, other in pairs(shift))
    if rest or not count or (len(ours) > 1 and shared(0) <= 1.5 * shared(1)):
        rows = f"the test rows of {clean.name} ({len(ours)}) and {adversarial.name} ({len(theirs)})"
        raise SkillkitError(f"{rows} do not look like pairs in the same order; give paired=False")
    return count


def _without(view, classes):
    """The view without some classes, on both sides."""
    wrong = set(classes) - set(view.clean.labels)
    kept = [number for number, label in enumerate(view.clean.labels) if label not in classes]
    if wrong or len(kept) < 2:
        name, classes = view.clean.name, ", ".join(wrong) or "so many classes"
        labels = ", ".join(view.clean.labels)
        raise SkillkitError(f"{classes} cannot be left out of {name}, which has {labels}; two must stay")
    if not classes:
        return view
    cut = view._of(_cut(view.clean, kept), _cut(view.adversarial, kept))
    return replace(cut, attack=f"{view.attack} without {', '.join(classes)}")


def _cut(task, kept):
    """The task with some of its classes only."""
    splits = {}
    for split, rows in task.splits.items():
        mine = rows.select([row for row, label in enumerate(rows["label"][:]) if label in kept])
        labels = [kept.index(label) for label in mine["label"][:]]
        splits[split] = datasets.Dataset.from_dict(mine.to_dict() | {"label": labels})
    of = lambda values: [values[number] for number in kept]
    verbalizer = {family: of(words) for family, words in task.verbalizer.items()}
    return replace(task, labels=of(task.labels), verbalizer=verbalizer, splits=splits)


def _warn_of_few(task):
    labels = task["test"]["label"][:]
    for number, label in enumerate(task.labels):
        count = labels.count(number)
        if count < FEW:
            low, high = share_interval((count + 1) // 2, count)
            interval = f"an accuracy of one half there has the 95 % interval [{low:.2f}, {high:.2f}]"
            warnings.warn(f"{task.name} has {count} test rows of class {label!r}: {interval}", stacklevel=3)
