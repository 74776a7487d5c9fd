"""Labelled splits from raw tables: columns checked, labels numbered, missing splits made (80/10/10).

>>> labels, splits, notes = labelled_splits(source, about, seed=0)
>>> labels, {split: rows.num_rows for split, rows in splits.items()}
(..., {'train': 32, 'validation': 4, 'test': 4})

`source` comes from `skillkit.tasks.readers`, `about` is the task's `TaskFile`. Messages count rows from 1.
"""

import re

import datasets
import numpy as np
import pandas as pd

from skillkit.core.errors import SkillkitError

# A task without a validation split gives this part of its training rows, and never more than so many.
VALIDATION_SHARE, VALIDATION_ROWS = 0.1, 2000
# What UTF-8 cannot hold, though an escape of JSON can write it: one half of a surrogate pair.
_HALF = re.compile("[\ud800-\udfff]")


def labelled_splits(source, about, seed):
    """(label names, {split: Dataset of text, (text_pair,) label}, notes on what was done to the splits).

    >>> labels, splits, notes = labelled_splits(source, about, seed=0)
    >>> notes
    ('no splits given: divided 80/10/10 by class, seed 0',)
    """
    tables, notes = {split: _columns(table, about, split) for split, table in source.splits.items()}, []
    names = _label_names(source, about, tables)
    if "test" in tables and _labels_of(tables["test"]).map(lambda value: _unlabelled(value, about)).all():
        del tables["test"]
    tables = {split: _numbered(table, names, about, split, notes) for split, table in tables.items()}
    labels = _chosen(names, about)
    if about.classes is not None:
        number = {old: new for new, old in enumerate(about.classes)}
        kept = {split: table[table["label"].isin(number)] for split, table in tables.items()}
        tables = {split: table.assign(label=table["label"].map(number)) for split, table in kept.items()}
    for split, table in tables.items():
        if table.empty:
            raise SkillkitError(f"split {split!r} of {about.name!r} holds no labelled row; check the file")
    splits = {split: datasets.Dataset.from_dict(table.to_dict("list")) for split, table in tables.items()}
    return labels, _completed(splits, about, seed, notes), tuple(notes)


def balanced(labels, n, seed=0):
    """Indices of n rows with as many of each class as there are, in the order of the rows.

    >>> balanced([0, 0, 0, 1, 1, 1, 1, 1], n=4, seed=0)
    array([1, 2, 3, 6])

    A class that is too small gives all it has, the others fill up; with one seed, a larger n only adds rows.
    """
    labels = np.asarray(labels[:])  # a column of a Dataset all at once, not row by row
    rank, _ = _drawn(labels, seed)
    return np.sort(np.lexsort((labels, rank))[:n])


def two_classes(rows, negative, positive, seed):
    """A balanced Dataset: label 0 where the class is among `negative`, 1 among `positive`; None if empty.

    >>> rows = datasets.Dataset.from_dict({"text": ["a", "b", "c", "d"], "label": [0, 1, 2, 2]})
    >>> two_classes(rows, negative=[0], positive=[2], seed=0).to_dict()
    {'text': ['a', 'c'], 'label': [0, 1]}
    """
    labels = np.asarray(rows["label"][:])
    side = np.where(np.isin(labels, positive), 1, np.where(np.isin(labels, negative), 0, -1))
    candidates = np.flatnonzero(side >= 0)
    smaller = min(np.sum(side == 0), np.sum(side == 1))
    if not smaller:
        return None
    chosen = candidates[balanced(side[candidates], 2 * smaller, seed)]
    return datasets.Dataset.from_dict(rows.select(chosen).to_dict() | {"label": side[chosen].tolist()})


def _drawn(labels, seed):
    """A random place of each row within its class: (0, 1, 2 …; the same as a share of the class)."""
    labels = np.asarray(labels)
    rank, share = np.empty(len(labels), dtype=int), np.empty(len(labels))
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        rank[mine] = np.random.default_rng([seed, int(label)]).permutation(len(mine))
        share[mine] = (rank[mine] + 0.5) / len(mine)
    return rank, share


def _divided(rows, sizes, seed):
    """Datasets of the given sizes and the rest (last), with every class in each as in the whole."""
    _, share = _drawn(rows["label"][:], seed)
    parts = np.split(np.argsort(share, kind="stable")[::-1], np.cumsum(sizes))
    return [rows.select(np.sort(part)) for part in parts]


def _columns(table, about, split):
    """The columns asked for under our names; a test split may lack labels."""
    if table.empty:
        raise SkillkitError(f"split {split!r} of {about.name!r} is empty; check the file")
    wanted = {"text": about.text, "text_pair": about.text_pair, "label": about.label}
    wanted = {field: column for field, column in wanted.items() if column is not None}
    for field, column in wanted.items():
        if column not in table and not (field == "label" and split == "test"):
            raise SkillkitError(
                f"split {split!r} of {about.name!r} has no column {column!r}; it has "
                f"{', '.join(table)}: name the right one with {field}="
            )
    found = pd.DataFrame({field: table[column] for field, column in wanted.items() if column in table})
    for field in found.columns.drop("label", errors="ignore"):
        for row, value in enumerate(found[field].tolist(), start=1):
            if not isinstance(value, str) or _HALF.search(value):
                raise SkillkitError(
                    f"row {row} of split {split!r} of {about.name!r} holds {value!r} in column "
                    f"{wanted[field]!r}, which is not text; correct or remove the row"
                )
    return found


def _labels_of(table):
    return table["label"] if "label" in table else pd.Series(dtype=object)


def _key(value):
    """Labels are compared as strings: 1, 1.0, "1" and "1.0" are one label."""
    return re.sub(r"^(-?\d+)\.0+$", r"\1", str(value))


def _unlabelled(value, about):
    """The hub marks rows without a label by -1, which is a label only where it is declared as one."""
    return value is None or _key(value) in {"-1", "", "nan"} - set(map(_key, about.labels or ()))


def _label_names(source, about, tables):
    """Declared names in their order, else the values found, sorted (numbers as numbers)."""
    if about.labels or about.label in source.names:
        return list(about.labels or source.names[about.label])
    found = [value for table in tables.values() for value in _labels_of(table)]
    values = {_key(value) for value in found if not _unlabelled(value, about)}
    numeric = all(value.lstrip("-").replace(".", "", 1).isdecimal() for value in values)
    return sorted(values, key=float if numeric else None)


def _chosen(names, about):
    """The names of the classes that are kept: two or more, all different."""
    numbers = range(len(names)) if about.classes is None else about.classes
    if set(numbers) - set(range(len(names))):
        known = f"its {len(names)} labels ({', '.join(names)}) are numbered from 0"
        raise SkillkitError(f"classes of {about.name!r} are {list(numbers)}, but {known}")
    labels = [names[number] for number in numbers]
    if len({_key(label) for label in labels}) < max(2, len(labels)):
        raise SkillkitError(
            f"the labels of {about.name!r} are {', '.join(labels) or 'none'}; a task takes two or more, all "
            f"different: check labels=, classes= and the column {about.label!r}"
        )
    return labels


def _numbered(table, labels, about, split, notes):
    """The table with labels as numbers: a label is one of the names or, if those are words, its number."""
    number = {_key(label): place for place, label in enumerate(labels)}
    if not any(key.isdecimal() for key in number):
        number |= {str(place): place for place in range(len(labels))}
    bare = table["label"].map(lambda value: _unlabelled(value, about))
    if about.drop_unlabelled and bare.any():
        notes.append(f"{bare.sum()} rows of {split} had no label and were left out")
        table = table[~bare]
    keys = table["label"].map(_key)
    for row in keys.index[~keys.isin(number)]:
        [value] = table.loc[[row], "label"].tolist()
        raise SkillkitError(
            f"row {row + 1} of split {split!r} of {about.name!r} has "
            f"{'no' if bare[row] else 'an unknown'} label ({value!r}); labels are {', '.join(labels)}"
            + ("; drop_unlabelled=True leaves such rows out" if bare[row] else "")
        )
    return table.assign(label=keys.map(number))


def _completed(splits, about, seed, notes):
    """train, validation and test: validation stands in for a missing test, a part of train for validation."""
    splits = dict(splits)
    if set(splits) == {"train"}:
        tenth = len(splits["train"]) // 10
        if not tenth:
            count = len(splits["train"])
            raise SkillkitError(
                f"{about.name!r} has {count} rows and no splits; dividing it 80/10/10 takes at least 10"
            )
        parts = _divided(splits["train"], [tenth, tenth], seed)
        splits["test"], splits["validation"], splits["train"] = parts
        notes.append(f"no splits given: divided 80/10/10 by class, seed {seed}")
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
        notes.append("no labelled test split: validation serves as test")
    if "validation" not in splits and "train" in splits:
        size = min(VALIDATION_ROWS, int(np.ceil(VALIDATION_SHARE * len(splits["train"]))))
        splits["validation"], splits["train"] = _divided(splits["train"], [size], seed)
        notes.append(f"validation is {size} rows taken from train by class, seed {seed}")
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}
