"""Atomic writing of text, JSON and folders; reading of JSON and YAML.

>>> with writing("runs", "give another folder with --out"):
...     write_json("runs/embedded/study.json", {"name": "embedded"})
"""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ruamel.yaml import YAML
from ruamel.yaml.constructor import BaseConstructor, SafeConstructor
from ruamel.yaml.error import YAMLError

from skillkit.core.errors import SkillkitError
from skillkit.core.provenance import shared_folder


def write_json(path, plain):
    """Write plain data as readable JSON, under a temporary name first.

    >>> write_json(folder / "meta.json", {"seed": 0})
    """
    write_text(path, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")


def write_text(path, text):
    """Write a text file, under a temporary name first, so that a killed process leaves the old one.

    >>> write_text(folder / "index.html", page)
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path):
    """The content of a JSON file, or None when it is missing or damaged.

    >>> read_json("runs/embedded/study.json")["name"]
    'embedded'
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_yaml(path, words=False):
    """A YAML 1.2 file as a dict of plain data.

    >>> read_yaml("params/embedded.yaml")["name"]
    'embedded'
    >>> read_yaml("params/tasks/reviews.yaml", words=True)["labels"]
    ['1', '5']

    words: every scalar stays a string. Without it `yes` and `no` are strings all the same, and 1e-3 is a number.
    `$SKILLKIT_SHARED` in a value becomes the folder of local data sets and checkpoints. Raises SkillkitError for a
    file that cannot be read, is no YAML (with the line), gives a key twice, or holds anything but a mapping.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Words if words else _Values
    try:
        plain = yaml.load(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SkillkitError(f"cannot read {path}: {reason}") from None
    except YAMLError as error:
        mark, problem = (getattr(error, name, None) for name in ("problem_mark", "problem"))
        line = f" in line {mark.line + 1}" if mark else ""
        raise SkillkitError(f"{path} is no YAML{line}: {problem or str(error).splitlines()[0]}") from None
    if not isinstance(plain, dict):
        raise SkillkitError(f"{path} must hold names with values (name: value), not {type(plain).__name__}")
    return plain


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
    """
    try:
        yield
    except Exception as error:
        refused = isinstance(error, OSError) and not isinstance(error, FileNotFoundError | ConnectionError)
        if refused or type(error).__name__ == "SafetensorError":
            reason = getattr(error, "strerror", None) or error
            raise SkillkitError(
                f"{place} cannot be written ({reason}); free some space, or {remedy}"
            ) from error
        raise


@contextmanager
def filling(folder, remedy):
    """A fresh folder, whose files go into `folder` once all are written; what else lies there stays.

    >>> with filling("mine", "choose another place") as fresh: write_json(fresh / "config.json", {})

    Raises SkillkitError as `writing` does; nothing in `folder` has changed then.
    """
    folder = Path(folder)
    with writing(folder, remedy):
        folder.mkdir(parents=True, exist_ok=True)
        # Inside: one may not write beside it, and beside it may be another disk.
        with TemporaryDirectory(prefix=".", dir=folder) as fresh:
            yield Path(fresh)
            for file in [path for path in Path(fresh).rglob("*") if path.is_file()]:
                target = folder / file.relative_to(fresh)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
