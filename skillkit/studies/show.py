"""Where an artifact or a run comes from, as text (YAML).

>>> print(show("prompt/3f2a"))                      # doctest: +SKIP
id: prompt/3f2a91…
made: 2026-01-05T10:00:00Z
"""

import io
from pathlib import Path

from ruamel.yaml import YAML

from skillkit.core import store
from skillkit.core.errors import SkillkitError, quoted
from skillkit.core.files import inside, read_json
from skillkit.studies.manifest import read_manifest, read_result

_OF_NOTEBOOK = ("state", "finished", "seconds", "error", "parameters", "provenance")


def show(what):
    """The provenance of an artifact (its folder, its id or the beginning of it), or a run (its folder) as text.

    >>> print(show("runs/embedded"))

    Raises SkillkitError when there is nothing of that name, or more than one artifact.
    """
    folder = Path(str(what)[:1000])
    if _holds(folder, "study"):
        manifest = read_manifest(folder)
        cells, short = manifest["cells"], bool(manifest["axes"])
        shown = {cell["name"]: _notebook(inside(folder, cell["folder"]), short) for cell in cells}
        return _text({"study": manifest["name"], "folder": str(folder), "cells": shown})
    if _holds(folder, "manifest"):
        return _text({folder.name: _notebook(folder)})
    found = [folder] if _holds(folder, "meta") else store.find(str(what))
    if not found:
        raise SkillkitError(f"there is no artifact or run {quoted(what)} (artifacts lie in {store.root()})")
    if len(found) > 1:
        some = ", ".join(f"{path.parent.name}/{path.name[:8]}" for path in found[:3])
        raise SkillkitError(f"{quoted(what)} begins {len(found)} artifacts ({some}, …); give more of the id")
    fault = store.fault(found[0])
    try:
        meta = read_json(found[0] / "meta.json", store.Meta, seal=True).model_dump()
    except SkillkitError:
        raise SkillkitError(
            f"the artifact {found[0]} is damaged ({fault}); it is computed again when needed"
        ) from None
    first = {name: meta.pop(name) for name in ("id", "made", "seconds")}
    return _text(first | {"damaged": fault} | meta)


def _notebook(folder, short=False):
    """What the manifest of a notebook says; of one among many its state and its folder, which says more."""
    result = read_result(folder)
    if result["state"] == "unfinished":
        return "not finished"
    if short:
        return f"{result['state']} {result['finished']} {folder}"
    return {name: result[name] for name in _OF_NOTEBOOK if result[name] not in (None, "", {})}


def _holds(folder, name):
    try:
        return (folder / f"{name}.json").is_file()
    except (OSError, ValueError):  # no name of a file
        return False


def _text(plain):
    yaml, stream = YAML(), io.StringIO()
    yaml.width, yaml.default_flow_style = 1000, None
    null = lambda one, _: one.represent_scalar("tag:yaml.org,2002:null", "null")
    yaml.representer.add_representer(type(None), null)
    yaml.dump({name: value for name, value in plain.items() if value is not None}, stream)
    return stream.getvalue().rstrip()
