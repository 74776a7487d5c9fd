"""What a sweep has measured, as tables: a row per cell, and each notebook's own tables stacked.

>>> summary("runs/seeds")[["seeds", "state", "seconds"]]
>>> write_summary("runs/seeds")        # summary.csv, summary.parquet, tables/<notebook>/<table>.csv
"""

import os
import shutil
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

from skillkit.core.files import read_json, write_text, writing
from skillkit.studies.grid import text

ROWS = 40  # a longer table is no list of metrics; it is among the stacked tables only


def summary(folder):
    """A DataFrame with a row per cell of a sweep: state, parameters, claims, metrics.

    >>> summary("runs/seeds").columns[:5].tolist()
    ['cell', 'notebook', 'state', 'seconds', 'error']

    A claim has the columns `<statement>: measured`, `low`, `high`, `holds`. A metric is a number in a table of
    the notebook; its column is called by table, the words of its row, and column. Lists are written as text.
    """
    folder = Path(folder)
    rows = [_row(folder, cell) for cell in read_json(folder / "sweep.json")["cells"]]
    table = pd.DataFrame(rows)
    for name in table:
        kinds = {type(value) for value in table[name].dropna()}
        if str in kinds and len(kinds) > 1:  # parquet wants one type per column
            table[name] = table[name].map(lambda value: value if pd.isna(value) else str(value))
    return table


def write_summary(folder):
    """Write the summary as CSV and parquet, and the stacked tables; returns the summary.

    >>> write_summary("runs/seeds")
    """
    folder, table = Path(folder), summary(folder)
    with writing(folder, "make room"):
        write_text(folder / "summary.csv", table.to_csv(index=False))
        temporary = folder / ".summary.parquet.tmp"
        table.to_parquet(temporary, index=False)
        os.replace(temporary, folder / "summary.parquet")
        shutil.rmtree(folder / "tables", ignore_errors=True)
        for (notebook, name), rows in stacked(folder).items():
            (folder / "tables" / notebook).mkdir(parents=True, exist_ok=True)
            write_text(folder / "tables" / notebook / f"{name}.csv", rows.to_csv(index=False))
    return table


def stacked(folder):
    """{(notebook, table): rows of all finished cells}, the cell's place in the grid in the first columns.

    >>> list(stacked("runs/seeds"))                    # notebook and table
    [('small', 'accuracy'), ('small', 'steps')]
    """
    parts = {}
    for cell in read_json(Path(folder) / "sweep.json")["cells"]:
        for name, rows in _tables(Path(folder) / cell["folder"]).items():
            for axis, value in reversed(cell["point"].items()):
                if axis not in rows:
                    rows.insert(0, axis, text(value))
            parts.setdefault((cell["notebook"], name), []).append(rows)
    return {key: pd.concat(rows, ignore_index=True) for key, rows in parts.items()}


def measures(folder):
    """What the cells have measured, one number per row: cell, notebook, point, kind, label, value.

    >>> measures("runs/seeds").query("kind == 'claim'")[["point", "label", "value"]]

    kind: "claim", or "<table>: <column>"; label: the statement, or the words in the table's row; point: the
    place in the grid as a dict.
    """
    rows = []
    for cell in read_json(Path(folder) / "sweep.json")["cells"]:
        base = {name: cell[name] for name in ("name", "notebook", "point")}
        known = {text(value) for value in cell["point"].values()}
        own = Path(folder) / cell["folder"]
        rows += [base | one for one in _claims(own) + _metrics(own, known)]
    return pd.DataFrame(rows, columns=["name", "notebook", "point", "kind", "label", "value"])


def _row(folder, cell):
    """One row of the summary."""
    own = folder / cell["folder"]
    manifest = read_json(own / "manifest.json") or {"state": "unfinished"}
    row = {"cell": cell["name"], "notebook": cell["notebook"], "state": manifest["state"]}
    row |= {"seconds": manifest.get("seconds"), "error": (manifest.get("error") or "").split("\n")[0] or None}
    parameters = manifest.get("parameters") or cell["parameters"]
    row |= {name: text(value) if isinstance(value, list) else value for name, value in parameters.items()}
    for claim in _finished(own, "claims.json"):
        row |= {f"{claim['statement']}: {part}": claim[part] for part in ("measured", "low", "high", "holds")}
    known = {text(value) for value in cell["point"].values()}
    return row | {
        ": ".join(filter(None, (one["kind"], one["label"]))): one["value"] for one in _metrics(own, known)
    }


def _finished(own, file):
    """What a finished cell has written into a JSON file; an unfinished one has written nothing that counts."""
    done = (read_json(own / "manifest.json") or {}).get("state") == "done"
    return (read_json(own / file) if done else None) or []


def _claims(own):
    return [
        {"kind": "claim", "label": claim["statement"], "value": claim["measured"]}
        for claim in _finished(own, "claims.json")
        if isinstance(claim["measured"], int | float)
    ]


def _metrics(own, known):
    """The numbers in the short tables of a cell; words that its place in the grid says anyway are left out."""
    found = []
    for name, rows in _tables(own).items():
        words = [column for column in rows if not is_numeric_dtype(rows[column])]
        if len(rows) > ROWS or rows[words].duplicated().any():
            continue
        for _, row in rows.iterrows():
            label = ", ".join(str(row[column]) for column in words if str(row[column]) not in known)
            found += [
                {"kind": f"{name}: {column}", "label": label, "value": float(row[column])}
                for column in rows
                if column not in words and pd.notna(row[column])
            ]
    return found


def _tables(own):
    """The tables of a finished cell, by name."""
    tables = (_finished(own, "contents.json") or {}).get("tables", [])
    return {table["name"]: _read(own / table["files"][0]) for table in tables}


def _read(path):
    try:
        return pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
