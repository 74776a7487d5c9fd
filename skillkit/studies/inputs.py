"""The files and folders that parameters name: data, task files and what they point to, models, facts.

>>> contents({"backbone": "embedded/bert", "tasks": ["world/movies"]}, Path.cwd()).keys()
dict_keys(['embedded/bert (1)'])
"""

import functools
import os
from pathlib import Path

from huggingface_hub.constants import HF_HUB_CACHE

from skillkit.core.checkpoints import CARRIED, find_checkpoint
from skillkit.core.files import read_yaml
from skillkit.core.hashing import path_hash
from skillkit.core.provenance import PACKAGE

_ROOT = "data_root"  # a folder of many data sets, of which only those named count


def contents(parameters, cwd, without=()):
    """{name: hash} of what is there under the names among the parameters, wherever in them.

    >>> contents({"tasks": ["reviews.yaml"]}, "params/tasks")  # doctest: +SKIP
    {'reviews.yaml (0)': '…', 'reviews.yaml: reviews.csv (0)': '…'}

    A name may be a path (from `cwd` on), the name of a data set below `data_root` or SKILLKIT_DATA, or a model or a
    data set of the hub, for which its commit in this machine's cache stands. `without` are folders that results are
    written to.
    """
    roots = [Path(root) for root in (parameters.get(_ROOT), os.environ.get("SKILLKIT_DATA")) if root]
    named = {name: value for name, value in parameters.items() if name not in (_ROOT, "out")}
    return dict(_found(named, Path(cwd), [Path(cwd, root.expanduser()) for root in roots], without))


def _found(plain, base, roots, without, within=""):
    """(name, hash) of what the strings in plain data name, and of what the task files among it point to."""
    for text in dict.fromkeys(_texts(plain)):
        known = find_checkpoint(text)  # shipped, or carried by another package
        folder, dataset = _places(text)
        below = [root / folder for root in roots]
        hub = CARRIED[text].hub if text in CARRIED else text
        places = [base / Path(text).expanduser(), *below, *([known] if known else [])]
        places += [_commit("models", hub), _commit("datasets", dataset)]
        for number, place in enumerate(places):
            mark = _mark(place, without)
            if mark:
                yield f"{within}{text} ({number})", mark
            if mark and place.suffix in (".yaml", ".yml") and not within:
                yield from _found(read_yaml(place, words=True), place.parent, roots, without, f"{text}: ")


def _commit(kind, name):
    """The file in this machine's cache of the hub that holds the hash of a commit."""
    return Path(HF_HUB_CACHE, f"{kind}--{name.replace('/', '--')}", "refs", "main")


def _mark(path, without):
    try:
        return path_hash(path.resolve(), without)
    except (OSError, ValueError, RuntimeError):  # no name of a file
        return None


def _texts(value):
    """All strings in plain data but empty ones."""
    if isinstance(value, str):
        return [value] if value else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [text for item in items for text in _texts(item)]


def _places(text):
    """The folder below data_root and the data set of the hub of a task, also of a short name or that of a sub-task."""
    from skillkit.tasks import known_name  # not above, for start-up time

    name = known_name(text) or known_name(text.rpartition("-")[0]) or text
    fields = _registered().get(name, {})
    return fields.get("folder", name), fields.get("hub", name)


@functools.cache
def _registered():
    """{name of a task: its fields}."""
    return read_yaml(PACKAGE / "tasks" / "registry.yaml", words=True)
