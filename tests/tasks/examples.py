"""What the examples of the docstrings in `skillkit/tasks` work with: `module.name = what it is`."""

OWN = """
splits.source = sk.tasks.readers.read("my.csv")
splits.about = sk.tasks.task_file("my.csv", dict(text="review", label="stars"))[0]
"""
