"""Nothing of the user's is lost, and whatever is given or lies on the disk is refused in one sentence at most."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skillkit.__main__ import main
from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_yaml, write_json
from skillkit.core.names import slugs
from skillkit.core.store import artifact, cached
from skillkit.studies import build_report, compare_runs, job, load_study, publish, start
from skillkit.studies.report.run import load_run
from skillkit.studies.report.tables import write_tables
from skillkit.studies.show import show
from tests import small_studies as studies

FUZZ = settings(deadline=10_000, max_examples=60, derandomize=True, database=None,
                suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
NAMES = [
    "README.md", "study.json", "summary.csv", "claims.json", "contents.json", "figures/a.png", "tables/b.csv",
    "small/notes.txt", "again/small.ipynb", "report/index.html", "paper/x.tex", ".tmp/prompt-0/x", "cells/x",
]  # fmt: skip
LABELS = [
    "модель", "模型", "モデル", "모델", "μοντέλο", "نموذج", "מודל", "नमूना", "แบบ", "մոդել", "..", ".", "/", "paper",
    "a/b", "A-b", "a-b", "report",
]  # fmt: skip
LABELS += ["", "a b", "\n", "x" * 300]


@pytest.fixture
def users(tmp_path, small_notebooks, monkeypatch):
    """A folder full of somebody's files, a study and a finished run; cells take no time."""
    for name in NAMES:
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(f"my own {name}")

    def papermill(one, *_):
        (one.folder / "size.txt").write_text("3")
        shutil.copy(one.source, one.folder)
        write_json(one.folder / "contents.json", {"figures": [], "tables": []})
        return None, False

    monkeypatch.setattr(job, "_papermill", papermill)
    study = str(studies.study(tmp_path, small={}))
    assert main(["run", study, "--out", str(tmp_path / "run")]) == 0
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine"


WRITING = {
    "run": lambda mine, top: main(["run", str(top / "tiny.yaml"), "--out", str(mine)]),
    "sweep": lambda mine, top: main(["sweep", str(studies.sweep(top, grid={"size": [1]})), "--out", "."]),
    "report": lambda mine, top: build_report(top / "run"),
    "tables": lambda mine, top: write_tables(top / "run"),
    "comparison": lambda mine, top: compare_runs(
        [top / "run", shutil.copytree(top / "run", top / "other")], mine
    ),
    "results": lambda mine, top: publish({"paper": [top / "run"]}, "."),
    "labels": lambda mine, top: publish({label: [top / "run"] for label in LABELS}, top / "run"),
    "notebook": lambda mine, top: start("small", {"out": str(mine)}),
    "cell": lambda mine, top: main(["run", str(studies.study(top, again={})), "--out", str(top / "run")]),
    "store": lambda mine, top: cached(artifact("number")(lambda: 1)),
    "clean": lambda mine, top: main(["clean", "--older", "0h", "--yes"]),
}


@pytest.mark.parametrize("command", WRITING)
def test_no_command_loses_a_file_of_the_user(users, tmp_path, monkeypatch, command):
    if command != "clean":  # which removes a run as a whole
        for name in ("report", "tables", "again"):  # theirs, where ours would go
            shutil.copytree(users, tmp_path / "run" / name)
    monkeypatch.setenv("SKILLKIT_RUNS", str(tmp_path))
    monkeypatch.setenv("SKILLKIT_STORE", str(users))
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    theirs = {path: text for path, text in files.items() if b"my own" in text}
    with suppress(SkillkitError):
        WRITING[command](users, tmp_path)
    assert len(theirs) >= len(NAMES) and {path: path.read_bytes() for path in theirs} == theirs


def test_labels_in_any_script_are_folders_of_their_own(users, tmp_path):
    pages = publish({label: [tmp_path / "run"] for label in LABELS}, tmp_path / "out")
    assert len(set(pages)) == len(LABELS) + 1 and all(path.is_file() for path in pages)
    assert all(path.parent.parent == tmp_path / "out" for path in pages[1:])


@FUZZ
@given(st.lists(st.text() | st.sampled_from(LABELS), unique=True))
def test_slugs_are_names_of_files_and_differ(names):
    found = slugs(names)
    assert len(set(found.values())) == len(names)
    assert all(name and not name.startswith(".") and not set(name) & set("/\\\0") for name in found.values())
    assert all(len(name.encode()) <= 255 for name in found.values())


DAMAGES = {
    "lost": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a bit": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "another": lambda path: path.write_text('{"state": "done", "files": {}}'),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["size.txt", "small.ipynb", "contents.json", "manifest.json"])
def test_damage_is_seen_by_whoever_looks_and_healed_by_the_same_command(
    users, tmp_path, capsys, damage, name
):
    folder, run = tmp_path / "run/small", tmp_path / "run"
    sound = {path.name: path.read_bytes() for path in folder.iterdir()}
    DAMAGES[damage](folder / name)
    state = "unfinished" if (damage, name) == ("lost", "manifest.json") else "damaged"
    assert load_run(run)["cells"][0]["state"] == state and state in build_report(run).read_text()
    assert {"damaged": state, "unfinished": "not finished"}[state] in show(run)
    with pytest.raises(SkillkitError, match=f"small is {state}"):
        publish({"mine": [run]}, tmp_path / "out")
    assert main(["run", str(tmp_path / "tiny.yaml"), "--out", str(run)]) == 0
    assert "0 done already, 1 to run" in capsys.readouterr().out
    healed = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert healed.keys() == sound.keys() and load_run(run)["cells"][0]["state"] == "done"


OUTSIDE = ["../../pwned", "/etc/passwd", "link", "link/x", "a\0b", "x" * 5000, ""]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_in_a_run_from_elsewhere_stay_inside(users, tmp_path, name):
    """Whoever made it has sealed it, too."""
    run, secret = tmp_path / "run", tmp_path / "pwned"
    secret.write_text("a secret")
    (run / "small/link").symlink_to(secret)
    (run / "link").symlink_to(tmp_path / "mine")
    entry = {"name": "x", "caption": "", "files": [name]}
    for part in ("figures", "tables"):
        write_json(run / "small/contents.json", {part: [entry]})
        studies.finish(run / "small")
        build_report(run)
        with pytest.raises(SkillkitError):
            publish({"mine": [run]}, tmp_path / "out")
    for cell in ({"folder": name}, {"notebook": name}, {"name": 3}, {"point": []}):
        studies.describe(run, {"name": "x", "notebook": "small", "folder": "small"} | cell)
        for look in (build_report, show, write_tables):
            with suppress(SkillkitError):
                look(run)
    made = [
        path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink() and path != secret
    ]
    assert not [path for path in made if b"a secret" in path.read_bytes()]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    | st.sampled_from(["small", "size", "x" * 5000, 10**400, -1]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["small", "size", "seed", "from", "to", "step", "times", "where", "set", "out", "notebook", ""])
        | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
ENTRIES = ["name", "shared", "notebooks", "grid", "exclude", "overrides", "after", "x"]
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + at)}: &{chr(98 + at)} [{', '.join(['*' + chr(97 + at)] * 10)}]\n" for at in range(9)
)


def said(call, *given):
    """The sentence in which something is refused, or nothing."""
    try:
        call(*given)
    except SkillkitError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        return str(error)


@FUZZ
@given(st.dictionaries(st.sampled_from(ENTRIES), PLAIN))
def test_any_study_is_a_study_or_a_sentence(small_notebooks, tmp_path, plain):
    (tmp_path / "any.yaml").write_text(json.dumps({"notebooks": {"small": {}}} | plain))
    said(load_study, tmp_path / "any.yaml")


@FUZZ
@example(BOMB.encode())
@example(b"[" * 5000)
@example(b"a: {" * 3000)
@example(b"a: &a [*a]")
@example(b"a: !!int abc")
@example(b"a: !!timestamp 2020-99-99")
@example(b"a: !!float x")
@example(b"a: " + b"9" * 5000)
@example(b"a: !!set {x, [y]}")
@example(b"? [a]\n: b")
@example(b"a: !!binary x")
@example(b"x" * 200_000)
@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_yaml_or_a_sentence(tmp_path, raw):
    (tmp_path / "any.yaml").write_bytes(raw)
    said(read_yaml, tmp_path / "any.yaml")


WORDS = [
    "run", "sweep", "report", "results", "show", "clean", "a=run", "=", "--out", ".", "--readme", "blob",
    "--only", "--limit", "--memory", "1e-320", "nan", "--workers", "100000", "0", "-1", "--kind", "--older",
    "--larger", "1e9G", "../..", "../tiny.yaml", "../run", "--dry-run", "--page", "--yes", "/dev/null",
]  # fmt: skip
WORDS += ["9" * 400 + "d", "x" * 5000, "\0", ""]


@FUZZ
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=6))
def test_any_words_on_the_command_line_are_answered(users, capsys, words):
    Path("blob").write_bytes(b"\xff\x00")
    assert main(["show" if words[:1] == ["pretrain"] else words[0] if words else "", *words[1:]]) in (0, 1, 2)
    assert "Traceback" not in capsys.readouterr().err
