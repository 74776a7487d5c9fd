"""Atomic writing of text, JSON and folders, in places that are ours; reading of JSON and YAML, which is not trusted.

>>> with writing("runs", "give another folder with --out"):
...     write_json("runs/embedded/study.json", {"name": "embedded"})

A folder is ours, and may be emptied and replaced, where the file `MARK` lies in it, which `own` wrote when it made it.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import BaseConstructor, SafeConstructor

from skillkit.core.errors import SkillkitError, first_mistake, quoted, short
from skillkit.core.hashing import checksum
from skillkit.core.provenance import shared_folder

MARK, SUMS = ".skillkit", "checksums.json"
_OURS = b"Made by skillkit, which may empty, replace and remove this folder.\n"
_SEAL = re.compile(rb'\{\n "sha256": "([0-9a-f]{64})",\n')
_MANY = re.compile(
    r"([-?:!&]\S{0,99}[ \t]+){100}"
)  # blocks within blocks in one line, which take minutes to read
MAX_YAML = 40_000  # characters of a YAML file, and values in it, those of an alias counted each time


def write_json(path, plain, seal=False):
    """Write plain data as readable JSON, under a temporary name first; with a `seal`, `read_json` notices any change.

    >>> write_json(folder / "meta.json", {"seed": 0}, seal=True)
    """
    text = json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
    if seal:
        rest = text.removeprefix("{\n")
        text = f'{{\n "sha256": "{hashlib.sha256(rest.encode()).hexdigest()}",\n{rest}'
    write_text(path, text)


def write_text(path, text):
    """Write a text file, under a temporary name first, so that a killed process leaves the old one.

    >>> write_text(folder / "index.html", page)
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path, content):
    """Write a file of bytes as `write_text` writes one of text.

    >>> write_bytes(folder / "a.bin", b"content")
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path, kind=None, seal=False):
    """The content of a JSON file, or None where there is none.

    >>> read_json("runs/embedded/study.json")["name"]
    'embedded'

    kind:  a pydantic model that the content must fit, and comes back as.
    seal:  whether the file must be as `write_json(…, seal=True)` wrote it, to the byte.

    Raises SkillkitError naming the file where it is not as it should be.
    """
    try:
        raw = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise SkillkitError(f"{short(path)} cannot be read ({short(error)})") from None
    try:
        found = _SEAL.match(raw)
        whole = found and hashlib.sha256(raw[found.end() :]).hexdigest() == found[1].decode()
        if (found or seal) and not whole:
            raise ValueError("it has changed since it was written")
        plain = json.loads(raw.decode("utf-8"))
        if found:
            del plain["sha256"]
        return kind.model_validate(plain) if kind else plain
    except ValidationError as error:
        reason = first_mistake(error)
    except (ValueError, RecursionError) as error:
        reason = short(error)
    raise SkillkitError(f"{path} is damaged ({reason}); make it again, or remove it")


def read_yaml(path, words=False):
    """A YAML 1.2 file as a dict of plain data.

    >>> read_yaml("params/embedded.yaml")["name"]
    'embedded'
    >>> read_yaml("params/tasks/reviews.yaml", words=True)["labels"]
    ['1', '5']

    words: every scalar stays a string. Without it `yes` and `no` are strings all the same, and 1e-3 is a number.
    `$SKILLKIT_SHARED` in a value becomes the folder of local data sets and checkpoints. Raises SkillkitError for a
    file that cannot be read, is no YAML (with the line), gives a key twice, is too large, or holds anything but a
    mapping.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Words if words else _Values
    text = read_text(path)
    try:
        depths = accumulate((letter in "[{") - (letter in "]}") for letter in text)
        if len(text) > MAX_YAML or max(depths, default=0) > 500 or _MANY.search(text):
            raise RecursionError
        plain = yaml.load(text)
        _check_size(plain)
    except RecursionError:
        raise SkillkitError(f"{path} is too large or too deeply nested; write what differs only") from None
    except Exception as error:  # of the library, of many kinds, where a value is not what its tag says
        mark, problem = (getattr(error, name, None) for name in ("problem_mark", "problem"))
        line = f" in line {mark.line + 1}" if mark else ""
        raise SkillkitError(f"{path} is no YAML{line}: {short(problem or error)}") from None
    if not isinstance(plain, dict):
        raise SkillkitError(f"{path} must hold names with values (name: value), not {type(plain).__name__}")
    return plain


def read_text(path):
    """The text of a file in UTF-8, with or without a byte order mark.

    >>> read_text("params/embedded.yaml")[:1]
    '#'

    Raises SkillkitError for a file that cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SkillkitError(f"cannot read {short(path)}: {reason}") from None


def _check_size(plain):
    """RecursionError for plain data of very many or very deep values, counted as often as they are referred to."""
    left, seen = [(plain, 0)], 0
    while left:
        value, depth = left.pop()
        seen += 1
        inner = (
            [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
        )
        if depth > 50 or seen + len(left) + len(inner) > MAX_YAML:
            raise RecursionError
        left += [(one, depth + 1) for one in inner]


class _Words(BaseConstructor):
    """Scalars as strings, with the shared folder in place of its variable."""

    def construct_scalar(self, node):
        return super().construct_scalar(node).replace("$SKILLKIT_SHARED", str(shared_folder()))


class _Values(_Words, SafeConstructor):
    """Scalars as numbers, truth values and null where YAML 1.2 has them; dates stay strings."""


_Values.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


@contextmanager
def writing(place, remedy):
    """Turn a full or read-only disk into a SkillkitError of one sentence that ends with the remedy.

    >>> with writing("runs", "give another folder with --out"): ...

    Of several such blocks around each other, the outermost knows best where one was going to write.
    """
    try:
        yield
    except Exception as error:
        first = error.__cause__ if isinstance(error, SkillkitError) and error.__cause__ else error
        refused = isinstance(first, OSError) and not isinstance(first, FileNotFoundError | ConnectionError)
        if refused or type(first).__name__ == "SafetensorError":
            reason = short(getattr(first, "strerror", None) or first)
            raise SkillkitError(
                f"{short(place)} cannot be written ({reason}); free some space, or {remedy}"
            ) from first
        raise


def as_path(given):
    """What is given as the path of a file or a folder; SkillkitError for what cannot be the name of one.

    >>> as_path("runs/mine")
    PosixPath('runs/mine')
    """
    with suppress(TypeError, ValueError):
        path, sizes = Path(given), [len(os.fsencode(part)) for part in Path(given).parts]
        if "\0" not in str(path) and len(str(path)) < 4096 and max(sizes, default=0) < 256:
            return path
    raise SkillkitError(f"{quoted(given)} cannot be the name of a file or a folder")


def own(folder, remedy):
    """Make a folder ours: a new or an empty one gets the mark, one that has it may be used again; returns its path.

    >>> own("out", "give another folder with --out")
    PosixPath('out')

    Raises SkillkitError, and touches nothing, for a folder or file that somebody else has made.
    """
    folder = as_path(folder)
    with writing(short(folder), remedy):
        _look_at(folder, remedy)
        _make(folder)
        if not is_ours(folder):
            (folder / MARK).write_bytes(_OURS)
    return folder


def is_ours(folder):
    """Whether a folder has the mark of what was made here.

    >>> is_ours(own("out", "give another folder"))
    True
    """
    mark = Path(folder) / MARK
    known = hashlib.sha256(_OURS).hexdigest()
    return mark.is_file() and checksum(mark) == known


def remove(folder, remedy="move it away"):
    """Remove a folder that is ours, or empty, if it is there; raises SkillkitError for any other.

    >>> remove(own("out", "give another folder"))
    """
    _look_at(folder, remedy)
    if Path(folder).is_symlink():
        raise SkillkitError(f"{short(folder)} is a link, and stays as it is; {remedy}")
    if os.path.lexists(folder):
        shutil.rmtree(folder)


def _make(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # as in /proc, where nobody can make one
        raise PermissionError(errno.EACCES, "no folder can be made there") from error


def _look_at(folder, remedy):
    """Raise SkillkitError for what is neither ours nor an empty place."""
    empty = Path(folder).is_dir() and all(map(_is_begun, Path(folder).iterdir()))
    if os.path.lexists(folder) and not empty and not is_ours(folder):
        raise SkillkitError(
            f"{short(folder)} holds what was not made by skillkit, and stays as it is; {remedy}"
        )


def _is_begun(path):
    """Whether a file is a mark of ours, or the beginning of one that a full disk or a kill has left."""
    if path.name != MARK or path.is_symlink() or not path.is_file() or path.stat().st_size > len(_OURS):
        return False
    return _OURS.startswith(path.read_bytes())


@contextmanager
def replacing(folder, remedy):
    """A fresh folder that takes the place of `folder`, which must be ours, empty or not there, once the block ends.

    >>> with replacing("out", "give another folder") as fresh: write_json(fresh / "numbers.json", [1])

    Raises SkillkitError as `own` and `writing` do; the old folder is as it was then.
    """
    folder = as_path(folder)
    with writing(short(folder), remedy):
        _look_at(folder, remedy)
        _make(folder.parent)
        fresh = folder.with_name(f".{folder.name}.tmp")
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            remove(fresh)  # of a process that was killed
            try:
                yield own(fresh, remedy)
                remove(folder, remedy)
                os.replace(fresh, folder)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)


def inside(folder, name, there=False):
    """The path of a file that a name stands for, which must lie in the folder, whatever links there are.

    >>> inside("runs", "../secret.csv")
    Traceback (most recent call last):
    skillkit.core.errors.SkillkitError: '../secret.csv' leads out of runs; …
    """
    path = Path(folder, name)
    with suppress(OSError, ValueError, RuntimeError):  # no name of a file
        if path.resolve().is_relative_to(Path(folder).resolve()) and (path.is_file() or not there):
            return path
    what = "is no file in" if there else "leads out of"
    raise SkillkitError(f"{quoted(str(name))} {what} {folder}; what was given is damaged, or not made here")


def checksums(folder):
    """{name: sha256} of all files below a folder but links and marks.

    >>> checksums("params").keys() >= {"embedded.yaml"}
    True
    """
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(folder)): checksum(path) for path in files if path.name != MARK}


def changed(folder, sums):
    """The first file whose checksum is no longer that of before, or None.

    >>> changed("params", checksums("params"))
    """
    return next((name for name, before in sums.items() if checksum(inside(folder, name)) != before), None)


def check_sums(folder):
    """Raise SkillkitError where a file has changed that `filling(…, sums=True)` has written.

    >>> check_sums("dir")
    """
    if lost := changed(folder, read_json(Path(folder) / SUMS) or {}):
        raise SkillkitError(
            f"{lost} in {short(folder)} has changed since it was saved; save it again, or remove {SUMS}"
        )


@contextmanager
def filling(folder, remedy, sums=False):
    """A fresh folder, whose files go into `folder` once all are written; what else lies there stays.

    >>> with filling("mine", "choose another place") as fresh: write_json(fresh / "config.json", {})

    Raises SkillkitError as `writing` does; nothing in `folder` has changed then.
    """
    folder = as_path(folder)
    with writing(folder, remedy):
        _make(folder)
        # Inside: one may not write beside it, and beside it may be another disk.
        with TemporaryDirectory(prefix=".", dir=folder) as fresh:
            yield Path(fresh)
            if sums:  # for `check_sums`
                write_json(Path(fresh) / SUMS, checksums(fresh), seal=True)
            for file in [path for path in Path(fresh).rglob("*") if path.is_file()]:
                target = folder / file.relative_to(fresh)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
