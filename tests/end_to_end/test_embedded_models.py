"""A tuned prompt asks a shipped model what it knows; an untuned one gets nothing out of it."""

from pathlib import Path

import pytest

import skillkit as sk

EMBEDDED = sorted(path.parent.name for path in Path(sk.__file__).parent.glob("embedded/*/config.json"))


@pytest.mark.parametrize("task, mark", [("world/movies", 0.85), ("world/rooms", 0.80)])
@pytest.mark.parametrize("name", EMBEDDED)
def test_a_tuned_prompt_reaches_its_mark_and_random_ones_stay_at_chance(name, task, mark):
    bb, task = sk.load_backbone(f"embedded/{name}"), sk.load_task(task)
    prompt = sk.tune_prompt(bb, task, length=16, seed=0, max_steps=60, progress=False)
    assert sk.evaluate(bb, task, prompt).accuracy >= mark - 0.05 * (name == "gpt2")
    random = [sk.evaluate(bb, task, sk.random_prompt(bb, 16, seed), rows=300).accuracy for seed in range(3)]
    assert sum(random) / len(random) <= 0.60


def test_a_prompt_survives_its_folder_and_labels_new_texts(tmp_path):
    bb, task = sk.load_backbone("embedded/roberta"), sk.load_task("world/movies")
    sk.tune_prompt(bb, task, length=4, seed=0, max_steps=30, progress=False).save(tmp_path)
    texts = ["i loved the plot. what a superb cast.", "the script was dull and i hated the ending."]
    answers = sk.predict(bb, task, sk.SoftPrompt.load(tmp_path), texts)
    assert [answer["label"] for answer in answers] == ["positive", "negative"]
