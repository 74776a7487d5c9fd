"""What the cells of a run have measured, as tables: claims, numbers, a row per cell, the notebooks' own tables stacked.

>>> claims_table(load_run("runs/seeds")["cells"])[0]["measured_text"]
'0.900 [0.800, 1.000]'
>>> write_tables("runs/seeds")         # summary.csv, summary.parquet, tables/<notebook>/<table>.csv
"""

from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

from skillkit.core.errors import SkillkitError, short
from skillkit.core.files import inside, replacing, write_bytes, write_text, writing
from skillkit.core.stats import mean_interval
from skillkit.studies.claims import Claim, verdict_counts, with_adjusted
from skillkit.studies.report.run import load_run
from skillkit.studies.study import as_text

MAX_ROWS = 40  # a longer table is no list of metrics; it is among the stacked tables only


def claims_table(cells):
    """All claims of some cells, a dict each: the claim, its figures as text, page, title, notebook and setting.

    >>> [claim["holds"] for claim in claims_table(load_run("runs/seeds")["cells"])]
    ['yes', 'undecided', 'yes', 'undecided', 'undecided']
    """
    from_cell = ("page", "title", "notebook", "setting")
    return with_adjusted([
        claim | {part: cell[part] for part in from_cell} for cell in cells for claim in cell["claims"]
    ])  # fmt: skip


def claims_by_setting(cells):
    """The claims of a grid, those that differ by the seed together: the mean measured, and how many hold.

    >>> claims_by_setting(load_run("runs/seeds")["cells"])[0]["holds"]
    {'yes': 1, 'undecided': 1}
    """
    groups = {}
    for claim in claims_table(_done(cells)):
        groups.setdefault((claim["notebook"], claim["statement"], claim["setting"]), []).append(claim)
    return [_together(claims) for claims in groups.values()]


def align(columns, key):
    """{key: an entry per column, or None}: what several columns of dicts have in common, by a function of an entry.

    >>> align([[{"name": "a"}], [{"name": "a"}, {"name": "b"}]], lambda entry: entry["name"])
    {'a': [{'name': 'a'}, {'name': 'a'}], 'b': [None, {'name': 'b'}]}

    Of several entries with one key in a column the first counts.
    """
    rows = {}
    for number, entries in enumerate(columns):
        for entry in entries:
            row = rows.setdefault(key(entry), [None] * len(columns))
            row[number] = row[number] or entry
    return rows


def numbers_table(cells):
    """A DataFrame of what the cells have measured, a number per row: cell, notebook, setting, kind, label, value.

    >>> numbers_table(load_run("runs/seeds")["cells"]).query("kind == 'claim'")[["setting", "label", "value"]]

    kind: "claim", or "<table>: <column>"; label: the statement, or the words in the table's row.
    """
    names = ("name", "notebook", "setting")
    rows = [{name: cell[name] for name in names} | one for cell in _done(cells) for one in _numbers(cell)]
    return pd.DataFrame(rows, columns=[*names, "kind", "label", "value"])


def summary_table(cells):
    """A DataFrame with a row per cell: state, parameters, claims, metrics.

    >>> summary_table(load_run("runs/seeds")["cells"]).columns[:5].tolist()
    ['cell', 'notebook', 'state', 'seconds', 'error']

    A claim has the columns `<statement>: measured`, `low`, `high`, `holds`, `p`. A metric is a number in a table of
    the notebook; its column is called by table, the words of its row, and column. Lists are written as text.
    """
    table = pd.DataFrame(map(_row, cells))
    for name in table:
        kinds = {type(value) for value in table[name].dropna()}
        if str in kinds and len(kinds) > 1:  # parquet wants one type per column
            table[name] = table[name].map(lambda value: value if pd.isna(value) else str(value))
    return table


def stacked_tables(cells):
    """{(notebook, table): rows of all finished cells}, the cell's place in the grid in the first columns.

    >>> list(stacked_tables(load_run("runs/seeds")["cells"]))
    [('small', 'accuracy'), ('small', 'steps')]
    """
    parts = {}
    for cell in _done(cells):
        for name, rows in _tables(cell).items():
            rows = rows.copy()
            for axis, value in reversed(cell["point"].items()):
                if axis not in rows:
                    rows.insert(0, axis, as_text(value))
            parts.setdefault((cell["notebook"], name), []).append(rows)
    return {key: pd.concat(rows, ignore_index=True) for key, rows in parts.items()}


def write_tables(folder, cells=None):
    """Write the summary of a run as CSV and parquet, and the stacked tables as CSV.

    >>> write_tables("runs/seeds")

    cells: those of `load_run`, where they have been read already.
    """
    folder, cells = Path(folder), cells or load_run(folder)["cells"]
    table = summary_table(cells)
    with writing(folder, "make room"):
        write_text(folder / "summary.csv", table.to_csv(index=False))
        write_bytes(folder / "summary.parquet", table.to_parquet(index=False))
        with replacing(folder / "tables", "move it away") as fresh:
            for (notebook, name), rows in stacked_tables(cells).items():
                place = inside(fresh, f"{notebook}/{name}.csv")
                place.parent.mkdir(exist_ok=True)
                write_text(place, rows.to_csv(index=False))


def _together(claims):
    """One row for claims that differ by the seed alone; of a single one the interval that it found itself."""
    first = claims[0] | {"holds": verdict_counts(claims)}
    if len(claims) == 1:
        return first
    measured = [claim["measured"] for claim in claims if isinstance(claim["measured"], int | float)]
    mean, low, high = mean_interval(measured) if measured else (None, None, None)
    mean_of_all = Claim(first["statement"], first["paper"], measured=mean, low=low, high=high)
    return first | {"measured_text": mean_of_all.measured_text}


def _row(cell):
    """One row of the summary."""
    row = {"cell": cell["name"], "notebook": cell["notebook"], "state": cell["state"]}
    row |= {"seconds": cell["seconds"], "error": cell["error"] or None}
    for name, value in cell["given"].items():
        row[name] = as_text(value) if isinstance(value, list) else value
    if cell["state"] == "done":
        for claim in cell["claims"]:
            parts = ("measured", "low", "high", "holds", "p")
            row |= {f"{claim['statement']}: {part}": claim[part] for part in parts}
        row |= {f"{one['kind']}: {one['label']}".removesuffix(": "): one["value"] for one in _metrics(cell)}
    return row


def _numbers(cell):
    """The measured claims of a cell, and its metrics."""
    pairs = [(claim["statement"], claim["measured"]) for claim in cell["claims"]]
    numbers = [pair for pair in pairs if isinstance(pair[1], int | float)]
    return [{"kind": "claim", "label": label, "value": value} for label, value in numbers] + _metrics(cell)


def _metrics(cell):
    """The numbers in the short tables of a cell; words that its place in the grid says anyway are left out."""
    if "metrics" in cell:
        return cell["metrics"]
    found, known = [], {as_text(value) for value in cell["point"].values()}
    for name, rows in _tables(cell).items():
        words = [column for column in rows if not is_numeric_dtype(rows[column])]
        if len(rows) > MAX_ROWS or rows[words].duplicated().any():
            continue
        for row in rows.to_dict("records"):
            label = ", ".join(str(row[column]) for column in words if str(row[column]) not in known)
            numbers = {
                column: value for column, value in row.items() if column not in words and value == value
            }
            found += [
                {"kind": f"{name}: {column}", "label": label, "value": float(numbers[column])}
                for column in numbers
            ]
    cell["metrics"] = found
    return found


def _done(cells):
    return [cell for cell in cells if cell["state"] == "done"]


def _tables(cell):
    """The tables of a finished cell, by name."""
    if "frames" not in cell:
        paths = {table["name"]: inside(cell["folder"], table["files"][0]) for table in cell["tables"]}
        cell["frames"] = {name: read_table(path) for name, path in paths.items()}
    return cell["frames"]


def read_table(path):
    """The rows of a CSV file, also of an empty one; raises SkillkitError for one that cannot be read.

    >>> read_table("runs/seeds/summary.csv")["state"].tolist()             # doctest: +SKIP
    ['done', 'done']
    """
    try:
        return pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise SkillkitError(f"{short(path)} is no table that can be read ({short(error)})") from None
