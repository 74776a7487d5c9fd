"""Classification tasks: texts, labels, label words and splits; loading by name or file; two-class sub-tasks.

>>> task = load_task("world/movies")            # or "glue/sst2", a folder, one file, a task YAML
>>> task["train"][0]
{'text': '...', 'label': ...}
"""

import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import pandas as pd
import pyarrow.compute

from skillkit import small_world
from skillkit.core.errors import SkillkitError, at_least, listed, short
from skillkit.core.files import filling, write_text
from skillkit.core.hashing import content_hash
from skillkit.core.names import by_name, short_names
from skillkit.tasks.readers import read, read_hub
from skillkit.tasks.registry import SAVED, known_name, registry, task_file
from skillkit.tasks.splits import balanced, labelled_splits, two_classes
from skillkit.tasks.verbalizer import by_family, token_ids

NEUTRAL, CONFLICT = ("neutral", "moderate"), "conflict"
_FIELD = re.compile(r"\{[^{}]*\}|\[MASK\]")


@dataclass(frozen=True, eq=False)
class Task:
    """A classification task: labelled texts in splits, and one word for each label.

    >>> task = load_task("my.csv", text="review", label="stars", verbalizer=["bad", "good"])
    >>> task.labels, task.words(bb), len(task["test"])
    (('0', '1'), ('bad', 'good'), 4)

    `splits` {name: Dataset} with columns text, (text_pair,) label, an int that counts `labels`.
    `verbalizer` {family: one word per label}; a plain list serves every family.
    `metric` accuracy, f1 or matthews, or several joined by "+".
    `template` a form with {text}, {text_pair} and, for masked models, [MASK]; without one, texts stand alone
    and pairs use the tokenizer's pair encoding.
    `leading_space` says which token of a byte-level vocabulary a word means: " good" as in running text, or
    "good" as at the very beginning, which is what the published RoBERTa prompts read.
    `notes` say what was done to the splits; tables repeat them.
    Raises SkillkitError unless every label has a word of its own, and the template every text its one place.
    """

    name: str
    type: str
    labels: tuple
    verbalizer: dict
    splits: dict
    metric: str = "accuracy"
    template: str | None = None
    leading_space: bool = True
    notes: tuple = ()

    def __post_init__(self):
        if isinstance(self.labels, str | Set):
            raise SkillkitError(f"labels of {self.name!r} are a list of names, not {self.labels!r}")
        object.__setattr__(self, "labels", tuple(self.labels))
        splits = self.splits if isinstance(self.splits, Mapping) else {"train": self.splits}
        splits = {split: _checked(rows, split, self) for split, rows in splits.items()}
        object.__setattr__(self, "splits", splits)
        object.__setattr__(self, "verbalizer", by_family(self.verbalizer, self.labels, self.name))
        needed, found = ["{text}", "{text_pair}"][: 1 + self.pair], _FIELD.findall(self.template or "")
        given = self.template is not None and self.splits
        if given and (len(found) > len(set(found)) or set(found) - {"[MASK]"} != set(needed)):
            rule = f"it must hold {' and '.join(needed)} once, [MASK] at most once, and no other field"
            raise SkillkitError(f"the template of task {self.name!r} is {self.template!r}; {rule}")

    def __repr__(self):
        sizes = ", ".join(f"{split} {len(rows)}" for split, rows in self.splits.items())
        return f"Task({self.name!r}, {self.type}, labels {', '.join(self.labels)}; {sizes or 'no rows'})"

    def __getitem__(self, split):
        if not isinstance(split, str) or split not in self.splits:
            raise SkillkitError(f"task {self.name!r} has no split {split!r}; it has {', '.join(self.splits)}")
        return self.splits[split]

    @property
    def num_labels(self):
        return len(self.labels)

    @property
    def pair(self):
        """Whether an example is a pair of texts.

        >>> task.pair, load_task("world/rooms").pair
        (False, True)
        """
        return any("text_pair" in rows.column_names for rows in self.splits.values())

    @property
    def fingerprint(self):
        """Hash of all that decides a result, the same in every process; name and notes do not count."""
        fields = [self.type, self.labels, self.verbalizer, self.metric, self.template, self.leading_space]
        # Words and splits are dicts, which may be changed.
        now = json.dumps(fields), sorted(self.splits.items())
        if vars(self).get("_hashed", (None,))[0] != now:
            rows = ([split, rows.to_dict()] for split, rows in now[1])
            object.__setattr__(self, "_hashed", (now, content_hash(fields, *rows)))
        return vars(self)["_hashed"][1]

    def words(self, bb):
        """The label words for this backbone's family, in the order of the labels."""
        return self.verbalizer[bb.family]

    def label_ids(self, bb):
        """Vocabulary id of each label word: LongTensor [labels].

        >>> load_task("world/movies").label_ids(bb)
        tensor([..., ...])

        A word is one token, in the form `leading_space` asks for or, where that is none, in the other form.
        Raises SkillkitError that names a word of several tokens, or two labels that share a token.
        """
        return token_ids(bb, self.words(bb), self.labels, self.leading_space)

    def sample(self, split, n=None, seed=0):
        """n rows of a split, as many of each class as there are; all rows for None or a large n.

        >>> task.sample("train", 40, seed=0)["label"].count(1)
        20

        The same rows for the same seed on every machine; a larger n only adds rows.
        """
        rows = self[split]
        at_least(0, n=0 if n is None else n)
        return rows if n is None or n >= len(rows) else rows.select(balanced(rows["label"], n, seed))

    def cut(self, seed=0, **rows):
        """The task with at most so many rows in the splits named, class-balanced; None keeps all of a split.

        >>> len(load_task("world/movies").cut(test=500)["test"])
        500
        """
        shorter = {split: self.sample(split, n, seed) for split, n in rows.items() if n is not None}
        return replace(self, splits=self.splits | shorter)

    def save(self, folder):
        """Write the splits and all that belongs to the task; `load_task(folder)` reads it.

        >>> task.save("mine"); load_task("mine").fingerprint == task.fingerprint
        True
        """
        same = ("name", "type", "metric", "template", "leading_space")
        about = {name: getattr(self, name) for name in same} | {"labels": list(self.labels), "path": "."}
        about |= {"verbalizer": {family: list(words) for family, words in self.verbalizer.items()}}
        about |= {"text_pair": "text_pair"} if self.pair else {}
        with filling(folder, "choose another folder") as fresh:
            for split, rows in self.splits.items():
                named = [self.labels[number] for number in rows["label"][:]]  # of names as of numbers
                pd.DataFrame(rows.to_dict() | {"label": named}).to_parquet(fresh / f"{split}.parquet")
            write_text(fresh / SAVED, json.dumps(about))  # JSON is YAML, and its words stay words

    def subtasks(self, seed=0):
        """The balanced two-class tasks that a task of more classes splits into (Wang et al. 2022).

        >>> [sub.name for sub in load_task("world/hotels").subtasks()]
        ['world/hotels-pn', 'world/hotels-neu']

        With a neutral class: -pn, one pole against the other, and -neu, neutral against the rest (a class
        "conflict" is part of that rest); both answer with the words of the poles. Without one, each class
        against the rest, which answers with the next class's word. Two classes are their own only sub-task.
        """
        every = range(self.num_labels)
        if len(every) == 2:
            return (self,)
        rest = lambda one: [number for number in every if number != one]
        neutral = [number for number in every if self.labels[number] in NEUTRAL]
        poles = [number for number in every if number not in neutral and self.labels[number] != CONFLICT]
        if len(neutral) == 1 and len(poles) == 2:
            parts = [("pn", poles[:1], poles[1:], poles), ("neu", rest(neutral[0]), neutral, poles)]
        else:
            parts = [(self.labels[one], rest(one), [one], [(one + 1) % len(every), one]) for one in every]
        return tuple(self._two_classes(*part, seed) for part in parts)

    def _two_classes(self, suffix, negative, positive, words, seed):
        splits = {split: two_classes(rows, negative, positive, seed) for split, rows in self.splits.items()}
        positive_label = self.labels[positive[0]]
        negative_label = self.labels[negative[0]] if len(negative) == 1 else f"not {positive_label}"
        labels = negative_label, positive_label
        notes = (*self.notes, f"{negative_label} against {positive_label}, balanced, seed {seed}")
        verbalizer = {family: [mine[number] for number in words] for family, mine in self.verbalizer.items()}
        splits = {split: rows for split, rows in splits.items() if rows is not None}
        return replace(
            self, name=f"{self.name}-{suffix}", labels=labels, metric="accuracy", verbalizer=verbalizer, splits=splits,
            notes=notes,
        )  # fmt: skip


def _checked(rows, split, task):
    """The rows as a Dataset with texts, and with labels that count the task's."""
    where = f"split {split!r} of {task.name!r}"
    if isinstance(rows, pd.DataFrame):
        try:
            rows = datasets.Dataset.from_pandas(rows, preserve_index=False)
        except (pyarrow.ArrowException, UnicodeError) as error:
            raise SkillkitError(
                f"{where} holds values that no column can ({short(error)}); correct them"
            ) from error
    if not isinstance(rows, datasets.Dataset):
        raise SkillkitError(f"{where} is a Dataset or DataFrame, not {type(rows).__name__}")
    if not len(rows):
        return rows
    kinds, last = rows.features, len(task.labels) - 1
    dtypes = {name: getattr(kinds.get(name), "dtype", "") for name in ("text", "label")}
    names = getattr(kinds.get("label"), "names", None)
    if not (dtypes["text"].endswith("string") and (names or dtypes["label"].startswith("int"))):
        rule = f"it must have text and label, a number from 0 to {last}: load_task takes other columns and labels"
        raise SkillkitError(f"{where} has {', '.join(kinds)}; {rule}")
    for column in {"text", "text_pair"} & set(kinds):
        # The table may hold rows that are not of this split: most often it has none without a text.
        if rows.data.column(column).null_count and None in rows[column][:]:
            raise SkillkitError(f"{where} has rows without {column}; leave them out")
    numbers = rows.select_columns("label").with_format("arrow")[:]["label"]
    ends = pyarrow.compute.min_max(numbers).as_py()
    if not 0 <= ends["min"] <= ends["max"] <= last:
        rule = f"labels are numbers from 0 to {last}; leave out rows without one"
        raise SkillkitError(f"{where} has labels from {ends['min']} to {ends['max']}; {rule}")
    if names and set(names) == set(task.labels) and tuple(names) != task.labels:
        said = f"{', '.join(names)}, labels= says {', '.join(task.labels)}"
        raise SkillkitError(f"{where} numbers {said}")
    return rows


def list_tasks():
    """Every named task with one line about it.

    >>> list_tasks()["glue/sst2"]
    'sentiment of sentences from movie reviews'
    """
    return {f"world/{name}": line for name, line in small_world.TASKS.items()} | {
        name: fields["about"] for name, fields in registry().items()
    }


def load_task(
    name, /, *, text=None, text_pair=None, label=None, verbalizer=None, data=None, data_root=None, seed=0, **fields
):  # fmt: skip
    """A task by name, from a task YAML, or from data files.

    >>> load_task("world/movies"), load_task("world/movies/typos", strength=0.5)
    >>> load_task("glue/sst2"), load_task("params/tasks/reviews.yaml")                     # doctest: +SKIP
    >>> load_task("my.csv", text="review", text_pair=None, label="stars", verbalizer=["bad", "good"])
    Task('my', custom, labels 0, 1; train 32, validation 4, test 4)

    Columns, words and `fields` override the registry's or the YAML's (see `TaskFile`). `data` is a file or
    folder that replaces the rows; `data_root`, or the environment variable SKILLKIT_DATA, an existing folder
    where `<data_root>/<name>` is looked for before the hub. `seed` decides splits that have to be made
    (80/10/10 by class when there are none; equal texts stay together). `name` and `data` may be a DataFrame, a
    datasets.Dataset or a DatasetDict, rows or columns, too; `name` a folder that `Task.save` wrote. Published short
    names will do ("SST2", "ethicsjustice"), and the names of sub-tasks ("glue/mnli-pn"). Columns given by number are
    those of a file without a header, or with `header=True` of one with. A small-world name may end in an attack:
    typos, synonyms, distractors or negation.
    Raises SkillkitError for anything wrong with name, files, columns, labels or words; no model is needed.
    """
    at_least(0, seed=seed)
    fields |= dict(text=text, text_pair=text_pair, label=label, verbalizer=verbalizer)
    fields = {field: value for field, value in fields.items() if value is not None}
    if name is None:
        _unknown(name)
    if not isinstance(name, str | Path):
        name, data = "data.csv", name
    if str(name).startswith("world/") and not _subtask(str(name)):
        return _world_task(str(name), fields | ({} if data is None else dict(data=data)))
    if sub := _subtask(str(name)):
        whole = load_task(sub[0], data=data, data_root=data_root, seed=seed, **fields)
        return _named(whole.subtasks(seed), *sub)
    about, folder = task_file(name, fields) or _unknown(name)
    source = _source(about, folder, data, data_root or os.environ.get("SKILLKIT_DATA"))
    labels, splits, notes = labelled_splits(source, about, seed)
    words = about.verbalizer or _names_as_words(labels, about.name)
    same = about.model_dump(include={"name", "type", "metric", "template", "leading_space"})
    return Task(labels=labels, verbalizer=words, splits=splits, notes=notes, **same)


def load_tasks(names, **options):
    """The tasks of several names, each once; those that would be called alike are called by more of their paths.

    >>> [task.name for task in load_tasks(["world/movies", "world/rooms"])]
    ['world/movies', 'world/rooms']

    `options` of `load_task` serve all of them.
    """
    names = list(dict.fromkeys(map(str, listed(names))))
    tasks, ends = [load_task(name, **options) for name in names], short_names(names)
    counts = Counter(task.name for task in tasks)
    apart = [
        replace(task, name=ends[name]) if counts[task.name] > 1 else task for name, task in zip(names, tasks)
    ]
    return list(by_name(apart).values())


def _subtask(name):
    """(the whole task's name, the sub-task's ending) of a name such as "glue/mnli-pn"; None of others."""
    whole, _, ending = name.rpartition("-")
    known = known_name(whole) or (whole if whole.removeprefix("world/") in small_world.TASKS else None)
    return (known, ending) if known and not known_name(name) and not Path(name).exists() else None


def _named(subtasks, whole, ending):
    """The sub-task of that name; SkillkitError that names those there are."""
    found = {sub.name: sub for sub in subtasks}
    if f"{whole}-{ending}" not in found:
        raise SkillkitError(f"{whole!r} has no sub-task {ending!r}; it splits into {', '.join(found)}")
    return found[f"{whole}-{ending}"]


def _world_task(name, fields):
    for wrong in fields.keys() - {"verbalizer", "leading_space", "strength"}:
        takes = "verbalizer, leading_space, strength"
        raise SkillkitError(f"{name!r} is a task of the small world; it takes {takes}, not {wrong}")
    short, _, attack = name.removeprefix("world/").partition("/")
    if short not in small_world.TASKS:
        _unknown(name)
    strength = fields.pop("strength", 1.0)
    made = small_world.adversarial(short, attack, strength) if attack else small_world.task_splits(short)
    splits = {split: datasets.Dataset.from_dict(columns) for split, columns in made.pop("splits").items()}
    return Task(name=name, splits=splits, **made | fields)


def _names_as_words(labels, name):
    if any(label.lstrip("-").isdecimal() for label in labels):
        remedy = "give a label word for each with verbalizer=, in this order"
        raise SkillkitError(f"the labels of {name!r} are numbers ({', '.join(labels)}); {remedy}")
    return labels


def _unknown(name):
    known = list_tasks()
    near = [task for task in known if str(name).casefold() in task.split("/")]
    near += [task for task in difflib.get_close_matches(str(name), known, cutoff=0.5) if task not in near]
    hint = f"did you mean {' or '.join(near[:3])}?" if near else "list_tasks() names those there are"
    raise SkillkitError(f"no task is called {str(name)!r}, and no file or folder; {hint}")


def _source(about, folder, data, root):
    # The registry says what the hub calls the splits; local copies may use the usual names as well.
    strict = about.splits != registry().get(about.like or about.name, {}).get("splits")
    path, looked = data, ""
    if path is None and about.path is not None:
        path = folder / Path(about.path).expanduser()
    elif path is None and root:
        if not Path(root).expanduser().is_dir():
            raise SkillkitError(f"there is no folder {str(root)!r}, which data_root= or SKILLKIT_DATA names")
        local = Path(root).expanduser() / (about.folder or about.name)
        path, looked = (local, "") if local.exists() else (None, f" (there is no {str(local)!r})")
    if path is not None:
        below = isinstance(path, str | Path) and about.config and Path(path).expanduser() / about.config
        sets = below and (below.parent.is_file() or any(below.parent.glob(f"{about.config}[_-]*")))
        if below and about.hub is None and not (sets or below.is_dir()):
            raise SkillkitError(f"there is no folder {str(below)!r}, which config= names")
        return read(path, about.config, about.splits, strict, about.header, about.name)
    if about.hub is None:
        remedy = f"point to its files with data= or data_root={looked}"
        raise SkillkitError(f"{about.name!r} has no source on the hub; {remedy}")
    try:
        return read_hub(about.hub, about.config, about.revision, about.data_dir, about.splits)
    except SkillkitError as error:
        raise SkillkitError(f"{error}{looked}") from error
