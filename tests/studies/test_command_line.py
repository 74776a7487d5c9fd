"""The command line: what it prints, where, and its exit status."""

import subprocess
import sys

import pytest

from skillkit.__main__ import main
from tests.helpers import REPOSITORY
from tests.small_studies import swept

HEAVY = {"torch", "transformers", "datasets", "pandas", "matplotlib", "papermill"}


@pytest.mark.parametrize("words, allowed, status, part", [
    (["--help"], set(), 0, "pretrain"), (["run", "-h"], set(), 0, "--scheduler"), (["sweep", "-h"], set(), 0, "--only"),
    pytest.param(["show", "no/run"], {"pandas"}, 2, "no artifact", marks=pytest.mark.slow),
    pytest.param(["run", "no/such.yaml"], HEAVY - {"torch"}, 2, "No such file", marks=pytest.mark.slow),
    pytest.param(["report", "no/run"], HEAVY - {"torch"}, 2, "is no run", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_command_imports_no_more_than_it_needs(words, allowed, status, part):
    script = (
        "import sys; from skillkit.__main__ import main\n"
        f"status = main({words})\nprint(status, *({HEAVY - allowed} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert part in done.stdout + done.stderr and done.stderr.endswith(f"{status}\n")


@pytest.mark.parametrize("words, sentence", [
    (["run", "no/such.yaml"], "error: cannot read no/such.yaml: No such file or directory\n"),
    (["report", "no/run"], "error: no/run is no run"),
    pytest.param(["pretrain", "embedded/x"], "error: no model is called", marks=pytest.mark.slow),
    (["show", "no/artifact"], "error: there is no artifact or run 'no/artifact'"),
    (["show", "."], "error: there is no artifact or run '.'"),
])  # fmt: skip
def test_bad_input_is_one_sentence_and_status_2(words, sentence, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    assert main(words) == 2
    out, errors = capsys.readouterr()
    assert errors.startswith(sentence) and errors.count("\n") == 1 and not out


@pytest.mark.parametrize("words", [
    [], ["rnu"], ["run"], ["run", "a.yaml", "b.yaml"], ["sweep", "a.yaml", "--limit", "0"], ["report"], ["results"],
    ["sweep", "a.yaml", "--workers", "x"], ["sweep", "a.yaml", "--memory", "0"], ["pretrain", "embedded/t5", "--steps"],
    ["sweep", "a.yaml", "--slurm", "--scheduler", "tcp://x:1"],
])  # fmt: skip
def test_wrong_usage_is_status_2(words, capsys):
    assert main(words) == 2 and "Error: " in "".join(capsys.readouterr())


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_gets_no_traceback(tmp_path):
    line = f"exec 3> >(exec true); wait $!; {sys.executable} -m skillkit show {swept(tmp_path)} >&3"
    done = subprocess.run(["bash", "-c", line], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 141 and not done.stderr
