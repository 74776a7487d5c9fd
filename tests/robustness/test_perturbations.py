"""Perturbations of any text: what they change, how much, and that more strength changes more of the same."""

import random

import pytest

from skillkit.robustness.perturbations import PERTURBATIONS, SENTENCES

TEXT = "Although the ending was silly, I really loved the music of this film very much."


def perturbed(kind, strength, seed=0, text=TEXT):
    return PERTURBATIONS[kind](random.Random(seed), text, strength)


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_seeded_and_nothing_at_strength_zero(kind):
    assert perturbed(kind, 0.0) == TEXT
    assert perturbed(kind, 1.0) == perturbed(kind, 1.0)
    assert len({perturbed(kind, 1.0, seed) for seed in range(5)}) > (kind != "casing")


def test_characters_and_words_are_lost_as_often_as_said_and_never_all():
    text = "a" * 20000
    noisy = perturbed("characters", 1.0, text=text)
    assert 0.025 < noisy.count("s") / len(text) < 0.042  # a third of one in ten: beside "a" on the keyboard
    assert abs(len(noisy) - len(text)) < 150
    assert len(perturbed("characters", 1.0).split()) == len(TEXT.split())
    assert perturbed("characters", 1.0, text="12 !? 34") == "12 !? 34"
    kept = perturbed("dropout", 1.0, text=" ".join(map(str, range(5000)))).split()
    assert 0.67 < len(kept) / 5000 < 0.73 and kept == sorted(kept, key=int)
    assert all(perturbed("dropout", 1.0, seed, "one") == "one" for seed in range(20))


def test_more_strength_changes_the_same_and_more():
    weak, strong = perturbed("dropout", 0.4).split(), perturbed("dropout", 1.0).split()
    assert set(strong) < set(weak) <= set(TEXT.split())
    upper = lambda strength: sum(map(str.isupper, perturbed("casing", strength).split()))
    assert upper(0.3) < upper(0.7) < upper(1.0)
    for strength, count in [(0.1, 1), (0.5, 2), (1.0, 3)]:
        added = perturbed("distractor", strength).removeprefix(TEXT + " ")
        assert sum(sentence in added for sentence in SENTENCES) == count
        assert perturbed("distractor", 1.0).startswith(TEXT + " " + added)
