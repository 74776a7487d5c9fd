"""Claims as text and as plain data."""

import json
import math

import numpy as np
import pytest

from skillkit.core.errors import SkillkitError
from skillkit.studies.claims import HOLDS, Claim


@pytest.mark.parametrize("claim, published, measured", [
    (Claim("a", "b", 0.92, 0.9512, 0.94, 0.96), "0.920", "0.951 [0.940, 0.960]"),
    (Claim("a", "b", 0.92, np.float32(0.5), 0.25, float("nan")), "0.920", "0.500"),
    (Claim("a", "b", "at most 3", 2), "at most 3", "2"),
    (Claim("a", "b", measured=float("nan")), "–", "–"),
])  # fmt: skip
def test_text(claim, published, measured):
    assert (claim.published_text, claim.measured_text) == (published, measured)


def test_plain_is_valid_json_and_comes_back():
    claim = Claim("a", "b", np.float64(0.5), np.int64(2), low=float("inf"), holds="undecided", note="n")
    plain = json.loads(json.dumps(claim.plain(), allow_nan=False))
    assert plain["published"] == 0.5 and plain["measured"] == 2 and plain["low"] is None
    assert Claim(**plain).measured_text == "2"


def test_no_other_words():
    for word in HOLDS:
        Claim("a", "b", holds=word)
    with pytest.raises(SkillkitError, match="'partly'.*not 'maybe'"):
        Claim("a", "b", holds="maybe")


@pytest.mark.parametrize("lows, holds", [
    ([0.1, 0.2], "yes"), ([0.1, -0.2], "partly"), ([-0.1, -0.05], "undecided"),
    ([-0.1, -0.2], "contradicted"), ([0.1, -0.2, -0.05], "partly"), ([0.0], "undecided"),
])  # fmt: skip
def test_a_claim_over_several_tasks_reports_the_worst(lows, holds):
    intervals = {f"task {at}": (low + 0.05, low, low + 0.1) for at, low in enumerate(lows)}
    claim = Claim.over("It works.", "A 2022", None, intervals, note="gap")
    assert claim.holds == holds and claim.measured == min(lows) + 0.05
    worst = "worst: " * (len(lows) > 1) + f"task {lows.index(min(lows))}"
    assert claim.note == f"{worst}; gap"


@pytest.mark.parametrize("found, measured", [({}, None), ({"movies": (0.4, math.nan, math.nan)}, 0.4)])
def test_a_claim_over_nothing_or_one_seed_is_not_tested(found, measured):
    claim = Claim.over("It works.", "A 2022", None, found, bar=0.1)
    assert claim.holds == "not tested" and claim.measured == measured and claim.note == "".join(found)
