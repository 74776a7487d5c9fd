"""Tasks: texts, labels, label words and splits, by name, from files or the hub."""

from skillkit.tasks.registry import known_name, task_file
from skillkit.tasks.splits import balanced
from skillkit.tasks.task import Task, list_tasks, load_task, load_tasks

__all__ = ["Task", "balanced", "known_name", "list_tasks", "load_task", "load_tasks", "task_file"]
