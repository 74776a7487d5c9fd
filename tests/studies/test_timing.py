"""The times of sections at the head of a chapter."""

from types import SimpleNamespace

from skillkit.core import store
from skillkit.studies.timing import Timing


def test_sections_fill_in_and_times_without_and_with_the_store(small_notebooks, monkeypatch):
    clock, shown = [0.0], []
    monkeypatch.setattr("skillkit.studies.timing.monotonic", lambda: clock[0])
    monkeypatch.setattr(store, "spent", {"computed": 3.0, "loaded": 3.0})
    timing = Timing("small", shown.append)
    assert list(timing.seconds) == ["Start", "Doing"]
    doing = next(source for source, heading in timing.section.items() if heading == "Doing")
    timing.begin(SimpleNamespace(raw_cell=doing))
    clock[0], store.spent["computed"], store.spent["loaded"] = 10.0, 7.0, 63.0
    timing.end(None)
    timing.begin(SimpleNamespace(raw_cell="a cell of the reader's own"))
    clock[0] = 11.0
    timing.end(None)
    assert "Start – · **Doing: running**" in shown[0]
    assert "Start – · Doing 11 s" in shown[-1]
    assert shown[-1].endswith(
        "This run took 11 s; about 1 min 11 s with an empty store, 7 s with a full one."
    )
