"""The benchmarks' own bookkeeping: ways must agree, and a later run goes on with what an earlier one measured."""

import pytest
import torch

from tests.benchmarks import harness
from tests.benchmarks.harness import Bench, Job, Mark, near
from tests.benchmarks.pages import write


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "places", lambda: [1])
    monkeypatch.setattr(harness, "product_speed", lambda *_: 1e9)
    return lambda machine="this": Bench(tmp_path, machine, write)


def job(found=1.0, name="adding", mark=0.0):
    ways = {"plain": lambda: torch.ones(3), "ours": lambda: found * torch.ones(3)}
    marks = [Mark("plain", "ours", mark), Mark("plain", "ours", 0.0)]
    return Job(name, "three numbers", ways, marks, near(1e-6), multiply_adds=3)


def test_a_way_that_finds_something_else_is_an_error(bench):
    bench().run(job(found=1 + 1e-7))
    with pytest.raises(AssertionError, match="ours finds something else"):
        bench().run(job(found=1.1))


def test_the_report_tells_what_was_reached_and_what_was_missed(bench, tmp_path):
    with pytest.raises(AssertionError, match="to reach 1000000000"):
        bench().run(job(mark=1e9))
    bench().note("Start-up", "import", "at once")
    page = (tmp_path / "bench.md").read_text()
    assert "1e+09× missed" in page and "0× ✓" in page and "## Start-up\n\nat once" in page
    assert (tmp_path / "bench.csv").read_text().count("three numbers") == 2


def test_a_later_run_replaces_its_own_rows_on_the_same_machine(bench):
    bench().run(job())
    bench().run(job(name="other"))
    bench().run(job())
    assert [row["job"] for row in bench().rows] == ["other", "other", "adding", "adding"]
    assert bench("another").rows == []


def test_a_share_of_a_job_counts_for_the_whole(bench, monkeypatch):
    monkeypatch.setattr(harness, "clocked", lambda way, threads: (2.0, way()))
    one = bench()
    one.run(Job("adding", "…", job().ways, [Mark("plain", "ours")], multiply_adds=5e8, scale={"plain": 6}))
    (row,) = one.rows
    assert row["ratio"] == 6 and row["share"] == pytest.approx(0.5)
