"""The manifest of a run: the study's name, axes and cells, in `study.json` of the folder of its results.

>>> read_manifest("runs/embedded")["cells"][0]["folder"]
'01_prompt_tuning'
"""

from pathlib import Path

from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_json, write_json, writing


def write_manifest(folder, study):
    """Write down what a folder is for; the results of another study are not overwritten.

    >>> write_manifest("runs/mine", load_study("params/embedded.yaml"))
    """
    folder = Path(folder)
    with writing(folder, "give another folder with --out"):
        folder.mkdir(parents=True, exist_ok=True)
        before = _read(folder)
        if before and (before["name"], bool(before.get("axes"))) != (study.name, bool(study.axes)):
            raise SkillkitError(f"{folder} holds the study {before['name']!r}; give another with --out")
        other = Path(before["file"]) if before and before.get("file") else None
        if other and other.is_file() and study.path.is_file() and not other.samefile(study.path):
            raise SkillkitError(
                f"{folder} holds the results of {other}; give another folder with --out, or a `name`"
            )
        cells = [
            {"name": cell.name, "notebook": cell.notebook, "folder": cell.folder, "point": cell.point,
             "parameters": cell.parameters.model_dump(exclude={"out"})}
            for cell in study.cells
        ]  # fmt: skip
        plain = {"name": study.name, "file": str(study.path), "axes": study.axes, "cells": cells}
        write_json(folder / "study.json", plain)
        (folder / "sweep.json").unlink(missing_ok=True)


def read_manifest(folder):
    """The manifest of a run as plain data; its cells have name, notebook, folder, point and parameters.

    >>> read_manifest("runs/seeds")["axes"]
    {'tasks': ['movies', 'news'], 'seeds': [0, 1, 2, 3]}

    Manifests of earlier versions are read too. Raises SkillkitError when the folder is no run.
    """
    plain = _read(Path(folder))
    if not plain or "units" in plain:
        raise SkillkitError(f"{folder} is no run; give the folder that `run` wrote, like runs/embedded")
    names, empty = plain.get("notebooks", ()), {"point": {}, "parameters": {}}
    cells = [{"name": name, "notebook": name, "folder": name} | empty for name in names]
    return {"file": "", "axes": {}, "cells": cells} | plain


def _read(folder):
    """Before there was one manifest, a grid had one of another name, and a study without a grid listed notebooks."""
    return read_json(folder / "study.json") or read_json(folder / "sweep.json")
