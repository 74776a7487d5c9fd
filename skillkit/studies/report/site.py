"""The report of a run, and of several runs beside each other: offline sites of plain HTML, without scripts or requests.

>>> build_report("runs/embedded")
PosixPath('runs/embedded/report/index.html')

An index with the claims, the figures, tables, parameters and provenance; and a page for each notebook with its code
folded. Everything is copied into the folder `report`, which may be moved or sent.
"""

import shutil
import time
from operator import itemgetter
from pathlib import Path

from jinja2 import Environment, PackageLoader

from skillkit.core.errors import SkillkitError
from skillkit.core.files import MARK, inside, replacing, write_json, write_text
from skillkit.core.names import slugs
from skillkit.core.provenance import provenance
from skillkit.studies.claims import expected_false_positives, verdict_counts
from skillkit.studies.report.figures import drawings
from skillkit.studies.report.pages import cells_as_html, stylesheet
from skillkit.studies.report.run import load_run, preview
from skillkit.studies.report.tables import align, claims_by_setting, claims_table, numbers_table, write_tables
from skillkit.studies.timing import duration

MAX_PAGES = 100  # notebooks shown in full; failed ones come first


def build_report(folder):
    """Write the report of a run's folder; returns the path of its first page.

    >>> build_report("runs/embedded")
    PosixPath('runs/embedded/report/index.html')

    Failed and unfinished notebooks are shown as such. Of a grid, claims and figures are over the cells that differ by
    the seed alone. Raises SkillkitError when the folder is no run.
    """
    run = load_run(folder)
    return _write_site(Path(folder) / "report", lambda site: _write_report(Path(folder), run, site))


def compare_runs(folders, out=None):
    """Write a site that shows several runs beside each other; returns its first page.

    >>> compare_runs(["runs/embedded", "runs/roberta-base"], out="comparison")       # doctest: +SKIP
    PosixPath('comparison/index.html')

    out: None for a folder beside the first run. Claims meet by notebook and statement, figures and tables by
    notebook and name. Raises SkillkitError for what is no run, and for a folder that holds something else.
    """
    folders = [Path(folder) for folder in folders]
    runs = [load_run(folder) for folder in folders]
    for folder, run in zip(folders, runs):
        if run["axes"]:
            raise SkillkitError(f"{folder} is of a grid, whose report compares its cells; give other runs")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise SkillkitError(f"{' '.join(map(str, folders))}: a run is given twice; give different ones")
    names = [folder.absolute().name for folder in folders]
    labels = names if len(set(names)) == len(names) else list(map(str, folders))
    out = Path(out or folders[0].absolute().parent / "-and-".join(slugs(names).values())[:100])
    return _write_site(out, lambda site: _write_comparison(labels, [run["cells"] for run in runs], site))


def _write_site(folder, write):
    """Let `write(temporary folder)` write pages, then put them in the place of the old ones."""
    with replacing(folder, "give another folder with --out, or move it away") as fresh:
        write(fresh)
    return folder / "index.html"


def _templates(name):
    """The templates of all pages, with what the pages of one site share."""
    pages = Environment(loader=PackageLoader("skillkit.studies.report"), autoescape=True, trim_blocks=True)
    made, source = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), provenance()
    revision = source["git"] and source["git"]["revision"][:10]
    pages.globals |= {"name": name, "css": stylesheet(), "made": made, "revision": revision}
    pages.globals |= {
        "versions": source["versions"],
        "luck": expected_false_positives,
        "verdicts": verdict_counts,
    }
    return pages


def _write_report(folder, run, site):
    """The index, and a page for each notebook."""
    pages, cells = _templates(run["name"]), run["cells"]
    shown = [cell for cell in cells if cell["has_page"]]
    if run["axes"]:
        shown = sorted(shown, key=lambda cell: cell["state"] != "failed")[:MAX_PAGES]
    _write_notebooks(pages, shown, site)
    contents = _of_grid(folder, cells, site) if run["axes"] else {
        "claims": claims_table(shown),
        "figures": [figure for cell in shown for figure in cell["figures"]],
        "tables": [table for cell in shown for table in cell["tables"]],
    }  # fmt: skip
    made_at = {}
    for cell in (cell for cell in cells if cell["provenance"]):
        made_at.setdefault(str(cell["provenance"]), [cell["provenance"], []])[1].append(cell["name"])
    contents |= {"axes": run["axes"], "cells": cells, "linked": {cell["page"] for cell in shown}}
    contents |= {"chapters": _chapters(cells, contents["claims"])}
    page = pages.get_template("index.html").render(provenance=made_at.values(), **contents)
    write_text(site / "index.html", page)


def _chapters(cells, claims):
    """What the list of contents says of each notebook, whose cells are one, or those of a grid."""
    chapters = {}
    for cell in cells:
        empty = {"name": cell["notebook"], "title": cell["notebook"], "cells": [], "claims": []}
        chapters.setdefault(cell["notebook"], empty)["cells"].append(cell)
    for claim in claims:
        chapters[claim["notebook"]]["claims"].append(claim)
    for chapter in chapters.values():
        of = chapter["cells"]
        titles, seconds = (
            [cell["title"] for cell in of if cell["has_page"]],
            [cell["seconds"] or 0 for cell in of],
        )
        chapter |= {
            "title": [*titles, chapter["title"]][0],
            "time": duration(sum(seconds)) if any(seconds) else "",
        }
        chapter["findings"] = of[0]["findings"]
    return list(chapters.values())


def _of_grid(folder, cells, site):
    """Claims, figures and tables of a grid, over cells; the files are written into the site."""
    write_tables(folder, cells)
    for name in ("summary.csv", "summary.parquet"):
        shutil.copy(folder / name, site)
    if (folder / "tables").exists():
        shutil.copytree(folder / "tables", site / "tables", ignore=shutil.ignore_patterns(MARK))
    (site / "figures").mkdir()
    figures, files = [], sorted(path.relative_to(site) for path in (site / "tables").glob("*/*.csv"))
    for drawing in drawings(numbers_table(cells)):
        place = f"figures/{drawing.name}"
        drawing.figure.savefig(site / f"{place}.png")
        drawing.data.to_csv(site / f"{place}.csv", index=False)
        kinds = [{"href": f"{place}.{kind}", "kind": kind.upper()} for kind in ("png", "csv")]
        figures.append({"caption": drawing.caption, "picture": f"{place}.png", "files": kinds})
    entries = [{"name": f"{file.parent.name}: {file.stem}", "files": [str(file)]} for file in files]
    tables = [preview(site, entry, ".") for entry in entries]
    return {"claims": claims_by_setting(cells), "figures": figures, "tables": tables}


def _write_notebooks(pages, shown, site):
    """A page for each notebook, with the files that belong to it."""
    names = {cell["page"] for cell in shown}
    for before, cell, after in zip([None, *shown], shown, [*shown[1:], None]):
        _copy_files(cell, site / cell["page"])
        pictures = {figure["caption"] or figure["name"]: figure["picture"] for figure in cell["figures"]}
        body = cells_as_html(cell["file"], names, pictures)
        page = pages.get_template("notebook.html").render(cell=cell, body=body, before=before, after=after)
        write_text(site / f"{cell['page']}.html", page)


def _copy_files(cell, place):
    """The files of a cell's figures and tables, and no others that may lie there."""
    for entry in [*cell["figures"], *cell["tables"]]:
        hrefs = [file["href"] for file in entry["files"]] if "picture" in entry else [entry["href"]]
        for name in (href.removeprefix(f"{cell['page']}/") for href in hrefs):
            target = inside(place, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(inside(cell["folder"], name, there=True), target)


def _write_comparison(labels, runs, site):
    """The page, and below a folder for each run the figures and tables it shows."""
    for number, cells in enumerate(runs):
        for cell in cells:
            _copy_files(cell, site / str(number) / cell["page"])
    shared = {}
    for part, name in {"claims": "statement", "figures": "name", "tables": "name"}.items():
        entries = [[one for cell in cells for one in cell[part]] for cells in runs]
        shared[part] = align(entries, itemgetter("unit", name))
    facts = {
        "parameters": lambda cell: {one["name"]: one["value"] for one in cell["parameters"]},
        "provenance": lambda cell: cell["provenance"],
        "states": lambda cell: {"state": cell["state"], "time": cell["time"]},
    }
    different = {name: _different(runs, read) for name, read in facts.items()}
    page = _templates(" · ".join(labels)).get_template("comparison.html")
    write_text(site / "index.html", page.render(labels=labels, **shared, **different))
    write_json(site / "comparison.json", {"runs": labels})


def _different(runs, read):
    """{(notebook, name): value per run} of the facts that are not the same in all runs."""
    columns = [[(cell["page"], *fact) for cell in cells for fact in read(cell).items()] for cells in runs]
    rows = align(columns, lambda fact: fact[:2])
    rows = {key: [fact[2] if fact else "–" for fact in row] for key, row in rows.items()}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}
