"""The report of a sweep: what its cells say together, and a page for each of them.

>>> write_overview("runs/seeds", "runs/seeds/report")       # doctest: +SKIP
"""

import shutil
from pathlib import Path

import pandas as pd

from skillkit.core.files import read_json, write_text
from skillkit.core.stats import mean_interval
from skillkit.studies.claims import HOLDS, Claim
from skillkit.studies.grid import text
from skillkit.studies.report.repetitions import drawings, with_settings
from skillkit.studies.report.site import templates, unit_facts, write_notebooks
from skillkit.studies.summary import measures, write_summary

PAGES = 100  # notebooks shown in full; failed ones come first


def write_overview(run, site):
    """Write the pages of a sweep's report into the folder `site`; renews the summary as well.

    >>> write_overview("runs/seeds", "runs/seeds/report")       # doctest: +SKIP
    """
    run, site = Path(run), Path(site)
    told = read_json(run / "sweep.json")
    table, numbers = write_summary(run), measures(run)
    for name in ("summary.csv", "summary.parquet"):
        shutil.copy(run / name, site)
    units = [unit_facts(run / cell["folder"], cell["folder"].replace("/", "_")) for cell in told["cells"]]
    pages = templates(told["name"])
    shown = sorted((unit for unit in units if unit["has_page"]), key=lambda unit: unit["state"] != "failed")[
        :PAGES
    ]
    write_notebooks(pages, shown, site)
    names = {unit["name"] for unit in shown}
    page = pages.get_template("sweep.html").render(
        axes={axis: [text(value) for value in values] for axis, values in told["axes"].items()},
        cells=[_cell(cell, unit, names) for cell, unit in zip(told["cells"], units)],
        states=table["state"].value_counts().to_dict(),
        claims=_scoreboard(units, told["cells"]),
        figures=_figures(numbers, site),
        tables=_tables(run, site),
        places=_places(units),
        more=sum(unit["has_page"] for unit in units) - len(shown),
    )
    write_text(site / "index.html", page)


def _cell(cell, unit, names):
    """A row of the table of cells."""
    return unit | {
        "cell": cell["name"],
        "page": f"{unit['name']}.html" if unit["name"] in names else None,
    }


def _scoreboard(units, cells):
    """Every claim at every setting: how many cells say that it holds, and the mean of what they measured."""
    groups = {}
    for unit, cell, setting in zip(units, cells, with_settings(pd.DataFrame(cells))["setting"]):
        for claim in unit["claims"] if unit["state"] == "done" else ():
            groups.setdefault((cell["notebook"], claim["statement"], setting), []).append(claim)
    return [_together(claims, *key) for key, claims in groups.items()]


def _together(claims, notebook, statement, setting):
    measured = [claim["measured"] for claim in claims if isinstance(claim["measured"], int | float)]
    mean = mean_interval(measured) if measured else (None, None, None)
    if len(claims) == 1:  # nothing to average: the interval that the cell found itself
        mean = tuple(claims[0][part] for part in ("measured", "low", "high"))
    one = Claim(statement, claims[0]["paper"], claims[0]["published"], *mean)
    return {
        "notebook": notebook,
        "statement": statement,
        "setting": setting,
        "paper": one.paper,
        "published_text": one.published_text,
        "measured_text": one.measured_text,
        "holds": {word: sum(claim["holds"] == word for claim in claims) for word in HOLDS},
    }


def _figures(numbers, site):
    """Draw into the site; returns what the page says about each figure."""
    (site / "figures").mkdir()
    shown = []
    for drawing in drawings(numbers) if len(numbers) else ():
        path = site / "figures" / drawing.name
        drawing.figure.savefig(path.with_suffix(".png"))
        drawing.data.to_csv(path.with_suffix(".csv"), index=False)
        shown.append({"caption": drawing.caption, "href": f"figures/{drawing.name}"})
    return shown


def _tables(run, site):
    """Copy the stacked tables; returns their places with the number of their rows."""
    if (run / "tables").exists():
        shutil.copytree(run / "tables", site / "tables")
    return [
        {"href": str(path.relative_to(site)), "rows": len(pd.read_csv(path))}
        for path in sorted((site / "tables").glob("*/*.csv"))
    ]


def _places(units):
    """Where the cells were computed, each different provenance once, with the number of its cells."""
    found = {}
    for unit in units:
        if unit["provenance"]:
            found.setdefault(str(unit["provenance"]), [unit["provenance"], 0])[1] += 1
    return list(found.values())
