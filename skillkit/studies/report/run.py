"""What a run holds, read from its folder: the study, and for every cell its state, claims, figures and tables.

>>> run = load_run("runs/embedded")
>>> run["cells"][0]["claims"][0]["measured_text"]
'0.900 [0.800, 1.000]'
"""

import csv
import re
from pathlib import Path

from skillkit.core.files import read_json
from skillkit.studies import params
from skillkit.studies.claims import Claim
from skillkit.studies.manifest import read_manifest
from skillkit.studies.study import as_text

SEEDS = ("seeds", "seed")  # axes whose values are repetitions of the same thing
PREVIEW = 12  # rows of a table that pages show; the CSV has all of them


def load_run(folder):
    """The manifest of a run, its cells with all that pages show of them, as dicts.

    >>> [cell["state"] for cell in load_run("runs/embedded")["cells"]]
    ['done']

    Raises SkillkitError when the folder is no run.
    """
    plain = read_manifest(folder)
    settings = [axis for axis in plain["axes"] if axis not in SEEDS]
    cells = [read_cell(Path(folder) / cell["folder"], cell, settings) for cell in plain["cells"]]
    return plain | {"cells": cells}


def read_cell(folder, cell, settings=()):
    """All that pages show of one executed notebook, `cell` being its entry in the manifest.

    >>> cell = {"name": "01_prompt_tuning", "notebook": "01_prompt_tuning", "folder": "01_prompt_tuning", "point": {}}
    >>> read_cell(Path("runs/embedded/01_prompt_tuning"), cell)["state"]
    'done'
    """
    page, manifest = cell["folder"].replace("/", "_"), read_json(folder / "manifest.json") or {}
    state, contents = manifest.get("state", "unfinished"), read_json(folder / "contents.json") or {}
    notebook = folder / f"{cell['notebook']}{'.failed' * (state == 'failed')}.ipynb"
    has_page = state in ("done", "failed") and notebook.exists()
    place = {axis: as_text(value) for axis, value in cell["point"].items() if axis in settings}
    error, given = manifest.get("error") or "", manifest.get("parameters") or cell.get("parameters", {})
    setting = " ".join(f"{axis}={value}" * (len(settings) > 1) or value for axis, value in place.items())
    title, seconds = _title(notebook) if has_page else cell["name"], manifest.get("seconds")
    facts = {"page": page, "folder": folder, "file": notebook, "has_page": has_page, "state": state}
    facts |= {"title": title, "setting": setting, "error": error.split("\n")[0], "given": given}
    return cell | facts | {
        "seconds": seconds,
        "time": _duration(seconds) if manifest else "",
        "finished": manifest.get("finished", "").replace("T", " ").replace("Z", " UTC"),
        "parameters": _parameters(cell["notebook"], given if manifest else {}),
        "provenance": _flat(manifest.get("provenance", {})),
        "claims": [_claim(page, claim) for claim in read_json(folder / "claims.json") or []],
        "findings": contents.get("findings", []),
        "figures": [_figure(page, figure) for figure in contents.get("figures", [])],
        "tables": [preview(folder, table, page) for table in contents.get("tables", [])],
    }  # fmt: skip


def preview(folder, table, page):
    """An entry of contents.json about a table, with the first rows of its file.

    >>> preview(Path("dir"), {"name": "scores", "files": ["scores.csv"]}, "02_probing")["more"]       # doctest: +SKIP
    8
    """
    (file,) = table["files"]
    with open(folder / file, newline="", encoding="utf-8") as stream:
        head, *rows = list(csv.reader(stream)) or [[]]
    shown = [[_short(value) for value in row] for row in rows[:PREVIEW]]
    more = max(0, len(rows) - PREVIEW)
    return table | {"unit": page, "href": f"{page}/{file}", "head": head, "rows": shown, "more": more}


def _claim(page, plain):
    if plain["holds"] == "no":  # as runs of version 0.1 wrote it, without saying which of the two words it is
        plain = plain | {"holds": "undecided"}
    claim = Claim(**plain)
    texts = {"published_text": claim.published_text, "measured_text": claim.measured_text}
    return claim.plain() | {"unit": page} | texts


def _figure(page, figure):
    files = [{"href": f"{page}/{file}", "kind": file.rsplit(".", 1)[-1].upper()} for file in figure["files"]]
    return figure | {"unit": page, "files": files, "picture": files[0]["href"]}


def _short(value):
    """A value of a CSV as a page shows it: four digits, and no more than a line of text."""
    if re.fullmatch(r"-?\d+\.\d{4,}(e-?\d+)?", value):
        return f"{float(value):.4g}"
    return value if len(value) <= 120 else value[:119] + "…"


def _title(notebook):
    """The first heading of a notebook, else its name."""
    for cell in read_json(notebook)["cells"]:
        heading = re.match(r"# +(.+)", "".join(cell["source"])) if cell["cell_type"] == "markdown" else None
        if heading:
            return heading[1].strip()
    return notebook.stem


def _parameters(notebook, given):
    """Name, value and description of every parameter, and whether it is not the default."""
    fields = params.model(notebook).model_fields if notebook in params.notebooks() else {}
    return [
        {
            "name": name,
            "value": ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else value,
            "about": fields[name].description if name in fields else "",
            "changed": name in fields and value != fields[name].default,
        }
        for name, value in given.items()
    ]  # fmt: skip


def _flat(plain, start=""):
    """Nested provenance as one level: {"git": {"dirty": False}} -> {"git dirty": False}."""
    flat = {}
    for name, value in plain.items():
        flat |= _flat(value, f"{start}{name} ") if isinstance(value, dict) else {start + name: value}
    return flat


def _duration(seconds):
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
