"""Label words: one token each, a different one for each label, by family."""

import pandas as pd
import pytest

from skillkit.tasks import load_task
from tests.helpers import refused
from tests.tasks.made import reader, task_of
from tests.tiny import TINY_MODELS, tiny_tokenizer


@pytest.mark.parametrize("model", TINY_MODELS)
def test_label_ids_are_the_words_in_running_text(model):
    tokenizer, task = tiny_tokenizer(model), task_of(["bad", "good"])
    for word, number in zip(task.labels, task.label_ids(reader(tokenizer)).tolist(), strict=True):
        assert number in tokenizer(f"the movie was {word}")["input_ids"]
        assert tokenizer.decode([number]).strip() == word


@pytest.mark.parametrize(("space", "tokens"), [(True, ["Ġbad", "Ġgood"]), (False, ["bad", "good"])])
def test_leading_space_chooses_between_two_tokens_of_a_byte_level_vocabulary(space, tokens):
    bb = reader(tiny_tokenizer("roberta"))
    ids = task_of(["bad", "good"], leading_space=space).label_ids(bb).tolist()
    assert bb.tokenizer.convert_ids_to_tokens(ids) == tokens


def test_words_differ_by_family_and_default_to_the_masked_ones():
    task = task_of(["0", "1"], verbalizer={"masked": ["no", "yes"], "seq2seq": ["false", "true"]})
    assert task.words(reader(None, "seq2seq")) == ("false", "true")
    assert task.words(reader(None, "causal")) == task.words(reader(None, "masked")) == ("no", "yes")


def test_the_first_piece_of_entailment_is_a_label_word_of_t5():
    tokenizer = tiny_tokenizer("t5")
    assert task_of(["▁", "no"]).label_ids(reader(tokenizer))[0] == tokenizer.convert_tokens_to_ids("▁")


@pytest.mark.parametrize(("model", "words", "message"), [
    ("roberta", ["bad", "wonderful"], r"'wonderful' \(label 'wonderful'\) is not one token .* Ġ?w \+ on \+ d"),
    ("bert", ["bad", "☃"], "not one token"), ("bert", ["Good", "good"], "'Good' and 'good' share one token"),
])  # fmt: skip
def test_words_that_are_not_one_token_each_are_named(model, words, message):
    refused(message, task_of(words).label_ids, reader(tiny_tokenizer(model)))


@pytest.mark.parametrize(("words", "message"), [
    (["bad"], "2 labels .no, yes. but 1 label words"), (["bad", "so", "good"], "but 3 label words"),
    (["bad", "bad"], "'bad' for two labels"), ({"bert": ["bad", "good"]}, "not for bert"),
    ({"seq2seq": ["bad", "good"], "masked": ["bad"]}, "but 1 label words"),
    ({"no": "bad", "yes": "good"}, "in the order of the labels.*not for no, yes"),
])  # fmt: skip
def test_words_must_fit_the_labels(words, message):
    refused(message, task_of, ["no", "yes"], verbalizer=words)


@pytest.mark.parametrize("field", ["labels", "classes", "verbalizer"])
def test_a_lone_text_and_a_set_are_no_list(field):
    rows = {"text": [f"text {i}" for i in range(20)], "label": [i % 2 for i in range(20)]}
    for wrong in ("no", {"no", "yes"}, frozenset("ny")):
        fields = {"verbalizer": ["bad", "good"]} | {field: wrong}
        refused("is a list.* not (the text 'no'|'no'|{|frozenset)", load_task, pd.DataFrame(rows), **fields)
    for wrong in (
        "no",
        {"masked": "no"},
        [1, 2],
        {"seq2seq": [7, "no"]},
        {"no", "yes"},
        {"masked": {"no", "yes"}},
        5,
    ):
        refused("is a list of words, not", task_of, ["a", "b"], verbalizer=wrong)
    for wrong in ("ab", {"a", "b"}):
        refused("list of names, not", task_of, wrong, verbalizer=["bad", "good"])
