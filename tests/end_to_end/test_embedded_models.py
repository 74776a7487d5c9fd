"""A tuned prompt asks a shipped model what it knows; an untuned one gets nothing out of it."""

import pytest

import skillkit as sk
from skillkit.core.provenance import CHECKPOINTS

EMBEDDED = sorted(path.parent.name for path in CHECKPOINTS.glob("*/config.json"))


BINARY = ["movies", "restaurants", "gadgets", "rooms", "questions", "reports", "grammar"]


@pytest.mark.parametrize("task, mark", [("world/movies", 0.85), ("world/rooms", 0.80)])
@pytest.mark.parametrize("name", EMBEDDED)
def test_a_tuned_prompt_reaches_its_mark(name, task, mark):
    bb, task = sk.load_backbone(f"embedded/{name}"), sk.load_task(task)
    # As the chapters tune them: in a run of all tests the prompt of a chapter is taken.
    options = dict(length=16, recipe="embedded", layout=None, max_steps=None, max_train_examples=None)
    prompt = sk.cached(sk.tune_prompt, bb, task, seed=0, progress=False, **options)
    assert sk.evaluate(bb, task, prompt, rows=500).accuracy >= mark - 0.05 * (name == "gpt2")


# Every other task, by the model that needs few steps for it: a third of what the chapters give it.
@pytest.mark.parametrize("name, task, mark", [
    ("bert", "restaurants", 0.85), ("bert", "grammar", 0.85), ("roberta", "hotels", 0.85), ("roberta", "scenes", 0.80),
    ("gpt2", "news", 0.80), ("gpt2", "reports", 0.75), ("t5", "gadgets", 0.85), ("t5", "questions", 0.80),
])  # fmt: skip
def test_a_prompt_of_few_steps_reaches_the_mark_of_its_kind(name, task, mark):
    bb, task = sk.load_backbone(f"embedded/{name}"), sk.load_task(f"world/{task}")
    options = dict(max_steps=20, evaluate_every=20, max_train_examples=320, validation_examples=50)
    prompt = sk.tune_prompt(bb, task, length=16, seed=0, progress=False, **options)
    assert sk.evaluate(bb, task, prompt, rows=200).accuracy >= mark


@pytest.mark.parametrize("name", EMBEDDED)
def test_random_prompts_get_little_out_of_a_model_on_average(name):
    """Over all two-class tasks; single ones can be answered unasked: roberta finds broken sentences wrong anyway."""
    bb = sk.load_backbone(f"embedded/{name}")
    prompts = [sk.random_prompt(bb, 16, seed) for seed in range(3)]
    tasks = [sk.load_task(f"world/{task}") for task in BINARY]
    measured = [sk.evaluate(bb, task, prompt, rows=60).accuracy for task in tasks for prompt in prompts]
    assert sum(measured) / len(measured) <= 0.60


def test_a_prompt_survives_its_folder_and_labels_new_texts(tmp_path):
    bb, task = sk.load_backbone("embedded/roberta"), sk.load_task("world/movies")
    sk.tune_prompt(bb, task, length=4, seed=0, max_steps=30, progress=False).save(tmp_path)
    texts = ["i loved the plot. what a superb cast.", "the script was dull and i hated the ending."]
    answers = sk.predict(bb, task, sk.SoftPrompt.load(tmp_path), texts)
    assert [answer["label"] for answer in answers] == ["positive", "negative"]
