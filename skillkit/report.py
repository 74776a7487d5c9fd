"""The report of a run: an offline site of plain HTML, without scripts and without requests.

>>> build_report("runs/embedded")
PosixPath('runs/embedded/report/index.html')

An index with the scoreboard of claims, the gallery of figures, tables, parameters and provenance; and a page
for each notebook with its code folded. Everything is copied into the folder `report`, which may be moved or
sent.
"""

import csv
import os
import re
import shutil
import time
from pathlib import Path

from jinja2 import Environment, PackageLoader

from skillkit import params
from skillkit.claims import Claim
from skillkit.errors import SkillkitError
from skillkit.files import read_json, write_text, writing
from skillkit.provenance import provenance

PREVIEW = 12  # rows of a table shown on the index; the CSV has all of them


def build_report(run):
    """Write the report of a run's folder; returns the path of its first page.

    >>> build_report("runs/embedded")
    PosixPath('runs/embedded/report/index.html')

    Failed and unfinished notebooks are shown as such. Raises SkillkitError when the folder is no run.
    """
    run = Path(run)
    study = read_json(run / "study.json")
    if not study:
        raise SkillkitError(
            f"{run} is no run (it has no study.json); give the folder that `run` wrote, like runs/embedded"
        )
    units = [_unit(run / name) for name in study["notebooks"]]
    temporary = run / ".report.tmp"
    with writing(run, "make room"):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        _write_pages(study["name"], units, temporary)
        shutil.rmtree(run / "report", ignore_errors=True)
        os.replace(temporary, run / "report")
    return run / "report" / "index.html"


def _write_pages(name, units, folder):
    pages = Environment(loader=PackageLoader("skillkit"), autoescape=True, trim_blocks=True)
    told = provenance()
    from skillkit.pages import cells, style

    pages.globals |= {
        "name": name,
        "css": style(),
        "made": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC",
        "versions": told["versions"],
        "revision": told["git"] and told["git"]["revision"][:10],
    }
    shown = [unit for unit in units if unit["has_page"]]
    for i, unit in enumerate(shown):
        shutil.copytree(
            unit["folder"], folder / unit["name"], ignore=shutil.ignore_patterns("*.ipynb", "*.json")
        )
        around = {
            "before": shown[i - 1] if i else None,
            "after": shown[i + 1] if i + 1 < len(shown) else None,
        }
        page = pages.get_template("notebook.html").render(
            unit=unit, cells=cells(unit["notebook"], {other["name"] for other in shown}), **around
        )
        write_text(folder / f"{unit['name']}.html", page)
    contents = {
        part: [item for unit in shown for item in unit[part]] for part in ("claims", "figures", "tables")
    }
    write_text(folder / "index.html", pages.get_template("index.html").render(units=units, **contents))


def _unit(folder):
    """What the pages say about one notebook of the run."""
    manifest = read_json(folder / "manifest.json") or {}
    state = manifest.get("state", "unfinished")
    notebook = folder / f"{folder.name}{'.failed' * (state == 'failed')}.ipynb"
    has_page = state in ("done", "failed") and notebook.exists()
    contents = read_json(folder / "contents.json") or {}
    return {
        "name": folder.name,
        "folder": folder,
        "notebook": notebook,
        "has_page": has_page,
        "state": state,
        "title": _title(notebook) if has_page else folder.name,
        "error": (manifest.get("error") or "").split("\n")[0],
        "time": _duration(manifest["seconds"]) if manifest else "",
        "finished": manifest.get("finished", "").replace("T", " ").replace("Z", " UTC"),
        "parameters": _parameters(folder.name, manifest.get("parameters", {})),
        "provenance": _flat(manifest.get("provenance", {})),
        "claims": [_claim(folder.name, claim) for claim in read_json(folder / "claims.json") or []],
        "figures": [_figure(folder.name, figure) for figure in contents.get("figures", [])],
        "tables": [_table(folder, table) for table in contents.get("tables", [])],
    }


def _claim(unit, plain):
    claim = Claim(**plain)
    return plain | {
        "unit": unit,
        "published_text": claim.published_text,
        "measured_text": claim.measured_text,
    }


def _figure(unit, figure):
    files = [{"href": f"{unit}/{file}", "kind": file.rsplit(".", 1)[-1].upper()} for file in figure["files"]]
    return figure | {"unit": unit, "files": files, "picture": files[0]["href"]}


def _table(folder, table):
    (file,) = table["files"]
    with open(folder / file, newline="", encoding="utf-8") as stream:
        head, *rows = list(csv.reader(stream)) or [[]]
    return table | {
        "unit": folder.name,
        "href": f"{folder.name}/{file}",
        "head": head,
        "rows": [[_short(cell) for cell in row] for row in rows[:PREVIEW]],
        "more": max(0, len(rows) - PREVIEW),
    }


def _short(cell):
    """A cell of a CSV for people: three decimals, and no more than a line of text."""
    if re.fullmatch(r"-?\d+\.\d{4,}(e-?\d+)?", cell):
        return f"{float(cell):.4g}"
    return cell if len(cell) <= 120 else cell[:119] + "…"


def _title(notebook):
    """The first heading of a notebook, else its name."""
    for cell in read_json(notebook)["cells"]:
        heading = re.match(r"# +(.+)", "".join(cell["source"])) if cell["cell_type"] == "markdown" else None
        if heading:
            return heading[1].strip()
    return notebook.stem


def _parameters(notebook, given):
    """Name, value and description of every parameter, and whether it is not the default."""
    fields = params.NOTEBOOKS[notebook].model_fields if notebook in params.NOTEBOOKS else {}
    return [
        {
            "name": name,
            "value": "none"
            if value is None
            else ", ".join(map(str, value))
            if isinstance(value, list)
            else value,
            "about": fields[name].description if name in fields else "",
            "changed": name in fields and value != fields[name].default,
        }
        for name, value in given.items()
    ]


def _flat(plain, start=""):
    """Nested provenance as one level: {"git": {"dirty": False}} -> {"git dirty": False}."""
    flat = {}
    for name, value in plain.items():
        flat |= _flat(value, f"{start}{name} ") if isinstance(value, dict) else {start + name: value}
    return flat


def _duration(seconds):
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
