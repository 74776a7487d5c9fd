import pytest

from skillkit.models import backbone
from skillkit.models.fast import packing, products


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
def multiplied(monkeypatch):
    """The shapes of the weights that go through oneDNN, on every processor and in tiny models too."""
    seen, multiply = [], products._multiply
    monkeypatch.setattr(products, "ABLE", True)
    monkeypatch.setattr(products, "WORTH", 1)
    monkeypatch.setattr(products, "_multiply", lambda x, w, *b: (seen.append(w.shape), multiply(x, w, *b))[1])
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
