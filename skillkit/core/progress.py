"""Progress bars that read well in a terminal (a bar), in a notebook (one line) and in a log (few lines).

>>> for step in progress(range(400), "tuning world/movies"):
...     loss = train(step)
"""

import sys

from tqdm import tqdm


def progress(iterable=None, desc=None, total=None, disable=False, **options):
    """A progress bar for a terminal, a notebook or a log: a tqdm bar (`set_postfix`, `update`, `close`).

    >>> with progress(total=400, desc="tuning") as bar:
    ...     bar.set_postfix(loss=0.31)

    In a notebook the line is an output that replaces itself, so a saved notebook keeps the last state only.
    In a log (output that is no terminal) there is a line at most every ten seconds, and one at the end.
    """
    outside = (tqdm, 0.2) if sys.stderr.isatty() else (_LogBar, 10)
    kind, interval = (_NotebookBar, 0.5) if _in_notebook() else outside
    options = {"mininterval": interval, "miniters": 1, "dynamic_ncols": True} | options
    return kind(iterable, desc, total, disable=disable, **options)


def _in_notebook():
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


class _LogBar(tqdm):
    """Whole lines instead of carriage returns."""

    disable: bool
    monitor_interval = 0  # the watching thread would refresh between the lines

    def display(self, msg=None, pos=None):
        if self.n or self.total is None or self.postfix:
            print(msg or str(self), file=sys.stderr, flush=True)

    def clear(self, nolock=False):
        """There is no line to be overwritten by what `write` prints."""

    def close(self):
        if self.disable:
            return
        if self.n != self.last_print_n or not self.n:
            self.display()
        self.disable = True
        self._decr_instances(self)


class _NotebookBar(_LogBar):
    """One display that is updated in place; works with every front end, and needs no widget."""

    handle = None

    def display(self, msg=None, pos=None):
        from IPython.display import display  # start-up time: only notebooks have loaded it

        content = {"text/plain": msg or str(self)}
        if self.handle is None:
            self.handle = display(content, raw=True, display_id=True)
        else:
            self.handle.update(content, raw=True)
