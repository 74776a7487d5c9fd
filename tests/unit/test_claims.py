"""Claims as text and as plain data."""

import json

import numpy as np
import pytest

from skillkit.claims import HOLDS, Claim
from skillkit.errors import SkillkitError


@pytest.mark.parametrize("claim, published, measured", [
    (Claim("a", "b", 0.92, 0.9512, 0.94, 0.96), "0.920", "0.951 [0.940, 0.960]"),
    (Claim("a", "b", 0.92, np.float32(0.5), 0.25, float("nan")), "0.920", "0.500"),
    (Claim("a", "b", "at most 3", 2), "at most 3", "2"),
    (Claim("a", "b", measured=float("nan")), "–", "–"),
])  # fmt: skip
def test_text(claim, published, measured):
    assert (claim.published_text, claim.measured_text) == (published, measured)


def test_plain_is_valid_json_and_comes_back():
    claim = Claim("a", "b", np.float64(0.5), np.int64(2), low=float("inf"), holds="no", note="n")
    plain = json.loads(json.dumps(claim.plain(), allow_nan=False))
    assert plain["published"] == 0.5 and plain["measured"] == 2 and plain["low"] is None
    assert Claim(**plain).measured_text == "2"


def test_only_the_four_words():
    for word in HOLDS:
        Claim("a", "b", holds=word)
    with pytest.raises(SkillkitError, match="'partly'.*not 'maybe'"):
        Claim("a", "b", holds="maybe")
