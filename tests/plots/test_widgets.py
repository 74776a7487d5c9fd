"""What an explorer draws, and when; a real browser moves one in tests/end_to_end/test_explorers.py."""

import pytest
from matplotlib import pyplot as plt

from skillkit.plots import widgets as explorers

pytestmark = pytest.mark.usefixtures("figures_in_style")


@pytest.fixture
def displayed(monkeypatch):
    """What an explorer displays, in order."""
    found = []
    monkeypatch.setattr(explorers, "display", found.append)
    return found


def draw(rate=0.2, task="movies"):
    return plt.figure(f"{task} {rate:g}")


def test_a_moved_slider_draws_a_figure_and_leaves_none_open(displayed):
    explorers.explorer(draw, rate=(0.1, 0.5, 0.1), task=["movies", "rooms"])
    rate, task, _ = displayed.pop().children
    assert (rate.value, rate.max, task.value) == (0.2, 0.5, "movies")
    rate.value = 0.4
    task.value = "rooms"
    assert [figure.get_label() for figure in displayed] == ["movies 0.2", "movies 0.4", "rooms 0.4"]
    assert not plt.get_fignums()


def test_a_slider_acts_when_it_is_let_go(displayed):
    explorers.explorer(lambda rate, text, whole: plt.figure(), rate=(0, 9), text="a film", whole=True)
    rate, text, *_ = displayed[-1].children
    assert not rate.continuous_update and not text.continuous_update
