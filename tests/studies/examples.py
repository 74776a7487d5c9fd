"""What the examples of the docstrings in `skillkit/studies` work with, by module."""

OWN = {
    "driver": """
units = []
team = import_module("types").SimpleNamespace(threads=1)
""",
    "grid": """
PromptTuning = sk.studies.params.NOTEBOOKS["01_prompt_tuning"]
names = ("01_prompt_tuning", "02_probing")
cells = [sk.studies.grid.Cell(name, {"seeds": 0}, PromptTuning(seeds=[0])) for name in names]
""",
    "kernel": """
sys = import_module("sys")
""",
    "notebook": """
fig = import_module("matplotlib.pyplot").figure()
history = pd.DataFrame({"step": [0]})
accuracies = history
backbone = "embedded/roberta"
""",
    "report.repetitions": """
measures = summaries.measures("runs/seeds")
summaries = sk.studies.summary
rows = sk.studies.report.repetitions.with_settings(measures).query("kind == 'accuracy: accuracy'")
""",
    "report.site": """
units = sk.studies.report.site.load_run("runs/embedded")[1]
site = import_module("pathlib").Path("dir")
page = "<!doctype html>"
""",
    "job": """
PromptTuning = sk.studies.params.NOTEBOOKS["01_prompt_tuning"]
""",
}
