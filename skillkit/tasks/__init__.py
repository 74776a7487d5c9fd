"""Tasks: texts, labels, label words and splits, by name, from files or the hub."""

from skillkit.tasks.registry import task_file
from skillkit.tasks.splits import balanced, labelled_splits
from skillkit.tasks.task import Task, list_tasks, load_task

describe = task_file  # until robustness needs it no more
__all__ = ["Task", "balanced", "labelled_splits", "list_tasks", "load_task", "task_file"]
