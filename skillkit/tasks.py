"""What a task is: texts, labels, label words, splits; the registry of named tasks; sub-tasks of two classes.

>>> task = load_task("world/movies")            # or "glue/sst2", a folder, one file, a task YAML
>>> task["train"][0]
{'text': '…', 'label': 1}
"""

import difflib
import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import datasets
import numpy as np
import pydantic
import torch
import yaml

from . import sources
from .errors import SkillkitError

FAMILIES = ("masked", "seq2seq", "causal")
VALIDATION_SHARE, VALIDATION_ROWS = 0.1, 2000


@dataclass(frozen=True, eq=False)
class Task:
    """A classification task: labelled texts in splits, and the word that stands for each label.

    >>> task = load_task("my.csv", text="review", label="stars", verbalizer=["bad", "good"])
    >>> task.labels, task.words(bb), task["test"].num_rows
    (('0', '1'), ('bad', 'good'), 200)

    `splits` {name: Dataset} with columns text, (text_pair,) label: an int, index into `labels`. `verbalizer`
    {family: one word per label}. `metric` is "accuracy", "f1" or "matthews", or several joined by "+". `template` is a
    cloze form with {text}, {text_pair} and [MASK], for layouts that read a mask within the text; others use the plain
    text or the tokenizer's pair encoding. `notes` say what was done to the splits; tables repeat them.
    """

    name: str
    type: str
    labels: tuple
    verbalizer: dict
    splits: dict
    metric: str = "accuracy"
    template: str | None = None
    notes: tuple = ()

    def __getitem__(self, split):
        if split not in self.splits:
            raise SkillkitError(f"task {self.name!r} has no split {split!r}; it has {_listed(self.splits)}")
        return self.splits[split]

    @property
    def num_labels(self):
        return len(self.labels)

    @property
    def pair(self):
        return any("text_pair" in rows.column_names for rows in self.splits.values())

    @functools.cached_property
    def fingerprint(self):
        """Hash of everything that decides a result, the same in every process; name and notes do not count."""
        digest = hashlib.sha256()
        told = [self.type, self.labels, self.verbalizer, self.metric, self.template]
        digest.update(json.dumps(told, sort_keys=True).encode())
        for split in sorted(self.splits):
            digest.update(json.dumps([split, self.splits[split].to_dict()], sort_keys=True).encode())
        return digest.hexdigest()

    def words(self, bb):
        """The label words for this backbone's family, in the order of the labels."""
        return self.verbalizer[bb.family]

    def label_ids(self, bb, leading_space=True):
        """Vocabulary id of each label word: LongTensor [labels].

        >>> task.label_ids(bb)
        tensor([2430, 1313])

        A word is one token, in running text (after a space, the default) or as the first word of a text; the other
        form is taken when only that one is a single token. Raises SkillkitError naming a word that is several tokens.
        """
        ids = [_word_id(bb, word, label, leading_space)
               for word, label in zip(self.words(bb), self.labels, strict=True)]
        for one in range(len(ids)):
            if ids[one] in ids[:one]:
                other = ids.index(ids[one])
                raise SkillkitError(f"labels {self.labels[other]!r} and {self.labels[one]!r} share one token of "
                                    f"{bb.name}; choose different label words")
        return torch.tensor(ids)

    def sample(self, split, n, seed=0):
        """n rows of a split, as balanced between classes as it allows; seeded, and nested for growing n."""
        rows = self[split]
        return rows.select(_balanced(rows["label"], n, seed)) if n is not None and n < len(rows) else rows


def _word_id(bb, word, label, leading_space):
    tokenizer = bb.tokenizer
    forms = [tokenizer.tokenize(f" {word}"), tokenizer.tokenize(word)]
    for tokens in forms if leading_space else reversed(forms):
        if len(tokens) == 1 and tokens[0] != tokenizer.unk_token:
            return tokenizer.convert_tokens_to_ids(tokens[0])
    raise SkillkitError(f"label word {word!r} of label {label!r} is not one token for {bb.name}: it splits into "
                        f"{' '.join(forms[0])}; choose a shorter or more frequent word")


def _balanced(labels, n, seed):
    """Indices of n rows, class by class in turn; within a class the order is drawn from the seed."""
    labels = np.asarray(labels)
    rank = np.empty(len(labels), dtype=int)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        rank[mine] = np.random.default_rng([seed, int(label)]).permutation(len(mine))
    return np.sort(np.lexsort((labels, rank))[:n])


class TaskFile(pydantic.BaseModel):
    """What a task YAML, or an entry of the registry, may say; everything but the rows' whereabouts has a default.

    >>> TaskFile(path="reviews.csv", text="review", label="stars", verbalizer=["bad", "good"])
    """

    model_config = pydantic.ConfigDict(extra="forbid")
    name: str | None = None
    about: str = ""
    type: str = "custom"
    path: str | None = None          # local file or folder, relative to the YAML
    hub: str | None = None           # or a dataset of the hub, with its
    config: str | None = None
    revision: str | None = None
    data_dir: str | None = None
    splits: dict[str, str] = {}      # our split name -> theirs
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    labels: list[str] | None = None  # names, in the order of their numbers; None: as declared by the source, or sorted
    verbalizer: list[str] | dict[str, list[str]] | None = None
    template: str | None = None
    metric: str = "accuracy"
    classes: list[int] | None = None  # keep only these
    drop_unlabelled: bool = False


def list_tasks():
    """Every named task with one line about it: `{name: line}`.

    >>> list_tasks()["glue/sst2"]
    'movie-review sentences, two classes of sentiment'
    """
    from . import world
    small = {f"world/{name}": line for name, line in world.TASKS.items()}
    return small | {name: entry["about"] for name, entry in _registry().items()}


@functools.cache
def _registry():
    return yaml.safe_load(resources.files(__package__).joinpath("registry.yaml").read_text(encoding="utf-8"))


def load_task(name, *, data=None, data_root=None, seed=0, **told):
    """A task by name, from a task YAML, or from data files.

    >>> load_task("world/movies"); load_task("glue/sst2"); load_task("params/tasks/reviews.yaml")
    >>> load_task("glue/sst2", data="../shared/data/glue/sst2")
    >>> load_task("my.csv", text="review", text_pair=None, label="stars", verbalizer=["bad", "good"])

    `told` overrides any field of a task YAML (`TaskFile`). `data` replaces the rows' whereabouts; `data_root` (or the
    environment's SKILLKIT_DATA) is a folder searched for `<data_root>/<name>` before the hub is asked. `seed` decides
    the splits made here: 80/10/10 by class when there are none.
    """
    if str(name).startswith("world/"):
        return _world_task(str(name), told)
    about, folder = _describe(name, told)
    source = _find(about, folder, data, data_root)
    return _build(about, source, seed)


def _describe(name, told):
    """(TaskFile, folder its path is relative to) for a registry name, a YAML or a data path."""
    path = Path(name).expanduser()
    if str(name) in _registry():
        fields, folder = {"name": str(name)} | _registry()[str(name)], None
    elif path.suffix in (".yaml", ".yml"):
        fields, folder = _read_yaml(path), path.parent
        fields.setdefault("name", path.stem)
    elif path.exists() or path.suffix in sources.SUFFIXES:
        fields, folder = {"name": path.stem, "path": str(path)}, None
    else:
        known = list_tasks()
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
        near += [task for task in known if str(name) in task.split("/") and task not in near]
        hint = f"did you mean {_listed(near, 'or')}?" if near else "list_tasks() names those there are"
        raise SkillkitError(f"no task {str(name)!r} is known, and no file or folder has that name; {hint}")
    try:
        return TaskFile(**fields | {key: list(value) if isinstance(value, tuple) else value
                                    for key, value in told.items() if value is not None}), folder
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise SkillkitError(f"task {str(name)!r}: field {'.'.join(map(str, first['loc']))!r}: {first['msg']}; "
                            f"fields are {_listed(TaskFile.model_fields)}") from error


def _read_yaml(path):
    if not path.exists():
        raise SkillkitError(f"there is no task file {str(path)!r}; check the path")
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SkillkitError(f"task file {str(path)!r} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(fields, Mapping):
        raise SkillkitError(f"task file {str(path)!r} holds no fields; write for instance 'path: reviews.csv'")
    return dict(fields)


def _find(about, folder, data, data_root):
    root = data_root or os.environ.get("SKILLKIT_DATA")
    if data is not None:
        return sources.read(data, about.config, about.splits)
    if about.path is not None:
        return sources.read((folder or Path()) / Path(about.path).expanduser(), about.config, about.splits)
    if root and (Path(root) / about.name).exists():
        return sources.read(Path(root) / about.name, about.config, about.splits)
    if about.hub is None:
        raise SkillkitError(f"task {about.name!r} says neither 'path' nor 'hub'; say where its rows are")
    return sources.read_hub(about.hub, about.config, about.revision, about.data_dir, about.splits)


def _world_task(name, told):
    from . import world
    short = name.removeprefix("world/")
    if short not in world.TASKS:
        near = difflib.get_close_matches(short, world.TASKS, n=1)
        raise SkillkitError(f"no task {name!r} is known; the small world has {_listed(world.TASKS)}"
                            + (f" (did you mean {near[0]!r}?)" if near else ""))
    made = world.task_splits(short)
    words = told.get("verbalizer") or made["verbalizer"]
    return Task(name=name, type=made["type"], labels=tuple(made["labels"]),
                verbalizer=_verbalizer(words, made["labels"], name), metric=made["metric"],
                template=made.get("template"),
                splits={split: datasets.Dataset.from_dict(columns) for split, columns in made["splits"].items()})


def _build(about, source, seed):
    """Tables to a Task: check and number the labels, then see that there are train, validation and test."""
    tables, notes = {}, []
    for split, table in source.splits.items():
        tables[split] = _texts(table, about, split)
    labels = _label_names(about, source, tables)
    for split, table in list(tables.items()):
        numbers = _numbers(table, labels, about, split, notes)
        if numbers is None:
            del tables[split]
        else:
            tables[split] = numbers
    if about.classes is not None:
        tables = {split: _cut(table, about.classes) for split, table in tables.items()}
        labels = [labels[index] for index in about.classes]
    splits = _complete({split: datasets.Dataset.from_dict(table) for split, table in tables.items()}, seed, notes)
    return Task(name=about.name, type=about.type, labels=tuple(labels), metric=about.metric, template=about.template,
                verbalizer=_verbalizer(about.verbalizer or labels, labels, about.name), splits=splits,
                notes=tuple(notes))


def _texts(table, about, split):
    """The columns asked for, under our names; the label column may be missing (an unlabelled test split)."""
    wanted = {"text": about.text, "label": about.label} | ({"text_pair": about.text_pair} if about.text_pair else {})
    for column in wanted.values():
        if column not in table and not (column == about.label and split == "test"):
            raise SkillkitError(f"split {split!r} of {about.name!r} has no column {column!r}; it has {_listed(table)}")
    if not table[about.text]:
        raise SkillkitError(f"split {split!r} of {about.name!r} is empty")
    for column in [about.text] + ([about.text_pair] if about.text_pair else []):
        for row, value in enumerate(table[column]):
            if not isinstance(value, str):
                raise SkillkitError(f"row {row} of split {split!r} of {about.name!r}: column {column!r} holds "
                                    f"{value!r}, not text")
    return {ours: table[column] for ours, column in wanted.items() if column in table}


def _unlabelled(value):
    return value is None or str(value) in ("-1", "", "nan")


def _label_names(about, source, tables):
    if about.labels:
        return about.labels
    if about.label in source.names:
        return list(source.names[about.label])
    values = {str(value) for table in tables.values() for value in table.get("label", []) if not _unlabelled(value)}
    return sorted(values, key=lambda value: (0, float(value), "") if _is_number(value) else (1, 0.0, value))


def _is_number(value):
    try:
        return float(value) == float(value)
    except ValueError:
        return False


def _numbers(table, labels, about, split, notes):
    """The table with labels as ints; None for a test split without labels."""
    values = table.get("label", [None])
    if split == "test" and all(_unlabelled(value) for value in values):
        return None
    place = {label: index for index, label in enumerate(labels)}
    by_number = {str(index): index for index in range(len(labels))}
    numbers, kept = [], []
    for row, value in enumerate(values):
        if _unlabelled(value) and about.drop_unlabelled:
            continue
        if str(value) not in place and str(value) not in by_number:
            what = "has no label" if _unlabelled(value) else f"has the unknown label {value!r}"
            raise SkillkitError(f"row {row} of split {split!r} of {about.name!r} {what}; labels are {_listed(labels)}")
        numbers.append(place.get(str(value), by_number.get(str(value))))
        kept.append(row)
    if len(kept) < len(values):
        notes.append(f"{split}: {len(values) - len(kept)} rows without a label left out")
    return {column: [cells[row] for row in kept] for column, cells in table.items()} | {"label": numbers}


def _cut(table, classes):
    kept = [row for row, label in enumerate(table["label"]) if label in classes]
    return {column: [cells[row] for row in kept] for column, cells in table.items()} | {
        "label": [classes.index(table["label"][row]) for row in kept]}


def _complete(splits, seed, notes):
    """train, validation and test from what is there (DESIGN: a set without labelled test lends its validation)."""
    splits = dict(splits)
    if set(splits) == {"train"}:
        first = _divide(splits["train"], len(splits["train"]) // 5, seed)
        second = _divide(first[1], len(first[1]) // 2, seed)
        notes.append(f"no splits given: divided 80/10/10 by class with seed {seed}")
        return {"train": first[0], "validation": second[0], "test": second[1]}
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
        notes.append("no labelled test split: validation serves as test")
    if "validation" not in splits and "train" in splits:
        size = min(VALIDATION_ROWS, int(VALIDATION_SHARE * len(splits["train"])))
        splits["train"], splits["validation"] = _divide(splits["train"], size, seed)
        notes.append(f"validation is {size} rows of train, drawn by class with seed {seed}")
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}


def _divide(rows, size, seed):
    """(rest, part): a part of about `size` rows in which every class has its share."""
    labels = np.asarray(rows["label"])
    part = []
    for label in np.unique(labels):
        mine = np.random.default_rng([seed, int(label)]).permutation(np.flatnonzero(labels == label))
        part.extend(mine[:round(size * len(mine) / len(labels))])
    chosen = np.isin(np.arange(len(labels)), part)
    return rows.select(np.flatnonzero(~chosen)), rows.select(np.flatnonzero(chosen))


def _verbalizer(words, labels, name):
    """{family: words}, one different word per label."""
    by_family = dict(words) if isinstance(words, Mapping) else {"masked": words}
    first = next(iter(by_family.values()))
    full = {family: tuple(by_family.get(family, by_family.get("masked", first))) for family in FAMILIES}
    for mine in full.values():
        if len(mine) != len(labels):
            raise SkillkitError(f"task {name!r} has {len(labels)} labels ({_listed(labels)}) but {len(mine)} label "
                                f"words ({_listed(mine)}); give one word per label with verbalizer=")
        twice = [word for word, count in Counter(mine).items() if count > 1]
        if twice:
            raise SkillkitError(f"task {name!r}: the word {twice[0]!r} stands for two labels; give each its own")
    return full


def _listed(names, last="and"):
    names = [str(name) for name in names]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"
