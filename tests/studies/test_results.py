"""Scoreboards: claims of several runs meet, pages hold figures and no data, nothing else is touched."""

import re
import shutil

import pytest

from skillkit.__main__ import main
from skillkit.core.errors import SkillkitError
from skillkit.core.files import write_json
from skillkit.studies.results import BEGIN, END, publish
from tests import small_studies as studies


def run(folder, name, notebook, claims):
    """A finished run of one notebook with a figure, a table of texts and these claims."""
    unit = folder / name / notebook
    for part in ("figures", "tables"):
        (unit / part).mkdir(parents=True)
    for file in ("figures/bars.png", "figures/bars.svg"):
        (unit / file).write_text("1")
    text = "a long line of somebody's data in a figure"
    (unit / "figures/bars.csv").write_text(f"task,share,text\nmovies,0.5,{text}\n")
    (unit / "tables/texts.csv").write_text("text\na line of somebody's data\n")
    studies.describe(folder / name, notebook, name=name, about="What this study is about.")
    files = ["figures/bars.png", "figures/bars.svg", "figures/bars.csv"]
    write_json(unit / "contents.json", {
        "figures": [{"name": "bars", "caption": "Bars | 95 % interval", "files": files}],
        "tables": [{"name": "texts", "caption": "Texts", "files": ["tables/texts.csv"]}],
    })  # fmt: skip
    write_json(unit / "claims.json", [{"paper": "A 2022", "holds": "yes"} | claim for claim in claims])
    title = {"cell_type": "markdown", "source": ["# 02 · Probing"]}
    write_json(unit / f"{notebook}.ipynb", {"cells": [title]})
    studies.finish(unit, parameters={"backbone": "../somewhere/models/mini-lm", "tasks": ["glue/sst2"]})
    return folder / name


@pytest.fixture
def runs(tmp_path):
    own = [
        {"statement": "It works (embedded/gpt2).", "measured": 0.5, "low": 0.4, "high": 0.6},
        {"statement": "It works (embedded/roberta).", "measured": 0.2, "holds": "undecided"},
    ]
    other = [
        {"statement": "It works (mini).", "measured": 0.1, "holds": "undecided"},
        {"statement": "Only here."},
    ]
    third = [{"statement": "It works (../m/y).", "measured": 0.3, "holds": "partly"}]
    claims = {"one": own, "two": other, "three": third}
    return [run(tmp_path, name, "02_probing", of) for name, of in claims.items()]


def rows(path):
    """The cells of every line of the tables in a Markdown file, by the first."""
    lines = [line.strip("| ").split(" | ") for line in path.read_text().splitlines() if line.startswith("|")]
    return {cells[0]: cells[1:] for cells in lines}


def test_claims_meet_by_statement_whatever_model_it_names(tmp_path, runs):
    publish({"small": [runs[0]], "real": [runs[1], runs[2]]}, tmp_path / "out")
    shown = rows(tmp_path / "out/README.md")
    small, real = "0.500 [0.400, 0.600]<br><sub>embedded/gpt2</sub>", "0.100<br><sub>mini</sub>"
    assert shown["It works."] == ["A 2022", "–", small, "yes", "–", real, "undecided", "–"]  # the first run
    assert shown["Only here."] == ["A 2022", "–", "–", "–", "–", "–", "yes", "–"]
    # What the same run says of a second model is shown too.
    assert shown["It works (embedded/roberta)."] == ["A 2022", "–", "0.200", "undecided", "–", "–", "–", "–"]


def test_page_holds_every_run_its_figures_and_no_texts(tmp_path, runs):
    publish({"real ones": [runs[1], runs[2]]}, tmp_path / "out")
    page = (tmp_path / "out/real-ones/README.md").read_text()
    assert "`backbone` mini-lm; `tasks` glue/sst2." in page  # by name, wherever it lies
    assert "0.100" in page and "0.300" in page and "What this study is about." in page
    pictures = re.findall(r"\]\((\S+\.(?:png|csv))\)", page)
    assert len(pictures) == 4 and all((tmp_path / "out/real-ones" / name).exists() for name in pictures)
    files = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert "texts.csv" not in files and "somebody" not in page
    numbers = next((tmp_path / "out").rglob("bars.csv")).read_text()
    assert numbers.split() == ["task,share", "movies,0.5"]


def test_a_page_grows_by_studies_whose_runs_are_gone(tmp_path, runs):
    publish({"real": [runs[1], runs[2]]}, tmp_path / "whole")
    publish({"real": [runs[1]]}, tmp_path / "out")
    shutil.rmtree(runs[1])
    publish({"real": [tmp_path / "out/real/two", runs[2]]}, tmp_path / "out")
    files = lambda folder: {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
    whole, grown = files(tmp_path / "whole"), files(tmp_path / "out")
    assert whole == grown and not any(b"somewhere" in text for text in grown.values())


def test_readme_gets_a_summary_between_its_marks(tmp_path, runs):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\noutdated\n{END}\nafter\n")
    publish({"small": [runs[0]], "real": [runs[1]]}, tmp_path / "out", readme, pages=["real"])
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n")
    assert "outdated" not in text
    assert rows(readme)["02 · Probing"] == ["1 yes, 1 undecided", "1 yes, 1 undecided"]
    assert "](out/README.md)" in text  # seen from where the file stands
    assert not (tmp_path / "out/small").exists() and (tmp_path / "out/real/README.md").exists()


def test_what_cannot_be_published_is_refused_and_nothing_written(tmp_path, runs):
    (tmp_path / "README.md").write_text("no marks")
    with pytest.raises(SkillkitError, match="needs the two lines"):
        publish({"small": [runs[0]]}, tmp_path / "out", tmp_path / "README.md")
    for state in ("failed", "damaged"):
        studies.finish(runs[0] / "02_probing", "failed")
        if state == "damaged":
            (runs[0] / "02_probing/figures/bars.png").write_text("2")
        with pytest.raises(SkillkitError, match=f"02_probing is {state}"):
            publish({"small": [runs[0]]}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words, sentence", [
    (["runs/embedded"], "name a column and its runs"), (["a=runs/x"], "is no run"),
    (["a=runs/x", "--page", "b"], "there are the columns a"),
])  # fmt: skip
def test_command_says_what_is_wrong(words, sentence, capsys):
    assert main(["results", *words]) == 2 and sentence in capsys.readouterr().err


def test_command(tmp_path, runs, capsys):
    assert main(["results", f"small world={runs[0]}", "--out", str(tmp_path / "out")]) == 0
    assert str(tmp_path / "out/small-world/README.md") in capsys.readouterr().out
