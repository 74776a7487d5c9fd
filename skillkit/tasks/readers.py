"""Reading of task data: the hub, a folder laid out like the hub, saved data sets, and single files.

>>> source = read("my.csv")
>>> {split: list(table) for split, table in source.splits.items()}
{'train': ['review', 'stars']}

A table is a pandas DataFrame with the values as their source has them; `skillkit.tasks.splits` turns tables into texts
and labels. Cells of CSV and TSV are strings ("NA" and "01" too).
"""

import csv
import io
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import datasets
import pandas as pd
import pyarrow
import pyarrow.parquet

from skillkit.core.errors import SkillkitError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow")
SPLIT_NAMES = {
    "train": ("train", "training"), "validation": ("validation", "valid", "val", "dev"), "test": ("test",),
}  # fmt: skip

# The hub numbers the files of a split: train-00000-of-00002, with a hash after it in older sets.
_SHARD = re.compile(r"-(\d+)(?:-of-(\d+))?(-[0-9a-f]{16})?$")
# What `datasets` leaves beside the rows that it saves: notes, and the same rows once more.
_BESIDE = re.compile(r"(state|dataset_info|dataset_dict)\.json|cache-.*\.arrow")
# A field of a TSV that is quoted as a whole: where all lines have as many tabs, and where they have not, so
# that quotes may hide tabs and line breaks.
_EVEN, _RAGGED = (
    re.compile(rf'(?<![^\t\r\n])"(?:[^"{ends}]|"")*+"(?![^\t\r\n])') for ends in (r"\t\r\n", "")
)
_REMEDIES = dict.fromkeys(
    ("csv", "tsv"),
    "put fields with separators, line breaks or quotes in double quotes, and write quotes inside twice",
)


@dataclass(frozen=True)
class Source:
    """Raw rows: `splits` {split: DataFrame}; `names` {column: class names} where declared.

    >>> source = read("my.csv")
    >>> source.splits["train"]["review"][0], source.names
    ('a bad film', {})
    """

    splits: dict
    names: dict


def read(path, config=None, splits=None, strict=True):
    """Every split found at a local path.

    >>> read("my.csv").splits["train"].columns.tolist()
    ['review', 'stars']

    One file is one split named "train". A folder holds what `save_to_disk` wrote, or files named by their
    split (`train.jsonl`, `data/test-00000-of-00001.parquet`, `validation/0000.parquet`); `config` names a
    subfolder, used when there is one; `splits` maps a split to the name its files carry, which must be there
    unless `strict` is False. Quotes in a TSV are characters unless each of them belongs to a quoted field.
    Raises SkillkitError for a path, format, split or numbered part that is not there, for a file that is
    damaged or not UTF-8, and for a row with more fields than the header.
    """
    path, splits = Path(path).expanduser(), splits or {}
    if not path.exists():
        raise SkillkitError(f"there is no file or folder {str(path)!r}; check the path")
    if path.is_file():
        return _joined({split: [path] for split in _names_of_splits(splits, ["train"], strict)})
    if config and (path / config).is_dir():
        path = path / config
    if not (path / "dataset_dict.json").exists() and not (path / "state.json").exists():
        return _joined(_files_by_split(path, splits, strict))
    try:
        saved = datasets.load_from_disk(str(path))
    except Exception as error:  # what is missing, cut or foreign in there shows as half a dozen classes
        reason = _first_line(error)
        raise SkillkitError(f"{str(path)!r} is a damaged saved dataset ({reason}); save it anew") from error
    return from_datasets(saved if isinstance(saved, dict) else {"train": saved}, splits, strict)


def read_hub(name, config=None, revision=None, data_dir=None, splits=None):
    """The splits of a dataset on the Hugging Face hub (or in its cache); scripts are never run.

    >>> read_hub("nyu-mll/glue", "rte").splits.keys()          # doctest: +SKIP
    dict_keys(['train', 'validation', 'test'])

    `splits` maps a split to the hub's name for it. Raises SkillkitError when the hub does not answer or has
    no such set or split.
    """
    try:
        found = datasets.load_dataset(name, config, revision=revision, data_dir=data_dir)
    except Exception as error:  # the hub client raises a dozen unrelated classes, all meaning: not obtained
        raise SkillkitError(
            f"{name!r} could not be loaded from the hub ({_first_line(error)}); "
            f"check the connection, or point to local files with data= or data_root="
        ) from error
    return from_datasets(found, splits or {})


def from_datasets(found, splits, strict=True):
    """A Source from `{name: datasets.Dataset}`, splits renamed to train / validation / test.

    >>> from_datasets({"dev": datasets.Dataset.from_dict({"text": ["a text"]})}, splits={}).splits.keys()
    dict_keys(['validation'])
    """
    chosen = {split: found[name] for split, name in _names_of_splits(splits, found, strict).items()}
    if not chosen:
        there = ", ".join(map(str, found))
        raise SkillkitError(f"there is no train, validation or test split; there is {there}")
    names = {column: classes for rows in chosen.values() for column, classes in _class_names(rows).items()}
    return Source({split: rows.to_pandas() for split, rows in chosen.items()}, names)


def _names_of_splits(splits, there, strict):
    """{split: its name among those there}: the given one, or a usual one that is not given for another."""
    missing = [name for name in splits.values() if name not in there]
    if strict and missing:
        known = ", ".join(sorted(map(str, there))) or "none"
        raise SkillkitError(f"splits= names {missing[0]!r}, which is not there; name one of: {known}")
    found = {}
    for split, usual in SPLIT_NAMES.items():
        names = [splits.get(split), *(name for name in usual if name not in splits.values())]
        found[split] = next((name for name in names if name in there), None)
    return {split: name for split, name in found.items() if name is not None}


def _joined(files):
    """A Source from {split: paths}."""
    tables, names = {}, {}
    for split, paths in files.items():
        parts = [_read_file(path) for path in paths]
        tables[split] = pd.concat([table for table, _ in parts], ignore_index=True)
        names |= {column: classes for _, more in parts for column, classes in more.items()}
    return Source(tables, names)


def _files_by_split(folder, splits, strict):
    """The data files of each split: the file, or the folder it lies in, is named after the split."""
    files = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    files = [file for file in files if len(file.parts) <= 3 and not _BESIDE.fullmatch(file.name)]
    names = {file: {_SHARD.sub("", file.stem), file.parent.name} for file in files}
    called = _names_of_splits(splits, set().union(*names.values()) - {""}, strict)
    if not called:
        expected = "expected for instance train.jsonl, validation.csv or test.parquet"
        raise SkillkitError(f"folder {str(folder)!r} holds no data file named by a split; {expected}")
    found = {split: [file for file in files if name in names[file]] for split, name in called.items()}
    for split, mine in found.items():
        _check_parts(mine, f"split {split!r} of {str(folder)!r}")
    return {split: [folder / file for file in mine] for split, mine in found.items()}


def _check_parts(files, where):
    """SkillkitError for a split in several formats, and where a file is missing among those numbered."""
    if len({file.suffix.lower() for file in files}) > 1:
        there = ", ".join(file.name for file in files)
        raise SkillkitError(f"{where} is there in several formats ({there}); keep one")
    parts = [part for file in files if (part := _SHARD.search(file.stem)) and part[2]]
    numbers = {int(part[1]) for part in parts}
    for part in parts:
        first = int(int(part[2]) in numbers)  # the hub counts from 0, others from 1
        for missing in sorted(set(range(first, first + int(part[2]))) - numbers):
            name = f"{part.string[: part.start()]}-{missing:0{len(part[1])}}-of-{part[2]}"
            raise SkillkitError(f"{where} is not whole: {name} is missing; add that file")


def _read_file(path):
    """(table, class names) of one data file."""
    kind = path.suffix[1:].lower()
    if path.suffix.lower() not in SUFFIXES:
        expected = ", ".join(SUFFIXES)
        raise SkillkitError(f"{str(path)!r} is not a data file that can be read; use one of {expected}")
    try:
        if kind in ("parquet", "arrow"):
            rows = datasets.Dataset(_arrow(path) if kind == "arrow" else pyarrow.parquet.read_table(path))
            return rows.to_pandas(), _class_names(rows)
        text = path.read_bytes().decode("utf-8-sig")
        return (_cells(text, kind) if kind in ("csv", "tsv") else _json_table(text)), {}
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise SkillkitError(
            f"{str(path)!r} is not UTF-8: line {line} holds the byte 0x{byte:02x}; save the file as UTF-8"
        ) from error
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = f"{_first_line(error)}; {_REMEDIES.get(kind, 'check that it is whole and may be read')}"
        raise SkillkitError(f"{str(path)!r} cannot be read as {kind}: {reason}") from error


def _arrow(path):
    """The table of an Arrow file, or of a stream, which is what `datasets` writes."""
    raw = path.read_bytes()
    opened = pyarrow.ipc.open_file if raw.startswith(b"ARROW1") else pyarrow.ipc.open_stream
    return opened(raw).read_all()


def _cells(text, kind):
    """The table of a CSV or TSV: strings, empty where a row is short; of columns with one name the first has it."""
    options = dict(sep="\t", quoting=_tsv_quoting(text)) if kind == "tsv" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        try:
            return pd.read_csv(
                io.StringIO(text, newline=""), dtype=str, na_filter=False, index_col=False, **options
            )
        except pd.errors.EmptyDataError:
            return pd.DataFrame()
        except pd.errors.ParserWarning:
            raise ValueError("its rows have more fields than its header") from None


def _tsv_quoting(text):
    """TSV comes with quoted fields or, like GLUE's, with quotes that are characters."""
    widths = {line.count("\t") for line in text.split("\n") if line.strip()}
    quoted = _RAGGED if len(widths) > 1 else _EVEN
    return csv.QUOTE_NONE if '"' in quoted.sub("", text) else csv.QUOTE_MINIMAL


def _json_table(text):
    """The table of a JSON array of objects, or of one object per line."""
    array = text.lstrip().startswith("[")
    rows = []
    for number, line in enumerate([text] if array else text.split("\n"), start=1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is not JSON ({error.msg})") from error
    rows = rows[0] if array else rows
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is not a JSON object with named columns")
    return pd.DataFrame(rows, dtype=object)


def _class_names(rows):
    declared = {column: getattr(feature, "names", None) for column, feature in rows.features.items()}
    return {column: tuple(names) for column, names in declared.items() if names}


def _first_line(error):
    reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return reason.splitlines()[0].removeprefix("Error tokenizing data. C error: ")
