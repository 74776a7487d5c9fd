import pytest

from skillkit.core.errors import SkillkitError
from skillkit.prompts.recipes import RECIPES, Recipe, choose_recipe
from tests.tiny import tiny_backbone


@pytest.fixture(scope="module")
def bb():
    return tiny_backbone("bert", layers=1)


def test_published_recipes_say_what_was_published():
    skill, transfer = RECIPES["skill-neuron"], RECIPES["prompt-transferability"]
    assert (skill.learning_rate, skill.betas, skill.eps, skill.weight_decay) == (1e-3, (0.9, 0.98), 1e-6, 0.0)
    assert (skill.schedule, skill.warmup, skill.clip, skill.patience) == ("linear", 0.006, 1.0, 6)
    assert (transfer.learning_rate, transfer.large_rate, transfer.seq2seq_rate) == (1e-3, 1e-4, 5e-3)
    assert (transfer.layout, transfer.max_tokens) == ("zero-position", 128)


def test_learning_rate_follows_the_model_unless_given(bb):
    assert choose_recipe("prompt-transferability", bb).learning_rate == 1e-3
    seq2seq = tiny_backbone("t5", layers=1)
    assert choose_recipe("prompt-transferability", seq2seq).learning_rate == 5e-3
    assert choose_recipe("prompt-transferability", seq2seq, learning_rate=0.1).learning_rate == 0.1
    bb.hidden_size, narrow = 1024, bb.hidden_size
    assert choose_recipe("prompt-transferability", bb).learning_rate == 1e-4
    bb.hidden_size = narrow


def test_a_new_end_replaces_the_old_one(bb):
    assert choose_recipe("skill-neuron", bb, max_steps=7).epochs is None
    both = choose_recipe("skill-neuron", bb, max_steps=7, epochs=2)
    assert (both.max_steps, both.epochs) == (7, 2)
    kept = choose_recipe("skill-neuron", bb, batch_size=8, epochs=None)
    assert (kept.epochs, kept.batch_size) == (RECIPES["skill-neuron"].epochs, 8)


def test_a_recipe_of_ones_own(bb):
    assert choose_recipe(Recipe(max_steps=3, learning_rate=0.5), bb).learning_rate == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "nonsense"}, "no recipe 'nonsense'; choose embedded"),
        ({"learnig_rate": 1}, "no field 'learnig_rate'.*learning_rate"),
        ({"loss": "hinge"}, "loss cannot be 'hinge'; choose label-words or vocabulary"),
        ({"schedule": "cosine"}, "schedule cannot be 'cosine'"),
        ({"batch_size": 0}, "^batch_size cannot be 0; give a whole number of at least 1$"),
        ({"accumulate": 0}, "^accumulate cannot be 0"),
        ({"evaluate_every": 0}, "^evaluate_every cannot be 0"),
        ({"validation_examples": 0}, "^validation_examples cannot be 0"),
        ({"max_steps": 2.5}, "^max_steps cannot be 2.5"),
        ({"max_tokens": 0}, "^max_tokens cannot be 0; give a whole number of at least 8$"),
        ({"learning_rate": -1}, "^learning_rate cannot be -1; give a number of at least 0$"),
        ({"learning_rate": "1e-3"}, "^learning_rate cannot be '1e-3'"),
        ({"clip": float("nan")}, "^clip cannot be nan"),
    ],
)
def test_unknown_names_and_numbers_out_of_range_are_told(bb, options, message):
    with pytest.raises(SkillkitError, match=message):
        choose_recipe(**{"recipe": "embedded", "bb": bb} | options)


def test_a_recipe_of_ones_own_is_checked_when_it_is_made():
    with pytest.raises(SkillkitError, match="^batch_size cannot be None"):
        Recipe(batch_size=None)
    with pytest.raises(SkillkitError, match="loss cannot be 'hinge'"):
        Recipe(loss="hinge")
    assert Recipe(clip=float("inf"), learning_rate=1).max_steps is None
