"""Where a result comes from: revision, versions, machine; and where results go.

>>> provenance()["versions"]["skillkit"]
'0.1.0'
"""

import functools
import hashlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import skillkit

PACKAGE = Path(skillkit.__file__).resolve().parent
CHECKPOINTS = PACKAGE / "small_world" / "checkpoints"  # the models that come with the package
PACKAGES = ("torch", "transformers", "datasets", "safetensors", "numpy", "peft")


def runs_folder():
    """Folder of all runs and of the store: SKILLKIT_RUNS, else `runs` beside the notebooks, else `runs` here.

    >>> runs_folder()
    PosixPath('...runs')
    """
    if os.environ.get("SKILLKIT_RUNS"):
        return Path(os.environ["SKILLKIT_RUNS"])
    return (PACKAGE.parent if (PACKAGE.parent / "notebooks").is_dir() else Path()) / "runs"


def shared_folder():
    """Folder of local data sets and checkpoints: SKILLKIT_SHARED, else `shared` beside the repository.

    >>> shared_folder().name
    'shared'
    """
    return Path(os.environ.get("SKILLKIT_SHARED") or PACKAGE.parent.parent / "shared").absolute()


def provenance():
    """What made a result, as plain values: git revision and dirty flag, versions, source hash, machine.

    >>> provenance()["git"]
    {'revision': '...', 'dirty': ...}

    `git` is None where the package does not stand in its own repository.
    """
    return {
        "git": _git(),
        "versions": dict(_versions()),
        "source": source_hash(),
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": usable_cores()},
    }


def usable_cores():
    """How many processor cores this process may use.

    >>> usable_cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.lru_cache
def source_hash():
    """Hash of the package's own code: changes when anything that a notebook calls may have changed.

    >>> len(source_hash())
    16
    """
    total = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        total.update(str(path.relative_to(PACKAGE)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


@functools.lru_cache
def _versions():
    found = {"skillkit": skillkit.__version__, "python": ".".join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.lru_cache
def _git():
    """Revision of the repository the package stands in; a repository that merely surrounds it is not ours."""
    top = _ask_git("rev-parse", "--show-toplevel")
    revision = _ask_git("rev-parse", "HEAD")
    if not revision or Path(top).resolve() != PACKAGE.parent:
        return None
    return {"revision": revision, "dirty": bool(_ask_git("status", "--porcelain"))}


def _ask_git(*words):
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(
            ["git", "-C", str(PACKAGE.parent), *words],
            capture_output=True,
            text=True,
            timeout=20,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
