"""Where a chapter is and how long it takes: lines at its head that fill in as its sections run.

>>> Timing("01_prompt_tuning").text()[:9]
'**Time.**'
"""

import json
import re
from time import monotonic

from skillkit.core import store
from skillkit.studies import params

_TOOK = re.compile(r"This run took [^\"\\]+")


class Timing:
    """The seconds of each section of a notebook that runs; `show` is called whenever they change.

    >>> list(Timing("01_prompt_tuning").seconds)[:2]
    ['Start', '1. ...']
    """

    def __init__(self, notebook, show=print):
        path = params.FOLDER / f"{notebook}.ipynb"
        self.show, self.now, self.running, self.section = show, "Start", False, {}
        heading, cells = self.now, params.read_cells(path) if path.is_file() else []
        for cell in cells:
            if cell.cell_type == "code":
                self.section[cell.text] = heading
            else:
                heading = [heading, *re.findall(r"^## +(.+)", cell.text, re.MULTILINE)][-1]
        self.seconds: dict = dict.fromkeys([self.now, *self.section.values()])  # None: not reached
        self.spent, self.began = dict(store.spent), monotonic()
        self.before = _TOOK.search(json.dumps(json.loads(path.read_text()))) if cells else None

    def begin(self, info):
        """What IPython calls before it runs a cell."""
        self.now, self.running, self.began = self.section.get(info.raw_cell, self.now), True, monotonic()
        self.show(self.text())

    def end(self, result):
        """What IPython calls after it has run a cell."""
        self.seconds[self.now] = (self.seconds[self.now] or 0) + monotonic() - self.began
        self.running = False
        self.show(self.text())

    def text(self):
        """Markdown: every section with its time, and what all of it takes without and with the store's artifacts."""
        parts = [f"{name} {'–' if took is None else duration(took)}" for name, took in self.seconds.items()]
        if self.running:
            parts[list(self.seconds).index(self.now)] = f"**{self.now}: running**"
        total = sum(filter(None, self.seconds.values()))
        loaded, computed = (store.spent[name] - self.spent[name] for name in ("loaded", "computed"))
        times = map(duration, (total, total + loaded, max(0, total - computed)))
        took = "This run took {}; about {} with an empty store, {} with a full one.".format(*times)
        if self.before and None in self.seconds.values():
            took = self.before[0].replace("This run", "The run before")
        return f"**Time.** {' · '.join(parts)}\n\n{took}"


def duration(seconds):
    """Seconds as people say them.

    >>> duration(75.2)
    '1 min 15 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
