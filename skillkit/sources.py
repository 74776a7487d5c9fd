"""Where a task's rows come from: the hub, a folder laid out like the hub, or one file.

>>> source = read("my.csv")
>>> {split: list(table) for split, table in source.splits.items()}
{'train': ['review', 'stars']}

A table is a dict of columns, each a list of the values as their source has them, so that a row of the wrong
kind can still be named; `skillkit.splits` turns tables into texts and labels.
"""

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import datasets
import pandas
import pyarrow
import pyarrow.parquet

from skillkit.errors import SkillkitError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}


# The hub numbers the files of a split: train-00000-of-00002, with a hash behind it in older sets.
_SHARD = re.compile(r"-\d+(-of-\d+)?(-[0-9a-f]{16})?$")


@dataclass(frozen=True)
class Source:
    """Raw rows: `splits` {split: {column: values}}; `names` {column: class names} where declared.

    >>> source = read("my.csv")
    >>> source.splits["train"]["review"][0], source.names
    ('a bad film', {})
    """

    splits: dict
    names: dict


def read(path, config=None, splits=None):
    """Every split found at a local path.

    >>> read("my.csv").splits["train"].keys()
    dict_keys(['review', 'stars'])

    One file is one split named "train". A folder holds what `save_to_disk` wrote, or files named by their
    split (`train.jsonl`, `data/test-00000-of-00001.parquet`, `validation/0000.parquet`); `config` names a
    subfolder, used when there is one; `splits` maps a split to the name its files carry.
    Raises SkillkitError for a path or format that is not there, and for text that is not UTF-8.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise SkillkitError(f"there is no file or folder {str(path)!r}; check the path")
    if path.is_file():
        return _source({"train": [_read_file(path)]})
    if config and (path / config).is_dir():
        path = path / config
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        found = datasets.load_from_disk(str(path))
        return from_datasets(found if isinstance(found, dict) else {"train": found}, splits or {})
    files = _files_by_split(path, splits or {})
    return _source({split: [_read_file(file) for file in mine] for split, mine in files.items()})


def read_hub(name, config=None, revision=None, data_dir=None, splits=None):
    """The splits of a dataset on the Hugging Face hub (or in its cache); scripts are never run.

    >>> read_hub("nyu-mll/glue", "rte").splits.keys()          # doctest: +SKIP
    dict_keys(['train', 'validation', 'test'])

    `splits` maps a split to the hub's name for it. Raises SkillkitError when the hub does not answer or has
    no such set.
    """
    try:
        found = datasets.load_dataset(name, config, revision=revision, data_dir=data_dir)
    except Exception as error:  # the hub client raises a dozen unrelated classes, all meaning: not obtained
        raise SkillkitError(
            f"{name!r} could not be loaded from the hub ({_first_line(error)}); "
            f"check the connection, or point to local files with data= or data_root="
        ) from error
    return from_datasets(found, splits or {})


def from_datasets(found, splits):
    """A Source from `{name: datasets.Dataset}`, splits renamed to train / validation / test.

    >>> from_datasets({"dev": datasets.Dataset.from_dict({"text": ["a text"]})}, splits={})
    Source(splits={'validation': {'text': ['a text']}}, names={})
    """
    tables, names = {}, {}
    for split, known in SPLIT_NAMES.items():
        name = next((name for name in (splits.get(split), *known) if name in found), None)
        if name is not None:
            tables[split] = {column: list(found[name][column]) for column in found[name].column_names}
            names |= _class_names(found[name])
    if not tables:
        raise SkillkitError(
            f"there is no train, validation or test split; there is {', '.join(map(str, found))}"
        )
    return Source(tables, names)


def _source(parts):
    """Join the (table, names) parts of every split."""
    tables, names = {}, {}
    for split, pieces in parts.items():
        tables[split] = {
            column: [value for table, _ in pieces for value in table.get(column, [])]
            for column in pieces[0][0]
        }
        names |= {column: values for _, more in pieces for column, values in more.items()}
    return Source(tables, names)


def _files_by_split(folder, splits):
    """The data files of each split: the file, or the folder it lies in, is named after the split."""
    files = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.suffix in SUFFIXES)
    files = [file for file in files if len(file.parts) <= 3]
    found = {}
    for split, known in SPLIT_NAMES.items():
        for name in (splits.get(split), *known):
            mine = [folder / file for file in files if name in (_SHARD.sub("", file.stem), file.parent.name)]
            if mine and split not in found:
                found[split] = mine
    if not found:
        raise SkillkitError(
            f"folder {str(folder)!r} holds no data file named by a split; expected for instance "
            f"train.jsonl, validation.csv or test.parquet"
        )
    for split, mine in found.items():
        if len({file.suffix for file in mine}) > 1:
            raise SkillkitError(
                f"split {split!r} of {str(folder)!r} is there in several formats "
                f"({', '.join(file.name for file in mine)}); keep one of them"
            )
    return found


def _read_file(path):
    """(columns, class names) of one CSV, TSV, JSON, JSON-lines or Parquet file; CSV cells stay strings."""
    if path.suffix not in SUFFIXES:
        raise SkillkitError(
            f"{str(path)!r} is not a data file that can be read; use one of {', '.join(SUFFIXES)}"
        )
    try:
        if path.suffix == ".parquet":
            rows = datasets.Dataset(pyarrow.parquet.read_table(path))
            return {column: list(rows[column]) for column in rows.column_names}, _class_names(rows)
        text = _decode(path)
        if path.suffix in (".csv", ".tsv"):
            frame = pandas.read_csv(
                io.StringIO(text),
                dtype=str,
                keep_default_na=False,
                sep="\t" if path.suffix == ".tsv" else ",",
            )
            return {column: frame[column].tolist() for column in frame}, {}
        return _columns(_json_rows(text, path), path), {}
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, pyarrow.ArrowInvalid) as error:
        raise SkillkitError(
            f"{str(path)!r} cannot be read as {path.suffix[1:]}: {_first_line(error)}"
        ) from error


def _decode(path):
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SkillkitError(
            f"{str(path)!r} is not UTF-8: line {line} holds the byte 0x{raw[error.start]:02x} "
            f"(at {error.start}); save the file as UTF-8"
        ) from error


def _json_rows(text, path):
    """Objects of a JSON array, or of one JSON text per line."""
    array = text.lstrip().startswith("[")
    rows = []
    for number, line in enumerate([text] if array else text.split("\n"), start=1):
        try:
            if line.strip():
                rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise SkillkitError(f"line {number} of {str(path)!r} is not JSON: {error.msg}") from error
    return rows[0] if array else rows


def _columns(rows, path):
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise SkillkitError(f"row {number} of {str(path)!r} is not a JSON object with named columns")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _class_names(rows):
    return {
        column: tuple(feature.names)
        for column, feature in rows.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
