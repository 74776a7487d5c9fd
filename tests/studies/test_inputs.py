"""A unit's key has in it what the files and folders hold that its parameters name."""

import pytest

from skillkit.core import checkpoints
from skillkit.core.errors import SkillkitError
from skillkit.studies import inputs, job, load_study
from skillkit.studies.inputs import contents
from skillkit.studies.job import NotebookJob
from skillkit.studies.manifest import write_manifest

ROWS = {
    "mine.csv": "a,0",
    "data/train.jsonl": "{}",
    "model/model.safetensors": "weights",
    "facts.jsonl": "{}",
}
TASK_FILES = {
    "mine.yaml": "path: mine.csv\nverbalizer: [bad, good]\n", "sub/there.yml": "path: ../data\n",
    "rooted.yaml": "folder: rooted\n",
}  # fmt: skip
ROOTED = {"root/glue/sst2/train.csv": "a,0", "root/ag_news/train.csv": "a,0", "root/rooted/train.csv": "a,0"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("SKILLKIT_DATA", raising=False)
    for name, text in (ROWS | TASK_FILES | ROOTED).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def key(folder, parameters):
    out = folder / "data" / "runs" / "unit"  # results may be written among the data
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").write_text(f"{len(list(out.iterdir()))}")
    source = folder / "unit.ipynb"
    source.write_text('{"cells": []}')
    return NotebookJob(source, parameters, {}, out, folder).key()


NAMED = [
    ({"tasks": ["mine.csv"]}, "mine.csv"), ({"tasks": ["mine.yaml"]}, "mine.csv"),
    ({"tasks": ["mine.yaml"]}, "mine.yaml"),
    ({"tasks": ["sub/there.yml"]}, "data/train.jsonl"), ({"backbone": "model"}, "model/model.safetensors"),
    ({"others": ["model/"]}, "model/model.safetensors"), ({"source": "facts.jsonl"}, "facts.jsonl"),
    ({"views": [{"task": "x", "adversarial": "data", "clean": None}]}, "data/train.jsonl"),
    ({"views": [{"task": "mine.yaml"}]}, "mine.csv"), ({"published": "data"}, "data/train.jsonl"),
    ({"data_root": "root", "tasks": ["glue/sst2"]}, "root/glue/sst2/train.csv"),
    ({"data_root": "root", "tasks": ["ag_news"]}, "root/ag_news/train.csv"),
    ({"data_root": "root", "tasks": ["SST2"]}, "root/glue/sst2/train.csv"),
    ({"data_root": "root", "tasks": ["AG_News-World"]}, "root/ag_news/train.csv"),
    ({"data_root": "root", "tasks": ["rooted.yaml"]}, "root/rooted/train.csv"),
]  # fmt: skip


@pytest.mark.parametrize("parameters, file", NAMED)
def test_a_file_that_changes_changes_the_key(folder, parameters, file):
    before = key(folder, parameters)
    assert key(folder, parameters) == before
    text = (folder / file).read_text()
    (folder / file).write_text(text + "# longer\n")
    assert key(folder, parameters) != before
    (folder / file).write_text(text)
    assert key(folder, parameters) == before


@pytest.mark.parametrize("parameters", [
    {"tasks": ["world/movies"]}, {"data_root": "root", "tasks": ["glue/rte"]}, {"recipe": "embedded", "layout": None},
    {"tasks": ["a\0b", "x" * 5000, "", "no.yaml"], "seeds": [1], "out": "data"},
])  # fmt: skip
def test_what_is_not_named_does_not_count(folder, parameters):
    assert contents(parameters, folder) == {}


def test_data_below_the_environment_variable(folder, monkeypatch):
    monkeypatch.setenv("SKILLKIT_DATA", "root")
    before = key(folder, {"tasks": ["glue/sst2"]})
    (folder / "root/glue/sst2/train.csv").write_text("a,1")
    assert key(folder, {"tasks": ["glue/sst2"]}) != before


def test_shipped_models_count(folder, monkeypatch):
    found = contents({"backbone": "embedded/bert"}, folder)
    assert len(found) == 1
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", folder)
    assert (
        contents({"backbone": "embedded/model"}, folder)
        and contents({"backbone": "embedded/no"}, folder) == {}
    )


def test_the_commit_of_what_is_cached_from_the_hub_counts(folder, monkeypatch):
    monkeypatch.setattr(inputs, "HF_HUB_CACHE", str(folder / "cache"))
    models = [
        ("roberta-base", "models--roberta-base"),
        ("google/t5-v1_1-base", "models--google--t5-v1_1-base"),
        ("smollm2-135m", "models--HuggingFaceTB--SmolLM2-135M-Instruct"),
        ("glue/sst2", "datasets--nyu-mll--glue"),
        ("somebody/reviews", "datasets--somebody--reviews"),
    ]
    for name, cached in models:
        before = key(folder, {"backbone": name})
        (folder / "cache" / cached / "refs").mkdir(parents=True)
        keys = [before]
        for commit in ("a" * 40, "b" * 40):
            (folder / "cache" / cached / "refs/main").write_text(commit)
            keys.append(key(folder, {"tasks": [name], "backbone": name}))
        assert len(set(keys)) == 3


def test_what_lies_where_results_go_counts_when_it_is_named(folder, monkeypatch):
    monkeypatch.setattr(job, "runs_folder", lambda: folder)
    before = key(folder, {"backbone": "model"})
    (folder / "model/model.safetensors").write_text("others")
    assert key(folder, {"backbone": "model"}) != before


def test_two_study_files_of_one_name_do_not_share_a_folder(tmp_path):
    studies = {}
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        path = tmp_path / place / "mine.yaml"
        path.write_text("notebooks: {01_prompt_tuning: {}}\n")
        studies[place] = load_study(path)
    write_manifest(tmp_path / "out", studies["a"])
    write_manifest(tmp_path / "out", studies["a"])
    with pytest.raises(SkillkitError, match="holds the results of .*a/mine.yaml"):
        write_manifest(tmp_path / "out", studies["b"])
    (tmp_path / "a" / "mine.yaml").rename(
        tmp_path / "moved.yaml"
    )  # then it is no other study, but the one that moved
    write_manifest(tmp_path / "out", studies["b"])
