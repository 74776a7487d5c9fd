"""What a notebook leaves behind: figures, tables, claims, one line of provenance."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_json
from skillkit.studies import Claim, start


@pytest.fixture
def run(tmp_path):
    return start("00_the_small_world", {"out": str(tmp_path / "out"), "seed": 4, "unrelated": 1})


def test_start_says_what_runs(run, capsys):
    run = start("01_prompt_tuning", {"out": str(run.out), "seeds": [3, 5], "backbone": "some/model"})
    line = capsys.readouterr().out.strip().splitlines()[-1]
    assert "skillkit" in line and "torch" in line and "some/model" in line and "seeds 3, 5" in line
    assert run.params.seeds == [3, 5] and run.params.prompt_length == 16


def test_start_refuses_wrong_parameters_and_folders(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SkillkitError, match="01_prompt_tuning: seeds should be a valid list, not 3"):
        start("01_prompt_tuning", {"seeds": 3, "out": str(tmp_path)})
    with pytest.raises(SkillkitError, match="not made by skillkit.*set `out`"):
        start("00_the_small_world", {"out": str(tmp_path / "file")})


def test_figures_are_saved_three_times_with_caption_and_a_name_used_again_replaces(run):
    for caption in ("old", "Loss < 1."):
        fig, axis = plt.subplots()
        axis.plot([1, 2])
        run.figure(axis, "curve", data=pd.DataFrame({"step": [0, 1], "loss": [1.0, 0.5]}), caption=caption)
    files = [f"figures/curve.{kind}" for kind in ("png", "svg", "csv")]
    shown = read_json(run.out / "contents.json")["figures"]
    assert shown == [{"name": "curve", "caption": "Loss < 1.", "files": files}]
    assert all((run.out / path).stat().st_size for path in files) and not plt.fignum_exists(fig.number)
    assert pd.read_csv(run.out / files[2])["loss"].tolist() == [1.0, 0.5]


def test_table_keeps_a_named_index(run):
    run.table(pd.DataFrame({"accuracy": [0.5]}, index=pd.Index(["world/movies"], name="task")), "scores")
    assert (run.out / "tables/scores.csv").read_text() == "task,accuracy\nworld/movies,0.5\n"


def test_claims_are_plain_json(run, capsys):
    numbers = dict(measured=np.float64(0.95), low=np.float32(0.5), high=float("nan"))
    run.claims([Claim("Prompts <win>.", "A 2022", 0.9, **numbers, holds="partly")])
    (claim,) = read_json(run.out / "claims.json")
    assert claim.items() >= {"measured": 0.95, "low": 0.5, "high": None, "holds": "partly"}.items()
    assert "Prompts <win>." in capsys.readouterr().out


def test_a_cell_that_runs_again_replaces_its_findings(run, monkeypatch):
    shell = SimpleNamespace(user_ns={"In": [""]}, execution_count=0)
    monkeypatch.setattr("skillkit.studies.notebook.get_ipython", lambda: shell)
    for count, cell, findings in ((1, "a", "xy"), (2, "b", "z"), (3, "a", "vw")):
        shell.execution_count = count
        shell.user_ns["In"].append(cell)
        for finding in findings:
            run.finding(finding)
    assert read_json(run.out / "contents.json")["findings"] == ["v", "w", "z"]


@pytest.mark.slow
def test_findings_stand_at_the_head_of_an_executed_notebook(tmp_path):
    start = "import skillkit as sk\nrun = sk.start('01_prompt_tuning', {'out': 'out'})"
    cells = [start, "run.finding('Prompts reach 91 %.')", "run.finding('One by one.', head=False)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [[one.data["text/markdown"] for one in cell.outputs if "data" in one] for cell in notebook.cells]
    assert shown[0][0].startswith("**Time.** Start")
    assert shown[0][1:] == shown[1] == ["**Found.**\n\n- Prompts reach 91 %."]


def test_a_new_start_clears_what_was_there(run):
    run.table(pd.DataFrame({"a": [1]}), "old")
    run.claims([Claim("Prompts win.", "A 2022")])
    start("00_the_small_world", {"out": str(run.out)})
    assert not list((run.out / "tables").iterdir()) and not (run.out / "claims.json").exists()
    contents = read_json(run.out / "contents.json")
    assert not contents["tables"] and contents["parameters"]["seed"] == 0
