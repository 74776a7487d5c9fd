"""The artifact store: results of functions, computed or loaded, in folders named by all that determines them.

>>> prompt = cached(tune_prompt, bb, task, max_steps=2)     # minutes
>>> prompt = cached(tune_prompt, bb, task, max_steps=2)     # the same call again: milliseconds
>>> find("prompt")
[PosixPath('...')]

A folder `<root>/<kind>/<hash>` holds safetensors, JSON and `meta.json` with the provenance. It is written
under a temporary name and renamed, so what has its final name is complete; a lock lets one process compute
while the others wait for it; checksums tell a damaged folder, which is computed again.
"""

import inspect
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from skillkit.core.errors import SkillkitError
from skillkit.core.files import changed, checksums, is_ours, own, read_json, remove, write_json, writing
from skillkit.core.hashing import abbreviated, device_type, digest, identity
from skillkit.core.provenance import provenance, runs_folder
from skillkit.core.serialization import load_result, save_result

log = logging.getLogger(__name__)
_REMEDY = "set SKILLKIT_STORE to a folder that can be written"
# Seconds that this process computed artifacts, and that those it loaded took when they were computed.
spent = {"computed": 0.0, "loaded": 0.0}
_made = {}  # digest of a result -> id of the artifact that holds it, to name upstream artifacts


class Meta(BaseModel):
    """What `meta.json` of an artifact must hold; there is more.

    >>> Meta(id="prompt/3f2a", key={}, files={}, made="", seconds=1.0).id
    'prompt/3f2a'
    """

    model_config = ConfigDict(strict=True, extra="allow")
    id: str
    key: dict
    files: dict[str, str]
    made: str
    seconds: float


@dataclass(frozen=True)
class Kind:
    """How the results of one function are stored; attached to the function by `artifact`.

    >>> sk.tune_prompt.artifact.name, sk.tune_prompt.artifact.ignore
    ('prompt', ('progress', 'checkpoint'))
    """

    name: str
    version: int
    ignore: tuple[str, ...]
    resolve: Callable[[dict], dict] | None
    complete: Callable[[object, dict], bool] | None


def artifact(kind, version=1, ignore=("progress", "checkpoint"), resolve=None, complete=None):
    """Mark a function whose results may be stored.

    >>> @artifact("prompt", version=1)
    ... def tune_prompt(bb, task, length=16, seed=0, progress=True) -> SoftPrompt:
    ...     return SoftPrompt(torch.zeros(length, bb.hidden_size), "mask-first")

    kind:     name of the folder the results are kept in.
    version:  raise it when the function begins to give other results for the same arguments.
    ignore:   arguments that do not change the result.
    resolve:  function of the bound arguments (a dict) giving a dict of arguments to be replaced by what they
              stand for on this machine, such as the dtype behind "auto".
    complete: function of a stored result and the bound arguments that says whether it holds all they ask for, where
              some ask for more of the same result; one that does not is computed again.

    The return annotation says how a result is stored: a class with `save(folder)` and `load(folder)`, a
    dataclass, or (without annotation too) tensors, tables and plain values nested in dicts, lists and tuples.
    """

    def mark(function):
        function.artifact = Kind(kind, version, tuple(ignore), resolve, complete)
        return function

    return mark


def cached(function, *args, **kwargs):
    """The result of `function(*args, **kwargs)`: loaded when it is stored, else computed and stored.

    >>> probe = cached(sk.probe, bb, task, prompt, split="validation")

    Arguments count by content: what has a `fingerprint` by that (with its dtype and device type), tensors and
    data sets by their values. Where something is attached to a backbone (an open intervention or adapter, a hook),
    the result is computed and not stored, with a warning that names it. The store is the folder that SKILLKIT_STORE
    names, else `runs/store`.

    Raises SkillkitError for a function not marked by `artifact`, for an argument without a content hash, and
    when the store cannot be written.
    """
    if not hasattr(function, "artifact"):
        raise SkillkitError(f"{function.__name__} cannot be cached; mark it with @artifact(kind, version=1)")
    call = _Call(function, args, kwargs)
    if attached := _attached(call.arguments):
        left = "leave the block, or remove it, to use the store"
        warnings.warn(
            f"{function.__name__} is computed and not stored under {', '.join(attached)}; {left}",
            stacklevel=2,
        )
        return call.run()
    result = call.stored()
    if hasattr(result, "fingerprint") or hasattr(result, "dtype"):
        _made[digest(identity(result))] = call.id
    return result


def _attached(value):
    """What is attached to the backbones among arguments, also in lists and dicts."""
    if isinstance(value, dict | list | tuple):
        items = value.values() if isinstance(value, dict) else value
        return list(dict.fromkeys(what for item in items for what in _attached(item)))
    return getattr(value, "attached", None) or []


def root():
    """The store's folder: SKILLKIT_STORE, else `store` in the folder of runs.

    >>> root()
    PosixPath('...store')
    """
    return Path(os.environ.get("SKILLKIT_STORE") or runs_folder() / "store")


def find(start=""):
    """Folders of the stored artifacts whose id (`kind/hash`) begins with `start`.

    >>> find("prompt/3f2a")                       # doctest: +SKIP
    [PosixPath('runs/store/prompt/3f2a…')]
    """
    folders = sorted(meta.parent for meta in root().glob("[!.]*/[!.]*/meta.json"))
    mine = [folder for folder in folders if is_ours(folder) and not folder.is_symlink()]
    return [folder for folder in mine if f"{folder.parent.name}/{folder.name}".startswith(start)]


def fault(folder):
    """What is wrong with an artifact's folder, or None: "absent", or how it is damaged.

    >>> fault(Path("runs/store/prompt/3f2a…"))    # doctest: +SKIP
    'prompt.safetensors has changed'
    """
    try:
        return None if _whole(folder) else "absent"
    except SkillkitError as error:
        return str(error)


def _whole(folder):
    """The `Meta` of an artifact's folder, None where there is no folder; SkillkitError says how it is damaged."""
    if not folder.exists():
        return None
    meta, here = read_json(folder / "meta.json", Meta, seal=True), f"{folder.parent.name}/{folder.name}"
    if not meta or not (meta.id == here == f"{folder.parent.name}/{digest(meta.key)[:32]}"):
        raise SkillkitError("meta.json is lost, or of another artifact")
    if lost := changed(folder, meta.files):
        raise SkillkitError(f"{lost} has changed")
    return meta


class _Call:
    """One call of a marked function: what determines its result, and where that is or will be."""

    def __init__(self, function, args, kwargs):
        self.kind, self.function = function.artifact, function
        self.run = lambda: function(*args, **kwargs)
        bound = inspect.signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        self.asked = dict(bound.arguments)
        arguments = bound.arguments | (self.kind.resolve(dict(bound.arguments)) if self.kind.resolve else {})
        self.arguments = {name: value for name, value in arguments.items() if name not in self.kind.ignore}
        # Ids of before the fingerprint covered the tokenizer, and names counted, cannot be kept honestly: those
        # artifacts may be of another tokenizer or of edited weights, so that they are not found again.
        self.key = {
            "kind": self.kind.name,
            "version": self.kind.version,
            "arguments": {name: identity(value, name) for name, value in self.arguments.items()},
        }
        self.id = f"{self.kind.name}/{digest(self.key)[:32]}"
        self.folder = root() / self.id

    def stored(self):
        """The result, loaded; made first where it is not there, or was removed or replaced while it was read."""
        with suppress(Exception):
            meta = _whole(self.folder)
            result = load_result(self.folder, self.function)
            if self.complete(lambda: result):
                spent["loaded"] += meta.seconds
                return result
        with _lock(self.id):
            self.make()
            return load_result(self.folder, self.function)

    def complete(self, load):
        """Whether a stored result, loaded only where that matters, holds all that the arguments ask for."""
        return not self.kind.complete or self.kind.complete(load(), self.asked)

    def make(self):
        """Run the function, store its result under a temporary name, rename. The caller holds the lock."""
        found = fault(self.folder)
        if found is None and self.complete(lambda: load_result(self.folder, self.function)):
            return  # another process made it while we waited
        if found not in (None, "absent"):
            warnings.warn(f"{self.id} in the store is damaged ({found}); computing it again", stacklevel=3)
        began, before = time.time(), spent["computed"]
        result = self.run()
        seconds = time.time() - began
        spent["computed"] = before + seconds  # what was computed for it is part of it
        temporary = root() / ".tmp" / self.id.replace("/", "-")  # only the holder of the lock writes there
        with _writing():
            try:
                remove(temporary)
                own(temporary, _REMEDY)
                save_result(result, temporary, self.function)
                write_json(temporary / "meta.json", self.meta(seconds, temporary), seal=True)
                if self.folder.exists() and not is_ours(self.folder):  # of an earlier version, or whosesoever
                    self.folder.rename(self.folder.with_name(f".{self.folder.name}.{time.time():.0f}"))
                remove(self.folder)
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                os.replace(temporary, self.folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        log.info("computed %s in %.1f s", self.id, seconds)

    def meta(self, seconds, folder):
        """The content of meta.json."""
        values = self.arguments.values()
        places = [value for value in values if hasattr(value, "device") and hasattr(value, "dtype")]
        return {
            "id": self.id,
            "kind": self.kind.name,
            "version": self.kind.version,
            "function": f"{self.function.__module__}.{self.function.__qualname__}",
            "arguments": {name: abbreviated(value) for name, value in self.arguments.items()},
            "seed": self.arguments.get("seed"),
            "device": device_type(places[0].device) if places else None,
            "dtype": str(self.arguments.get("dtype") or (places[0].dtype if places else None)),
            "upstream": self.upstream(),
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(seconds, 3),
            "provenance": provenance(),
            "key": self.key,
            "files": checksums(folder),
        }

    def upstream(self):
        """Ids of the artifacts among the arguments, also inside lists."""
        arguments = self.key["arguments"].values()
        items = [item for value in arguments for item in (value if isinstance(value, list) else [value])]
        return sorted({_made[key] for key in map(digest, items) if key in _made})


@contextmanager
def _lock(id):
    """Hold the artifact's lock; the kernel frees it when its holder dies, however it dies."""
    folder = root() / ".locks"
    with _writing():
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / id.replace("/", "-"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("another process is computing %s; waiting for it", id)
            lock.acquire()
        _sweep()
    try:
        yield
    finally:
        lock.release()


def _sweep():
    """Remove temporary folders whose maker was killed: those whose lock nobody holds."""
    for left in (root() / ".tmp").glob("*"):
        try:
            with FileLock(root() / ".locks" / left.name, timeout=0):
                remove(left)
        except (
            Timeout,
            RuntimeError,
            SkillkitError,
        ):  # its maker is at work, perhaps this very thread; or no maker
            continue


def _writing():
    return writing(f"the store {root()}", _REMEDY)
