"""What a run holds, read from its folder: the study, and for every cell its state, claims, figures and tables.

>>> run = load_run("runs/embedded")
>>> run["cells"][0]["claims"][0]["measured_text"]
'0.900 [0.800, 1.000]'
"""

import csv
import re

from skillkit.core.errors import SkillkitError, short
from skillkit.core.files import inside, read_json
from skillkit.studies import params
from skillkit.studies.manifest import Claims, Contents, read_manifest, read_result
from skillkit.studies.study import as_text
from skillkit.studies.timing import duration

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
    cells = [read_cell(inside(folder, cell["folder"]), cell, settings) for cell in plain["cells"]]
    return plain | {"cells": cells}


def read_cell(folder, cell, settings=()):
    """All that pages show of one executed notebook, `cell` being its entry in the manifest.

    >>> read_cell(Path("runs/embedded/01_prompt_tuning"), read_manifest("runs/embedded")["cells"][0])["state"]
    'done'
    """
    page, result = cell["folder"].replace("/", "_"), read_result(folder)
    place = {axis: as_text(value) for axis, value in cell["point"].items() if axis in settings}
    setting = " ".join(f"{axis}={value}" * (len(settings) > 1) or value for axis, value in place.items())
    shown: dict = {"claims": [], "findings": [], "figures": [], "tables": []}
    shown |= {"title": cell["name"], "file": None, "has_page": False}
    if result["state"] in ("done", "failed"):
        try:
            shown |= _shown(
                folder, page, f"{cell['notebook']}{'.failed' * (result['state'] == 'failed')}.ipynb"
            )
        except SkillkitError as error:
            result |= {"state": "damaged", "error": str(error)}
    given = result["parameters"] or cell["parameters"]
    facts = {"page": page, "folder": folder, "setting": setting, "given": given, "state": result["state"]}
    return cell | facts | shown | {
        "error": (result["error"] or "").split("\n")[0],
        "seconds": result["seconds"],
        "time": "" if result["seconds"] is None else duration(result["seconds"]),
        "finished": result["finished"].replace("T", " ").replace("Z", " UTC"),
        "parameters": _parameters(cell["notebook"], result["parameters"]),
        "provenance": _flat(result["provenance"]),
    }  # fmt: skip


def _shown(folder, page, name):
    """Page, claims, figures and tables that the notebook has left, checked."""
    notebook = inside(folder, name)
    place = {"title": _title(notebook), "file": notebook, "has_page": True} if notebook.is_file() else {}
    contents = read_json(folder / "contents.json", Contents) or Contents()
    claims = read_json(folder / "claims.json", Claims) or Claims([])
    return {
        "claims": [_claim(page, claim) for claim in claims.root],
        "findings": contents.findings,
        "figures": [_figure(folder, page, figure.model_dump()) for figure in contents.figures],
        "tables": [preview(folder, table.model_dump(), page) for table in contents.tables],
    } | place


def preview(folder, table, page):
    """An entry of contents.json about a table, with the first rows of its file.

    >>> preview(Path("dir"), {"name": "scores", "files": ["scores.csv"]}, "02_probing")["more"]       # doctest: +SKIP
    8
    """
    file = table["files"][0]
    try:
        with open(inside(folder, file), newline="", encoding="utf-8") as stream:
            head, *rows = list(csv.reader(stream)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SkillkitError(
            f"the table {file} cannot be read ({short(error)}); run the study again"
        ) from None
    shown = [[_short(value) for value in row] for row in rows[:PREVIEW]]
    more = max(0, len(rows) - PREVIEW)
    return table | {"unit": page, "href": f"{page}/{file}", "head": head, "rows": shown, "more": more}


def _claim(page, claim):
    texts = {"published_text": claim.published_text, "measured_text": claim.measured_text}
    return claim.plain() | {"unit": page} | texts


def _figure(folder, page, figure):
    names = [str(inside(folder, file, there=True).relative_to(folder)) for file in figure["files"]]
    files = [{"href": f"{page}/{name}", "kind": name.rsplit(".", 1)[-1].upper()} for name in names]
    return figure | {"unit": page, "files": files, "picture": files[0]["href"]}


def _short(value):
    """A value of a CSV as a page shows it: four digits, and no more than a line of text."""
    if re.fullmatch(r"-?\d+\.\d{4,}(e-?\d+)?", value):
        return f"{float(value):.4g}"
    return value if len(value) <= 120 else value[:119] + "…"


def _title(notebook):
    """The first heading of a notebook, else its name."""
    for cell in params.read_cells(notebook):
        heading = re.match(r"# +(.+)", cell.text) if cell.cell_type == "markdown" else None
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
