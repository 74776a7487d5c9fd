"""Sentences by the activation of a fact's neurons, on a backbone in which two facts are planted."""

import pytest

from skillkit.knowledge import activations_by_mention, sentence_activations
from skillkit.knowledge.relations import Fact
from skillkit.knowledge.sentences import mentions
from tests.helpers import refused


def test_sentences_are_ranked_by_the_neurons_of_a_fact(study, pairs):
    bb, _, found = study
    sentences = ["the food was bad and boring", "where is the capital of france ? it is", "a story of sport"]
    table = sentence_activations(bb, found["france/en"], sentences)
    assert table["sentence"][0] == sentences[1] and table["activation"].is_monotonic_decreasing
    for pool, reduce in {"max": lambda t: t[0].amax(0), "mean": lambda t: t[0].mean(0)}.items():
        values = sentence_activations(bb, found["france/en"], sentences[:1], pool)
        with bb.record() as acts:
            bb.run({"input_ids": bb.tokenizer(sentences[0], return_tensors="pt").input_ids})
        expected = sum(reduce(acts[layer])[neuron] for layer, neuron in pairs["france"]) / 3
        assert values["activation"][0] == pytest.approx(float(expected), rel=1e-4, abs=1e-5)
    for none in ([], None, [4]):
        refused("give texts", sentence_activations, bb, found["france/en"], none)
    alone = sentence_activations(bb, found["france/en"], sentences[0])  # a text, not its letters
    assert alone["sentence"].tolist() == sentences[:1]


def test_neurons_of_facts_are_active_in_sentences_that_state_them(study):
    bb, facts, found = study
    assert facts[0].sentences[0] == facts[0].prompts[0].replace("[MASK]", "paris")
    sentences, only_head = [s for fact in facts for s in fact.sentences], ["the capital of france is good."]
    some = {"france/en": found["france/en"]}
    table = activations_by_mention(bb, facts[:2], some, sentences + only_head, most=3)
    assert table["fact"].tolist() == ["france/en"] * 3 and table["sentences"].tolist() == [3, 1, 3]
    means = table.set_index("group")["activation"]
    assert means["head and tail"] > means["neither"]
    expected = sentence_activations(bb, found["france/en"], only_head)["activation"].mean()
    assert means["head only"] == pytest.approx(expected)
    summary = table.summary()
    assert summary["activation"].tolist() == means.tolist() and summary["low"].isna().all()


def test_mentions_are_whole_words():
    fact = Fact("capital", "u", "france", "paris", ("[MASK]",))
    texts = ["Paris is in France.", "france is nice", "frances liked parisian food", "paris !"]
    groups = mentions(fact, texts)
    assert groups["head and tail"] == ["Paris is in France."] and groups["head only"] == ["france is nice"]
    assert groups["neither"] == ["frances liked parisian food"]
