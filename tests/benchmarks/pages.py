"""The report of the benchmarks: `bench.csv` has every number, `bench.md` the table that people read."""

import pandas as pd
import torch

from skillkit.core.provenance import provenance, usable_cores
from skillkit.plots import lines


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
        grown = pd.DataFrame(bench.grown).astype({"memory": float})
        grown.to_csv(folder / "growth.csv", index=False)
        parts.append("## Growth")
        for value, label in {"seconds": "seconds", "memory": "peak memory in bytes"}.items():
            figure = lines(grown, "size", value, hue="axis", panel="axis", ylabel=label)
            figure.savefig(folder / f"growth-{value}.png")
            parts.append(f"![{label} against the size of the job](growth-{value}.png)")
    (folder / "bench.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _when(table):
    load = f"{table.load.min():.1f} to {table.load.max():.1f}"
    return f"Measured from {table.day.min()} to {table.day.max()}, at a load of {load} (the measured process makes 1)."


_HOW = """Seconds are medians over rounds in which all ways took turns; on one thread of the processor's time, else of \
wall time. *Floor*: the multiply–adds that the job needs, at the speed of a large product of matrices, measured right \
before and after each turn. All ways of a job found the same."""


_HEAD = """| job | shape | threads | compared with | s | this | s | times as fast | to reach | of the floor |
|---|---|---|---|---|---|---|---|---|---|"""


def markdown(table):
    """The table as Markdown."""
    return "\n".join([_HEAD, *(f"| {' | '.join(_cells(row))} |" for row in table.to_dict("records"))])


def _cells(row):
    reached, share = "", row["share"]
    if pd.notna(row["mark"]):
        reached = f"{row['mark']:.2g}× {'✓' if row['ratio'] >= row['mark'] else 'missed'}"
    return [
        row["job"], row["shape"], str(row["threads"]), row["slow"], f"{row['seconds slow']:.2f}", row["quick"],
        f"{row['seconds']:.2f}", f"{row['ratio']:.2f} [{row['lowest']:.2f}, {row['highest']:.2f}]", reached,
        "" if pd.isna(share) else f"{100 * share:.0f} %",
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
