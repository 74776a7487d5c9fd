"""The committed results: what papers state, their figures, and what was measured on several models, as Markdown.

>>> columns = {"small world": ["runs/embedded"], "MiniLM": ["runs/local-sst2", "runs/local-tweets"]}
>>> publish(columns, "results")                    # doctest: +SKIP
[PosixPath('results/README.md'), PosixPath('results/small-world/README.md'), PosixPath('results/minilm/README.md')]

Markdown, so that it shows where the repository is shown. Figures and their numbers are copied, tables are not:
they may hold texts of data sets that are not ours to give away.
"""

import os
import re
import shutil
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader

from skillkit.core.errors import SkillkitError
from skillkit.core.files import inside, own, read_json, read_text, replacing, write_json, write_text, writing
from skillkit.core.names import slugs
from skillkit.studies.claims import expected_false_positives, verdict_counts, with_adjusted
from skillkit.studies.manifest import REMEDY, PublishedStudy
from skillkit.studies.report.run import load_run
from skillkit.studies.report.tables import align, read_table

BEGIN, END = "<!-- scoreboard: made by `python -m skillkit results` -->", "<!-- end of the scoreboard -->"
LONGEST = 40  # characters of a name or a number; what is longer is a text
_KEPT = ("name", "title", "parameters", "claims", "findings", "figures")  # of a chapter, when its run is gone
_PLACES = ("href", "picture", "files")
_PATH = re.compile(r"(?<![\w.])(\.{0,2}/)+([\w.-]+/)*(?=[\w.-])")


def publish(columns, out, readme=None, pages=None):
    """Write a scoreboard of all claims and a page of results for each column; returns their paths.

    >>> publish({"small world": ["runs/embedded"]}, "results")
    [PosixPath('results/README.md'), PosixPath('results/small-world/README.md')]

    columns:  name of a column → folders of runs, or of studies published before ("results/minilm/local-sst2"),
              so that a page can grow study by study. A claim that several runs of a column make (the same chapter on
              another task) is shown from the first of them on the scoreboard, and from each on the column's page.
    readme:   a Markdown file whose part between the two marks `BEGIN` and `END` is replaced by a summary.
    pages:    the columns that get a page, if not all.

    Raises SkillkitError for a folder that is no run, a run with unfinished notebooks, and a readme without marks.
    """
    out, paged = Path(out), [label for label in columns if pages is None or label in pages]
    studies = {label: [_study(run) for run in runs] for label, runs in columns.items()}
    before = readme and _around(readme)
    folders = slugs(paged)
    shared = dict(labels=list(columns), chapters=_chapters(studies), paged=folders)
    made = {out / "README.md": _render("scoreboard.md", **shared)}
    pages = {label: _render("results.md", label=label, studies=studies[label]) for label in paged}
    if before:
        place = Path(os.path.relpath(out, Path(readme).parent)).as_posix()
        summary = _render("summary.md", out=place, **shared).strip()
        made[Path(readme)] = f"{before[0]}{BEGIN}\n{summary}\n{END}{before[1]}"
    with writing(out, REMEDY):
        own(out, REMEDY)
        for label, page in pages.items():
            with replacing(
                out / folders[label], REMEDY
            ) as fresh:  # a study published before is read from the old one
                _copy_figures(studies[label], fresh)
                write_text(fresh / "README.md", page)
        for path, page in made.items():
            write_text(path, page)
    return [out / "README.md", *(out / folders[label] / "README.md" for label in paged), *list(made)[1:]]


def count_verdicts(entries):
    """How many claims hold, as text.

    >>> count_verdicts([{"holds": "yes"}, {"holds": "yes"}, {"holds": "undecided"}, None])
    '2 yes, 1 undecided'
    """
    found = verdict_counts(filter(None, entries))
    return ", ".join(f"{number} {word}" for word, number in found.items()) or "–"


def _study(run):
    """Name and notebooks of a run, all of which must have finished, and what its parameter file says of itself."""
    plain = read_json(Path(run) / "study.json")
    if isinstance(plain, dict) and "units" in plain:  # published before; the run itself may be gone
        read_json(Path(run) / "study.json", PublishedStudy)
        return plain | {"units": [unit | {"folder": inside(run, unit["name"])} for unit in plain["units"]]}
    loaded = load_run(run)
    units = loaded["cells"]
    unfinished = [f"{unit['name']} is {unit['state']}" for unit in units if unit["state"] != "done"]
    if unfinished or loaded["axes"]:
        what = ", ".join(unfinished) or "it is of a grid"
        raise SkillkitError(f"{run}: {what}; give a run without a grid, all of whose notebooks have finished")
    return {"name": loaded["name"], "units": units, "about": loaded["about"]}


def _chapters(studies):
    """[{title, claims: [{statement, published, paper, entries}]}], where columns meet by chapter and statement."""
    units = [[unit for study in column for unit in study["units"]] for column in studies.values()]
    titles = {unit["name"]: unit["title"] for column in reversed(units) for unit in reversed(column)}
    columns = [_stated(column) for column in units]
    rows = align(columns, lambda entry: entry[:2])
    chapters = {name: {"title": titles[name], "claims": []} for name in sorted(titles)}
    for (name, statement), row in rows.items():
        entries = {label: entry and entry[2] for label, entry in zip(studies, row)}
        first = next(entry for entry in entries.values() if entry)
        chapters[name]["claims"].append(first | {"statement": statement, "entries": entries})
    return list(chapters.values())


def _stated(units):
    """[(chapter, statement, claim)]: the model that a statement names goes into its note, so that columns meet;
    further models stay named."""
    found, known = [], set()
    pairs = [(unit["name"], claim) for unit in units for claim in unit["claims"]]
    for (name, _), claim in zip(pairs, with_adjusted([claim for _, claim in pairs]), strict=True):
        statement = claim["statement"]
        named = re.search(r" \(([\w./-]+)\)\.$", statement)
        words = f"{statement[: named.start()]}." if named else statement
        if named and (name, words) not in known:
            claim = claim | {"note": "; ".join(filter(None, [named[1], claim.get("note")]))}
            statement = words
        known.add((name, words))
        found.append((name, statement, claim))
    return found


def _around(readme):
    """What stands in a file before and after the part that is replaced."""
    text = read_text(readme)
    found = re.fullmatch(f"(.*?){re.escape(BEGIN)}.*?{re.escape(END)}(.*)", text, re.DOTALL)
    if not found:
        raise SkillkitError(f"{readme} needs the two lines {BEGIN!r} and {END!r} around the summary")
    return found.groups()


def _copy_figures(column, folder):
    """The pictures and the numbers behind them, below the page of a column, and what the page says of each study."""
    places = slugs(study["name"] for study in column)
    for study in column:
        place = folder / places[study["name"]]
        for unit in study["units"]:
            files = [file["href"] for figure in unit["figures"] for file in figure["files"]]
            for name in (name for name in files if not name.endswith(".svg")):
                source = inside(unit["folder"], name.removeprefix(f"{unit['name']}/"), there=True)
                target = inside(place, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                (_copy_numbers if target.suffix == ".csv" else shutil.copyfile)(source, target)
        units = [{part: unit[part] for part in _KEPT if part in unit} for unit in study["units"]]
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / "study.json", _short(study | {"units": units}))


def _copy_numbers(source, target):
    """Copy a CSV without its columns of whole sentences, which may be texts of a data set."""
    table = read_table(source)
    long = [name for name, column in table.items() if column.astype(str).str.len().max() > LONGEST]
    table.drop(columns=long).to_csv(target, index=False)


def _render(template, **values):
    loader = PackageLoader("skillkit.studies.report")
    pages = Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    pages.globals |= {"counts": count_verdicts, "luck": expected_false_positives, "slugs": slugs}
    pages.filters |= {"cell": _escaped, "short": _short, "quote": quote}
    return pages.get_template(template).render(**values)


def _escaped(text):
    """One line of Markdown that shows a text as it is: no HTML, links, pictures or columns come out of it."""
    line = re.sub(
        r"(?<=\])(?=[(\[:])|(?<=!)(?=\[)|(?=\|)", r"\\", " ".join(str(text).split()).replace("<", "&lt;")
    )
    return re.sub(r"^(?=[#>*=\[]|```|~~~|[+-]\s)", r"\\", line)


def _short(value):
    """A value with names in place of paths, which differ from machine to machine."""
    if isinstance(value, dict):
        return {name: one if name in _PLACES else _short(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_short(one) for one in value]
    return _PATH.sub("", value) if isinstance(value, str) else value
