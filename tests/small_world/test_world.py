"""The small world: reproducible, balanced, disjoint, and attacked without touching a label."""

import re
import subprocess
import sys
from collections import Counter

import pytest

from skillkit.small_world import ATTACKS, TASKS, adversarial, facts, task_splits
from skillkit.small_world.world import SIZES
from tests.helpers import REPOSITORY, refused


def rows_of(name, split="train", **options):
    return task_splits(name, **options)["splits"][split]


@pytest.mark.parametrize("name", TASKS)
def test_splits_are_large_balanced_and_disjoint(name):
    seen = Counter()
    for split, size in SIZES.items():
        rows = rows_of(name, split)
        counts = Counter(rows["label"])
        assert len(rows["label"]) >= size and len(set(counts.values())) == 1
        assert len(counts) == len(task_splits(name)["labels"])
        seen.update(zip(rows["text"], rows.get("text_pair", rows["text"])))
    assert max(seen.values()) == 1


@pytest.mark.slow
def test_a_seed_gives_the_same_texts_in_another_process_without_torch():
    code = "import sys; from skillkit.small_world import task_splits; assert 'torch' not in sys.modules; "
    code += "print(task_splits('scenes', seed=3)['splits']['test']['text'][:5])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout.strip() == str(rows_of("scenes", "test", seed=3)["text"][:5])
    assert task_splits("scenes", seed=4) != task_splits("scenes", seed=3)


@pytest.mark.parametrize("name", ["movies", "restaurants", "gadgets"])
def test_no_single_word_gives_the_polarity_away(name):
    rows, hits = rows_of(name), {0: Counter(), 1: Counter()}
    for text, label in zip(rows["text"], rows["label"]):
        hits[label].update(set(re.findall(r"\w+", text)))
    half = len(rows["label"]) // 2
    for word in hits[0] | hits[1]:
        with_it = hits[0][word], hits[1][word]
        assert max(with_it) + half - min(with_it) < 0.65 * 2 * half, word


def test_pairs_cannot_be_decided_from_one_side():
    """In a two-class pair task the claim's own words say nothing: each is right and wrong equally often."""
    rows, labels = rows_of("rooms"), {}
    for text, label in zip(rows["text_pair"], rows["label"]):
        labels.setdefault(text.rstrip(".").split()[-1], []).append(label)
    assert all(0.35 < sum(those) / len(those) < 0.65 for those in labels.values())


def test_facts_have_phrasings_kept_out_and_answers_of_one_and_more_words():
    assert {fact["language"] for fact in facts()} == {"english", "second"}
    for fact in facts():
        assert all(prompt.count("[MASK]") == 1 and fact["subject"] in prompt for prompt in fact["prompts"])
        assert 0 < len(fact["unseen"]) < len(fact["prompts"])
    assert {len(fact["object"].split()) for fact in facts()} == {1, 2}
    assert len({fact["uuid"] for fact in facts()}) == len(facts())


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", ["movies", "scenes"])
def test_an_attack_changes_test_texts_alone(name, attack):
    clean, view = task_splits(name)["splits"], adversarial(name, attack)["splits"]
    assert view["train"] == clean["train"] and view["test"]["label"] == clean["test"]["label"]
    column = "text_pair" if name == "scenes" and attack in ("distractors", "negation") else "text"
    changed = sum(a != b for a, b in zip(clean["test"][column], view["test"][column]))
    assert changed > 0.2 * len(clean["test"]["label"])
    assert adversarial(name, attack, strength=0.0)["splits"]["test"] == clean["test"]


def test_unknown_names_and_strengths_are_refused():
    refused("no task 'films'.*movies", adversarial, "films", "typos")
    refused("no attack is called", adversarial, "movies", "typo")
    refused("between 0 and 1", adversarial, "movies", "typos", 2)
