"""Small tasks and files for the tests of tasks."""

import json
from types import SimpleNamespace

import datasets
import pyarrow

from skillkit.tasks import Task, load_task


def rows_of(n, classes=2):
    return [{"review": f"text number {i}", "stars": i % classes} for i in range(n)]


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_arrow(path, rows, opened=pyarrow.ipc.new_file):
    table = pyarrow.Table.from_pylist(rows)
    with opened(path, table.schema) as writer:
        writer.write_table(table)


def load_reviews(path, **fields):
    return load_task(path, **{"text": "review", "label": "stars", "verbalizer": ["bad", "good"]} | fields)


def sizes(task):
    return {split: len(rows) for split, rows in task.splits.items()}


def task_of(labels, counts=None, **fields):
    """A task in memory: `counts` rows of each class in its one split."""
    numbers = [number for number, count in enumerate(counts or [6] * len(labels)) for _ in range(count)]
    rows = datasets.Dataset.from_dict({"text": [f"text {i}" for i in range(len(numbers))], "label": numbers})
    same = {"name": "made", "type": "test", "labels": labels, "verbalizer": labels, "splits": {"train": rows}}
    return Task(**same | fields)


def reader(tokenizer, family="masked"):
    return SimpleNamespace(tokenizer=tokenizer, family=family, name="the model")
