import pytest

from skillkit.prompts import choose_recipe
from skillkit.prompts.recipes import RECIPES, Recipe
from tests.helpers import refused
from tests.tiny import tiny_backbone

BERT, T5 = tiny_backbone("bert", layers=1), tiny_backbone("t5", layers=1)


def test_published_recipes_say_what_was_published():
    skill, transfer = RECIPES["skill-neuron"], RECIPES["prompt-transferability"]
    assert (skill.learning_rate, skill.betas, skill.eps, skill.weight_decay) == (1e-3, (0.9, 0.98), 1e-6, 0.0)
    assert (skill.schedule, skill.warmup, skill.clip, skill.patience) == ("linear", 0.006, 1.0, 6)
    assert (transfer.learning_rate, transfer.large_rate, transfer.seq2seq_rate) == (1e-3, 1e-4, 5e-3)
    assert (transfer.layout, transfer.max_tokens) == ("zero-position", 128)


def test_learning_rate_follows_the_model_unless_given(monkeypatch):
    rate = lambda bb, **options: choose_recipe("prompt-transferability", bb, **options).learning_rate
    assert (rate(BERT), rate(T5), rate(T5, learning_rate=0.1)) == (1e-3, 5e-3, 0.1)
    monkeypatch.setattr(BERT, "hidden_size", 1024)
    assert rate(BERT) == 1e-4
    assert choose_recipe(Recipe(max_steps=3, learning_rate=0.5), BERT).learning_rate == 0.5


def test_a_new_end_replaces_the_old_one():
    assert choose_recipe("skill-neuron", BERT, max_steps=7).epochs is None
    both = choose_recipe("skill-neuron", BERT, max_steps=7, epochs=2)
    assert (both.max_steps, both.epochs) == (7, 2)
    kept = choose_recipe("skill-neuron", BERT, batch_size=8, epochs=None)
    assert (kept.epochs, kept.batch_size) == (RECIPES["skill-neuron"].epochs, 8)


@pytest.mark.parametrize(("options", "message"), [
    ({"recipe": "nonsense"}, "no recipe 'nonsense'; choose embedded"),
    ({"learnig_rate": 1}, "no field 'learnig_rate'.*learning_rate"),
    ({"bz": 1}, "no field 'bz'; did you mean 'batch_size'"),
    ({"max_source_length": 1}, "did you mean 'max_tokens'"),
    ({"prompt_len": 1}, "did you mean 'length'"),
    ({"prompt_size": 16}, "did you mean length .one less: it counts the mask"),
    ({"early_stop": True}, "did you mean patience=6"), ({"save_total_limit": 1}, "did you mean 'keep'"),
    ({"evaluation_strategy": "epoch"}, 'did you mean evaluate_every="epoch"'),
    ({"keep": -1}, "^keep cannot be -1"), ({"evaluate_every": "year"}, "^evaluate_every cannot be 'year'"),
    ({"wxyz": 1}, "no field 'wxyz'; its fields are"),
    ({"loss": "hinge"}, "loss cannot be 'hinge'; choose label-words or vocabulary"),
    ({"batch_size": 0}, "^batch_size cannot be 0; give a whole number of at least 1$"),
    ({"max_steps": 2.5}, "^max_steps cannot be 2.5"),
    ({"max_tokens": 0}, "^max_tokens cannot be 0; give a whole number of at least 8$"),
    ({"learning_rate": -1}, "^learning_rate cannot be -1; give a number of at least 0$"),
    ({"clip": float("nan")}, "^clip cannot be nan"),
])  # fmt: skip
def test_unknown_names_and_numbers_out_of_range(options, message):
    refused(message, choose_recipe, **{"recipe": "embedded", "bb": BERT} | options)
    # One of one's own is checked when it is made.
    refused("^batch_size cannot be None", Recipe, batch_size=None)
    assert Recipe(clip=float("inf"), learning_rate=1).max_steps is None
