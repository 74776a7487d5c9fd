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

from skillkit.core.errors import SkillkitError, is_text
from skillkit.tasks.registry import registry

# A task without a validation split gives this part of its training rows, and never more than so many.
VALIDATION_SHARE, VALIDATION_ROWS = 0.1, 2000


def labelled_splits(source, about, seed):
    """(label names, {split: Dataset of text, (text_pair,) label}, notes on what was done to the splits).

    >>> labels, splits, notes = labelled_splits(source, about, seed=0)
    >>> notes[0]
    'no splits given: divided 80/10/10 by class, seed 0'
    """
    tables = {split: _columns(table, about, split) for split, table in source.splits.items()}
    notes, marks = list(source.notes), _marks(source, about, tables)
    names = _label_names(source, about, tables, marks)
    if "test" in tables and _labels_of(tables["test"]).isin(marks).all():
        del tables["test"]
    number = _places(names, source.names.get(about.label), about)
    tables = {
        split: _numbered(table, names, number, about, split, notes, marks) for split, table in tables.items()
    }
    labels = _chosen(names, about)
    if about.classes is not None:
        number = {old: new for new, old in enumerate(about.classes)}
        kept = {split: table[table["label"].isin(number)] for split, table in tables.items()}
        tables = {split: table.assign(label=table["label"].map(number)) for split, table in kept.items()}
    for split, table in tables.items():
        if table.empty:
            raise SkillkitError(f"split {split!r} of {about.name!r} holds no labelled row; check the file")
    splits = {split: datasets.Dataset.from_dict(table.to_dict("list")) for split, table in tables.items()}
    return labels, _completed(splits, labels, about, seed, notes), tuple(notes)


def balanced(labels, n, seed=0):
    """Indices of n rows with as many of each class as there are, in the order of the rows.

    >>> balanced([0, 0, 0, 1, 1, 1, 1, 1], n=4, seed=0)
    array([1, 2, 3, 6])

    A class with too few rows contributes all of them, and the others make up the rest; with one seed, a larger n only
    adds rows.
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


def _same_texts(rows):
    """A number for every row, equal where the texts are, up to blanks, capitals and which of a pair is the first."""
    texts = pd.DataFrame({name: rows[name][:] for name in rows.column_names if name != "label"})
    texts = texts.apply(lambda column: column.str.normalize("NFC").str.split().str.join(" ").str.casefold())
    pairs = pd.DataFrame(np.sort(texts.to_numpy(dtype=object), axis=1))
    return pairs.groupby(list(pairs), sort=False).ngroup().to_numpy()


def _kept_together(rows, about):
    """The numbers of `_same_texts`; of too few texts, and of named tasks, which never were grouped, each row's own."""
    group = _same_texts(rows)
    return np.arange(len(rows)) if about.name in registry() or group.max() < 9 else group


def _divided(rows, group, sizes, seed):
    """Datasets of the given sizes and the rest (last), with every class in each as in the whole.

    Sizes count groups of rows, which stay together; large ones are in the rest.
    """
    labels = np.asarray(rows["label"][:])
    _, first, count = np.unique(group, return_index=True, return_counts=True)
    _, share = _drawn(labels[first], seed)
    share[count > max(1, len(rows) // 20)] -= 1
    order, part = np.argsort(share, kind="stable")[::-1], np.empty(len(first), dtype=int)
    for at, places in enumerate(np.split(order, np.cumsum(sizes))):
        part[places] = at
    _spread(part, labels[first], len(sizes) + 1)
    return [rows.select(np.flatnonzero(part[group] == at)) for at in range(len(sizes) + 1)]


def _spread(part, labels, parts):
    """Move, in place, a row of every class with three or more to each part without it, in exchange for another."""
    for label in np.unique(labels):
        mine = labels == label
        for at in range(parts):
            if mine.sum() < 3 or (mine & (part == at)).any():
                continue
            giver = np.bincount(part[mine], minlength=parts).argmax()
            there = np.flatnonzero(part == at)
            most = np.bincount(labels[there]).argmax()
            others = there[labels[there] == most]
            part[np.flatnonzero(mine & (part == giver))[0]] = at
            if len(others) > 1:
                part[others[0]] = giver


def _columns(table, about, split):
    """The columns asked for under our names; a test split may lack labels."""
    if table.empty:
        raise SkillkitError(f"split {split!r} of {about.name!r} is empty; check the file")
    wanted = {"text": about.text, "text_pair": about.text_pair, "label": about.label}
    wanted = {field: column for field, column in wanted.items() if column is not None}
    for field, column in wanted.items():
        if column not in table and not (field == "label" and split == "test"):
            known = f"it has {', '.join(table)}: name the right one with {field}="
            raise SkillkitError(f"split {split!r} of {about.name!r} has no column {column!r}; {known}")
    found = pd.DataFrame({field: table[column] for field, column in wanted.items() if column in table})
    for field in found.columns.drop("label", errors="ignore"):
        for row, value in enumerate(found[field].tolist(), start=1):
            if not is_text(value):
                held = f"{value!r} in column {wanted[field]!r}, which is not text; correct or remove the row"
                raise SkillkitError(f"row {row} of split {split!r} of {about.name!r} holds {held}")
    return found


def _labels_of(table):
    return table["label"].map(_key) if "label" in table else pd.Series(dtype=object)


def _key(value):
    """Labels are compared as strings: 1, 1.0, "1" and "1.0" are one label."""
    return "" if value is None or value is pd.NA else re.sub(r"^(-?\d+)\.0+$", r"\1", str(value))


def _marks(source, about, tables):
    """What stands for "no label", as keys: -1 if declared labels lack it, or if the test holds nothing else."""
    declared = about.labels or source.names.get(about.label)
    seen = {split: set(_labels_of(table)) for split, table in tables.items()}
    hidden = seen.pop("test", None) == {"-1"} and not any("-1" in keys for keys in seen.values())
    bare = hidden or about.drop_unlabelled if declared is None else "-1" not in map(_key, declared)
    return {"", "nan"} | ({"-1"} if bare else set())


def _label_names(source, about, tables, marks):
    """Declared names in their order, else the values found, sorted (numbers as numbers)."""
    if about.labels or about.label in source.names:
        return list(about.labels or source.names[about.label])
    values = {key for table in tables.values() for key in _labels_of(table)} - marks
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
        remedy = f"all different: check labels=, classes= and the column {about.label!r}"
        found = ", ".join(labels) or "none"
        raise SkillkitError(f"the labels of {about.name!r} are {found}; a task takes two or more, {remedy}")
    return labels


def _places(labels, own, about):
    """{key of a value: place of its label}: a value is a label or, if those are words, its number.

    own: the names that the column declares. labels= gives them in any order, or as many new ones in their order.
    """
    fold = str.casefold if own and len({name.casefold() for name in own}) == len(own) else str
    known, theirs = [fold(label) for label in labels], [fold(name) for name in own or labels]
    place = {name: known.index(name) for name in theirs if name in known}
    if len(place) < len(known):
        place |= {name: number for number, name in enumerate(theirs) if name not in place}
        if len(theirs) != len(known) or [place[name] for name in theirs] != list(range(len(known))):
            said = f"{', '.join(own)}, but labels= says {', '.join(labels)}; give those names, or as many new ones"
            raise SkillkitError(
                f"column {about.label!r} of {about.name!r} declares the labels {said} in their order"
            )
    number = {_key(name): place[fold(name)] for name in own or labels if fold(name) in place}
    if not any(key.lstrip("-").isdecimal() for key in number):
        number |= {str(at): place[name] for at, name in enumerate(theirs) if name in place}
    return number


def _numbered(table, labels, number, about, split, notes, marks):
    """The table with labels as numbers."""
    keys = table["label"].map(_key)
    bare = keys.isin(marks)
    if about.drop_unlabelled and bare.any():
        notes.append(f"{bare.sum()} rows of {split} had no label and were left out")
        table, keys = table[~bare], keys[~bare]
    for row in keys.index[~keys.isin(number)]:
        [value] = table.loc[[row], "label"].tolist()
        kind, remedy = (
            ("no", "; drop_unlabelled=True leaves such rows out") if bare[row] else ("an unknown", "")
        )
        remedy += ", and naming it in labels= makes it a label" * bool(bare[row] and keys[row] == "-1")
        where = f"row {row + 1} of split {split!r} of {about.name!r}"
        raise SkillkitError(f"{where} has {kind} label ({value!r}); labels are {', '.join(labels)}{remedy}")
    return table.assign(label=keys.map(number))


def _shared(rows, train, *columns):
    """How many rows have in these columns what a row of train has, up to blanks and capitals."""
    group = _same_texts(datasets.concatenate_datasets([train, rows]).select_columns(list(columns)))
    return np.isin(group[len(train) :], group[: len(train)]).sum()


def _not_kept(split, rows, train, labels):
    """Notes on texts that a split which was made shares with train, and on classes that it lacks."""
    pairs = "text_pair" in rows.column_names
    absent, whole = set(train["label"][:]) - set(rows["label"][:]), ("text", "text_pair")[: 1 + pairs]
    shared = {"are the same as in train": _shared(rows, train, *whole)}
    if pairs:
        shared["stand in train in another pair"] = (
            _shared(rows, train, "text") - shared["are the same as in train"]
        )
    notes = [f"{count} texts of {split} {what}" for what, count in shared.items() if count]
    few = "of which there are too few different texts"
    return notes + [f"{split} has no row of {labels[number]}, {few}" for number in sorted(absent)]


def _completed(splits, labels, about, seed, notes):
    """train, validation and test: validation stands in for a missing test, a part of train for validation."""
    splits, rows, made = dict(splits), splits.get("train"), []
    group = None if rows is None else _kept_together(rows, about)
    count = 0 if rows is None else group.max() + 1
    if set(splits) == {"train"}:
        if count < 10:
            raise SkillkitError(
                f"{about.name!r} has {len(rows)} rows and no splits; dividing it takes at least 10"
            )
        parts = _divided(rows, group, [count // 10, count // 10], seed)
        splits["test"], splits["validation"], splits["train"] = parts
        made = ["validation", "test"]
        notes.append(f"no splits given: divided 80/10/10 by class, seed {seed}")
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
        notes.append("no labelled test split: validation serves as test")
    if "validation" not in splits and "train" in splits:
        size = min(VALIDATION_ROWS, int(np.ceil(VALIDATION_SHARE * count)))
        splits["validation"], splits["train"] = _divided(rows, group, [size], seed)
        made = ["validation"]
        notes.append(f"validation is {len(splits['validation'])} rows taken from train by class, seed {seed}")
    for split in made:
        notes += _not_kept(split, splits[split], splits["train"], labels)
    return {split: splits[split] for split in ("train", "validation", "test") if split in splits}
