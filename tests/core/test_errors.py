"""Messages are one line of a readable length, whatever they quote."""

import math

import numpy as np
import pytest

from skillkit.core.errors import (
    SkillkitError,
    at_least,
    check_objects,
    each_once,
    finite,
    whole_numbers,
)


@pytest.mark.parametrize("quoted", ["x" * 10**7, "x " * 10**6, "a\nb\n" * 1000, "/".join(["part"] * 1000)])
def test_a_message_is_one_line_and_cut(quoted):
    message = str(SkillkitError(f"there is no {quoted}; name another"))
    assert "\n" not in message and len(message) <= 4000
    assert message.startswith("there is no") and (len(quoted) > 10**5 or message.endswith("; name another"))


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", None, math.nan, math.inf, 2**32, [1]])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(SkillkitError, match="length cannot be"):
        at_least(1, length=value)
    at_least(1, length=np.int64(3)), at_least(0.0, most=1.0, warmup=1)
    with pytest.raises(SkillkitError, match="at most 4"):
        at_least(1, most=4, length=5)


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, "1", None, True])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(SkillkitError, match="must be a finite number"):
        finite(factor=value)
    finite(factor=-2, strength=np.float32(0.5))


def test_lists_of_numbers():
    assert whole_numbers("layers", np.array([3, 1])) == [3, 1] and whole_numbers("layers", range(2)) == [0, 1]
    for wrong in ("x", 1.5, [None], [True], {"x": 1}, object()):
        with pytest.raises(SkillkitError, match="layers are whole numbers"):
            whole_numbers("layers", wrong)
    assert each_once("rates", [0.1, [0], None]) == [0.1, [0], None]
    with pytest.raises(SkillkitError, match=r"windows has \[0\] twice"):
        each_once("windows", [[0], [0]])


def test_names_in_the_place_of_things_are_refused_and_a_missing_prompt_is_none():
    backbone, task = type("Backbone", (), {"family": "masked"}), type("Task", (), {"labels": ()})
    check_objects(backbone), check_objects(backbone, task), check_objects(backbone, task, None)
    for given, name in (((None,), "bb"), ((backbone, None), "task"), ((backbone, task, 3), "prompt")):
        with pytest.raises(SkillkitError, match=f"^{name} is no such object"):
            check_objects(*given)
