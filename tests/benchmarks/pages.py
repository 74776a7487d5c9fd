"""The report of the benchmarks: `bench.csv` has every number, `bench.md` the table that people read."""

import pandas as pd
import torch
from matplotlib import pyplot as plt

from skillkit.core.provenance import provenance, usable_cores
from skillkit.plots import style as figures


def write(bench):
    """Write what was measured so far into the folder of the benchmarks.

    >>> write(bench)
    """
    folder, parts = bench.file.parent, [f"# Benchmarks\n\n{bench.machine}"]
    if bench.rows:
        table = pd.DataFrame(bench.rows)
        table.to_csv(folder / "bench.csv", index=False)
        parts += [_HOW, markdown(table), _when(table)]
    for heading, texts in bench.words.items():
        parts += [f"## {heading}", *texts.values()]
    if bench.grown:
        pd.DataFrame(bench.grown).to_csv(folder / "growth.csv", index=False)
        _draw(bench).savefig(folder / "growth.png")
        parts += ["## Growth", "![Time and peak memory against the size of the job](growth.png)"]
    (folder / "bench.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _when(table):
    load = f"{table.load.min():.1f} to {table.load.max():.1f}"
    return f"Measured from {table.day.min()} to {table.day.max()}, at a load of {load} (the measured process makes 1)."


def _draw(bench):
    """Time above, peak memory below, a column for each axis: medians of the rounds, bars from the least to the most."""
    figures.set_style()
    plt.close("all")
    table = pd.DataFrame(bench.grown)
    table[["memory", "bound"]] = table[["memory", "bound"]].astype(float) / 2**20
    axes = list(dict.fromkeys(table.axis))
    figure, grid = plt.subplots(2, len(axes), figsize=(2.9 * len(axes), 4.8), squeeze=False)
    for column, name in enumerate(axes):
        rows = table[table.axis == name]
        for row, (value, label) in enumerate((("seconds", "seconds"), ("memory", "peak memory in MB"))):
            panel = grid[row][column]
            _medians(panel, rows.groupby("size")[value])
            panel.set(title="" if row else name.split(": ")[0], xlabel=name.split(": ")[1])
            panel.set_ylabel("" if column else label)
        if rows.bound.notna().any():
            panel.axhline(rows.bound.iloc[0], ls="--", color="tab:gray", label="budget")
            panel.legend()
            panel.set_ylim(0, 1.15 * rows.bound.iloc[0])
    return figure


def _medians(panel, rounds):
    middle, least, most = rounds.median(), rounds.min(), rounds.max()
    panel.errorbar(middle.index, middle, [middle - least, most - middle], fmt="o-", capsize=3)
    panel.set_ylim(0, 1.15 * max(1e-3, most.max()))  # NaN where the system does not tell


_HOW = """Seconds are medians over rounds in which all ways took turns; on one thread of the processor's time, else of \
wall time. *Floor*: the multiply–adds that the job needs, at the speed of a large product of matrices, measured right \
before and after each turn; few nodes in place of 20 steps need less than it. All ways of a job found the same."""


def markdown(table):
    """The table as Markdown."""
    head = [
        "job",
        "shape",
        "threads",
        "compared with",
        "s",
        "this",
        "s",
        "times as fast",
        "to reach",
        "of the floor",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(_cells(row)) + " |" for row in table.to_dict("records")])


def _cells(row):
    reached = "" if row["mark"] != row["mark"] or row["mark"] is None else f"{row['mark']:.2g}×"
    if reached:
        reached += " ✓" if row["ratio"] >= row["mark"] else " missed"
    share = row["share"]
    return [
        row["job"], row["shape"], str(row["threads"]), row["slow"], f"{row['seconds slow']:.2f}", row["quick"],
        f"{row['seconds']:.2f}", f"{row['ratio']:.2f} [{row['lowest']:.2f}, {row['highest']:.2f}]", reached,
        "" if share is None or share != share else f"{100 * share:.0f} %",
    ]  # fmt: skip


def machine():
    """The processor (or GPU), its cores and memory, and the versions that were used, in a sentence."""
    versions = provenance()["versions"]
    what = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return f"{what}; PyTorch {versions['torch']}, transformers {versions['transformers']}, Python {versions['python']}."


def _processor():
    """The name of the processor, the widest vectors that PyTorch uses there, and the cores."""
    capability = torch.backends.cpu.get_cpu_capability()
    name = torch.cpu.get_capabilities().get("cpu_name", "CPU")
    return f"{name} ({capability}), {usable_cores()} cores"
