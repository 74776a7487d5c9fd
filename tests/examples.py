"""What the examples of the docstrings take for granted: one line per name, worked out when an example asks for it.

Besides, an example knows what its module knows, and every public name of the package.
"""

import doctest
import functools
import inspect
from importlib import import_module

import pytest

import skillkit
from tests.helpers import REPOSITORY

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FILES = [path.relative_to(REPOSITORY).with_suffix("") for path in REPOSITORY.glob("skillkit/*/**/*.py")]
MODULES = [".".join(path.parts) for path in sorted(FILES) if path.name != "__init__"]

SHARED = """
sk = skillkit
torch = import_module("torch")
pd = import_module("pandas")
bb = sk.load_backbone("embedded/bert")
gpt = sk.load_backbone("embedded/gpt2")
t5 = sk.load_backbone("embedded/t5")
task = sk.load_task("world/movies").cut(train=40, validation=16, test=16)
other_task = sk.load_task("world/gadgets").cut(train=40, validation=16, test=16)
prompt = sk.tune_prompt(bb, task, length=4, max_steps=2, max_train_examples=40, progress=False)
other_prompt = sk.random_prompt(bb, length=4, seed=1)
probe = sk.probe(bb, task, prompt, permutations=2)
small = sk.prune(bb, skills, fill=probe)
other_probe = sk.probe(bb, other_task, other_prompt, text=False)
mask = sk.skill_neurons(probe, 0.05)
skills = sk.skill_neurons(probe, 0.05)
view = sk.adversarial_view(task, "typos", 0.5)
types = {"movies": "sentiment", "gadgets": "sentiment", "news": "topic", "questions": "topic"}
cloze = "the capital of velmora is [MASK]."
questions = sk.knowledge.clozes.encode_cloze(bb, cloze, "hilvek")
facts = sk.knowledge.relations.load_facts("world", relations=["capital"], language=["english"], per_relation=3)
found = sk.knowledge.fact_eval.find_neurons(bb, facts, steps=2, minimum_prompts=1, share=0.3)
transfer = import_module("types").SimpleNamespace(absolute=square(0.8), relative=square(0.9))
encoded = sk.prompts.encoding.encode(bb, task, task["train"], room=5)
batch = next(iter(encoded.batches(2)))
inputs = bb.tokenizer(["a text", "another text"], return_tensors="pt", padding=True)
run = sk.studies.notebook.Run("01_prompt_tuning", sk.studies.params.validate("01_prompt_tuning", {}))
"""

# Modules whose examples take a second or more.
SLOW = """
knowledge.control_fact knowledge.counts knowledge.fact_eval knowledge.fact_suppression knowledge.knowledge_neurons
knowledge.languages knowledge.sentences knowledge.weight_editing
neurons.controls neurons.pruning_curve neurons.suppression_curve
prompts.adapters prompts.training prompts.tuning
robustness.measures robustness.neuron_overlap robustness.repair
small_world.tiny_models small_world.zero_shot_eval
studies.report.figures
transfer.projection_eval transfer.projector transfer.prompt_activations transfer.warm_start transfer.zero_shot
"""


def own(module):
    """Lines of the room's own file of examples: those of this module, and before them those of the whole room."""
    room, _, name = module.__name__.removeprefix("skillkit.").partition(".")
    try:
        lines = _lines(import_module(f"tests.{room}.examples").OWN)
    except ModuleNotFoundError:
        return {}
    split = [(*key.rpartition("."), line) for key, line in lines.items()]
    return {short: line for one in ("", name) for module, _, short, line in split if module == one}


def furnish(folder, studies):
    """Make a folder look like the repository, with a table of the reader's own and perhaps a study and a sweep."""
    for name in ("params", "notebooks"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "dir").mkdir()
    rows = "".join(
        f"a {word} film,{label}\n" for label, word in enumerate(["bad", "good"]) for _ in range(20)
    )
    (folder / "my.csv").write_text(f"review,stars\n{rows}")
    if not studies:
        return
    from skillkit.core.files import own  # not above: reading notebooks takes seconds to import
    from tests.small_studies import cell, describe, finish, swept

    for name in ("seeds", "embedded"):
        own(folder / "runs" / name, "")
    swept(folder / "runs" / "seeds")
    study = folder / "runs" / "embedded"
    cell(study, "movies", 0, "done")
    (study / "cells" / "movies-0").rename(study / "01_prompt_tuning")
    (study / "01_prompt_tuning" / "small.ipynb").rename(study / "01_prompt_tuning" / "01_prompt_tuning.ipynb")
    finish(study / "01_prompt_tuning")
    describe(study, "01_prompt_tuning", name="embedded", file="params/embedded.yaml")


def square(value):
    """A table of sources × targets, higher within types."""
    import pandas as pd

    types = {"movies": "sentiment", "gadgets": "sentiment", "news": "topic", "questions": "topic"}
    rows = [[value + 0.1 * (one == other) for other in types.values()] for one in types.values()]
    return pd.DataFrame(rows, index=list(types), columns=list(types))


def _lines(text):
    return dict(line.split(" = ", 1) for line in text.strip().splitlines())


# Endings of names of several things of one kind: the shared one, and the other where there is one.
SECOND = ("_gadgets", "_b")
FIRST = ("_of_seed_0", "_of_seed_1", "_of_seed_2", "_movies", "_a")


class Names(dict):
    """The names that the examples of a module may use."""

    def __init__(self, module):
        self.own = own(module)
        known = {name: value for name, value in vars(module).items() if name not in self.own}
        super().__init__(known)

    def copy(self):
        """What doctest asks for; a plain dict would forget how names come about."""
        return self

    def __missing__(self, name):
        stem = name.removesuffix(next((end for end in SECOND + FIRST if name.endswith(end)), ""))
        if name not in self.own and stem != name:
            other = name.endswith(SECOND) and f"other_{stem}" in _lines(SHARED)
            self[name] = self[f"other_{stem}" if other else stem]
        elif name in self.own:
            self[name] = eval(self.own[name], _Helpers(self))
        else:
            self[name] = _shared()[name]
        return self[name]


class _Shared(dict):
    """Names of all modules, and below them what the package itself defines."""

    def __missing__(self, name):
        lines = _lines(SHARED)
        self[name] = eval(lines[name], self) if name in lines else _public()[name]
        return self[name]


class _Helpers(dict):
    """Names as the lines above may use them: this module's helpers, the module's own lines, the shared ones."""

    def __init__(self, names):
        super().__init__(square=square, import_module=import_module)
        self.names = names

    def __missing__(self, name):
        return self.names[name] if name in self.names.own else _shared()[name]


@functools.cache
def _shared():
    return _Shared(skillkit=skillkit, square=square, import_module=import_module)


@functools.cache
def _public():
    """What the modules of the package define, by name."""
    modules = [import_module(name) for name in MODULES]
    return {module.__name__.rsplit(".", 1)[-1]: module for module in modules if module.__name__.count(".") > 1} | {
        name: value for module in modules for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not inspect.ismodule(value) and name[0] != "_"
    }  # fmt: skip


class Checker(doctest.OutputChecker):
    """`…` stands for anything, and an example that shows no result may have any."""

    def check_output(self, want, got, optionflags):
        return not want or super().check_output(want.replace("…", "..."), got, optionflags)


def examples_of(room):
    """A test that runs the examples of every docstring in a room."""

    names = [name for name in MODULES if name.split(".")[1] == room]
    slow = lambda name: [pytest.mark.slow] * (name.removeprefix("skillkit.") in SLOW.split())

    @pytest.mark.usefixtures("figures_in_style")
    @pytest.mark.parametrize("name", [pytest.param(name, marks=slow(name)) for name in names])
    def test_examples(name, tmp_path, monkeypatch):
        furnish(tmp_path, studies=room in ("core", "studies"))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SKILLKIT_RUNS", str(tmp_path / "runs"))
        module, failures = import_module(name), []
        runner = doctest.DocTestRunner(Checker(), optionflags=OPTIONS)
        for test in doctest.DocTestFinder(exclude_empty=True).find(module):
            test.globs = Names(module)
            runner.run(test, out=failures.append)
        assert not runner.failures, "".join(failures)

    return test_examples
