"""Where an artifact or a run comes from, as text (YAML).

>>> print(show("prompt/3f2a"))                      # doctest: +SKIP
id: prompt/3f2a91…
made: 2026-01-05T10:00:00Z
"""

import io
from pathlib import Path

from ruamel.yaml import YAML

from skillkit.core import store
from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_json
from skillkit.studies.manifest import read_manifest

_OF_NOTEBOOK = ("state", "finished", "seconds", "error", "parameters", "provenance")


def show(what):
    """The provenance of an artifact (its folder, its id or the beginning of it), or a run (its folder) as text.

    >>> print(show("runs/embedded"))

    Raises SkillkitError when there is nothing of that name, or more than one artifact.
    """
    folder = Path(what)
    if any((folder / f"{name}.json").exists() for name in ("study", "sweep")):
        manifest = read_manifest(folder)
        cells, short = manifest["cells"], bool(manifest["axes"])
        shown = {cell["name"]: _notebook(folder / cell["folder"], short) for cell in cells}
        return _text({"study": manifest["name"], "folder": str(folder), "cells": shown})
    if (folder / "manifest.json").exists():
        return _text({folder.name: _notebook(folder)})
    found = [folder] if (folder / "meta.json").exists() else store.find(str(what))
    if not found:
        raise SkillkitError(f"there is no artifact or run {what!r} (artifacts lie in {store.root()})")
    if len(found) > 1:
        some = ", ".join(f"{path.parent.name}/{path.name[:8]}" for path in found[:3])
        raise SkillkitError(f"{what!r} begins {len(found)} artifacts ({some}, …); give more of the id")
    meta, fault = read_json(found[0] / "meta.json"), store.fault(found[0])
    if meta is None:
        raise SkillkitError(f"the artifact {found[0]} is damaged ({fault}); it is computed again when needed")
    first = {name: meta.pop(name) for name in ("id", "made", "seconds")}
    return _text(first | {"damaged": fault} | meta)


def _notebook(folder, short=False):
    """What the manifest of a notebook says; of one among many its state and its folder, which says more."""
    manifest = read_json(folder / "manifest.json")
    if manifest is None:
        return "not finished"
    if short:
        return f"{manifest['state']} {manifest['finished']} {folder}"
    return {name: manifest[name] for name in _OF_NOTEBOOK if manifest[name] is not None}


def _text(plain):
    yaml, stream = YAML(), io.StringIO()
    yaml.width, yaml.default_flow_style = 1000, None
    null = lambda one, _: one.represent_scalar("tag:yaml.org,2002:null", "null")
    yaml.representer.add_representer(type(None), null)
    yaml.dump({name: value for name, value in plain.items() if value is not None}, stream)
    return stream.getvalue().rstrip()
