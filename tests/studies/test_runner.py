"""Studies: executed once, continued after anything, failures told and kept."""

import json
import os
import signal
import sys
import threading
import time
from functools import partial

import nbformat
import pytest

from skillkit.core.errors import SkillkitError
from skillkit.studies import job as units
from skillkit.studies.executors import local
from skillkit.studies.runner import run_study
from tests import small_studies as studies
from tests.helpers import interruptible

pytestmark = pytest.mark.usefixtures("small_notebooks")


def started(tmp_path):
    """What the cells in the middle have written down."""
    return (tmp_path / "log").read_text().split() if (tmp_path / "log").exists() else []


def command(tmp_path, path):
    place = ["--out", tmp_path / "out", "--workers", "2"]
    line = [sys.executable, "-c", studies.COMMAND, tmp_path / "notebooks", "run", path, *place]
    return interruptible(line, tmp_path)


def states(ran):
    _, outcomes = ran
    return [outcome.state for outcome in outcomes.values()]


def test_a_study_runs_once_and_again_only_what_changed(tmp_path, capsys):
    out = tmp_path / "out"
    assert states(run_study(studies.study(tmp_path, small={}, again={"size": 4}), out)) == ["done", "done"]
    assert states(run_study(studies.study(tmp_path, small={}, again={"size": 4}), out)) == ["kept", "kept"]
    assert states(run_study(studies.study(tmp_path, small={}, again={"size": 5}), out)) == ["kept", "done"]
    assert sorted(started(tmp_path)) == ["3", "4", "5"]
    assert "[2/2] again: nothing has changed, kept" in capsys.readouterr().out
    manifest = json.loads((out / "again" / "manifest.json").read_text())
    assert manifest["parameters"]["size"] == 5 and manifest["files"] == ["again.ipynb", "size.txt"]
    assert json.loads((out / "study.json").read_text())["notebooks"] == ["small", "again"]


def test_kernel_is_this_interpreter(tmp_path):
    run_study(studies.study(tmp_path, small={}), tmp_path / "out")
    assert (tmp_path / "out/small/size.txt").read_text() == f"3 {sys.executable}"


def test_changed_notebook_changed_code_and_lost_file_run_again(tmp_path, monkeypatch):
    path, out = studies.study(tmp_path, small={}), tmp_path / "out"
    run_study(path, out)
    source = tmp_path / "notebooks" / "small.ipynb"
    notebook = nbformat.read(source, 4)
    notebook.cells[0].source += "!"
    nbformat.write(notebook, source)
    assert states(run_study(path, out)) == ["done"]
    notebook.metadata["remark"] = "no change to what runs"
    nbformat.write(notebook, source)
    assert states(run_study(path, out)) == ["kept"]
    monkeypatch.setattr(units, "source_hash", lambda: "other code")
    assert states(run_study(path, out)) == ["done"]
    (out / "small/size.txt").unlink()
    assert states(run_study(path, out)) == ["done"]


def test_failure_is_told_kept_and_does_not_stop_the_others(tmp_path, capsys):
    path, out = studies.study(tmp_path, small={"action": "fail"}, again={}), tmp_path / "out"
    assert states(run_study(path, out)) == ["failed", "done"]
    told = capsys.readouterr()
    assert "small: FAILED" in told.out and "small.failed.ipynb" in told.err
    assert "RuntimeError: it went <wrong>" in told.err and 'raise RuntimeError("it went' in told.err
    assert (
        not (out / "small/small.ipynb").exists() and nbformat.read(out / "small/small.failed.ipynb", 4).cells
    )
    assert json.loads((out / "small/manifest.json").read_text())["state"] == "failed"
    assert states(run_study(path, out)) == ["failed", "kept"]  # tried again
    assert states(run_study(studies.study(tmp_path, small={}, again={}), out)) == ["done", "kept"]
    assert not (out / "small/small.failed.ipynb").exists()


def test_what_the_user_did_wrong_is_one_sentence(tmp_path, capsys):
    run_study(studies.study(tmp_path, small={"action": "refuse"}), tmp_path / "out")
    told = capsys.readouterr().err
    assert "  no such model; name another\n" in told and "Traceback" not in told


def test_killed_kernel_is_tried_again_and_then_a_failure(tmp_path, capsys):
    path = studies.study(tmp_path, small={"action": "die"}, again={"action": "die once"})
    ran = run_study(path, tmp_path / "out")
    assert states(ran) == ["failed", "done"] and "the kernel died" in ran[1]["small"].error
    assert started(tmp_path).count("3") == 5 and "trying again (2 of 2)" in capsys.readouterr().err


def test_notebooks_run_at_once(tmp_path):
    """The first waits for a sign that is given when the second has ended."""
    path = studies.study(tmp_path, small={"action": "hold"}, again={})
    done, go = tmp_path / "out/again/manifest.json", tmp_path / "log.go"

    def give_sign():
        end = time.monotonic() + 100
        while not done.exists() and time.monotonic() < end:
            time.sleep(0.05)
        go.write_text(str(done.exists()))

    sign = threading.Thread(target=give_sign)
    sign.start()
    assert states(run_study(path, tmp_path / "out", partial(local, workers=2))) == ["done", "done"]
    sign.join()
    assert go.read_text() == "True"


def test_a_notebook_waits_for_those_it_comes_after(tmp_path):
    path = studies.study(tmp_path, small={"size": 4}, again={"size": 5})
    path.write_text(path.read_text() + "\nafter: {small: again}")
    run_study(path, tmp_path / "out", partial(local, workers=2))
    assert started(tmp_path) == ["5", "4"]


@pytest.mark.parametrize("after, message", [
    ("{small: again, again: small}", "waits for"), ("{small: agian}", "did you mean 'again'"),
    ("[small, again]", "must map a notebook to those it waits for"),
])  # fmt: skip
def test_waiting_that_cannot_be_is_refused(tmp_path, after, message):
    path = studies.study(tmp_path, small={}, again={})
    path.write_text(path.read_text() + f"\nafter: {after}")
    with pytest.raises(SkillkitError, match=message):
        run_study(path, tmp_path / "out")


def ended(tmp_path, number, **notebooks):
    """The exit status and the errors of a study that gets a signal in the middle of a notebook."""
    process = command(tmp_path, studies.study(tmp_path, **notebooks))
    others = [tmp_path / "out" / name / "manifest.json" for name in notebooks if name != "small"]
    while not ("7" in started(tmp_path) and all(path.exists() for path in others)) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert not (tmp_path / "out/small/manifest.json").exists()
    assert any((tmp_path / "out/small").glob("small.*.ipynb"))  # as far as it got
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_one_sentence(tmp_path, number):
    status, errors = ended(tmp_path, number, small={"action": "wait", "size": 7})
    assert status == 130 and "Traceback" not in errors
    assert errors.endswith("interrupted; the same command continues where this one stopped\n")


def test_a_killed_study_continues(tmp_path):
    status, _ = ended(tmp_path, signal.SIGKILL, again={}, small={"action": "wait", "size": 7})
    assert status == -signal.SIGKILL
    process = command(tmp_path, studies.study(tmp_path, again={}, small={"size": 7}))
    told, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and "again: nothing has changed" in told and "small: done" in told, errors
    assert (
        sorted(started(tmp_path)) == ["3", "7", "7"]
        and not (tmp_path / "out/small/small.partial.ipynb").exists()
    )


def test_two_processes_run_a_unit_once(tmp_path):
    path = studies.study(tmp_path, small={})
    processes = [command(tmp_path, path) for _ in range(2)]
    told = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert started(tmp_path) == ["3"] and "".join(told).count("kept") == 1


def test_wrong_study_starts_nothing(tmp_path):
    process = command(tmp_path, studies.study(tmp_path, small={}, again={"sizes": 4}))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and errors.strip().endswith(
        "again has no parameter 'sizes'; did you mean 'size'?"
    )
    assert not started(tmp_path) and not (tmp_path / "out").exists()


def test_another_studys_folder_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").write_text('{"name": "precious"}')
    with pytest.raises(SkillkitError, match="holds the study 'precious'"):
        run_study(studies.study(tmp_path, small={}), tmp_path / "out")


def test_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(SkillkitError, match="cannot be written .* --out"):
        run_study(studies.study(tmp_path, small={}), tmp_path / "out")
    assert not started(tmp_path)


def test_missing_notebook_is_told(tmp_path):
    os.remove(tmp_path / "notebooks" / "small.ipynb")
    with pytest.raises(SkillkitError, match="small.ipynb is not there"):
        run_study(studies.study(tmp_path, small={}), tmp_path / "out")
