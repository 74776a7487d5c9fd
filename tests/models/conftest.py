import pytest

from skillkit.models import backbone
from skillkit.models.fast import packing


@pytest.fixture
def packings(monkeypatch):
    """The packings of all passes, of tiny models too."""
    seen = []

    def spied(bb, module, inputs, how):
        seen.append(how)
        return packing.read_packed(bb, module, inputs, how)

    monkeypatch.setattr(packing, "NARROW", 1)
    monkeypatch.setattr(backbone, "read_packed", spied)
    return seen


@pytest.fixture
def both_ways(monkeypatch):
    """A function that does something as it is done by default, and with SKILLKIT_PLAIN=1: both results."""

    def run(way):
        found = way()
        with monkeypatch.context() as patched:
            patched.setenv("SKILLKIT_PLAIN", "1")
            return found, way()

    return run
