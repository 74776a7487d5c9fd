"""Explorers: widgets above a figure, which is drawn anew when a reader moves them.

>>> explorer(lambda bins: histogram({"clean": [1, 2, 2, 4]}, "length", bins=bins), bins=(2, 20))
"""

from functools import wraps

import ipywidgets as widgets
from IPython.display import display
from matplotlib import pyplot as plt


def explorer(draw, **controls):
    """Show a widget for every control, and under them what `draw` returns for their values.

    >>> explorer(lambda bins: histogram({"clean": [1, 2, 2, 4]}, "length", bins=bins), bins=(2, 20))

    draw       a function of the controls that returns a Figure; what it prints and displays comes above that
    controls   widgets, or what stands for one: a list to choose from, (lowest, highest, step), a text, True

    A slider acts when it is let go, and a text when it is finished: a model may have to answer in between.
    Where widgets do not run (on GitHub, in a report) nothing is drawn: draw the figure once, before.
    """

    @wraps(draw)  # the defaults of its parameters are where the widgets stand at first
    def shown(*args, **values):
        drawn = draw(*args, **values)
        display(drawn)
        plt.close(drawn)  # else it would be shown a second time

    panel = widgets.interactive(shown, **controls)
    for widget in panel.children:
        if widget.has_trait("continuous_update"):
            widget.continuous_update = False
    display(panel)
