"""Tasks: texts, labels, label words and splits; registry, files, folders and the hub."""
