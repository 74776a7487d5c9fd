"""The task itself: fingerprint, template, sub-tasks, the small world's tasks."""

import subprocess
import sys
from dataclasses import replace

import datasets
import pytest

from skillkit.core import SkillkitError
from skillkit.tasks import list_tasks, load_task, load_tasks, task_file
from skillkit.tasks.registry import known_name
from tests.helpers import REPOSITORY, refused
from tests.tasks.made import load_reviews, reader, rows_of, task_of, write_jsonl


@pytest.mark.slow
def test_the_fingerprint_is_the_same_in_another_process(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows_of(40))
    code = (
        "import sys; from skillkit.tasks import load_task; "
        "print(load_task(sys.argv[1], text='review', label='stars', verbalizer=['bad', 'good']).fingerprint)"
    )
    run = [sys.executable, "-c", code, path]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == load_reviews(path).fingerprint


def test_the_fingerprint_follows_content_and_not_the_name():
    plain = task_of(["no", "yes"])
    assert plain.fingerprint == task_of(["no", "yes"], name="other", notes=("a note",)).fingerprint
    changes = dict(verbalizer=["nay", "yes"], template="{text} [MASK]", leading_space=False, counts=[6, 5])
    others = {task_of(["no", "yes"], **{name: value}).fingerprint for name, value in changes.items()}
    plain.verbalizer["masked"] = ["aye", "yes"]
    others.add(plain.fingerprint)
    plain.splits["test"] = plain["train"].select([0])
    assert len(others | {plain.fingerprint, task_of(["no", "yes"]).fingerprint}) == 7


def test_a_task_cut_short_is_balanced_and_keeps_the_rest():
    task = load_task("world/movies")
    short = task.cut(test=10, train=None)
    assert short["test"]["label"].count(1) == 5 and short["train"] is task["train"] and len(task["test"]) > 10
    assert short.fingerprint != task.fingerprint and task.cut(test=None).fingerprint == task.fingerprint


@pytest.mark.parametrize(
    ("template", "pair"),
    [("{text}", False), ("It was [MASK]: {text}", False), ("{text_pair}? [MASK], {text}", True)],
)
def test_a_template_holds_every_text_once(template, pair):
    texts = {"text": ["a", "b"]} | ({"text_pair": ["c", "d"]} if pair else {})
    rows = datasets.Dataset.from_dict(texts | {"label": [0, 1]})
    assert task_of(["no", "yes"], splits={"train": rows}, template=template).template == template
    for wrong in ("", "{review} [MASK].", "It was [MASK].", template + "{text}", template + "{0}",
                  template + "[MASK][MASK]", "{text}" if pair else "{text} {text_pair}"):  # fmt: skip
        with pytest.raises(SkillkitError, match="must hold {text}.* once, .MASK. at most once, and no other"):
            task_of(["no", "yes"], splits={"train": rows}, template=wrong)


# ---- sub-tasks ----


def test_three_classes_split_into_poles_and_neutral():
    pn, neu = task_of(["negative", "neutral", "positive"], counts=[8, 6, 4]).subtasks()
    assert (pn.name, pn.labels, pn.words(reader(None))) == ("made-pn", ("negative", "positive"), pn.labels)
    assert pn["train"]["label"][:] == [0] * 4 + [1] * 4
    assert (neu.name, neu.labels) == ("made-neu", ("not neutral", "neutral"))
    assert neu.words(reader(None)) == ("negative", "positive")
    texts = {int(row["text"].split()[1]): row["label"] for row in neu["train"]}
    assert all(label == (8 <= number < 14) for number, label in texts.items()) and len(texts) == 12


def test_the_fourth_class_conflict_only_stands_against_neutral():
    pn, neu = task_of(["conflict", "negative", "neutral", "positive"]).subtasks()
    assert pn.labels == ("negative", "positive") and len(pn["train"]) == 12
    assert {int(text.split()[1]) // 6 for text in pn["train"]["text"]} == {1, 3}
    assert neu.labels == ("not neutral", "neutral")


def test_topics_go_one_against_the_rest():
    names, counts = ("world", "sports", "business"), (10, 4, 6)
    subs = task_of(names, counts=counts).subtasks()
    assert [sub.name for sub in subs] == [f"made-{name}" for name in names]
    for sub, name, count in zip(subs, names, counts, strict=True):
        labels = sub["train"]["label"][:]
        assert labels.count(1) == labels.count(0) == min(count, 20 - count)
        assert sub.labels[1] == name and len(set(sub.words(reader(None)))) == 2


def test_two_classes_are_their_own_subtask_and_seeds_matter():
    two = task_of(["no", "yes"])
    assert two.subtasks() == (two,)
    three = task_of(["a", "b", "c"], [50, 5, 5])
    first, same, other = (three.subtasks(seed)[1].fingerprint for seed in (0, 0, 1))
    assert first == same != other


# ---- the small world ----


@pytest.mark.parametrize("name", [name for name in list_tasks() if name.startswith("world/")])
def test_small_world_tasks_are_tasks(name):
    task = load_task(name)
    assert list(task.splits) == ["train", "validation", "test"]
    assert task.pair == (task.type in ("inference", "paraphrase"))
    assert set(task["train"]["label"]) == set(range(task.num_labels))


def test_an_attacked_view_keeps_labels_and_training_texts():
    clean, attacked = load_task("world/movies"), load_task("world/movies/typos", strength=0.5)
    assert clean["train"].to_dict() == attacked["train"].to_dict()
    assert clean["test"]["label"][:] == attacked["test"]["label"][:]
    assert clean["test"]["text"][:] != attacked["test"]["text"][:]


def test_a_small_world_task_takes_words_but_no_columns():
    assert load_task("world/movies", verbalizer=["bad", "good"]).words(reader(None)) == ("bad", "good")
    refused("small world; it takes .* not text", load_task, "world/movies", text="review")
    refused("seed cannot be -1", load_task, "world/movies", seed=-1)


@pytest.mark.parametrize(("places", "names"), [
    (["x/set.yaml", "y/set.yaml"], ["x/set", "y/set"]), (["x/set.jsonl", "x/set.yaml"], ["set.jsonl", "set"]),
    (["x/set.jsonl", "y/set.jsonl"], ["x/set.jsonl", "y/set.jsonl"]), (["x/set.jsonl", "x/set.jsonl"], ["set"]),
    (["x/set.jsonl", "world/movies"], ["set", "world/movies"]),
    (["x/movies.jsonl", "world/movies"], ["movies", "world/movies"]),
])  # fmt: skip
def test_tasks_of_one_name_are_told_apart(tmp_path, monkeypatch, places, names):
    monkeypatch.chdir(tmp_path)
    for folder in ("x", "y"):
        for name in ("set", "movies"):
            (tmp_path / folder).mkdir(exist_ok=True)
            rows = [{"text": f"{folder} {i}", "label": ["no", "yes"][i % 2]} for i in range(40)]
            write_jsonl(tmp_path / folder / f"{name}.jsonl", rows)
            (tmp_path / folder / f"{name}.yaml").write_text(f"path: {name}.jsonl\n")
    tasks = load_tasks(places)
    assert [task.name for task in tasks] == names
    first = [task["test"]["text"][0][:1] for task in tasks if "world" not in task.name]
    assert first == [place[0] for place in dict.fromkeys(places) if "world" not in place]
    [alone] = load_tasks(places[0])  # a lone name is a list of one
    assert alone.fingerprint == tasks[0].fingerprint


def test_a_saved_task_is_the_same_task(tmp_path):
    sub = load_task("world/hotels-pn").cut(train=20, validation=8, test=8)
    for task in (
        sub,
        task_of(["1", "0"]),
        replace(load_task("world/rooms").cut(train=9), leading_space=False),
    ):
        task = replace(
            task,
            splits={
                split: task.splits.get(split, task["train"]) for split in ("train", "validation", "test")
            },
        )
        task.save(tmp_path / "mine")
        again = load_task(tmp_path / "mine")
        assert again.fingerprint == task.fingerprint and again.name == task.name
        assert (
            load_task(tmp_path / "mine", verbalizer=["nay", "aye", "so"][: task.num_labels]).labels
            == task.labels
        )


def test_sub_tasks_have_names(tmp_path):
    whole = load_task("world/hotels")
    for sub in whole.subtasks():
        assert load_task(sub.name).fingerprint == sub.fingerprint
    refused("has no sub-task 'nowhere'; it splits into world/hotels-pn", load_task, "world/hotels-nowhere")
    rows = [{"premise": f"p {i}", "hypothesis": f"h {i}", "label": i % 3} for i in range(30)]
    for split in ("train", "validation_matched"):
        write_jsonl(tmp_path / f"glue/mnli/{split}.jsonl", rows)
    for name in ("glue/mnli-pn", "mnli-pn", "MNLI-pn"):
        task = load_task(name, data_root=tmp_path)
        assert task.name == "glue/mnli-pn" and task.num_labels == 2


@pytest.mark.parametrize(("spelled", "name"), [
    ("SST2", "glue/sst2"), ("IMDB", "imdb"), ("tweetevalsentiment", "tweet_eval/sentiment"), ("QQP", "glue/qqp"),
    ("tweet_eval", "tweet_eval/sentiment"), ("ag_news_s", "ag_news-2"), ("deontology", "ethics/deontology"),
    ("hate", "hate"), ("anli", "anli/r1"), ("WNLI", "glue/wnli"), ("mnli-mm", "glue/mnli-mm"),
])  # fmt: skip
def test_published_short_names(spelled, name, tmp_path, monkeypatch):
    assert known_name(spelled) == name
    about, _ = task_file(spelled, {})
    assert about.name == name
    monkeypatch.chdir(tmp_path)
    (tmp_path / spelled).mkdir()  # what lies there comes first, but for a name as it is in the registry
    assert task_file(spelled, {})[0].path == (None if spelled == name else spelled)
