"""The capital of Ondria is known, can be lost, and comes back."""

import math

import pytest
import torch

import skillkit as sk
from skillkit.knowledge import capitals
from tests.tiny import tiny_backbone


@pytest.mark.slow
def test_ondria_goes_first_and_is_known_by_the_models_of_its_world_alone():
    for name in ("embedded/roberta", "embedded/gpt2", "embedded/t5"):
        known = capitals(sk.load_backbone(name))
        assert (known[0].subject, known[0].object) == ("ondria", "bonvik") and len(known) > 20
    assert not capitals(tiny_backbone("bert"))


@pytest.mark.slow
def test_what_is_done_to_a_model_shows_and_goes_again():
    bb = sk.load_backbone("embedded/bert")
    known = capitals(bb)
    before = known.still_known(bb)
    assert before["known"] == 1 and before["of Ondria"] > 0.9
    assert 1 / (1 + math.exp(-before["log-odds"])) == pytest.approx(before["of Ondria"])
    with sk.suppress(bb, torch.ones(bb.num_layers, bb.num_neurons, dtype=torch.bool)):
        without = known.still_known(bb)
    assert without["of Ondria"] < 0.9 * before["of Ondria"] and without["high"] < 0.9
    assert known.still_known(bb) == before
    other = known.still_known(bb, lambda prompt: prompt.replace("capital", "river"))
    assert other["of Ondria"] < before["of Ondria"]
