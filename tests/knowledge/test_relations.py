"""Relation sets are read as they are laid out, and each model is asked only what it can be asked."""

import json

import pandas as pd
import pytest

from skillkit.knowledge import load_facts
from skillkit.knowledge.relations import by_relation
from skillkit.small_world import world
from tests.helpers import refused, shared_path
from tests.tiny import tiny_backbone


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


def pararel(folder, count=6):
    fact = lambda i: dict(relation=f"P{1 + i % 2}", uuid=f"u{i}", subject=f"s{i}", object="paris")
    prompts = lambda i: {"prompts": [f"s{i} is [MASK].", f"[MASK] is s{i}."]}
    return write_lines(folder / "bags.jsonl", [fact(i) | prompts(i) for i in range(count)])


def mpararel(folder):
    written = {"en": ["[X] is in [Y]", "[Y] has [X]", "[Y] and [Y]"], "fr": ["[X] est en [Y]"]}
    for language, forms in written.items():
        write_lines(folder / "patterns" / language / "P1.jsonl", [{"pattern": form} for form in forms])
        row = lambda i, language: dict(
            sub_uri=f"Q{i}", obj_uri="Q0", sub_label=f"{language}{i}", obj_label="paris"
        )
        rows = [row(i, language) for i in range(4 if language == "en" else 3)]
        write_lines(folder / "tuples" / language / "P1.jsonl", rows)
    return folder


def test_the_small_world_in_two_languages():
    facts = load_facts("world")
    assert len(facts) == len(world.facts()) and len({fact.key for fact in facts}) == len(facts)
    english, second = (load_facts("world", language) for language in ("english", "second"))
    assert [fact.uuid for fact in english] == [fact.uuid for fact in second]
    assert all(fact.prompts and set(fact.unseen) <= set(fact.prompts) for fact in facts)
    relations = ["capital", "language", "profession", "birthplace", "product", "instrument"]
    assert list(by_relation(facts)) == relations and repr(facts).endswith("of 6 relations in 2 languages")


def test_pararel_lines(tmp_path):
    facts = load_facts(pararel(tmp_path))
    assert len(facts) == 6 == len(load_facts(tmp_path))
    assert (facts[1].relation, facts[1].prompts) == ("P2", ("s1 is [MASK].", "[MASK] is s1."))
    assert [fact.uuid for fact in load_facts(tmp_path, relations="P1")] == ["u0", "u2", "u4"]


def test_mpararel_folders(tmp_path):
    facts = load_facts(mpararel(tmp_path))
    assert [fact.language for fact in facts] == ["en"] * 4 + ["fr"] * 3
    assert facts[0].prompts == ("en0 is in [MASK]", "[MASK] has en0")
    assert facts[0].uuid == facts[4].uuid == "P1-Q0-Q0" and facts[0].key != facts[4].key
    assert load_facts(tmp_path, "fr") == facts[4:]
    drawn = load_facts(tmp_path, per_relation=2)
    assert len(drawn) == 4 and {fact.uuid for fact in drawn[:2]} == {fact.uuid for fact in drawn[2:]}


def test_drawing_and_sharding_are_repeatable_and_complete(tmp_path):
    path = pararel(tmp_path, 40)
    first, again = (load_facts(path, per_relation=5, seed=3) for _ in range(2))
    assert first == again != load_facts(path, per_relation=5, seed=4)
    assert {relation: len(group) for relation, group in by_relation(first).items()} == {"P1": 5, "P2": 5}
    shards = [load_facts(path, shard=(i, 3)) for i in range(3)]
    assert sorted(fact.uuid for shard in shards for fact in shard) == sorted(f"u{i}" for i in range(40))


@pytest.mark.parametrize("model_type, asked", [("bert", 6), ("gpt2", 3), ("t5", 6)])
def test_a_model_is_asked_what_it_can_be_asked(model_type, asked):
    bb, capital = tiny_backbone(model_type), load_facts("world", "english", ["capital"], per_relation=2)
    kept, skipped = capital.askable(bb)
    assert [len(fact.prompts) for fact in kept] == [asked] * 2 and not skipped
    kept, skipped = capital.askable(bb, minimum_prompts=4)
    assert len(kept) + len(skipped) == 2 and all(isinstance(reason, str) for reason in skipped.values())
    assert bool(skipped) == (asked < 4)


def test_the_first_prompts_are_kept_and_a_fact_is_picked_by_its_key(tmp_path):
    facts = load_facts("world", "english", ["capital"], per_relation=2)
    (first, _), _ = facts.askable(tiny_backbone("bert"), maximum_prompts=2)
    assert first.prompts == facts[0].prompts[:2]
    assert facts.pick() is facts[0] and facts.pick(facts[1].key) is facts[1] and len(facts + facts) == 4
    refused("no fact 'capital'.*capital-", facts.pick, "capital")
    # An answer that the vocabulary lacks is skipped.
    line = dict(relation="r", uuid="u", subject="s", object="ζ", prompts=["it is [MASK]."])
    kept, skipped = load_facts(write_lines(tmp_path / "x.jsonl", [line])).askable(tiny_backbone("bert"))
    assert not kept and "not in the vocabulary" in skipped["u/en"]


LINE = dict(relation="r", uuid="u", subject="france", object="paris", prompts=["france is [MASK]."])


@pytest.mark.parametrize("text", [
    "\ufeff" + json.dumps(LINE), json.dumps(LINE | {"prompts": LINE["prompts"][0]}), json.dumps(LINE) + "\r\n\r\n",
    *(json.dumps(LINE | {"unseen": [f"a{end}b"]}, ensure_ascii=False) for end in "\u2028\u2029\x85"),
])  # fmt: skip
def test_files_that_are_fine(tmp_path, text):
    (tmp_path / "facts.jsonl").write_text(text + "\n", encoding="utf-8", newline="")
    (fact,) = load_facts(tmp_path)
    assert (fact.key, fact.prompts) == ("u/en", ("france is [MASK].",))
    assert len(fact.unseen) == ("unseen" in text)


@pytest.mark.parametrize("row, reason", [
    ({"prompts": [1]}, "a list of texts"), ({"prompts": None}, "a list of texts"), ({"object": 1969}, "object is text"),
    ({"unseen": {"a": "b"}}, "a list of texts"), ({"uuid": 3}, "uuid is text"),
])  # fmt: skip
def test_lines_that_are_no_facts(tmp_path, row, reason):
    refused(reason, load_facts, write_lines(tmp_path / "facts.jsonl", [LINE | row]))


def test_what_is_no_source(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "list.jsonl").write_text("[1, 2]\n")
    (tmp_path / "b.jsonl").write_text("no json")
    line = write_lines(tmp_path / "a.jsonl", [{"relation": "r", "uuid": "u", "subject": "s"}])
    for options, reason in [
        (dict(source=tmp_path / "nothing"), "holds no facts"), (dict(source=line), "lacks object, prompts"),
        (dict(source=tmp_path / "empty.jsonl"), "holds no facts"), (dict(source=tmp_path / "list.jsonl"), "lacks obj"),
        (dict(source=tmp_path / "b.jsonl"), "JSON lines"), (dict(language="german"), "no language 'german'"),
        (dict(shard=(3, 3)), "no shard 3 of 3"), (dict(relations="P36"), "no relation 'P36'"),
        (dict(per_relation=0), "whole number from 1"), (dict(per_relation="3"), "whole number from 1"),
        *((dict(source=wrong), "a file or a folder") for wrong in (None, [LINE], pd.DataFrame([LINE]), 4)),
        (dict(source=mpararel(tmp_path / "m"), language="german"), "no language 'german'; it has en, fr"),
    ]:  # fmt: skip
        refused(reason, load_facts, **options)


@pytest.mark.slow
def test_real_pararel_and_mpararel():
    facts = load_facts(shared_path("data/pararel"))
    assert len(facts) == 27_610 and sum(len(fact.prompts) for fact in facts) == 224_674
    both = load_facts(shared_path("data/mpararel"), ["en", "de"], ["P36"], per_relation=5)
    assert len(both) == 10 and all("[MASK]" in prompt for fact in both for prompt in fact.prompts)


def test_two_facts_of_one_name_are_refused(tmp_path):
    other = LINE | {"subject": "spain", "object": "madrid"}
    refused(
        "2 of those given are called 'u/en'", load_facts, write_lines(tmp_path / "a.jsonl", [LINE, other])
    )
    other["language"] = "es"  # a fact in two languages shares its uuid
    assert len(load_facts(write_lines(tmp_path / "b.jsonl", [LINE, other]))) == 2
