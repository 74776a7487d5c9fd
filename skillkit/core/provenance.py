"""Provenance of a result (git revision, versions, machine), and the folders of the package, of runs and of data.

>>> provenance()["versions"]["skillkit"]
'0.1.0'
"""

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import skillkit
from skillkit.core.hashing import content_hash

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
    """Git revision and dirty flag, versions, source hash and machine, as plain values.

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
    paths = sorted(
        [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.yaml")]
    )  # the registry of tasks decides as much as code
    files = [(f"{path.relative_to(PACKAGE)}\0", path.read_bytes()) for path in paths]
    return content_hash(*(part for file in files for part in file))[:16]


@functools.lru_cache
def _versions():
    own = {"skillkit": skillkit.__version__, "python": platform.python_version()}
    return own | {name: metadata.version(name) for name in PACKAGES}


@functools.lru_cache
def _git():
    """Revision of the repository the package stands in; a repository that merely surrounds it is not ours."""
    top = _ask_git("rev-parse", "--show-toplevel")
    revision = _ask_git("rev-parse", "HEAD")
    if not revision or Path(top).resolve() != PACKAGE.parent:
        return None
    return {"revision": revision, "dirty": bool(_ask_git("status", "--porcelain"))}


def _ask_git(*words):
    command = ["git", "-C", str(PACKAGE.parent), *words]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        return subprocess.check_output(
            command, env=environment, text=True, timeout=20, stderr=subprocess.DEVNULL
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return None
