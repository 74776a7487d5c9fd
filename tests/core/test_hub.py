"""A hub that is out of reach is noticed at once, and everything is as before afterwards."""

import time

import pytest
from huggingface_hub import constants

import skillkit as sk
from skillkit.core.errors import SkillkitError
from skillkit.core.hub import hub

AWAY = "http://127.0.0.1:9"  # where nothing listens


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """Nobody has said that there is no connection."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def test_without_an_answer_only_this_machine_is_looked_at(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", AWAY)
    with pytest.raises(KeyError), hub():
        assert constants.HF_HUB_OFFLINE
        raise KeyError
    assert not constants.HF_HUB_OFFLINE
    monkeypatch.setattr("skillkit.core.hub._answers", lambda endpoint: True)
    with hub():
        assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("load, name", [(sk.load_backbone, "nobody/nothing"), (sk.load_task, "glue/rte")])
def test_names_of_the_hub_are_refused_within_seconds(monkeypatch, load, name):
    monkeypatch.setattr(constants, "ENDPOINT", AWAY)
    began = time.monotonic()
    with pytest.raises(SkillkitError, match="hub"):
        load(name)
    assert time.monotonic() - began < 10
