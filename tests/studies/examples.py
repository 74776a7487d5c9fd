"""What the examples of the docstrings in `skillkit/studies` work with, by module."""

OWN = {
    "kernel": """
sys = import_module("sys")
""",
    "notebook": """
fig = import_module("matplotlib.pyplot").figure()
history = pd.DataFrame({"step": [0]})
accuracies = history
""",
    "report.figures": """
cells = sk.studies.report.run.load_run("runs/seeds")["cells"]
numbers = sk.studies.report.tables.numbers_table(cells)
""",
    "runner": """
study = load_study("params/embedded.yaml")
cell, job = None, None
pool = import_module("types").SimpleNamespace(threads=1, executor=None)
""",
    "study": """
parameters = sk.studies.params.validate("01_prompt_tuning", {"seeds": [0]})
""",
}
