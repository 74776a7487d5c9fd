"""Files that are whole or not there; YAML 1.2 with errors of one sentence."""

import pytest
from pydantic import BaseModel

from skillkit.core.errors import SkillkitError
from skillkit.core.files import (
    MARK,
    as_path,
    filling,
    is_ours,
    own,
    read_json,
    read_yaml,
    write_json,
    write_text,
    writing,
)
from tests.helpers import full_disk


class Kind(BaseModel):
    a: int


@pytest.mark.parametrize("raw", [
    b'{"a": ', b"\xff\x00", b"", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b"[1]", b'{"a": "x"}', b'{"b": 1}',
    b'{\n "sha256": "' + b"0" * 64 + b'",\n"a": 1}',
])  # fmt: skip
def test_json_that_is_not_as_it_should_be_is_one_sentence(tmp_path, raw):
    (tmp_path / "a.json").write_bytes(raw)
    with pytest.raises(SkillkitError, match=r"a\.json is damaged \(.*\); make it again") as error:
        read_json(tmp_path / "a.json", Kind)
    assert len(str(error.value)) < 600 and "\n" not in str(error.value)


def test_json_goes_and_comes_and_a_seal_notices_every_changed_bit(tmp_path):
    path, plain = tmp_path / "a.json", {"é": [1, None], "a": 2}
    assert read_json(path) is None
    write_json(path, plain)
    assert read_json(path) == plain and read_json(path, Kind).a == 2
    write_json(path, plain, seal=True)
    raw = path.read_bytes()
    assert read_json(path, seal=True) == plain
    for bit in range(8 * len(raw)):
        path.write_bytes((int.from_bytes(raw, "little") ^ 1 << bit).to_bytes(len(raw), "little"))
        with pytest.raises(SkillkitError, match="is damaged"):
            read_json(path, seal=True)


@pytest.mark.parametrize(("text", "sentence"), [
    ("a: {b: [1}", "is no YAML in line 1"), ("a: 1\na: 2", "in line 2: found duplicate key"), ("", "names with values"),
    ("- a\n- b", "names with values"), ("a: !!python/object/apply:os.system [ls]", "is no YAML"),
    ("a: \x00", "is no YAML: unacceptable character"), ("a: \udcff", "cannot read .*: it is not UTF-8"),
])  # fmt: skip
def test_wrong_yaml_is_one_sentence(tmp_path, text, sentence):
    (tmp_path / "a.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SkillkitError, match=sentence) as error:
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(error.value)
    for name, reason in (("absent.yaml", "No such file"), ("", "Is a directory")):
        with pytest.raises(SkillkitError, match=reason):
            read_yaml(tmp_path / name)


def test_words_stay_words_and_numbers_become_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_SHARED", "/a: #b")
    (tmp_path / "a.yaml").write_text(
        "words: [no, yes, on, 2024-01-01, '1', $SKILLKIT_SHARED/c]\nnumbers: [1e-3, 5E4, .5, 3., -7, .inf]\n"
        "truth: [true, False]\nnothing: [null, ~, ]"
    )
    read, words = read_yaml(tmp_path / "a.yaml"), read_yaml(tmp_path / "a.yaml", words=True)
    assert read["words"] == words["words"] == ["no", "yes", "on", "2024-01-01", "1", "/a: #b/c"]
    assert read["numbers"] == [0.001, 50000.0, 0.5, 3.0, -7, float("inf")] and words["numbers"][0] == "1e-3"
    assert read["truth"] == [True, False] and read["nothing"] == [None, None]


def test_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "new \ud800")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_refusals_are_one_sentence_and_other_errors_pass(tmp_path):
    refused = pytest.raises(SkillkitError, match="^here cannot be written .* or go elsewhere$")
    with refused, writing("here", "go elsewhere"):
        (tmp_path / "a.txt").write_text("")
        (tmp_path / "a.txt" / "b").mkdir()
    for error in (ValueError, FileNotFoundError, ConnectionError):
        with pytest.raises(error), writing("here", "go elsewhere"):
            raise error


def test_a_folder_is_filled_at_once_and_keeps_what_else_it_held(tmp_path):
    for name in ("own.txt", "a.txt"):
        (tmp_path / name).write_text("old")
    with filling(tmp_path, "go elsewhere") as fresh:
        (fresh / "below").mkdir()
        for name in ("a.txt", "below/b.txt"):
            (fresh / name).write_text("new")
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


def test_a_folder_whose_mark_was_cut_short_is_ours_still(tmp_path):
    whole = (own(tmp_path / "whole", "") / MARK).read_bytes()
    for size in range(len(whole) + 1):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / MARK).write_bytes(whole[:size])  # as a full disk or a kill leaves it
        assert is_ours(own(folder, "go elsewhere"))
    for content in (b"mine", whole + b"more"):
        (tmp_path / "0" / MARK).write_bytes(content)
        with pytest.raises(SkillkitError, match="not made by skillkit"):
            own(tmp_path / "0", "go elsewhere")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "a/" * 3000, "\ud800", None, 3, b"x", ["x"]])
def test_what_cannot_be_a_name_is_refused_wherever_a_folder_is_given(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for use in (as_path, lambda given: own(given, ""), lambda given: filling(given, "").__enter__()):
        with pytest.raises(SkillkitError, match="cannot be the name of a file or a folder") as error:
            use(name)
        assert len(str(error.value)) < 300
    assert not any(tmp_path.iterdir())
