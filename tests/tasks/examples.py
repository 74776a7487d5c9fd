"""What the examples of the docstrings in `skillkit/tasks` work with, by module."""

OWN = {
    "splits": """
source = sk.tasks.readers.read("my.csv")
about = sk.tasks.task_file("my.csv", dict(text="review", label="stars"))[0]
""",
}
