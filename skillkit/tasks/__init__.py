"""Tasks: texts, labels, label words and splits; registry, files, folders and the hub."""

from skillkit.tasks.registry import describe
from skillkit.tasks.splits import balanced, labelled_splits
from skillkit.tasks.task import Task, list_tasks, load_task

__all__ = [
    "Task",
    "balanced",
    "describe",
    "labelled_splits",
    "list_tasks",
    "load_task",
]
