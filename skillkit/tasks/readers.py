"""Reading of task data: the hub, a folder laid out like the hub, saved data sets, and single files.

>>> source = read("my.csv")
>>> {split: list(table) for split, table in source.splits.items()}
{'train': ['review', 'stars']}

A table is a pandas DataFrame with the values as their source has them; `skillkit.tasks.splits` turns tables into texts
and labels. Cells of CSV and TSV are strings ("NA" and "01" too).
"""

import csv
import gzip
import io
import json
import re
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import datasets
import pandas as pd
import pyarrow
import pyarrow.parquet

from skillkit.core.errors import SkillkitError
from skillkit.core.files import as_path
from skillkit.core.hub import hub

_TEXTS = (".jsonl", ".json", ".csv", ".tsv")
SUFFIXES = (*_TEXTS, ".parquet", ".arrow", *(f"{text}.gz" for text in _TEXTS))
SPLIT_NAMES = {
    "train": ("train", "training"), "test": ("test", "testing", "test_matched"),
    "validation": ("validation", "valid", "val", "dev", "validation_matched", "dev_matched"),
}  # fmt: skip

# The hub numbers the files of a split: train-00000-of-00002, with a hash after it in older sets.
_SHARD = re.compile(r"-(\d+)(?:-of-(\d+))?(-[0-9a-f]{16})?$")
_SET_AND_SPLIT = re.compile(rf"(.+)[_-]({'|'.join(sum(SPLIT_NAMES.values(), ()))})")
# What `datasets` leaves beside the rows that it saves: notes, and the same rows once more.
_BESIDE = re.compile(r"(state|dataset_info|dataset_dict)\.json|cache-.*\.arrow")
# A field that is quoted as a whole: of a TSV whose lines have as many tabs each, of one whose lines have not, so that
# quotes may hide tabs and line breaks, and of a CSV.
_EVEN, _RAGGED, _QUOTED = (
    re.compile(rf'(?<![^{sep}\r\n])"(?:[^"{ends}]|"")*+"(?![^{sep}\r\n])')
    for sep, ends in ((r"\t", r"\t\r\n"), (r"\t", ""), (",", ""))
)
_QUOTE = "put fields with separators, line breaks or quotes in double quotes, and write quotes inside twice"


@dataclass(frozen=True)
class Source:
    """Raw rows: `splits` {split: DataFrame}; `names` {column: class names} where declared; notes on what was not read.

    A number that stands for a class name is given as that name.

    >>> source = read("my.csv")
    >>> source.splits["train"]["review"][0], source.names
    ('a bad film', {})
    """

    splits: dict
    names: dict
    notes: tuple = ()


def read(path, config=None, splits=None, strict=True, header=None, name=""):
    """Every split found at a local path.

    >>> read("my.csv").splits["train"].columns.tolist()
    ['review', 'stars']

    One file is one split named "train"; so are a DataFrame, a datasets.Dataset, rows and columns; a dict of these is
    taken by its names. Texts may be gzipped. A folder holds what `save_to_disk` wrote, or files named by their
    split (`train.jsonl`, `data/test-00000-of-00001.parquet`, `validation/0000.parquet`); `config` names a
    subfolder, used when there is one ("." is the folder without those below); `splits` maps a split to the name its
    files carry, which must be there unless `strict` is False. In a folder of several sets (`justice_train.csv`,
    `justice_test.csv`) and in a JSON object of several tables (AdvGLUE's file, whose rows are a validation split),
    `config` or `name` says which. `header`: columns of a CSV or TSV are numbers, and its first line names them (True)
    or is a row (False). Quotes in a TSV are characters unless each of them belongs to a quoted field. Raises
    SkillkitError for a path, format, split or numbered part that is not there, for rows in several folders, parts with
    different columns, a file that is damaged or not UTF-8, and a row with more fields than the header.
    """
    splits = splits or {}
    if not isinstance(path, str | Path):
        several = isinstance(path, Mapping) and not all(map(_is_column, path.values()))
        return from_datasets(path if several else {"train": path}, splits, strict)
    path, name = as_path(path).expanduser(), name.rpartition("/")[2]
    if not path.exists():
        raise SkillkitError(f"there is no file or folder {str(path)!r}; check the path")
    if path.is_file() and (tables := _tables_in(path)):
        chosen = _one_of(tables, [config, name], f"{str(path)!r} holds several tables")
        return from_datasets({"validation": tables[chosen]}, splits, strict)
    if path.is_file():
        return _joined({split: [path] for split in _names_of_splits(splits, ["train"], strict)}, header)
    if config and (path / config).is_dir():
        path = path / config
    if not (path / "dataset_dict.json").exists() and not (path / "state.json").exists():
        files, unread = _files_by_split(path, splits, strict, config, name)
        return _joined(files, header, unread)
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
        with hub():
            found = datasets.load_dataset(name, config, revision=revision, data_dir=data_dir)
    except Exception as error:  # the hub client raises a dozen unrelated classes, all meaning: not obtained
        if isinstance(error, ValueError) and (there := re.search(r"onfig.*(\[.+?\])", str(error), re.DOTALL)):
            raise SkillkitError(f"{name!r} has the configurations {there[1]}; choose with config=") from None
        remedy = "check the connection, or point to local files with data= or data_root="
        raise SkillkitError(f"{name!r} did not load from the hub ({_first_line(error)}); {remedy}") from error
    return from_datasets(found, splits or {})


def from_datasets(found, splits, strict=True):
    """A Source from `{name: datasets.Dataset or DataFrame}`, splits renamed to train / validation / test.

    >>> from_datasets({"dev": datasets.Dataset.from_dict({"text": ["a text"]})}, splits={}).splits.keys()
    dict_keys(['validation'])
    """
    chosen = _names_of_splits(splits, found, strict)
    if not chosen:
        there = ", ".join(map(str, found))
        raise SkillkitError(f"there is no train, validation or test split; there is {there}")
    return _source(
        {split: [_table(found[name])] for split, name in chosen.items()}, found.keys() - chosen.values()
    )


def _names_of_splits(splits, there, strict):
    """{split: its name among those there}: the given one, or a usual one that is not given for another."""
    if twice := [name for name in splits.values() if list(splits.values()).count(name) > 1]:
        raise SkillkitError(
            f"splits= gives {twice[0]!r} for two splits, which would be the same rows; leave one out"
        )
    missing = [name for name in splits.values() if name not in there]
    if strict and missing:
        known = ", ".join(sorted(map(str, there))) or "none"
        raise SkillkitError(f"splits= names {missing[0]!r}, which is not there; name one of: {known}")
    found = {}
    for split, usual in SPLIT_NAMES.items():
        # One half of MNLI never stands in for the other.
        allowed = [name for name in usual if split not in splits or not name.endswith("_matched")]
        names = [splits.get(split), *(name for name in allowed if name not in splits.values())]
        found[split] = next((name for name in names if name in there), None)
    return {split: name for split, name in found.items() if name is not None}


def _joined(files, header=None, unread=()):
    """A Source from {split: paths}."""
    parts = {split: [_read_file(path, header) for path in paths] for split, paths in files.items()}
    return _source(parts, unread)


def _one_of(there, names, what):
    """The first of the names that is there, or the only one there is; SkillkitError where that leaves a choice."""
    chosen = [name for name in names if name in there] or list(there)
    if len(chosen) > 1 and not set(names) & set(there):
        raise SkillkitError(f"{what} ({', '.join(there)}); choose one with config=")
    return chosen[0]


def _source(parts, unread=()):
    """A Source from {split: [(table, class names)]} and the names of what is not read."""
    names = {}
    for split, tables in parts.items():
        for table, more in tables:
            names = more | names
            if other := ", ".join(sorted(map(str, set(table) ^ set(tables[0][0])))):
                raise SkillkitError(
                    f"not all parts of split {split!r} have the columns {other}; make them alike"
                )
    notes = (f"not read: {', '.join(sorted(map(str, unread)))}",) if unread else ()
    joined = lambda tables: pd.concat([table for table, _ in tables], ignore_index=True)
    return Source({split: joined(tables) for split, tables in parts.items()}, names, notes)


def _files_by_split(folder, splits, strict, config, name):
    """({split: data files}, the others): the file itself, or else the folder it lies in, has the split's name."""
    every = _visible(folder)
    files = [file for file in every if _is_data(file) and not _BESIDE.fullmatch(file.name)]
    names = {file: (_SHARD.sub("", name_and_kind(file)[0]), file.parent.name) for file in files}
    names = _of_one_set(names, [config, name], folder)
    called = _names_of_splits(splits, {name for both in names.values() for name in both if name}, strict)
    if not called:
        expected = "expected for instance train.jsonl, validation.csv or test.parquet"
        raise SkillkitError(f"folder {str(folder)!r} holds no data file named by a split; {expected}")
    name_of, place = {}, {}
    for file, both in names.items():
        own = both[0] in called.values()
        if own or both[1] in called.values():
            name_of[file], place[file] = both[not own], file.parent if own else file.parent.parent
    if config == ".":
        place = {file: where for file, where in place.items() if where == Path()}
    _check_folders(place.values(), folder)
    found = {split: [file for file in place if name_of[file] == name] for split, name in called.items()}
    for split, mine in found.items():
        _check_folders((file.parent for file in mine), folder)
        _check_parts(mine, f"split {split!r} of {str(folder)!r}")
    usual = sum(SPLIT_NAMES.values(), ())
    other = lambda file: not _is_data(file) and file.name.split(".")[0] in usual
    unread = [file for file in every if file not in place and (file in files or other(file))]
    return {split: [folder / file for file in mine] for split, mine in found.items() if mine}, unread


def _is_column(values):
    return isinstance(values, list) and not any(isinstance(value, Mapping) for value in values)


def _of_one_set(names, sets, folder):
    """{file: (name, folder)}: of files like justice_train.csv those of one set, called by their splits alone."""
    if any(one in sum(SPLIT_NAMES.values(), ()) for both in names.values() for one in both):
        return names
    ends = {file: _SET_AND_SPLIT.fullmatch(own) for file, (own, _) in names.items()}
    there = dict.fromkeys(found[1] for found in ends.values() if found)
    if not there:
        return names
    chosen = _one_of(there, sets, f"folder {str(folder)!r} holds several sets")
    return {
        file: (found[2], file.parent.name) for file, found in ends.items() if found and found[1] == chosen
    }


def _visible(folder):
    """The files below a folder, none of them hidden or in a hidden folder."""
    every = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return [file for file in every if not any(part.startswith(".") for part in file.parts)]


def _check_folders(places, folder):
    there = sorted({place.as_posix() for place in places})
    if len(there) > 1:
        remedy = "choose one with config=, or leave one"
        raise SkillkitError(f"{str(folder)!r} holds rows in several folders ({', '.join(there)}); {remedy}")


def _check_parts(files, where):
    """SkillkitError for a split in several formats, and where a file is missing among those numbered."""
    if len({name_and_kind(file)[1] for file in files}) > 1:
        there = ", ".join(file.name for file in files)
        raise SkillkitError(f"{where} is there in several formats ({there}); keep one")
    parts = [part for file in files if (part := _SHARD.search(name_and_kind(file)[0])) and part[2]]
    numbers, totals = {int(part[1]) for part in parts}, {part[2] for part in parts}
    if parts and not (len(files) == len(parts) == len(numbers) and len(totals) == 1):
        there = ", ".join(file.name for file in files)
        raise SkillkitError(f"{where} is there more than once ({there}); keep the parts of one set")
    for part in parts:
        first = int(int(part[2]) in numbers)  # the hub counts from 0, others from 1
        for missing in sorted(set(range(first, first + int(part[2]))) - numbers):
            name = f"{part.string[: part.start()]}-{missing:0{len(part[1])}}-of-{part[2]}"
            raise SkillkitError(f"{where} is not whole: {name} is missing; add that file")


def name_and_kind(path):
    """The name of a data file without its suffix, and that suffix.

    >>> name_and_kind(Path("data/train.csv.gz")), name_and_kind(Path("data"))
    (('train', '.csv.gz'), ('data', ''))
    """
    gz = path.suffix if path.suffix.lower() == ".gz" else ""
    plain = Path(path.name.removesuffix(gz))
    return plain.stem, (plain.suffix + gz).lower()


def _is_data(path):
    return name_and_kind(path)[1] in SUFFIXES


def _text(path):
    """The text of a file, gzipped or not; UnicodeDecodeError where it is not UTF-8."""
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw).decode("utf-8-sig")


def _read_file(path, header=None):
    """(table, class names) of one data file."""
    suffix = name_and_kind(path)[1]
    kind = suffix[1:].removesuffix(".gz")
    if suffix not in SUFFIXES:
        expected = ", ".join(SUFFIXES)
        raise SkillkitError(f"{str(path)!r} is not a data file that can be read; use one of {expected}")
    try:
        if kind in ("parquet", "arrow"):
            rows = _arrow(path) if kind == "arrow" else pyarrow.parquet.read_table(path)
            return _table(datasets.Dataset(rows))
        text = _text(path)
        return (_cells(text, kind, header) if kind in ("csv", "tsv") else _json_table(text)), {}
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        where = f"line {line} holds the byte 0x{byte:02x}"
        raise SkillkitError(f"{str(path)!r} is not UTF-8: {where}; save the file as UTF-8") from error
    except (pyarrow.ArrowException, OSError, ValueError, EOFError, zlib.error) as error:
        remedy = _QUOTE if kind in ("csv", "tsv") else "check that it is whole and may be read"
        reason = f"{_first_line(error)}; {remedy}"
        raise SkillkitError(f"{str(path)!r} cannot be read as {kind}: {reason}") from error


def _arrow(path):
    """The table of an Arrow file, or of a stream, which is what `datasets` writes."""
    raw = path.read_bytes()
    opened = pyarrow.ipc.open_file if raw.startswith(b"ARROW1") else pyarrow.ipc.open_stream
    return opened(raw).read_all()


def _cells(text, kind, header=None):
    """The table of a CSV or TSV: strings, empty where a row is short; of equal column names the first counts."""
    numbered = {} if header is None else dict(header=None, skiprows=int(header))
    options = dict(sep="\t", quoting=_tsv_quoting(text)) if kind == "tsv" else {}
    options |= dict(dtype=str, na_filter=False, index_col=False) | numbered
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
        try:
            table = pd.read_csv(io.StringIO(text, newline=""), **options).rename(columns=str)
        except pd.errors.EmptyDataError:
            return pd.DataFrame()
        except pd.errors.ParserWarning:
            raise ValueError("its rows have more fields than its header") from None
    # pandas joins what follows a closing quote to the field.
    if kind == "csv" and (broken := re.search(r'(?<![^,\r\n])".{,30}', _QUOTED.sub("", text))):
        raise ValueError(f"a field goes on after its closing quote: {broken[0]}")
    return table


def _tsv_quoting(text):
    """TSV comes with quoted fields or, like GLUE's, with quotes that are characters."""
    widths = {line.count("\t") for line in text.split("\n") if line.strip()}
    quoted = _RAGGED if len(widths) > 1 else _EVEN
    return csv.QUOTE_NONE if '"' in quoted.sub("", text) else csv.QUOTE_MINIMAL


def _tables_in(path):
    """{name: DataFrame} of a JSON object of lists of rows, as AdvGLUE's file is; {} of any other file."""
    try:
        text = _text(path) if name_and_kind(path)[1].startswith(".json") else ""
        held = json.loads(text) if text.lstrip().startswith("{") else {}
    except (OSError, ValueError, EOFError, zlib.error):  # read and named below
        return {}
    rows = isinstance(held, dict) and held and all(isinstance(one, list) and one for one in held.values())
    rows = rows and all(isinstance(row, dict) for one in held.values() for row in one)
    return {name: pd.DataFrame(one, dtype=object) for name, one in held.items()} if rows else {}


def _json_table(text):
    """The table of a JSON array of objects, or of one object per line (U+2028 does not end a line)."""
    array = text.lstrip().startswith("[")
    rows = []
    for number, line in enumerate([text] if array else re.split("\r\n?|\n", text), start=1):
        line = line.strip("\ufeff \t\r\n")
        try:
            rows += [json.loads(line)] if line else []
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is not JSON ({error.msg})") from error
    rows = rows[0] if array else rows
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is not a JSON object with named columns")
    return pd.DataFrame(rows, dtype=object)


def _table(rows):
    """(DataFrame, class names) of a Dataset or DataFrame; a ClassLabel's number is a place in its own names."""
    if isinstance(rows, pd.DataFrame):
        rows = rows.loc[:, ~rows.columns.duplicated()].rename(columns=str)
        classes = {name: kind.categories for name, kind in rows.dtypes.items() if hasattr(kind, "categories")}
        return rows.astype(object), {name: tuple(map(str, own)) for name, own in classes.items()}
    given = rows if isinstance(rows, list) and rows else [None]
    if isinstance(rows, Mapping) or all(isinstance(row, Mapping) for row in given):
        try:
            return pd.DataFrame(rows, dtype=object).rename(columns=str), {}
        except ValueError as error:
            raise SkillkitError(f"these rows are no table ({_first_line(error)}); correct them") from error
    if not isinstance(rows, datasets.Dataset):
        kinds = "a path, a DataFrame, a datasets.Dataset, rows, columns, or a dict of these"
        raise SkillkitError(f"rows are {kinds}, not {type(rows).__name__}")
    names = {column: getattr(feature, "names", None) for column, feature in rows.features.items()}
    names, table = {column: tuple(classes) for column, classes in names.items() if classes}, rows.to_pandas()
    for column, classes in names.items():
        table[column] = table[column].map(dict(enumerate(classes)))
    return table, names


def _first_line(error):
    reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return reason.splitlines()[0].removeprefix("Error tokenizing data. C error: ")
