import pandas as pd
import pytest

from skillkit import plots

pytestmark = pytest.mark.usefixtures("figures_in_style")

TYPES = {"movies": "sentiment", "news": "topic", "gadgets": "sentiment", "questions": "topic"}


def test_numbers_are_written_and_the_scale_is_shared():
    table = pd.DataFrame([[0.1, 0.9]], index=["row"], columns=["x", "y"])
    figure = plots.heatmap({"one": table, "other": table / 2}, "share", limits=(0, 2))
    written = [[text.get_text() for text in axes.texts] for axes in figure.axes[:2]]
    assert written == [["0.10", "0.90"], ["0.05", "0.45"]]
    assert {axes.collections[0].get_clim() for axes in figure.axes[:2]} == {(0, 2)}


def test_tasks_of_one_cluster_stand_together_and_pairs_of_one_type_are_framed():
    alike = {one: {other: 0.9 if TYPES[one] == TYPES[other] else 0.1 for other in TYPES} for one in TYPES}
    table = pd.DataFrame(alike)
    table.loc["random prompt"] = 0.0
    axes = plots.heatmap(table, "relative accuracy", types=TYPES).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert {names[0].split(" · ")[1], names[1].split(" · ")[1]} in ({"sentiment"}, {"topic"})
    assert names[-1] == "random prompt" and len(axes.patches) == 8  # black around white


@pytest.mark.parametrize("names", [["movies"], ["movies", "news"]])
def test_too_few_to_cluster(names):
    table = pd.DataFrame(0.5, index=names, columns=names)
    assert len(plots.heatmap(table, "share", types=TYPES).axes[0].texts) == len(names) ** 2
