"""What the examples of the docstrings in `skillkit/core` work with: `module.name = what it is`."""

OWN = """
errors.pydantic = import_module("pydantic")
errors.error = pydantic.ValidationError.from_exception_data("", [dict(type="string_type", loc=("name",), input=3)])
files.folder = import_module("pathlib").Path(".")
files.page = "<!doctype html>"
progress.train = float
hashing.torch = import_module("torch")
serialization.torch = import_module("torch")
serialization.folder = import_module("pathlib").Path("dir")
serialization.function = sk.skill_neurons
serialization.tune_prompt = sk.tune_prompt
"""
