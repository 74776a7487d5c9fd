"""Space on the disk: artifacts and runs, listed by kind, age and size, and removed after a question.

>>> remove_results(kinds=["run"], older="30d")      # lists them and asks
0 of ...
0
"""

import re
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from skillkit.core import store
from skillkit.core.errors import SkillkitError, quoted
from skillkit.core.files import is_ours, remove, writing
from skillkit.core.provenance import runs_folder
from skillkit.studies.manifest import read_manifest
from skillkit.studies.params import unknown

_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"K": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Stored:
    """An artifact or a run on the disk: kind, name, folder, time of its last change, bytes.

    >>> [one.kind for one in list_stored() if one.name.endswith("seeds")]
    ['sweep']
    """

    kind: str
    name: str
    folder: Path
    changed: float
    size: int


def remove_results(kinds=(), older=None, larger=None, sure=False):
    """List what fits all conditions and remove it, if the answer is yes; without a condition nothing is removed.

    >>> remove_results(["run"], older="30d")
    0 of ...
    0

    kinds: of artifacts (`prompt`, …), or run, sweep, comparison, notebook (a notebook's results outside runs).
    older: like 12h, 30d, 8w. larger: like 500K, 20M, 1G. sure: do not ask. Returns the exit status. What a
    process is just writing stays. Raises SkillkitError for a condition that cannot be read.
    """
    everything = list_stored()
    known = {one.kind for one in everything}
    for kind in set(kinds) - known:
        raise SkillkitError(unknown("there is nothing of kind", kind, known))
    before = time.time() - _amount(older, _SECONDS, "--older") if older else float("inf")
    least = _amount(larger, _BYTES, "--larger") if larger else -1
    fits = lambda one: (not kinds or one.kind in kinds) and one.changed < before and one.size > least
    chosen = list(filter(fits, everything))
    for one in chosen:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.changed))
        print(f"{one.name:<50} {day} {_bytes(one.size):>12}")
    line = f"{len(chosen)} of {len(everything)}, {_bytes(sum(one.size for one in chosen))}"
    if not (kinds or older or larger) or not chosen:
        print(f"{line}; choose with --kind, --older or --larger what to remove")
    elif sure or _yes(f"{line}; remove? [y/N] "):
        kept = [one.name for one in chosen if not _remove(one)]
        print(f"removed {len(chosen) - len(kept)}" + f"; in use, kept: {', '.join(kept)}" * bool(kept))
    else:
        print("nothing removed")
    return 0


def list_stored():
    """Every artifact of the store and every run, oldest first.

    >>> sorted({one.kind for one in list_stored()})
    [...]
    """
    own = lambda pattern: [
        path for path in runs_folder().glob(pattern) if is_ours(path) and not path.is_symlink()
    ]
    found = [(folder.parent.name, folder) for folder in store.find()]
    found += [(_kind(folder), folder) for folder in own("[!.]*")]
    found += [("notebook", folder) for folder in own("notebooks/[!.]*")]
    stored = [_stored(kind, folder) for kind, folder in found if kind]
    return sorted(filter(None, stored), key=lambda one: one.changed)


def _kind(folder):
    """What a folder of results is, or None."""
    if (folder / "comparison.json").exists():
        return "comparison"
    with suppress(SkillkitError):  # one that is damaged can be removed all the same
        return "sweep" if read_manifest(folder)["axes"] else "run"
    return "run" if (folder / "study.json").exists() else None


def _stored(kind, folder):
    try:
        files = [path.lstat() for path in folder.rglob("*") if not path.is_dir()] or [folder.lstat()]
    except FileNotFoundError:  # it is just being removed or written
        return None
    name = f"{kind}/{folder.name}" if store.root() in folder.parents else str(folder)
    return Stored(kind, name, folder, max(one.st_mtime for one in files), sum(one.st_size for one in files))


def _remove(one):
    """Remove a thing unless a process is writing it; returns whether it is gone."""
    with ExitStack() as stack, writing(one.folder, "see its permissions"):
        try:
            for lock in _locks(one):
                stack.enter_context(FileLock(lock, timeout=0))
        except Timeout:
            return False
        gone = one.folder.with_name(f".{one.folder.name}.removed")
        remove(gone)
        with suppress(FileNotFoundError):  # another process removed it
            one.folder.rename(gone)  # at once, so that no process reads half of it
        remove(gone)
    return True


def _locks(one):
    """The locks of what is being written there: the artifact, or every notebook of the run."""
    if store.root() in one.folder.parents:
        return [store.root() / ".locks" / one.name.replace("/", "-")]
    return list(one.folder.rglob(".*.lock"))


def _bytes(size):
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _yes(question):
    if not sys.stdin.isatty():
        fitting = question.split(";")[0]
        raise SkillkitError(f"{fitting} fit; without a terminal to ask on, give --yes to remove them")
    return input(question).strip().lower() in ("y", "yes")


def _amount(word, units, option):
    """30d or 20M as a number of seconds or bytes."""
    found = re.fullmatch(rf"(\d+(?:\.\d+)?)([{''.join(units)}])", word)
    if not found:
        names, like = ", ".join(units), f"30{list(units)[1]}"
        raise SkillkitError(f"{option} takes a number with one of {names}, like {like}, not {quoted(word)}")
    return float(found[1]) * units[found[2]]
