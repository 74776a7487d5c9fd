"""The report of a run or sweep: an offline site of plain HTML, without scripts and without requests.

>>> build_report("runs/embedded")
PosixPath('runs/embedded/report/index.html')

An index with the scoreboard of claims, the gallery of figures, tables, parameters and provenance; and a page
for each notebook with its code folded. Everything is copied into the folder `report`, which may be moved or
sent.
"""

from pathlib import Path

from skillkit.core.files import write_text
from skillkit.studies.report.overview import write_overview
from skillkit.studies.report.site import load_run, templates, write_notebooks, write_site


def build_report(run):
    """Write the report of a run's folder; returns the path of its first page.

    >>> build_report("runs/embedded")
    PosixPath('runs/embedded/report/index.html')

    Failed and unfinished notebooks are shown as such. Raises SkillkitError when the folder is no run.
    """
    run = Path(run)
    if (run / "sweep.json").exists():
        return write_site(run / "report", lambda site: write_overview(run, site))
    name, units = load_run(run)
    return write_site(run / "report", lambda site: _write_index(name, units, site))


def _write_index(name, units, folder):
    pages = templates(name)
    shown = [unit for unit in units if unit["has_page"]]
    write_notebooks(pages, shown, folder)
    contents = {
        part: [item for unit in shown for item in unit[part]] for part in ("claims", "figures", "tables")
    }
    write_text(folder / "index.html", pages.get_template("index.html").render(units=units, **contents))
