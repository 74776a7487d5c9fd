"""Files that are whole or not there, and one sentence when a disk refuses.

>>> with writing("runs", "give another folder with --out"):
...     write_json("runs/embedded/study.json", {"name": "embedded"})
"""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from skillkit.core.errors import SkillkitError


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
