"""What the examples of the docstrings in `skillkit/studies` work with: `module.name = what it is`."""

OWN = """
kernel.sys = import_module("sys")
notebook.fig = import_module("matplotlib.pyplot").figure()
notebook.history = pd.DataFrame({"step": [0]})
notebook.accuracy = 0.9
notebook.accuracies = history
report.run.Path = import_module("pathlib").Path
report.figures.cells = sk.studies.report.run.load_run("runs/seeds")["cells"]
report.figures.numbers = sk.studies.report.tables.numbers_table(cells)
runner.study = load_study("params/embedded.yaml")
runner.cell, job = None, None
runner.pool = import_module("types").SimpleNamespace(threads=1, executor=None)
study.parameters = sk.studies.params.validate("01_prompt_tuning", {"seeds": [0]})
"""
