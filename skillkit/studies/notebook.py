"""What a notebook does around its subject: checked parameters, saved figures and tables, the table of claims.

>>> run = sk.start("01_prompt_tuning", globals())
>>> run.figure(fig, "learning_curves", data=history, caption="Validation accuracy during tuning.")
>>> run.claims([Claim("Prompts beat chance.", "Wang et al. 2022", 0.92, 0.95, 0.94, 0.96, holds="yes")])
"""

import html
import shutil
from operator import attrgetter
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython import get_ipython
from IPython.display import Markdown, display

from skillkit import plots
from skillkit.core.files import own, write_json, writing
from skillkit.core.provenance import provenance, runs_folder
from skillkit.studies import params
from skillkit.studies.claims import Claim  # noqa: F401 (chapters find it here, too)
from skillkit.studies.manifest import Entry
from skillkit.studies.timing import Timing


class Run:
    """One execution of a notebook: `.params`, `.out` (a folder), and what is saved there.

    >>> Run("01_prompt_tuning", params.validate("01_prompt_tuning", {"out": "dir"})).out.name
    'dir'
    """

    def __init__(self, notebook, parameters):
        self.notebook, self.params = notebook, parameters
        self.out = Path(parameters.out or runs_folder() / "notebooks" / notebook)
        self.contents = {"notebook": notebook, "parameters": parameters.model_dump()}
        self.contents |= {"provenance": provenance(), "figures": [], "tables": [], "findings": []}
        self._head, self._findings = None, {}  # of each cell: how often anything had run, and what it found
        with writing(self.out, "set `out` to another folder"):
            own(self.out, "set `out` to another folder")
            for part in ("figures", "tables"):
                shutil.rmtree(self.out / part, ignore_errors=True)
                (self.out / part).mkdir()
            (self.out / "claims.json").unlink(missing_ok=True)
            write_json(self.out / "contents.json", self.contents)

    def figure(self, fig, name, data=None, caption=""):
        """Show a figure and save it as PNG and SVG, with the numbers it shows (`data`, a table) as CSV.

        >>> run.figure(fig, "learning_curves", data=history, caption="Validation accuracy during tuning.")

        fig: a matplotlib figure, or something that has one as `.figure`.
        """
        fig, place = fig.figure, self._place("figures", name)
        paths = [place.with_name(f"{name}.{kind}") for kind in ("png", "svg")]
        for path in paths:
            fig.savefig(path, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else {})
        if data is not None:
            paths.append(_write_csv(data, place))
        display(fig, metadata={"image/png": {"alt": caption or name}})
        plt.close(fig)  # else the notebook would show it a second time
        self._keep("figures", name, caption, paths)

    def table(self, data, name, caption=""):
        """Show a table (pandas) and save all of it as CSV.

        >>> run.table(accuracies, "accuracies", caption="Test accuracy, mean over seeds.")
        """
        path = _write_csv(data, self._place("tables", name))
        display(pd.DataFrame(data))
        self._keep("tables", name, caption, [path])

    def claims(self, claims):
        """Show the table of claims and write `claims.json`.

        >>> run.claims([Claim("Prompts beat chance.", "Wang et al. 2022", 0.92, 0.95, 0.94, 0.96, "yes")])
        """
        write_json(self.out / "claims.json", [claim.plain() for claim in claims])
        parts = attrgetter("statement", "paper", "published_text", "measured_text", "holds", "note")
        columns = ["statement", "paper", "published", "measured here (95 % interval)", "holds?", "note"]
        shown = pd.DataFrame(map(parts, claims), columns=columns)
        with pd.option_context("display.max_colwidth", None, "display.width", 200):
            page = shown.to_html(index=False, justify="left", border=0, classes="claims")
            display({"text/html": page, "text/plain": shown.to_string(index=False)}, raw=True)

    def finding(self, text, head=True):
        """Say what was found: here, in the report and on the page of results, and at the head of the chapter.

        >>> run.finding(f"A tuned prompt answers {accuracy:.0%} of the test rows.")

        A cell that is run again replaces what it found before. head=False leaves the sentence out of the head.
        """
        shell = get_ipython()
        cell, count = (shell.user_ns["In"][-1], shell.execution_count) if shell else ("", 0)
        ran, before = self._findings.get(cell, (count, []))
        self._findings[cell] = count, [*(before if ran == count else []), (text, head)]
        found = [one for _, mine in self._findings.values() for one in mine]
        self.contents["findings"] = [sentence for sentence, _ in found]
        write_json(self.out / "contents.json", self.contents)
        display(_list([text]))
        if self._head:
            self._head.update(_list([sentence for sentence, first in found if first]))

    def _place(self, part, name):
        """The CSV of that name, which must be one that a file can have."""
        entry = params.checked(
            Entry, {"name": name, "caption": "", "files": [name]}, f"run.{part[:-1]}", "argument"
        )
        return self.out / part / f"{entry.name}.csv"

    def _keep(self, part, name, caption, paths):
        """Note in contents.json what was saved; a cell run twice replaces its entry."""
        files = [str(path.relative_to(self.out)) for path in paths]
        entry = {"name": name, "caption": caption, "files": files}
        self.contents[part] = [old for old in self.contents[part] if old["name"] != name] + [entry]
        write_json(self.out / "contents.json", self.contents)
        if caption:
            page = f"<p><em>{html.escape(caption)}</em></p>"
            display({"text/html": page, "text/plain": caption}, raw=True)


def start(notebook, namespace):
    """Check the parameters cell, say in one line what runs, set the style of figures.

    >>> run = sk.start("01_prompt_tuning", globals())
    <…>
    skillkit 0.1.0 (…) · Python 3… · torch … · embedded/roberta · seeds 0, 1, 2 · … thread…

    Raises SkillkitError for a parameter of the wrong type or value.
    """
    history = namespace.get("In", ())  # what IPython has run
    names = params.model(notebook, history).model_fields.keys() & namespace.keys()
    run = Run(notebook, params.validate(notebook, {name: namespace[name] for name in names}, history))
    plots.set_style()
    _show_time(notebook)
    run._head = display(Markdown("*What this chapter finds appears here as it runs.*"), display_id=True)
    print(provenance_line(run.params))
    return run


def _show_time(notebook):
    """The time of every section, at the head of the chapter; it follows the cells that IPython runs."""
    shell = get_ipython()
    if shell is None:
        return
    timing = Timing(notebook)
    handle = display(Markdown(timing.text()), display_id=True)
    timing.show = lambda text: handle.update(Markdown(text))
    for event in ("pre_run_cell", "post_run_cell"):
        for old in [
            one for one in shell.events.callbacks[event] if isinstance(getattr(one, "__self__", 0), Timing)
        ]:
            shell.events.unregister(event, old)  # of the cell that is run again
    shell.events.register("pre_run_cell", timing.begin)
    shell.events.register("post_run_cell", timing.end)


def provenance_line(parameters):
    """Versions, revision, backbone, seeds and threads in one line.

    >>> provenance_line(params.validate("00_the_small_world", {})).split(" · ")[0]
    'skillkit 0.1.0 (...'
    """
    import torch

    source, threads = provenance(), torch.get_num_threads()
    git, versions = source["git"], source["versions"]
    revision = f" ({git['revision'][:7]}{', with changes' * git['dirty']})" if git else ""
    parts = [f"skillkit {versions['skillkit']}{revision}", f"Python {versions['python']}"]
    parts += [f"{name} {versions[name]}" for name in ("torch", "transformers")]
    parts += [parameters.backbone] if hasattr(parameters, "backbone") else []
    seeds = getattr(parameters, "seeds", [parameters.seed] if hasattr(parameters, "seed") else [])
    parts += [f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"] if seeds else []
    return " · ".join([*parts, f"{threads} thread{'s' * (threads > 1)}"])


def _list(findings):
    """Findings as the notebook shows them."""
    return Markdown("**Found.**\n\n" + "\n".join(f"- {one}" for one in findings))


def _write_csv(data, path):
    table = pd.DataFrame(data)
    table.to_csv(path, index=not isinstance(table.index, pd.RangeIndex))
    return path
