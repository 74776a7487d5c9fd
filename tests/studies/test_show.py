"""Provenance in words."""

import json

import pytest

from skillkit.core.errors import SkillkitError
from skillkit.core.store import artifact, cached, find
from skillkit.studies.show import show
from tests import small_studies as studies


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))

    @artifact("number", version=3)
    def number(seed, steps=20):
        return seed + 0.5

    for seed in (11, 12):
        cached(number, seed)
    return find("number")


def test_artifact_by_id_by_its_beginning_and_by_folder(stored):
    folder = stored[0]
    shown = show(f"number/{folder.name}")
    assert shown == show(f"number/{folder.name[:12]}") == show(str(folder))
    seed = json.loads((folder / "meta.json").read_text())["seed"]
    assert (
        f"\nseed: {seed}\n" in shown and "steps: 20" in shown and "result.json" in shown and "torch" in shown
    )


def test_damage_is_shown(stored):
    (stored[0] / "result.json").write_text("0")
    assert "damaged: result.json has changed" in show(str(stored[0]))
    (stored[0] / "meta.json").write_text("")
    with pytest.raises(SkillkitError, match="is damaged"):
        show(str(stored[0]))


def test_nothing_and_too_much_are_told(stored):
    with pytest.raises(SkillkitError, match="no artifact or run 'prompt/1'"):
        show("prompt/1")
    with pytest.raises(SkillkitError, match="2 artifacts .* give more"):
        show("number")


def test_run_lists_its_notebooks(tmp_path):
    (tmp_path / "first").mkdir()
    studies.describe(tmp_path, "first", "second")
    studies.finish(tmp_path / "first", "failed", error="no such model", parameters={"epochs": None})
    shown = show(tmp_path)
    assert (
        "first:\n    state: failed" in shown and "error: no such model" in shown and "epochs: null" in shown
    )
    assert "second: not finished" in shown and show(tmp_path / "first").startswith("first:\n  state: failed")


def test_sweep_lists_its_cells(tmp_path):
    sizes = {"size": [1, 2]}
    places = [
        {"name": f"small size={n}", "folder": f"cells/{n}", "point": {"size": n}} for n in sizes["size"]
    ]
    studies.describe(tmp_path, *(place | {"notebook": "small"} for place in places), axes=sizes)
    (tmp_path / "cells" / "1").mkdir(parents=True)
    studies.finish(tmp_path / "cells/1")
    shown = show(str(tmp_path))
    assert shown.startswith("study: tiny\n") and "small size=1: done 2026-01-05T10:00:00Z" in shown
    assert "small size=2: not finished" in shown
