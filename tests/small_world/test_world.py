"""The small world: reproducible, balanced, disjoint, and attacked without touching a label."""

import subprocess
import sys
from collections import Counter

import pytest

from skillkit.core.errors import SkillkitError
from skillkit.small_world import world
from skillkit.small_world.grammar import lexicon


@pytest.mark.parametrize("name", world.TASKS)
def test_splits_are_large_balanced_and_disjoint(name):
    seen = Counter()
    for split, size in world.SIZES.items():
        rows = world.task_splits(name)["splits"][split]
        counts = Counter(rows["label"])
        assert len(rows["label"]) >= size and len(set(counts.values())) == 1
        assert len(counts) == len(world.task_splits(name)["labels"])
        seen.update(zip(rows["text"], rows.get("text_pair", rows["text"])))
    assert max(seen.values()) == 1


def test_a_seed_gives_the_same_texts_in_another_process():
    code = (
        "from skillkit import world; print(world.task_splits('scenes', seed=3)['splits']['test']['text'][:5])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(world.task_splits("scenes", seed=3)["splits"]["test"]["text"][:5])
    assert world.task_splits("scenes", seed=4) != world.task_splits("scenes", seed=3)


def test_the_language_is_rich_and_of_varied_length():
    texts = [text for name in world.TASKS for text in world.task_splits(name)["splits"]["train"]["text"]]
    words = {word.strip(".,?") for text in texts for word in text.split()}
    lengths = [len(text.split()) for text in texts]
    assert len(words) > 500
    assert min(lengths) <= 5 and max(lengths) >= 40


@pytest.mark.parametrize("name", ["movies", "restaurants", "gadgets"])
def test_no_single_word_gives_the_polarity_away(name):
    rows = world.task_splits(name)["splits"]["train"]
    labels = rows["label"]
    texts = [set(text.replace(".", "").replace(",", "").split()) for text in rows["text"]]
    for word in {word for text in texts for word in text}:
        hits = [label for text, label in zip(texts, labels) if word in text]
        right = max(hits.count(0), hits.count(1)) + max(
            labels.count(0) - hits.count(0), labels.count(1) - hits.count(1)
        ) * (len(hits) < len(labels))
        assert min(right, len(labels)) / len(labels) < 0.65 or len(hits) > 0.9 * len(labels)


def test_pairs_cannot_be_told_from_one_side():
    """In a two-class pair task the claim's own words say nothing: each is right and wrong equally often."""
    rows = world.task_splits("rooms")["splits"]["train"]
    states = [text.rstrip(".").split()[-1] for text in rows["text_pair"]]
    for state in set(states):
        labels = [label for one, label in zip(states, rows["label"]) if one == state]
        assert 0.35 < sum(labels) / len(labels) < 0.65


def test_facts_have_phrasings_kept_out_and_answers_of_one_and_more_words():
    facts = world.facts()
    assert {fact["language"] for fact in facts} == {"english", "second"}
    for fact in facts:
        assert all(prompt.count("[MASK]") == 1 and fact["subject"] in prompt for prompt in fact["prompts"])
        assert 0 < len(fact["unseen"]) < len(fact["prompts"])
    assert {len(fact["object"].split()) for fact in facts} == {1, 2}
    assert len({fact["uuid"] for fact in facts}) == len(facts)


@pytest.mark.parametrize("attack", world.ATTACKS)
@pytest.mark.parametrize("name", ["movies", "scenes"])
def test_an_attack_changes_test_texts_alone(name, attack):
    clean, view = world.task_splits(name)["splits"], world.adversarial(name, attack)["splits"]
    assert view["train"] == clean["train"]
    assert view["test"]["label"] == clean["test"]["label"]
    column = "text_pair" if name == "scenes" and attack in ("distractors", "negation") else "text"
    changed = sum(a != b for a, b in zip(clean["test"][column], view["test"][column]))
    assert changed > 0.2 * len(clean["test"]["label"])
    assert world.adversarial(name, attack, strength=0.0)["splits"]["test"] == clean["test"]


def test_negation_stress_turns_an_adjective_into_the_negation_of_its_opposite():
    words = lexicon()["adjectives"]
    clean = world.task_splits("movies")["splits"]["test"]["text"]
    view = world.adversarial("movies", "negation")["splits"]["test"]["text"]
    sides = {word: side for side in ("positive", "negative") for word in words[side]}
    turned = 0
    for before, after in zip(clean, view):
        old = [word.strip(".,") for word in before.split()]
        new = after.replace(".", "").replace(",", "").split()
        for word in old:
            if word in sides:
                at = new.index("not") if "not" in new else None
                assert at is not None and sides.get(new[at + 1]) != sides[word] or "not" in old
                turned += 1
                break
    assert turned > 300


def test_unknown_names_and_strengths_are_refused():
    with pytest.raises(SkillkitError, match="no task 'films'.*movies"):
        world.task_splits("films")
    with pytest.raises(SkillkitError, match="no attack is called 'typo'"):
        world.adversarial("movies", "typo")
    with pytest.raises(SkillkitError, match="between 0 and 1"):
        world.adversarial("movies", "typos", strength=2)
