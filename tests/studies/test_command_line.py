"""The command line: what it prints, where, and its exit status."""

import subprocess
import sys

import pytest

from skillkit.__main__ import main
from tests.helpers import REPOSITORY


def skillkit(*words):
    return subprocess.run(
        [sys.executable, "-m", "skillkit", *words], cwd=REPOSITORY, capture_output=True, text=True
    )


def test_help_is_there_without_heavy_imports():
    script = (
        "import sys; from skillkit.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'pandas', 'matplotlib', 'papermill'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("[]\n") and all(
        word in done.stdout for word in ("run", "sweep", "report", "show", "clean", "pretrain")
    )


@pytest.mark.parametrize("words, sentence", [
    (["run", "no/such.yaml"], "error: cannot read no/such.yaml: No such file or directory\n"),
    (["report", "no/run"], "error: no/run is no run"),
    (["show", "no/artifact"], "error: there is no artifact or run 'no/artifact'"),
    (["show", "."], "error: there is no artifact or run '.'"),
])  # fmt: skip
def test_bad_input_is_one_sentence_and_status_2(words, sentence, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    assert main(words) == 2
    out, errors = capsys.readouterr()
    assert errors.startswith(sentence) and errors.count("\n") == 1 and not out


@pytest.mark.parametrize("words", [
    [], ["rnu"], ["run"], ["run", "a.yaml", "b.yaml"],
    ["sweep", "a.yaml", "--limit", "0"], ["sweep", "a.yaml", "--workers", "x"], ["sweep", "a.yaml", "--memory", "0"],
    ["sweep", "a.yaml", "--slurm", "--scheduler", "tcp://x:1"],
])  # fmt: skip
def test_wrong_usage_is_status_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2 and "usage" in capsys.readouterr().err


def test_as_a_module():
    done = skillkit("run", "params/no_such.yaml")
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_pretrain_passes_its_options_on(capsys):
    with pytest.raises(SystemExit) as end:
        main(["pretrain", "--help"])
    assert end.value.code == 0 and "embedded/roberta" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_gets_no_traceback(tmp_path):
    (tmp_path / "study.json").write_text('{"name": "tiny", "notebooks": []}')
    line = f"exec 3> >(exec true); wait $!; {sys.executable} -m skillkit show {tmp_path} >&3"
    done = subprocess.run(["bash", "-c", line], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 141 and not done.stderr
