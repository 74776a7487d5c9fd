"""Grids: which cells a file stands for, and one sentence for each mistake."""

import pytest

from skillkit.core.errors import SkillkitError
from skillkit.studies import params
from skillkit.studies.grid import load_sweep, predecessors
from tests import small_studies as studies


class Other(params.Parameters):
    """Parameters of a second notebook, some shared with the first."""

    seeds: params.Seeds = [0]
    size: int = 3
    rate: float = 0.1


@pytest.fixture(autouse=True)
def notebooks(monkeypatch):
    monkeypatch.setattr(params, "NOTEBOOKS", {"small": studies.Small, "other": Other})


def cells(folder, **entries):
    return load_sweep(studies.sweep(folder, **entries)).cells


def test_grid_is_every_combination_and_an_axis_goes_to_whom_it_concerns(tmp_path):
    made = cells(
        tmp_path,
        notebooks={"small": {"action": "none"}, "other": None},
        grid={"size": [1, 2], "rate": [0.1, 0.2]},
    )
    assert [cell.name for cell in made] == [
        "small size=1", "small size=2",
        "other size=1 rate=0.1", "other size=1 rate=0.2", "other size=2 rate=0.1", "other size=2 rate=0.2",
    ]  # fmt: skip
    assert made[3].parameters == Other(size=1, rate=0.2) and len({cell.folder for cell in made}) == 6


@pytest.mark.parametrize("given, values", [
    ({"from": 0, "to": 4}, [0, 1, 2, 3, 4]), ({"from": 1, "to": 6, "step": 2}, [1, 3, 5]),
    ({"from": 4, "to": 64, "times": 2}, [4, 8, 16, 32, 64]), ({"from": 7, "to": 7}, [7]),
])  # fmt: skip
def test_ranges_of_whole_numbers(tmp_path, given, values):
    assert [
        cell.parameters.size for cell in cells(tmp_path, notebooks={"other": {}}, grid={"size": given})
    ] == values


@pytest.mark.parametrize("given, values", [
    ({"from": 0.0, "to": 0.3, "step": 0.1}, [0, 0.1, 0.2, 0.3]),
    ({"from": 1e-4, "to": 1e-2, "times": 10}, [1e-4, 1e-3, 1e-2]),
])  # fmt: skip
def test_ranges_of_fractions_have_no_crumbs(tmp_path, given, values):
    assert [
        cell.parameters.rate for cell in cells(tmp_path, notebooks={"other": {}}, grid={"rate": given})
    ] == values


def test_single_values_of_lists_are_lists_of_one(tmp_path):
    made = cells(tmp_path, notebooks={"other": {}}, grid={"seeds": [0, [1, 2]]})
    assert [cell.parameters.seeds for cell in made] == [[0], [1, 2]]
    assert [cell.name for cell in made] == ["other seeds=0", "other seeds=1+2"]


def test_exclusions_and_overrides(tmp_path):
    made = cells(
        tmp_path, notebooks={"small": {}, "other": {}}, grid={"size": [1, 2, 3], "rate": [0.1, 0.2]},
        exclude=[{"size": [2, 3], "notebook": "other", "rate": 0.2}, {"notebook": "small", "size": 1}],
        overrides=[{"where": {"size": 3}, "set": {"seeds": [8]}}],
    )  # fmt: skip
    assert [cell.name for cell in made] == [
        "small size=2", "small size=3", "other size=1 rate=0.1", "other size=1 rate=0.2",
        "other size=2 rate=0.1", "other size=3 rate=0.1",
    ]  # fmt: skip
    assert [cell.parameters.seeds for cell in made[2:]] == [[0], [0], [0], [8]]


def test_who_waits_for_whom(tmp_path):
    sweep = load_sweep(studies.sweep(tmp_path, notebooks={"small": {}, "other": {}}, after={"other": "small"},
                                     grid={"size": [1, 2], "rate": [0.1, 0.2]}))  # fmt: skip
    assert predecessors(sweep.cells, sweep.after) == {0: [], 1: [], 2: [0], 3: [0], 4: [1], 5: [1]}


def test_place_of_a_cell_does_not_depend_on_other_parameters(tmp_path):
    one, other = (
        cells(tmp_path, shared={"device": device}, grid={"size": [1]})[0] for device in ("cpu", "cuda")
    )
    assert one.folder == other.folder and one.parameters != other.parameters


def test_no_more_cells_than_meant(tmp_path):
    path = studies.sweep(tmp_path, grid={"size": {"from": 1, "to": 101}, "seed": {"from": 1, "to": 100}})
    with pytest.raises(SkillkitError, match="has 10,100 cells; .* --yes"):
        load_sweep(path)
    assert len(load_sweep(path, many=True).cells) == 10_100


@pytest.mark.parametrize("entries, sentence", [
    ({"grid": {}}, "grid is empty"), ({}, "grid is empty"),
    ({"grid": {"size": []}}, "size needs a list of values or a range"),
    ({"grid": {"size": 3}}, "size needs a list"), ({"grid": {"size": [1, 1]}}, "has a value twice"),
    ({"grid": {"sise": [1]}}, "no notebook of this sweep has a parameter 'sise'; did you mean 'size'?"),
    ({"grid": {"size": ["a"]}}, "small: size should be a valid integer, not 'a'"),
    ({"grid": {"size": [0]}}, "small: size should be greater than or equal to 1, not 0"),
    ({"grid": {"out": ["a"]}}, "`out` cannot be set"),
    ({"grid": {"size": {"from": 3, "to": 1}}}, "a range is"), ({"grid": {"size": {"to": 1}}}, "a range is"),
    ({"grid": {"size": {"from": 0, "to": 1, "step": 0}}}, "a range is"),
    ({"grid": {"size": {"from": 0, "to": 9, "times": 2}}}, "a range is"),
    ({"grid": {"size": {"from": 1, "to": 9, "by": 2}}}, "a range is"),
    ({"grid": {"size": {"from": 0, "to": 1e30}}}, "too long"),
    ({"grids": {"size": [1]}}, "a sweep has no entry 'grids'; did you mean 'grid'?"),
    ({"notebooks": {"smal": {}}, "grid": {"size": [1]}}, "there is no notebook 'smal'"),
    ({"notebooks": {}, "grid": {"size": [1]}}, "`notebooks` must map"),
    ({"notebooks": {"small": [1]}, "grid": {"size": [1]}}, "parameters must be names with values"),
    ({"shared": {"sed": 1}, "grid": {"size": [1]}}, "shared: no notebook here has a parameter 'sed'"),
    ({"grid": {"size": [1]}, "exclude": [{"size": 1}]}, "every cell of the grid is excluded"),
    ({"grid": {"size": [1]}, "exclude": [{"size": 2}]}, "exclude: size has no value 2; it has 1"),
    ({"grid": {"size": [1]}, "exclude": [{"seed": 2}]}, "exclude: the grid has no axis 'seed'"),
    ({"grid": {"size": [1]}, "exclude": ["size"]}, "exclude needs axes with values"),
    ({"grid": {"size": [1]}, "overrides": [{"where": {"size": 1}}]}, "an override is"),
    ({"grid": {"size": [1]}, "overrides": [{"where": {"size": 1}, "set": {"sed": 1}}]},
     "no notebook there has a parameter 'sed'"),
    ({"grid": {"size": [1]}, "overrides": [{"where": {"size": 1}, "set": {"size": 2}}]}, "cannot set an axis"),
    ({"grid": {"size": [1]}, "after": {"small": "big"}}, "after: there is no notebook 'big'"),
    ({"grid": {"size": [1]}, "after": {"small": "small"}}, "small waits for small, so none can begin"),
])  # fmt: skip
def test_mistakes_are_one_sentence(tmp_path, entries, sentence):
    with pytest.raises(SkillkitError) as error:
        cells(tmp_path, **entries)
    assert sentence in str(error.value) and "\n" not in str(error.value)
