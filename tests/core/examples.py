"""What the examples of the docstrings in `skillkit/core` work with: `module.name = what it is`."""

OWN = """
files.folder = import_module("pathlib").Path(".")
files.page = "<!doctype html>"
progress.train = float
hashing.torch = import_module("torch")
serialization.torch = import_module("torch")
serialization.folder = import_module("pathlib").Path("dir")
serialization.function = sk.skill_neurons
serialization.tune_prompt = sk.tune_prompt
"""
