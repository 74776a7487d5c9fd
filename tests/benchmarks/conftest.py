"""One report of all jobs, written after each of them: what was measured stays, whether the rest follows or not."""

import pytest

from skillkit.core.provenance import runs_folder
from tests.benchmarks.harness import Bench
from tests.benchmarks.pages import machine, write


@pytest.fixture(scope="session")
def bench():
    folder = runs_folder() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return Bench(folder, machine(), write)
