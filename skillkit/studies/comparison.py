"""Runs side by side: their claims, figures, tables, and in what they differ.

>>> compare(["runs/embedded", "runs/roberta-base"])             # doctest: +SKIP
PosixPath('runs/embedded-and-roberta-base/index.html')
"""

import shutil
from pathlib import Path

from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_json, write_json, write_text
from skillkit.studies.report.site import load_run, templates, write_site


def compare(runs, out=None):
    """Write a site that shows several runs side by side; returns its first page.

    >>> compare(["runs/embedded", "runs/roberta-base"], out="comparison")       # doctest: +SKIP
    PosixPath('comparison/index.html')

    out: None for a folder beside the first run. Claims meet by notebook and statement, figures and tables by
    notebook and name. Raises SkillkitError for what is no run, and for a folder that holds something else.
    """
    folders = [Path(run) for run in runs]
    for folder in folders:
        if (folder / "sweep.json").exists():
            raise SkillkitError(
                f"{folder} is a sweep; runs are compared with runs (its report compares its cells)"
            )
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise SkillkitError(f"{' '.join(map(str, folders))}: a run is given twice; give different ones")
    loaded = [load_run(folder) for folder in folders]
    labels = _labels(folders)
    out = Path(out or folders[0].parent / "-and-".join(folder.name for folder in folders))
    if out.exists() and not read_json(out / "comparison.json"):
        raise SkillkitError(f"{out} holds no comparison; give another folder with --out")
    return write_site(out, lambda site: _write(labels, [units for _, units in loaded], site))


def _write(labels, runs, site):
    """The page, and below a folder for each run the figures and tables it shows."""
    for number, units in enumerate(runs):
        for unit in units:
            for part in ("figures", "tables"):
                if (unit["folder"] / part).exists():
                    shutil.copytree(unit["folder"] / part, site / str(number) / unit["name"] / part)
    page = templates(" · ".join(labels)).get_template("comparison.html").render(
        labels=labels,
        claims=_beside(runs, "claims", "statement"),
        figures=_beside(runs, "figures", "name"),
        tables=_beside(runs, "tables", "name"),
        parameters=_different(runs, lambda unit: {one["name"]: one["value"] for one in unit["parameters"]}),
        provenance=_different(runs, lambda unit: unit["provenance"]),
        states=_different(runs, lambda unit: {"state": unit["state"], "time": unit["time"]}),
    )  # fmt: skip
    write_text(site / "index.html", page)
    write_json(site / "comparison.json", {"runs": labels})


def _beside(runs, part, name):
    """[(notebook, name, one entry per run or None)] for everything that some run has."""
    found = {}
    for number, units in enumerate(runs):
        for unit in units:
            for entry in unit[part]:
                row = found.setdefault((unit["name"], entry[name]), [None] * len(runs))
                row[number] = entry
    return [(*key, row) for key, row in found.items()]


def _different(runs, facts):
    """[(notebook, name, value per run)] of the facts that are not the same in all runs."""
    rows = {}
    for number, units in enumerate(runs):
        for unit in units:
            for name, value in facts(unit).items():
                rows.setdefault((unit["name"], name), ["–"] * len(runs))[number] = value
    return [(*key, values) for key, values in rows.items() if any(value != values[0] for value in values)]


def _labels(folders):
    """Short names that tell the runs apart."""
    names = [folder.name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
