"""Runs side by side: what they share meets, what they do not is named."""

import json

import bs4
import pytest

from skillkit.core.errors import SkillkitError
from skillkit.studies.comparison import compare
from tests.studies.test_report import unit


@pytest.fixture
def runs(tmp_path):
    """Two runs; the second has one notebook less, and another parameter."""
    for name, notebooks in {"one": ["first", "second"], "two": ["first"]}.items():
        for notebook in notebooks:
            unit(tmp_path / name, notebook)
        (tmp_path / name / "study.json").write_text(json.dumps({"name": name, "notebooks": notebooks}))
    manifest = json.loads((tmp_path / "two/first/manifest.json").read_text())
    manifest["parameters"]["size"] = 4
    (tmp_path / "two/first/manifest.json").write_text(json.dumps(manifest))
    return [tmp_path / "one", tmp_path / "two"]


def test_claims_figures_and_differences_stand_side_by_side(runs):
    index = compare(runs)
    page = bs4.BeautifulSoup(index.read_text(), "html.parser")
    assert index.parent.name == "one-and-two" and not page.find_all("script")
    first, _, second, _ = page.select("table.claims tbody tr")
    assert len(first.select(".badge.yes")) == 2 and len(second.select(".badge.yes")) == 1
    assert second.select("td")[-1].text == "–"
    assert len(page.select("figure")) == 4 and len(page.select("figure img")) == 3
    assert [cell.text for cell in page.select("#parameters + .scroll tbody tr")[0].select("td")] == [
        "size first",
        "3",
        "4",
    ]
    links = [tag.get("href") or tag["src"] for tag in page.select("a[href], img")]
    assert links and all((index.parent / link).is_file() for link in links)


def test_a_comparison_is_made_again_and_replaces_nothing_else(runs, tmp_path):
    assert compare(runs) == compare(runs)
    with pytest.raises(SkillkitError, match="holds no comparison"):
        compare(runs, out=runs[0])


@pytest.mark.parametrize("names, sentence", [
    (["one", "three"], "is no run"), (["one", "one"], "given twice"), (["one", "grid"], "is a sweep"),
])  # fmt: skip
def test_what_cannot_be_compared_is_told(runs, tmp_path, names, sentence):
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / "sweep.json").write_text("{}")
    with pytest.raises(SkillkitError, match=sentence):
        compare([tmp_path / name for name in names])
