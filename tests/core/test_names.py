"""Names that tell things apart."""

from types import SimpleNamespace

import pytest

from skillkit.core.errors import SkillkitError
from skillkit.core.names import by_name, short_names


@pytest.mark.parametrize("names, ends", [
    (["world/movies", "embedded/gpt2"], ["movies", "gpt2"]), (["embedded/gpt2", "gpt2"], ["embedded/gpt2", "gpt2"]),
    (["a/x/set.yaml", "b/x/set.yaml", "c"], ["a/x/set", "b/x/set", "c"]), (["../models/mini/"], ["mini"]),
    (["x/a.yaml", "x/a"], ["x/a.yaml", "x/a"]), (["a", "a"], ["a"]), (["/", "a//b"], ["/", "b"]), ([], []),
])  # fmt: skip
def test_short_names_are_as_long_as_they_must_be(names, ends):
    assert list(short_names(names).values()) == ends
    assert list(short_names(names)) == list(dict.fromkeys(names))


def test_two_of_one_name_are_refused():
    one, other = (SimpleNamespace(name="mini") for _ in range(2))
    assert by_name([one]) == {"mini": one} and by_name([one, other], ["a", "b"]) == {"a": one, "b": other}
    with pytest.raises(SkillkitError, match="2 of those given are called 'mini'"):
        by_name([one, other])
