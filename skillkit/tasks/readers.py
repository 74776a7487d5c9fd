"""Where a task's rows come from: the hub, a folder laid out like the hub, or one file.

>>> source = read("my.csv")
>>> {split: list(table) for split, table in source.splits.items()}
{'train': ['review', 'stars']}

A table is a dict of columns, each a list of the values as their source has them, so that a row of the wrong
kind can still be named; `skillkit.tasks.splits` turns tables into texts and labels.
"""

import csv
import io
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet

from skillkit.core.errors import SkillkitError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow")
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}

# The hub numbers the files of a split: train-00000-of-00002, with a hash behind it in older sets.
_SHARD = re.compile(r"-(\d+)(?:-of-(\d+))?(-[0-9a-f]{16})?$")
# What `datasets` leaves beside the rows that it saves: notes, and the same rows once more.
_BESIDE = re.compile(r"(state|dataset_info|dataset_dict)\.json|cache-.*\.arrow")
# A field of a TSV that is quoted as a whole: where all lines have as many tabs, and where they have not, so
# that quotes may hide tabs and line breaks.
_EVEN, _RAGGED = (
    re.compile(rf'(?<![^\t\r\n])"(?:[^"{ends}]|"")*+"(?![^\t\r\n])') for ends in (r"\t\r\n", "")
)
csv.field_size_limit(2**31 - 1)  # Python's own limit is shorter than a long document


@dataclass(frozen=True)
class Source:
    """Raw rows: `splits` {split: {column: values}}; `names` {column: class names} where declared.

    >>> source = read("my.csv")
    >>> source.splits["train"]["review"][0], source.names
    ('a bad film', {})
    """

    splits: dict
    names: dict


def read(path, config=None, splits=None, strict=True):
    """Every split found at a local path.

    >>> read("my.csv").splits["train"].keys()
    dict_keys(['review', 'stars'])

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
        return _source({split: [_read_file(path)] for split in _called(splits, ["train"], strict)})
    if config and (path / config).is_dir():
        path = path / config
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        return from_datasets(_saved(path), splits, strict)
    files = _files_by_split(path, splits, strict)
    return _source({split: [_read_file(file) for file in mine] for split, mine in files.items()})


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

    >>> from_datasets({"dev": datasets.Dataset.from_dict({"text": ["a text"]})}, splits={})
    Source(splits={'validation': {'text': ['a text']}}, names={})
    """
    tables, names = {}, {}
    for split, name in _called(splits, found, strict).items():
        tables[split] = {column: found[name][column][:] for column in found[name].column_names}
        names |= _class_names(found[name])
    if not tables:
        raise SkillkitError(
            f"there is no train, validation or test split; there is {', '.join(map(str, found))}"
        )
    return Source(tables, names)


def _called(splits, there, strict):
    """{split: its name among those there}: the one told, or a usual one that is not told for another."""
    missing = [name for name in splits.values() if name not in there]
    if strict and missing:
        known = ", ".join(sorted(map(str, there))) or "none"
        raise SkillkitError(f"splits= names {missing[0]!r}, which is not there; name one of: {known}")
    called = {}
    for split, usual in SPLIT_NAMES.items():
        names = [splits.get(split), *(name for name in usual if name not in splits.values())]
        called[split] = next((name for name in names if name in there), None)
    return {split: name for split, name in called.items() if name is not None}


def _saved(path):
    """{name: Dataset} of a folder that `save_to_disk` wrote."""
    try:
        found = datasets.load_from_disk(str(path))
    except Exception as error:  # what is missing, cut or foreign in there shows as half a dozen classes
        raise SkillkitError(
            f"{str(path)!r} is a damaged saved dataset ({_first_line(error)}); save it anew"
        ) from error
    return found if isinstance(found, dict) else {"train": found}


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


def _files_by_split(folder, splits, strict):
    """The data files of each split: the file, or the folder it lies in, is named after the split."""
    files = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    files = [file for file in files if len(file.parts) <= 3 and not _BESIDE.fullmatch(file.name)]
    names = {file: {_SHARD.sub("", file.stem), file.parent.name} for file in files}
    called = _called(splits, set().union(*names.values()) - {""}, strict)
    if not called:
        raise SkillkitError(
            f"folder {str(folder)!r} holds no data file named by a split; expected for instance "
            f"train.jsonl, validation.csv or test.parquet"
        )
    found = {split: [file for file in files if name in names[file]] for split, name in called.items()}
    for split, mine in found.items():
        _check_parts(mine, f"split {split!r} of {str(folder)!r}")
    return {split: [folder / file for file in mine] for split, mine in found.items()}


def _check_parts(files, where):
    """SkillkitError for a split in several formats, and where a file is missing among those numbered."""
    if len({file.suffix.lower() for file in files}) > 1:
        raise SkillkitError(
            f"{where} is there in several formats ({', '.join(file.name for file in files)}); keep one"
        )
    parts = [part for file in files if (part := _SHARD.search(file.stem)) and part[2]]
    numbers = {int(part[1]) for part in parts}
    for part in parts:
        first = int(int(part[2]) in numbers)  # the hub counts from 0, others from 1
        missing = next((n for n in range(first, first + int(part[2])) if n not in numbers), None)
        if missing is not None:
            name = f"{part.string[: part.start()]}-{missing:0{len(part[1])}}-of-{part[2]}"
            raise SkillkitError(f"{where} is not whole: {name} is missing; add that file")


def _read_file(path):
    """(columns, class names) of one data file; the cells of CSV and TSV stay strings."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SkillkitError(
            f"{str(path)!r} is not a data file that can be read; use one of {', '.join(SUFFIXES)}"
        )
    try:
        if suffix in (".parquet", ".arrow"):
            rows = datasets.Dataset(_arrow(path) if suffix == ".arrow" else pyarrow.parquet.read_table(path))
            return {column: rows[column][:] for column in rows.column_names}, _class_names(rows)
        text = _decode(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = getattr(error, "strerror", None) or _first_line(error)
        raise SkillkitError(
            f"{str(path)!r} cannot be read as {suffix[1:]}: {reason}; check that it is whole and may be read"
        ) from error
    return (_cells if suffix in (".csv", ".tsv") else _json_columns)(text, path), {}


def _arrow(path):
    """The table of an Arrow file, or of a stream, which is what `datasets` writes."""
    raw = path.read_bytes()
    opened = pyarrow.ipc.open_file if raw.startswith(b"ARROW1") else pyarrow.ipc.open_stream
    return opened(raw).read_all()


def _cells(text, path):
    """Columns of CSV or TSV: the first of those with one name; empty strings where a row is short."""
    kind, rows, columns, line = path.suffix[1:].lower(), [], {}, 1
    lines = _lines(text, kind)
    try:
        for row in lines:
            if len(row) > 1 or "".join(row).strip():
                rows.append(row)
            if rows and len(row) > len(rows[0]):
                raise csv.Error(f"{len(row)} fields under a header of {len(rows[0])}")
            line = lines.line_num + 1
    except csv.Error as error:
        raise SkillkitError(
            f"line {line} of {str(path)!r} cannot be read as {kind}: {error}; put fields with commas, tabs, "
            f"line breaks or quotes in double quotes, and write each quote inside twice"
        ) from error
    for name, *values in itertools.zip_longest(*rows, fillvalue=""):
        columns.setdefault(name, values)
    return columns


def _lines(text, kind):
    """Rows of cells; TSV comes with quoted fields or, like GLUE's, with quotes that are characters."""
    widths = {line.count("\t") for line in text.split("\n") if line.strip()}
    quoted = _RAGGED if len(widths) > 1 else _EVEN
    tabs = _Unquoted if '"' in quoted.sub("", text) else csv.excel_tab
    return csv.reader(io.StringIO(text, newline=""), tabs if kind == "tsv" else csv.excel, strict=True)


class _Unquoted(csv.excel_tab):
    quoting = csv.QUOTE_NONE


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


def _json_columns(text, path):
    rows = _json_rows(text, path)
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
