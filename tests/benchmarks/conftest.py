"""One table for all jobs, written after each of them: what was measured stays when the rest is interrupted."""

import pytest

from skillkit.provenance import runs_folder
from tests.benchmarks.harness import Bench
from tests.benchmarks.pages import write


@pytest.fixture(scope="session")
def bench():
    folder = runs_folder() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return Bench(folder, write)
