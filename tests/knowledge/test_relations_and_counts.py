"""Studies of whole relation sets, on a backbone in which two facts are planted."""

import random
from dataclasses import replace

import numpy as np
import pandas
import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.store import cached
from skillkit.knowledge.clozes import ask
from skillkit.knowledge.counts import census, intersections, layer_shares, layer_table, upper_share
from skillkit.knowledge.erosion import erosion
from skillkit.knowledge.fact_eval import FactNeurons, Recall, find_neurons
from skillkit.knowledge.fact_suppression import forgetting, mean_table, neighbours, summary, with_controls
from skillkit.knowledge.interventions import erase, suppress
from skillkit.knowledge.knowledge_neurons import pooled
from skillkit.knowledge.languages import across_languages, by_language, language_overlap
from skillkit.knowledge.relations import Fact, askable, by_relation, load_facts
from skillkit.knowledge.sentences import firing, mentions, ranked_sentences, sentence_activations, told
from skillkit.knowledge.weight_editing import edit_summary, editing, erasing, erasure_rises, shared_neurons
from skillkit.models.backbone import load_backbone
from tests.helpers import shared_path
from tests.planted_facts import planted_facts

COARSE = {"adaptive": 0.2}


@pytest.fixture(scope="module")
def study():
    """(backbone, facts, neurons): two planted capitals, and two facts that the model does not know."""
    bb, planted = planted_facts("gpt2")
    facts = [
        Fact("capital", country, country, fact.answer, tuple(fact.prompts), "en")
        for country, fact in planted.items()
    ]
    facts += [
        Fact(
            "taste", "film", "film", "good", ("the film is [MASK].", "i watch a film , it is [MASK]."), "en"
        ),
        Fact(
            "taste", "food", "food", "bad", ("the food is [MASK].", "i liked the food , it is [MASK]."), "en"
        ),
    ]
    return bb, facts, find_neurons(bb, facts, coarse=COARSE, share=0.5)


def pairs(country):
    return {"france": [(1, 3), (1, 11), (2, 27)], "germany": [(1, 5), (2, 19), (2, 40)]}[country]


def test_neurons_of_every_fact(study):
    _, _, found = study
    assert list(found) == ["france/en", "germany/en", "film/en", "food/en"]
    assert found["france/en"].pairs == pairs("france") and found["germany/en"].pairs == pairs("germany")


def test_the_adaptive_share_is_settled_by_relation(study):
    bb, facts, found = study
    settled = find_neurons(bb, facts[:2], coarse=COARSE)
    assert settled["france/en"].share == settled["germany/en"].share == 0.7
    assert settled["france/en"].pairs == pairs("france")
    with pytest.raises(SkillkitError, match="no fact has 5 prompts"):
        find_neurons(bb, facts, minimum_prompts=5)


def test_fact_neurons_are_stored_sparsely(study, tmp_path):
    _, _, found = study
    found.save(tmp_path)
    again = FactNeurons.load(tmp_path)
    assert list(again) == list(found)
    for key, one in found.items():
        assert torch.equal(again[key].mask, one.mask) and torch.equal(again[key].counts, one.counts)
        assert again[key].prompts == one.prompts and again[key].probability == one.probability


def test_found_neurons_are_cached(study, tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    bb, facts, found = study
    for _ in range(2):
        again = cached(find_neurons, bb, facts[:1], coarse=COARSE, share=0.5)
    assert again["france/en"].pairs == found["france/en"].pairs
    assert len(list(tmp_path.glob("fact_neurons/*/meta.json"))) == 1


def test_tables_are_cached_with_their_types(study, tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    bb, facts, found = study
    first, again = (cached(forgetting, bb, facts, found, draws=1, others=1) for _ in range(2))
    pandas.testing.assert_frame_equal(first, again)
    assert (tmp_path / "forgetting").is_dir() and type(first[first["draw"] == 0]) is pandas.DataFrame


def test_recall_is_what_asking_says(study):
    bb, facts, _ = study
    recalled = Recall(bb, facts).read([facts[1].key, facts[2].key])
    for fact in facts[1:3]:
        replies = ask(bb, fact.prompts, fact.object)
        np.testing.assert_allclose(
            recalled[fact.key].probability, [r.probability for r in replies], rtol=1e-4
        )
        assert recalled[fact.key].rank.tolist() == [r.rank for r in replies]
    others = Recall(bb, facts[:1], {"france/en": "london good"}).read(["france/en"])["france/en"]
    replies = ask(bb, facts[0].prompts, "london good")
    np.testing.assert_allclose(others.surprise, [-np.log(r.probability) for r in replies], rtol=1e-4)


def test_suppressing_forgets_its_own_fact_alone(study):
    bb, facts, found = study
    table = forgetting(bb, facts[:2] + facts[2:], found, draws=3, positions="answer")
    capital = table[table["relation"] == "capital"].set_index(["kind", "neurons", "on"])
    change = lambda *where: (capital.loc[where, "after"] / capital.loc[where, "before"] - 1).to_numpy()
    assert (change("suppress", "fact", "own") < -0.9).all()
    assert (change("enhance", "fact", "own") > 0.01).all()
    assert (np.abs(change("suppress", "fact", "same relation")) < 0.01).all()
    assert (np.abs(change("suppress", "random", "own")) < 0.2).all()
    sizes = table.groupby(["fact", "kind"])["size"].nunique()
    assert (sizes == 1).all()


def test_neighbours_speak_the_language_and_have_another_answer(study):
    _, facts, _ = study
    french = replace(facts[1], language="fr", object="Berlin")
    twin = replace(facts[0], uuid="gaul")
    near = neighbours(facts[0], [*facts, french, twin], 5)
    assert near == {"same relation": ["germany/en"], "other relations": ["film/en", "food/en"]} or (
        set(near["other relations"]) == {"film/en", "food/en"} and near["same relation"] == ["germany/en"]
    )


def test_ratio_of_means_and_mean_of_ratios_are_both_told():
    table = pandas.DataFrame({
        "fact": ["a", "b", "a", "a", "b", "b"],
        "kind": "suppress",
        "neurons": ["fact", "fact", "random", "random", "random", "random"],
        "on": "own",
        "before": [0.5, 0.001, 0.5, 0.5, 0.001, 0.001],
        "after": [0.25, 0.01, 0.5, 0.4, 0.001, 0.002],
    })  # fmt: skip
    fact, control = summary(table).to_dict("records")
    assert fact["ratio_of_means"] == pytest.approx(0.26 / 0.501 - 1)
    assert fact["mean_of_ratios"] == pytest.approx((0.5 + 10) / 2 - 1)
    assert fact["ratio_low"] <= fact["ratio_of_means"] <= fact["ratio_high"]
    assert control["facts"] == 2 and control["after"] == pytest.approx((0.45 + 0.0015) / 2)
    assert summary(table, by=("kind", "on"))["facts"].tolist() == [2]


def test_one_fact_has_no_interval():
    table = pandas.DataFrame({"fact": ["a"], "kind": ["x"], "neurons": ["fact"], "on": ["own"]})
    row = summary(table.assign(before=0.5, after=0.4)).iloc[0]
    assert row["ratio_of_means"] == pytest.approx(-0.2) and np.isnan(row["ratio_low"])


def test_controls_are_as_many_in_every_layer_and_not_the_same(study):
    bb, _, found = study
    mask = found["france/en"].mask
    (name, _, own), *controls = with_controls(bb, mask, draws=3)
    assert name == "fact" and own is mask and len(controls) == 3
    for name, _, control in controls:
        assert name == "random" and not (control & mask).any()
        assert control.sum(1).tolist() == mask.sum(1).tolist()
    assert not torch.equal(controls[0][2], controls[1][2])


@pytest.mark.parametrize("form", ["normed", "plain"])
def test_edits_succeed_at_no_cost_where_facts_are_apart(study, form):
    bb, facts, found = study
    table = editing(bb, facts[:2], found, form=form, draws=2, positions="answer")
    mine = table[table["neurons"] == "fact"]
    assert (
        (mine["success_1"] == 1).all() and (mine["mrr"] == 1).all() and (mine["old_answer_kept"] == 0).all()
    )
    assert (mine["success_1 before"] == 0).all() and (mine["old_answer_kept before"] == 1).all()
    assert mine["new"].tolist() == ["berlin", "paris"]
    np.testing.assert_allclose(mine["perplexity_within"], mine["perplexity_within before"], rtol=0.01)
    assert table[table["neurons"] == "random"]["success_1"].mean() < 0.7
    told = edit_summary(table).set_index("neurons")
    assert told.loc["fact", "success_1"] == 1 and told.loc["fact", "facts"] == 2


def test_perplexity_is_averaged_as_a_logarithm():
    table = pandas.DataFrame(
        {"fact": ["a", "b"], "neurons": "fact", "perplexity_within": [1.0, 100.0], "mrr": [0.5, 1]}
    )
    told = edit_summary(table).iloc[0]
    assert told["perplexity_within"] == pytest.approx(10) and told["mrr"] == pytest.approx(0.75)


def test_erasing_a_relation(study):
    bb, facts, found = study
    table = erasing(bb, facts, found, top=6, draws=2)
    capital = table[table["relation"] == "capital"]
    erased, random = (
        capital[capital["neurons"] == "relation"].iloc[0],
        capital[capital["neurons"] == "random"],
    )
    assert erased["size"] == 6 and erased["accuracy_within before"] == 1
    assert (
        erased["accuracy_within"] == 0
        and erased["perplexity_within"] > 10 * erased["perplexity_within before"]
    )
    assert (random["accuracy_within"] > 0.5).all()
    for _, row in table.iterrows():
        for on in ("within", "between"):
            ratio = row[f"perplexity_{on}"] / row[f"perplexity_{on} before"]
            assert row[f"rise_{on}"] == pytest.approx(ratio, rel=1e-6)
    assert erased["rise_within_low"] < erased["rise_within"] < erased["rise_within_high"]
    rises = erasure_rises(table).set_index(["relation", "neurons", "on"])
    drawn = rises.loc["capital", "random", "within"]
    assert drawn["rise"] == pytest.approx(np.sqrt(random["rise_within"].prod()))
    assert drawn["low"] <= drawn["rise"] <= drawn["high"]


def test_the_neurons_that_most_facts_share_come_first(study):
    _, _, found = study
    france, germany = found["france/en"], found["germany/en"]
    both = replace(france, mask=france.mask | germany.mask)
    assert torch.equal(shared_neurons([both, france, germany], 3) | france.mask | germany.mask, both.mask)
    assert torch.equal(shared_neurons([both, france], 3), france.mask)
    assert shared_neurons([replace(france, mask=france.mask & False)]) is None


def test_census_layers_and_intersections(study):
    bb, facts, found = study
    table = census(facts, found).set_index("fact")
    assert table.loc["france/en", "neurons"] == 3 and table.loc["germany/en", "known"] == 1
    capitals = {key: found[key] for key in ("france/en", "germany/en")}
    torch.testing.assert_close(layer_shares(capitals), torch.tensor([0.0, 0.5, 0.5]))
    shared = intersections(facts[:2], found).set_index("pairs of facts")
    assert shared.loc["within a relation", ["number", "shared"]].tolist() == [1, 0]
    assert shared.loc["between relations", "number"] == 0
    with pytest.raises(SkillkitError, match="no neurons"):
        layer_shares({})


def test_layers_by_language_with_intervals(study):
    bb, facts, found = study
    capitals = {key: found[key] for key in ("france/en", "germany/en")}
    table = layer_table(bb, facts, capitals).set_index("layer")
    assert table["share"].tolist() == [0, 0.5, 0.5] and set(table["language"]) == {"en"}
    assert table.index.tolist() == bb.layers
    assert table["low"].iloc[2] == pytest.approx(1 / 3) and table["high"].iloc[2] == pytest.approx(2 / 3)
    assert upper_share(capitals, part=1 / 3)[0] == 0.5 and upper_share(capitals, part=0.5)[0] == 1
    with pytest.raises(SkillkitError, match="no neurons"):
        upper_share({})


def test_pairs_of_many_facts_are_drawn(study):
    """More than a thousand facts: pairs are sampled, and tell the same."""
    _, facts, found = study
    many = [replace(fact, uuid=f"{fact.uuid}{i}") for i in range(501) for fact in facts[:2]]
    neurons = {fact.key: found[f"{fact.subject}/en"] for fact in many}
    few, all_pairs = intersections(many[:40], neurons), intersections(many, neurons, pairs=50)
    assert few.loc[0, "number"] == 400 and all_pairs.loc[0, "number"] == 50
    assert few.loc[0, "shared"] == all_pairs.loc[0, "shared"] == 0


def in_two_languages(facts, found):
    """The capitals again, in a second "language" that has the same prompts but another fact's neurons."""
    second = [replace(fact, language="xx") for fact in facts[:2]]
    neurons = {"france/xx": found["germany/en"], "germany/xx": found["germany/en"]}
    return facts[:2] + second, {**found, **neurons}


def test_overlap_between_languages(study):
    _, facts, found = study
    facts, found = in_two_languages(facts, found)
    (row,) = language_overlap(facts, found).to_dict("records")
    assert (row["languages"], row["facts"]) == ("en – xx", 2)
    assert row["shared"] == 1.5 and row["jaccard"] == 0.5  # France shares none, Germany all three
    assert row["another_fact"] == 1.5 and (row["shared_low"], row["shared_high"]) == (0, 3)
    assert row["chance"] == pytest.approx(((2 * 1 + 1 * 2) / 48 + (1 * 1 + 2 * 2) / 48) / 2)
    with pytest.raises(SkillkitError, match="two languages"):
        by_language(facts[:1], found)


def test_suppressing_in_one_language_is_measured_in_the_other(study):
    bb, facts, found = study
    facts, found = in_two_languages(facts, found)
    table = across_languages(bb, facts, found, draws=1, positions="answer")
    change = table.assign(change=table["after"] / table["before"] - 1).set_index(
        ["fact", "source", "neurons", "on"]
    )["change"]
    for on in ("en", "xx"):
        assert change["france", "en", "fact", on] < -0.9 and change["germany", "xx", "fact", on] < -0.9
        assert abs(change["france", "xx", "fact", on]) < 0.01  # Germany's neurons
        assert abs(change["france", "en", "random", on]) < 0.2
    together = pooled([found["france/en"], found["france/xx"]], share=0.4)
    assert together.pairs == sorted(pairs("france") + pairs("germany")) and len(together.prompts) == 8
    assert set(table["source"]) == {"en", "xx", "pooled"}


def test_sentences_are_ranked_by_the_neurons_of_a_fact(study):
    bb, facts, found = study
    sentences = ["the food was bad and boring", "where is the capital of france ? it is", "a story of sport"]
    table = ranked_sentences(bb, found["france/en"], sentences)
    assert table["sentence"][0] == sentences[1] and table["activation"].is_monotonic_decreasing
    for pool in ("max", "mean"):
        values = sentence_activations(bb, found["france/en"], sentences[:1], pool)
        with bb.record() as acts:
            bb.run({"input_ids": bb.tokenizer(sentences[0], return_tensors="pt").input_ids})
        reduce = {"max": lambda t: t[0].amax(0), "mean": lambda t: t[0].mean(0)}[pool]
        expected = sum(reduce(acts[layer])[neuron] for layer, neuron in pairs("france")) / 3
        torch.testing.assert_close(values[0], expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(SkillkitError, match="0 sentences"):
        ranked_sentences(bb, found["france/en"], [])


def test_facts_fire_in_sentences_that_tell_them(study):
    bb, facts, found = study
    assert told(facts)[0] == facts[0].prompts[0].replace("[MASK]", "paris")
    only_head = ["the capital of france is good."]
    table = firing(bb, facts[:2], {"france/en": found["france/en"]}, told(facts) + only_head, most=3)
    assert table["fact"].tolist() == ["france/en"] * 3 and table["sentences"].tolist() == [3, 1, 3]
    of = table.set_index("group")["activation"]
    assert of["head and tail"] > of["neither"]
    expected = sentence_activations(bb, found["france/en"], only_head).mean()
    assert of["head only"] == pytest.approx(float(expected))
    means = mean_table(table, "group", "activation")
    assert means["activation"].tolist() == of.tolist() and means["low"].isna().all()


def test_switching_off_more_and_more_neurons(study):
    bb, facts, found = study
    table = erosion(bb, facts[:2], counts=(1, 3), positions="answer", steps=5)
    means = table.groupby(["fact", "neurons", "count"])["probability"].mean()
    before = np.mean([reply.probability for reply in ask(bb, facts[0].prompts, "paris")])
    assert means["france/en", "fact", 0] == means["france/en", "random", 0] == pytest.approx(before, rel=1e-4)
    assert means["france/en", "fact", 3] < 0.1 * before < means["france/en", "random", 3]
    with suppress(bb, found["france/en"], "answer"):  # the three best are the planted ones
        off = np.mean([reply.probability for reply in ask(bb, facts[0].prompts, "paris")])
    assert means["france/en", "fact", 3] == pytest.approx(off, rel=1e-4)


def test_erasing_is_measured_on_examples(study):
    bb, facts, found = study
    table = erasing(bb, facts, found, top=6, examples=1, draws=2)
    kept = [random.Random(0).sample(group, 1)[0] for group in [by_relation(facts)["capital"]]]
    with erase(bb, shared_neurons([found[fact.key] for fact in facts[:2]], 6)):
        after = Recall(bb, kept).read([kept[0].key])[kept[0].key].surprise
    row = table[(table["relation"] == "capital") & (table["neurons"] == "relation")].iloc[0]
    assert row["perplexity_within"] == pytest.approx(np.exp(after.mean()), rel=1e-4)
    rises = erasure_rises(table).set_index(["relation", "neurons", "on"])["rise"]
    assert rises["capital", "relation", "within"] == pytest.approx(
        row["perplexity_within"] / row["perplexity_within before"]
    )
    assert rises["capital", "relation", "within"] > 2 > rises["capital", "random", "within"]


def test_mentions_are_whole_words():
    fact = Fact("capital", "u", "france", "paris", ("[MASK]",))
    groups = mentions(
        fact, ["Paris is in France.", "france is nice", "frances liked parisian food", "paris !"]
    )
    assert groups["head and tail"] == ["Paris is in France."] and groups["head only"] == ["france is nice"]
    assert groups["neither"] == ["frances liked parisian food"]


def test_relation_sets_without_neurons_say_so(study):
    bb, facts, _ = study
    for run in (forgetting, editing, erasing):
        with pytest.raises(SkillkitError, match="neurons"):
            run(bb, facts, {})


def test_twenty_real_facts_on_a_real_model():
    bb = load_backbone(shared_path("models/minilm-mlm"))
    path = shared_path("data/pararel")
    facts, _ = askable(bb, load_facts(path, relations=["P36", "P176"], per_relation=10), minimum_prompts=3)
    facts = [replace(fact, prompts=fact.prompts[:3]) for fact in facts]
    found = find_neurons(bb, facts, coarse=COARSE, share=0.5, steps=5)
    assert len(facts) == 20 and sum(len(one) > 0 for one in found.values()) >= 15
    table = summary(forgetting(bb, facts, found, draws=2, others=1)).set_index(["kind", "neurons", "on"])
    ratio = table["ratio_of_means"]
    assert ratio["suppress", "fact", "own"] < min(-0.05, 3 * ratio["suppress", "random", "own"])
    assert ratio["enhance", "fact", "own"] > max(0.05, 3 * ratio["enhance", "random", "own"])
    assert abs(ratio["suppress", "fact", "other relations"]) < -ratio["suppress", "fact", "own"]
