"""Cleaning removes what was chosen, after a yes, and nothing else."""

import os
import re
import sys
import time

import pytest
from filelock import FileLock

from skillkit.core import store
from skillkit.core.errors import SkillkitError
from skillkit.core.files import own
from skillkit.core.store import artifact, cached, find
from skillkit.studies.clean import list_stored, remove_results
from tests import small_studies as studies


@pytest.fixture(autouse=True)
def made(tmp_path, monkeypatch):
    """Two artifacts, one of them large and 40 days old, and a run with a notebook."""
    monkeypatch.setenv("SKILLKIT_RUNS", str(tmp_path))
    monkeypatch.delenv("SKILLKIT_STORE", raising=False)
    cached(artifact("probe")(lambda: "x" * 50_000))
    for file in find("probe")[0].iterdir():
        os.utime(file, (time.time() - 40 * 86400,) * 2)
    cached(artifact("prompt")(lambda: "x"))
    own(tmp_path / "mine", "")
    studies.describe(tmp_path / "mine")
    (tmp_path / "mine" / ".first.lock").touch()
    (tmp_path / "notes").mkdir()  # of the user, as is all that has no mark of ours
    studies.describe(tmp_path / "notes")
    (tmp_path / "link").symlink_to(tmp_path / "mine")


def left():
    return [one.kind for one in list_stored()]


@pytest.mark.parametrize("conditions, kept", [
    (dict(kinds=["prompt"]), ["probe", "run"]), (dict(kinds=["run"]), ["probe", "prompt"]),
    (dict(older="30d"), ["prompt", "run"]), (dict(older="6w"), ["probe", "prompt", "run"]),
    (dict(larger="40K"), ["prompt", "run"]), (dict(larger="1M"), ["probe", "prompt", "run"]),
    (dict(kinds=["prompt", "run"], older="1h"), ["probe", "prompt", "run"]), (dict(), ["probe", "prompt", "run"]),
])  # fmt: skip
def test_conditions_choose(conditions, kept, tmp_path):
    assert left() == ["probe", "prompt", "run"] and remove_results(sure=True, **conditions) == 0
    assert left() == kept and (tmp_path / "notes").exists() and (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("answer, gone", [("y", ["probe"]), ("", []), ("no", [])])
def test_it_asks_first(monkeypatch, capsys, answer, gone):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: print(question) or answer)
    remove_results(["probe"])
    assert left() == [kind for kind in ("probe", "prompt", "run") if kind not in gone]
    assert re.search(r"1 of 3, 5\d\.\d kB; remove\? \[y/N\]", capsys.readouterr().out)


def test_without_a_terminal_it_needs_a_yes(monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(SkillkitError, match="give --yes"):
        remove_results(["probe"])
    assert len(left()) == 3


def test_what_is_being_written_stays(tmp_path, capsys):
    other = store.root() / ".locks" / f"probe-{find('probe')[0].name}"
    with FileLock(tmp_path / "mine" / ".first.lock"), FileLock(other):
        remove_results(["run", "probe"], sure=True)
    assert len(left()) == 3 and "removed 0; in use, kept" in capsys.readouterr().out


@pytest.mark.parametrize("conditions, sentence", [
    (dict(kinds=["promt"]), "nothing of kind 'promt'; did you mean 'prompt'?"),
    (dict(older="30"), "--older takes a number with one of h, d, w"),
    (dict(larger="big"), "--larger takes a number with one of K, M, G, like 30M"),
])  # fmt: skip
def test_mistakes_are_told(conditions, sentence):
    with pytest.raises(SkillkitError) as error:
        remove_results(**conditions)
    assert sentence in str(error.value)
