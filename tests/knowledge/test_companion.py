"""The capital of Ondria is known, can be lost, and comes back."""

import torch

import skillkit as sk
from skillkit.knowledge.companion import capitals, misspelt, still_known
from tests.tiny import tiny_backbone


def test_ondria_goes_first_and_is_known_by_the_models_of_its_world_alone():
    for name in ("embedded/roberta", "embedded/gpt2", "embedded/t5"):
        known = capitals(sk.load_backbone(name))
        assert (known[0].subject, known[0].object) == ("ondria", "bonvik") and len(known) > 20
    assert capitals(tiny_backbone("bert")) == []


def test_what_is_done_to_a_model_shows_and_goes_again():
    bb = sk.load_backbone("embedded/bert")
    known = capitals(bb)
    before = still_known(bb, known)
    assert before["known"] == 1 and before["of Ondria"] > 0.9
    with sk.suppress(bb, torch.ones(bb.num_layers, bb.num_neurons, dtype=torch.bool)):
        without = still_known(bb, known)
    assert without["of Ondria"] < 0.9 * before["of Ondria"] and without["high"] < 0.9
    assert still_known(bb, known) == before


def test_wrong_letters_leave_the_mask_alone():
    bb = sk.load_backbone("embedded/bert")
    [fact] = misspelt(capitals(bb)[:1], 1.0)
    assert all(prompt.count("[MASK]") == 1 for prompt in fact.prompts)
    assert fact.prompts != capitals(bb)[0].prompts
    assert misspelt([fact], 0.0) == [fact]
