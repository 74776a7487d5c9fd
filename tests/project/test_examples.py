"""The examples of the docstrings run, and show what they say."""

import doctest
from importlib import import_module
from pkgutil import iter_modules

import pytest

import skillkit
from tests import examples

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Checker(doctest.OutputChecker):
    """`…` stands for anything, and an example that shows no result may have any."""

    def check_output(self, want, got, optionflags):
        return not want or super().check_output(want.replace("…", "..."), got, optionflags)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder of the examples."""
    examples.furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKILLKIT_RUNS", str(tmp_path / "runs"))


@pytest.mark.usefixtures("folder", "figures_in_style")
@pytest.mark.parametrize("name", [module.name for module in iter_modules(skillkit.__path__)])
def test_examples_run(name, capsys):
    module, told = import_module(f"skillkit.{name}"), []
    runner = doctest.DocTestRunner(Checker(), optionflags=OPTIONS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        test.globs = examples.Names(module)
        runner.run(test, out=told.append)
    assert not runner.failures, "".join(told)
