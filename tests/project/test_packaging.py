"""The environment: the lock, the conda file and the project say the same, and the scripts do what they say."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import skillkit
from tests.helpers import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]
LOCK = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^([\w.-]+)==(.+)$", (REPOSITORY / "requirements.lock").read_text(), re.MULTILINE
    )
}


def run_all(*words, **environment):
    return subprocess.run([REPOSITORY / "run_all.sh", *words], capture_output=True, text=True, timeout=100,
                          env=os.environ | environment)  # fmt: skip


def test_lock_pins_everything_that_is_needed_within_its_bounds_and_exactly():
    for need in NEEDED:
        assert need.specifier.contains(LOCK[canonicalize_name(need.name)]), need
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    assert all(re.fullmatch(r"#.*|[a-z0-9-]+==[0-9.]+(post\d+)?", line) for line in lines)


@pytest.mark.parametrize("need", NEEDED, ids=lambda need: need.name)
def test_environment_has_what_is_needed(need):
    assert need.specifier.contains(metadata.version(need.name), prereleases=True)


def test_conda_environment_is_the_same():
    conda = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    python, pip, packages = conda["dependencies"]
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])
    assert pip == "pip" and packages["pip"] == ["-c requirements.lock", "-e .[test]"]


@pytest.mark.slow
def test_every_import_is_declared():
    provides = metadata.packages_distributions()
    declared = {canonicalize_name(need.name) for need in NEEDED}
    for path in [*(REPOSITORY / "skillkit").rglob("*.py"), *(REPOSITORY / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in (
                {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"skillkit", "tests"}
            ):
                assert declared & set(map(canonicalize_name, provides[name])), f"{path.name} imports {name}"


def test_versions_agree():
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["version"] == skillkit.__version__


def test_every_link_to_the_repository_is_the_one_address():
    place = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    chapters = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
    for path in [*chapters, REPOSITORY / "README.md"]:
        places = re.findall(r"git\+https://github.com/([\w./-]*\w)", path.read_text())
        assert set(places) == {place}, path.name
    starts = (
        f"colab.research.google.com/github/{place}/blob/main",
        f"mybinder.org/v2/gh/{place}/main?urlpath=lab/tree",
    )
    readme = path.read_text()
    assert all(f"https://{start}/notebooks/{one.name}" in readme for start in starts for one in chapters)


def test_package_data_covers_every_file_of_the_package():
    data = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    folders = {REPOSITORY / name.replace(".", "/"): patterns for name, patterns in data.items()}
    covered = {path for folder, patterns in folders.items() for one in patterns for path in folder.glob(one)}
    files = [path for path in (REPOSITORY / "skillkit").rglob("*") if path.is_file()]
    assert {path for path in files if path.suffix not in (".py", ".pyc")} <= covered


def loaded(script, *modules):
    """Those of the modules that a script has loaded, in a Python of its own."""
    script += f"\nimport sys; print(*({set(modules)} & set(sys.modules)))"
    line = [sys.executable, "-c", script]
    return subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()


def test_import_is_light():
    assert not loaded("import skillkit", "torch", "transformers", "datasets", "pandas")


@pytest.mark.slow
def test_chapters_open_without_the_classes_of_models():
    """Those take seconds to import, and come with the first backbone."""
    chapters = sorted((REPOSITORY / "notebooks").glob("0*.ipynb"))
    set_up = [nbformat.read(path, 4).cells for path in chapters]
    sources = [[cell.source for cell in cells if cell.cell_type == "code"][1] for cells in set_up]
    nodes = [node for source in sources for node in ast.parse(source).body]
    lines = [ast.unparse(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert any("skillkit" in line for line in lines)
    assert not loaded("\n".join(lines), "transformers.modeling_utils")


def test_run_all_explains_itself():
    done = run_all("--help")
    assert done.returncode == 0 and done.stdout.startswith("./run_all.sh [STUDY.yaml]")


@pytest.mark.parametrize("words, sentence", [
    (["no_such.yaml"], "there is no file"), (["a.yaml", "b.yaml"], "one study at most"),
])  # fmt: skip
def test_run_all_checks_before_it_sets_up(words, sentence):
    done = run_all(*words)
    assert done.returncode == 2 and sentence in done.stderr and not done.stdout


@pytest.mark.parametrize("script", ["run_all.sh", ".ci/run"])
def test_scripts_can_be_run(script):
    assert os.access(REPOSITORY / script, os.X_OK)
    subprocess.run(["bash", "-n", REPOSITORY / script], check=True)


def test_every_notebook_is_tested():
    chosen = re.search(r"set -- (.+) tests$", (REPOSITORY / "run_all.sh").read_text(), re.MULTILINE)[1]
    listed = subprocess.check_output(["bash", "-c", f"ls {chosen}"], cwd=REPOSITORY, text=True).split()
    assert sorted(listed) == sorted(f"notebooks/{path.name}" for path in REPOSITORY.glob("notebooks/*.ipynb"))
