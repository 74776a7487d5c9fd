"""Notebook 07 on real facts and a real model, in miniature; the shards of the full study; facts of the small world."""

from dataclasses import replace

import pandas

import skillkit as sk
from skillkit.knowledge import find_neurons, load_facts, suppress_facts
from skillkit.studies import load_study
from tests.helpers import REPOSITORY, run_chapter, shared_path

SMALL = dict(
    per_relation=2, maximum_prompts=3, steps=5, draws=1, neighbours=1, closer=2, erase_examples=1,
    factors=[0.0, 1.0],
)  # fmt: skip


def test_facts_of_pararel_on_a_real_model(tmp_path):
    shared_path("models/minilm-mlm")
    claims = run_chapter("local-pararel", "07_knowledge_neurons", tmp_path, **SMALL)
    suppressed, enhanced = claims[:2]
    assert suppressed["measured"] < 0 < enhanced["measured"]
    counts = pandas.read_csv(tmp_path / "tables" / "counts.csv")
    assert set(counts["relation"]) == {"P36", "P37", "P103", "P176"} and (counts["facts"] == 2).all()


def test_shards_of_the_full_study_are_those_that_it_loads():
    study = load_study(REPOSITORY / "params" / "bert-knowledge.yaml").notebooks["07_knowledge_neurons"]
    cells = load_study(REPOSITORY / "params" / "sweeps" / "bert-knowledge.yaml").cells
    assert [cell.parameters.shard for cell in cells] == list(range(study.shards))
    for cell in cells:
        assert cell.parameters.model_copy(update={"shard": None}) == study


def test_an_embedded_model_forgets_a_fact_with_its_neurons():
    bb, facts = sk.load_backbone("embedded/roberta"), load_facts("world", "english", per_relation=2)
    facts = [replace(fact, prompts=fact.prompts[:3]) for fact in facts]
    found = find_neurons(bb, facts, coarse={"adaptive": 0.2}, share=0.5, steps=10)
    table = suppress_facts(bb, facts, found, draws=2, others=1, positions="answer")
    change = table.summary().set_index(["kind", "neurons", "on"])
    own, random = change.loc[("suppress", "fact", "own")], change.loc[("suppress", "random", "own")]
    assert own["ratio_high"] < min(0, random["ratio_low"])
    others = change.loc[("suppress", "fact", "other relations")]
    assert abs(others["ratio_of_means"]) < -own["ratio_of_means"] / 3
