"""Room on the disk: artifacts and runs, listed by kind, age and size, and removed after a question.

>>> clean(kinds=["run"], older="30d", larger=None, sure=False)      # lists them and asks
0 of ...
0
"""

import re
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from skillkit.core import store
from skillkit.core.errors import SkillkitError
from skillkit.core.files import writing
from skillkit.core.provenance import runs_folder
from skillkit.studies.params import unknown

_MARKS = {"study.json": "run", "sweep.json": "sweep", "comparison.json": "comparison"}
_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"K": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Thing:
    """An artifact or a run on the disk: kind, name, folder, time of its last change, bytes.

    >>> [thing.kind for thing in things() if thing.name.endswith("seeds")]
    ['sweep']
    """

    kind: str
    name: str
    folder: Path
    changed: float
    size: int


def clean(kinds=(), older=None, larger=None, sure=False):
    """List what fits all conditions and remove it, if the answer is yes; without a condition nothing is removed.

    >>> clean(["run"], older="30d")
    0 of ...
    0

    kinds: of artifacts (`prompt`, …), or run, sweep, comparison, notebook (a notebook's results outside runs).
    older: like 12h, 30d, 8w. larger: like 500K, 20M, 1G. sure: do not ask. Returns the exit status. What a
    process is just writing stays. Raises SkillkitError for a condition that cannot be read.
    """
    all_things = things()
    for kind in set(kinds) - {thing.kind for thing in all_things}:
        raise SkillkitError(
            unknown(None, "there is nothing of kind", kind, {thing.kind for thing in all_things})
        )
    before = time.time() - _amount(older, _SECONDS, "--older") if older else float("inf")
    least = _amount(larger, _BYTES, "--larger") if larger else -1
    chosen = [
        thing for thing in all_things
        if (not kinds or thing.kind in kinds) and thing.changed < before and thing.size > least
    ]  # fmt: skip
    for thing in chosen:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(thing.changed))
        print(f"{thing.name:<50} {day} {_told(thing.size):>12}")
    line = f"{len(chosen)} of {len(all_things)}, {_told(sum(thing.size for thing in chosen))}"
    if not (kinds or older or larger) or not chosen:
        print(f"{line}; choose with --kind, --older or --larger what to remove")
    elif sure or _yes(f"{line}; remove? [y/N] "):
        kept = [thing.name for thing in chosen if not _remove(thing)]
        print(f"removed {len(chosen) - len(kept)}" + f"; in use, kept: {', '.join(kept)}" * bool(kept))
    else:
        print("nothing removed")
    return 0


def things():
    """Every artifact of the store and every run, oldest first.

    >>> sorted({thing.kind for thing in things()})
    [...]
    """
    found = [("artifact", folder) for folder in store.find()]
    for folder in runs_folder().glob("*/"):
        found += [(kind, folder) for mark, kind in _MARKS.items() if (folder / mark).exists()]
    found += [("notebook", path.parent) for path in runs_folder().glob("notebooks/*/contents.json")]
    return sorted((_thing(kind, folder) for kind, folder in found), key=lambda thing: thing.changed)


def _thing(kind, folder):
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    kind = folder.parent.name if kind == "artifact" else kind
    name = f"{kind}/{folder.name}" if store.root() in folder.parents else str(folder)
    return Thing(
        kind, name, folder, max(file.st_mtime for file in files), sum(file.st_size for file in files)
    )


def _remove(thing):
    """Remove a thing unless somebody works on it; whether it is gone."""
    with ExitStack() as stack, writing(thing.folder, "see who may write there"):
        try:
            for lock in _locks(thing):
                stack.enter_context(FileLock(lock, timeout=0))
        except Timeout:
            return False
        gone = thing.folder.with_name(f".{thing.folder.name}.removed")  # at once, so that nobody reads a half
        thing.folder.rename(gone)
        shutil.rmtree(gone)
    return True


def _locks(thing):
    """The locks that whoever writes there holds: of the artifact, or of every notebook of the run."""
    if store.root() in thing.folder.parents:
        return [store.root() / ".locks" / thing.name.replace("/", "-")]
    return list(thing.folder.rglob(".*.lock"))


def _told(size):
    """Bytes for people; a prompt is a few kB."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _yes(question):
    if not sys.stdin.isatty():
        raise SkillkitError(
            f"{question.split(';')[0]} fit; without a terminal to ask on, give --yes to remove them"
        )
    return input(question).strip().lower() in ("y", "yes")


def _amount(word, units, option):
    """30d or 20M as a number of seconds or bytes."""
    found = re.fullmatch(rf"(\d+(?:\.\d+)?)([{''.join(units)}])", word)
    if not found:
        like = f"30{list(units)[1]}"
        raise SkillkitError(
            f"{option} takes a number with one of {', '.join(units)}, like {like}, not {word!r}"
        )
    return float(found[1]) * units[found[2]]
