"""Files that are whole or not there."""

import pytest

from skillkit.core.errors import SkillkitError
from skillkit.core.files import filling, read_json, write_json, write_text, writing
from tests.helpers import full_disk


def test_json_goes_and_comes(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1, None]}


def test_what_cannot_be_read_is_none(tmp_path):
    (tmp_path / "cut.json").write_text('{"a": ')
    (tmp_path / "binary.json").write_bytes(b"\xff\x00")
    assert [read_json(tmp_path / name) for name in ("cut.json", "binary.json", "absent.json", "")] == [
        None
    ] * 4


def test_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "new \ud800")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_refusals_are_one_sentence_and_other_errors_pass(tmp_path):
    with (
        pytest.raises(SkillkitError, match="^here cannot be written .* or go elsewhere$"),
        writing("here", "go elsewhere"),
    ):
        (tmp_path / "a.txt").write_text("")
        (tmp_path / "a.txt" / "b").mkdir()
    for error in (ValueError, FileNotFoundError, ConnectionError):
        with pytest.raises(error), writing("here", "go elsewhere"):
            raise error


def test_a_folder_is_filled_at_once_and_keeps_what_else_it_held(tmp_path):
    for name in ("own.txt", "a.txt"):
        (tmp_path / name).write_text("old")
    with filling(tmp_path, "go elsewhere") as fresh:
        (fresh / "a.txt").write_text("new")
        (fresh / "below").mkdir()
        (fresh / "below" / "b.txt").write_text("new")
        assert (tmp_path / "a.txt").read_text() == "old"
    held = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.*")}
    assert held == {"own.txt": "old", "a.txt": "new", "below/b.txt": "new"}


def test_a_folder_that_cannot_be_filled_stays_as_it_was(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(SkillkitError, match="No space left"), filling(tmp_path, "go elsewhere") as fresh:
        (fresh / "a.txt").write_text("new")
        full_disk()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    with pytest.raises(SkillkitError, match="or go elsewhere"), filling(tmp_path / "a.txt", "go elsewhere"):
        pass
