"""A name keeps its colour through all chapters, and controls are grey and dashed."""

import numpy as np
from matplotlib.colors import to_rgb

from skillkit.plots.style import color, line_style


def test_models_and_methods_have_colours_of_their_own():
    models = [color(f"embedded/{name}") for name in ("roberta", "bert", "t5", "gpt2")]
    assert len(set(models)) == 4
    assert [color(name, 5) for name in ("roberta", "bert", "t5", "gpt2")] == models
    assert color("prompt", 3) == color("prompt", 0)
    assert color("random neurons, other facts", 3) == color("random neurons")


def test_controls_are_grey_and_dashed():
    assert np.ptp(to_rgb(color("random prompt"))) == 0
    assert line_style("random prompt") != "-" == line_style("prompt")
