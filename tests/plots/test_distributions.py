"""Distributions: what is drawn is what was given."""

import numpy as np
import pandas as pd
import pytest
import torch

from skillkit.plots import distributions

pytestmark = pytest.mark.usefixtures("figures_in_style")


def heights(patch):
    return patch.get_xy()[:, 1]


def test_activations_by_class_with_the_baseline():
    values, labels = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0]), torch.tensor([0, 0, 1, 1, 0])
    figure = distributions.by_class(
        {"one": (values, torch.tensor(0.4)), "two": (values, 0.6)}, labels, ("no", "yes")
    )
    first, second = figure.axes
    assert first.lines[0].get_xdata()[0] == pytest.approx(0.4) and second.lines[0].get_xdata()[0] == 0.6
    no, yes = first.patches
    assert (no.get_label(), yes.get_label()) == ("no", "yes")
    assert heights(no).max() == 2 and heights(yes).max() == 2 and first.get_title(loc="left") == "one"


def test_the_null_beside_what_was_found():
    found = torch.tensor([[0.5, 0.9], [torch.nan, 0.6]])
    null = torch.tensor([[[0.5, 0.52], [torch.nan, 0.55]], [[0.5, 0.5], [torch.nan, 0.58]]])
    axes = distributions.against_null(found, null, 0.5).axes[0]
    luckiest, majority = (line.get_xdata()[0] for line in axes.lines)
    assert luckiest == pytest.approx(0.58) and majority == 0.5
    shares = [heights(patch).max() for patch in axes.patches]
    assert shares == pytest.approx([3 / 6, 1 / 3])


def test_boxes_in_the_order_given_beside_the_accuracy():
    scores = {"b": torch.linspace(0.5, 0.7, 9).view(3, 3), "a": torch.full((3, 3), 0.6)}
    accuracy = pd.DataFrame(
        dict(task=["a", "b"], accuracy=[0.9, 0.8], low=[0.88, np.nan], high=[0.92, np.nan])
    )
    axes = distributions.boxes(scores, accuracy).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b", "a"]
    assert axes.containers[0][0].get_ydata().tolist() == [0.8, 0.9]
