"""What the examples of the docstrings in `skillkit/core` work with, by module."""

OWN = {
    "files": """
folder = import_module("pathlib").Path(".")
page = "<!doctype html>"
""",
    "progress": """
train = float
""",
    "hashing": """
torch = import_module("torch")
""",
    "serialization": """
folder = import_module("pathlib").Path("dir")
function = sk.skill_neurons
tune_prompt = sk.tune_prompt
torch = import_module("torch")
""",
}
