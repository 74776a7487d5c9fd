"""What every test gets, and how large the longest chapters are when nbval runs them."""

import os

import pytest

# In a run of all tests; `./run_all.sh` runs them whole, and SKILLKIT_WHOLE_CHAPTERS=1 ./run_all.sh test does.
SMALL_CHAPTERS = {
    "04_suppression": dict(
        seeds=[0, 1, 2],
        tasks=["world/movies", "world/gadgets", "world/rooms"],
        draws=2,
        max_test_examples=30,
        map_examples=16,
    ),  # fmt: skip
    "06_transferability": dict(max_test_examples=24, random_prompts=2, start_targets=["world/reports"]),
    "08_adversarial_robustness": dict(
        tasks=["world/movies", "world/rooms"], max_test_examples=40, probe_examples=100, repair_steps=4
    ),
}
# Tiny models that differ in little from BERT, RoBERTa, GPT-2 or T5, which stand for them in the fast loop.
SIBLINGS = {"xlm-roberta", "xlm-roberta-xl", "gpt_neo", "t5-gated", "llama"}


def pytest_collection_modifyitems(items):
    """Mark whole studies and siblings of models as slow, and give long chapters smaller parameters."""
    for item in items:
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if "end_to_end" in item.path.parts or any(isinstance(one, str) and one in SIBLINGS for one in values):
            item.add_marker("slow")
    if os.environ.get("SKILLKIT_WHOLE_CHAPTERS"):
        return
    for item in items:
        cell = getattr(item, "cell", None)  # what nbval runs
        if cell and "parameters" in cell.metadata.get("tags", []):
            for name, value in SMALL_CHAPTERS.get(item.path.stem, {}).items():
                cell.source += f"\n{name} = {value!r}"


@pytest.fixture(autouse=True)
def _own_style_of_figures():
    """A notebook that runs in a test sets the style of figures; the next test begins with matplotlib's own."""
    import matplotlib

    with matplotlib.rc_context():
        yield


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of results that is this test's own, empty at first."""
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    return tmp_path


@pytest.fixture
def figures_in_style():
    """Figures as the notebooks draw them, without a window; none is open before or afterwards."""
    import matplotlib.pyplot as plt

    from skillkit.plots import style as figures

    plt.switch_backend("agg")
    plt.close("all")
    figures.set_style()
    yield
    plt.close("all")


@pytest.fixture
def small_notebooks(tmp_path, monkeypatch):
    """The notebook of `tests.studies` is the only one there is, and the package's code stays as it is."""
    from skillkit.studies import job, params
    from tests import small_studies as studies
    from tests.helpers import REPOSITORY

    monkeypatch.setattr(params, "FOLDER", params.FOLDER)  # as it was, afterwards
    monkeypatch.setattr(job, "source_hash", lambda: "this code")  # not what an editor is just changing
    monkeypatch.setenv("SMALL_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    studies.install(tmp_path / "notebooks")
