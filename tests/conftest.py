"""What every test gets."""

import pytest


@pytest.fixture(autouse=True)
def _own_style_of_figures():
    """A notebook that runs in a test sets the style of figures; the next test begins with matplotlib's own."""
    import matplotlib

    with matplotlib.rc_context():
        yield


@pytest.fixture
def figures_in_style():
    """Figures as the notebooks draw them, without a window; none is open before or afterwards."""
    import matplotlib.pyplot as plt

    from skillkit import figures

    plt.switch_backend("agg")
    plt.close("all")
    figures.style()
    yield
    plt.close("all")


@pytest.fixture
def small_notebooks(tmp_path, monkeypatch):
    """The notebook of `tests.studies` is the only one there is, and the package's code stays as it is."""
    from skillkit import params, units
    from tests import studies
    from tests.helpers import REPOSITORY

    monkeypatch.setattr(units, "NOTEBOOKS", None)
    monkeypatch.setattr(units, "source_hash", lambda: "this code")  # not what an editor is just changing
    monkeypatch.setattr(params, "NOTEBOOKS", {})
    monkeypatch.setenv("SMALL_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    studies.install(tmp_path / "notebooks")
