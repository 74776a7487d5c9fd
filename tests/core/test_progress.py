"""Progress: a bar, one line, or a few lines."""

import subprocess
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from skillkit.core.progress import progress
from tests.helpers import REPOSITORY


def test_items_pass_through():
    assert list(progress([1, 2, 3], disable=True)) == [1, 2, 3]


def test_a_log_gets_whole_lines_and_few():
    script = "from skillkit.core.progress import progress\nfor _ in progress(range(1000), 'tuning'): pass"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("tuning: 100%") and "1000/1000" in line and "\r" not in done.stderr


def test_a_log_tells_where_an_interrupted_loop_stopped(capsys):
    with pytest.raises(KeyError), progress(total=10, desc="tuning") as bar:
        bar.update(3)
        raise KeyError
    assert "3/10" in capsys.readouterr().err


def test_a_notebook_gets_one_line_that_is_replaced(monkeypatch):
    monkeypatch.setattr(sys.modules[progress.__module__], "_in_notebook", lambda: True)
    InteractiveShell.instance()
    with capture_output() as captured:
        for _ in progress(range(50), "tuning", mininterval=0):
            pass
    first, *updates = captured._outputs
    assert "update" not in first or not first["update"]
    assert updates and all(update["update"] for update in updates)
    assert "50/50" in updates[-1]["data"]["text/plain"] and captured.stderr == ""
    InteractiveShell.clear_instance()
