"""What every test gets."""

import pytest


@pytest.fixture(autouse=True)
def _own_style_of_figures():
    """A notebook that runs in a test sets the style of figures; the next test begins with matplotlib's own."""
    import matplotlib

    with matplotlib.rc_context():
        yield
