"""What the sites of runs, sweeps and comparisons are made of: what a run holds, templates, pages of notebooks.

>>> name, units = load_run("runs/embedded")
>>> units[0]["claims"][0]["measured_text"]
'0.900 [0.800, 1.000]'
"""

import csv
import os
import re
import shutil
import time
from pathlib import Path

from jinja2 import Environment, PackageLoader

from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_json, write_text, writing
from skillkit.core.provenance import provenance
from skillkit.studies import params
from skillkit.studies.claims import Claim

PREVIEW = 12  # rows of a table shown on the index; the CSV has all of them


def load_run(run):
    """The name of a run, and what pages say about each of its notebooks, as dicts.

    >>> name, units = load_run("runs/embedded")

    Raises SkillkitError when the folder is no run.
    """
    study = read_json(Path(run) / "study.json")
    if not study:
        raise SkillkitError(
            f"{run} is no run (it has no study.json); give the folder that `run` wrote, like runs/embedded"
        )
    return study["name"], [unit_facts(Path(run) / name) for name in study["notebooks"]]


def write_site(folder, write):
    """Let `write(temporary folder)` write pages, then put them in the place of the old ones.

    >>> write_site("runs/embedded/report", lambda site: write_text(site / "index.html", page))
    PosixPath('runs/embedded/report/index.html')
    """
    folder = Path(folder)
    temporary = folder.with_name(f".{folder.name}.tmp")
    with writing(folder, "make room"):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    return folder / "index.html"


def templates(name):
    """The templates of all pages, with what the pages of one site share.

    >>> templates("embedded").get_template("index.html").render(units=[])
    """
    from skillkit.studies.report.pages import style

    pages = Environment(loader=PackageLoader("skillkit.studies.report"), autoescape=True, trim_blocks=True)
    told = provenance()
    pages.globals |= {
        "name": name,
        "css": style(),
        "made": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC",
        "versions": told["versions"],
        "revision": told["git"] and told["git"]["revision"][:10],
    }
    return pages


def write_notebooks(pages, shown, folder):
    """A page for each notebook, with the files that belong to it.

    >>> write_notebooks(templates("embedded"), [unit for unit in units if unit["has_page"]], site)
    """
    from skillkit.studies.report.pages import cells

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


def unit_facts(folder, name=None):
    """What the pages say about one executed notebook; `name` is that of its page, else that of its folder.

    >>> unit_facts(Path("runs/embedded/01_prompt_tuning"))["state"]
    'done'
    """
    name = name or folder.name
    manifest = read_json(folder / "manifest.json") or {}
    state = manifest.get("state", "unfinished")
    source = manifest.get("notebook", folder.name)
    notebook = folder / f"{source}{'.failed' * (state == 'failed')}.ipynb"
    has_page = state in ("done", "failed") and notebook.exists()
    contents = read_json(folder / "contents.json") or {}
    return {
        "name": name,
        "folder": folder,
        "notebook": notebook,
        "has_page": has_page,
        "state": state,
        "title": _title(notebook) if has_page else name,
        "error": (manifest.get("error") or "").split("\n")[0],
        "time": _duration(manifest["seconds"]) if manifest else "",
        "finished": manifest.get("finished", "").replace("T", " ").replace("Z", " UTC"),
        "parameters": _parameters(source, manifest.get("parameters", {})),
        "provenance": _flat(manifest.get("provenance", {})),
        "claims": [_claim(name, claim) for claim in read_json(folder / "claims.json") or []],
        "figures": [_figure(name, figure) for figure in contents.get("figures", [])],
        "tables": [_table(name, folder, table) for table in contents.get("tables", [])],
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


def _table(unit, folder, table):
    (file,) = table["files"]
    with open(folder / file, newline="", encoding="utf-8") as stream:
        head, *rows = list(csv.reader(stream)) or [[]]
    return table | {
        "unit": unit,
        "href": f"{unit}/{file}",
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
