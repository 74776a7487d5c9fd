"""Named tasks and task files; real data through the registry where it is there."""

import datasets
import pytest
import transformers

from skillkit.core import SkillkitError
from skillkit.tasks import Task, list_tasks, load_task
from skillkit.tasks.registry import TaskFile, registry, task_file
from tests.helpers import REPOSITORY, refused, shared_path
from tests.tasks.made import load_reviews, reader, rows_of, sizes, task_of, write_jsonl


def labels_of(about):
    return [about.labels[number] for number in about.classes] if about.classes else about.labels


@pytest.mark.parametrize("name", sorted(registry()))
def test_every_entry_of_the_registry_is_complete(name):
    about = TaskFile(**registry()[name])
    assert about.about and about.hub or "local files" in about.about
    rows = datasets.Dataset.from_dict({"text": ["a"], "label": [0]})
    Task(
        name=name,
        type=about.type,
        labels=labels_of(about),
        verbalizer=about.verbalizer,
        splits={"test": rows},
    )
    assert "{text}" in about.template and ("{text_pair}" in about.template) == bool(about.text_pair)


@pytest.mark.parametrize(("name", "message"), [
    ("glue/sst3", "did you mean glue/sst2"), ("world/moveis", "did you mean world/movies"),
    ("zzzzzzzz", r"list_tasks\(\) names"), ("folder.yaml", r"cannot read .*folder.yaml: Is a directory"),
    ("gone.yaml", r"cannot read .*gone.yaml: No such file"),
])  # fmt: skip
def test_an_unknown_name_gets_a_suggestion_or_a_reason(tmp_path, monkeypatch, name, message):
    (tmp_path / "folder.yaml").mkdir()
    monkeypatch.chdir(tmp_path)
    refused(message, load_task, name)


# ---- task files ----


def test_a_task_file_finds_its_data_and_its_words_stay_words(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "data/pairs.jsonl", [{"a": "x", "b": "y", "same": i % 2} for i in range(20)])
    (tmp_path / "mine.yaml").write_text(
        "path: data/pairs.jsonl\ntext: a\ntext_pair: b\nlabel: same\nverbalizer: [no, yes]\nmetric: accuracy+f1\n"
    )
    monkeypatch.chdir("/")
    task = load_task(tmp_path / "mine.yaml")
    assert (task.name, task.metric, task.pair) == ("mine", "accuracy+f1", True)
    assert task.words(reader(None)) == ("no", "yes")
    assert load_task(tmp_path / "mine.yaml", verbalizer=["nay", "aye"]).words(reader(None)) == ("nay", "aye")


def test_a_task_file_like_a_named_task_has_its_fields_and_its_data_but_for_those_given(tmp_path):
    rows = [{"sentence": f"row {i}", "label": i % 2} for i in range(20)]
    write_jsonl(tmp_path / "glue/sst2/train.jsonl", rows)
    (tmp_path / "mine.yaml").write_text("like: glue/sst2\nleading_space: false\nverbalizer: [bad, good]\n")
    task = load_task(tmp_path / "mine.yaml", data_root=tmp_path)
    named = load_task("glue/sst2", data_root=tmp_path)
    assert task["test"].to_dict() == named["test"].to_dict() and task.name == "mine"
    assert (task.type, task.template, task.labels) == (named.type, named.template, named.labels)
    assert not task.leading_space and task.words(reader(None)) == ("bad", "good")
    for wrong in ("glue/sst22", "[glue/sst2]", "mine.yaml"):
        (tmp_path / "wrong.yaml").write_text(f"like: {wrong}\n")
        refused("is no named task", load_task, tmp_path / "wrong.yaml")


@pytest.mark.parametrize(
    "file", sorted((REPOSITORY / "params/tasks/skill-neuron").glob("*.yaml")), ids=lambda file: file.stem
)
def test_tasks_with_the_published_tokens_are_the_named_ones_otherwise(file):
    about, _ = task_file(file, {})
    assert about.leading_space is False and registry()[about.like]["labels"] == about.labels
    assert len(about.verbalizer) == len(about.labels) and about.hub


def test_the_examples_of_task_files_load():
    task = load_task(REPOSITORY / "params/tasks/reviews.yaml")
    assert task.labels == ("1", "5") and list(sizes(task).values()) == [32, 4, 4]
    root = shared_path("data/glue/rte")
    example, named = load_task(REPOSITORY / "params/tasks/rte-files.yaml"), load_task("glue/rte", data=root)
    assert example["test"].to_dict() == named["test"].to_dict() and example.labels == named.labels


@pytest.mark.parametrize(("content", "message"), [
    ("path: a.jsonl\nverbaliser: [a, b]\n", "field 'verbaliser': Extra inputs"),
    ("path: a.jsonl\nmetric: accurcy\n", "field 'metric'"),
    ("- a list\n", "must hold names with values .* not list"),
    ("path: [unclosed\n", "mine.yaml is no YAML in line"),
    ("text: a\npath: a.jsonl\ntext: b\n", 'duplicate key "text"'),
    ("path: a.jsonl\nsplits: {trian: a}\n", "'splits.trian.*Input should be 'train', 'validation' or 'test'"),
    ("name: x\n", "no source on the hub"),
    ("path: b.jsonl\n", "there is no file or folder .*b.jsonl"),
    ("path: a.jsonl\ntext: review\nlabel: stars\ntemplate: '{review} [MASK].'\n", "it must hold {text} once"),
])  # fmt: skip
def test_a_wrong_task_file_is_an_error_of_one_sentence(tmp_path, content, message):
    write_jsonl(tmp_path / "a.jsonl", rows_of(20))
    (tmp_path / "mine.yaml").write_text(content)
    refused(message, load_task, tmp_path / "mine.yaml", verbalizer=["bad", "good"])
    refused("it must hold {text} once", load_reviews, tmp_path / "a.jsonl", template="It was [MASK].")


# ---- real data ----

REAL = {
    "glue/sst2": (False, 2, 1821), "glue/rte": (True, 2, 277), "glue/mrpc": (True, 2, 1725),
    "glue/qqp": (True, 2, 10000), "glue/qnli": (True, 2, 1000), "glue/cola": (False, 2, 1043),
    "snli": (True, 3, 9824), "tweet_eval/sentiment": (False, 3, 3000), "tweet_eval/emotion": (False, 4, 1421),
    "ag_news": (False, 4, 1000), "ag_news-2": (False, 2, 489), "ethics/justice": (False, 2, 2704),
    "ethics/deontology": (True, 2, 3596), "cad_imdb/original": (False, 2, 488), "cad_imdb/revised": (False, 2, 488),
    "cad_nli/original": (True, 3, 400), "cad_nli/revised": (True, 3, 1600), "adv_glue/sst2": (False, 2, 148),
    "adv_glue/qqp": (True, 2, 78), "adv_glue/mnli": (True, 3, 121), "adv_glue/mnli-mm": (True, 3, 162),
    "adv_glue/qnli": (True, 2, 148), "adv_glue/rte": (True, 2, 81),
}  # fmt: skip


def test_the_list_names_every_task_in_one_line():
    assert set(REAL) <= set(list_tasks()) and "world/movies" in list_tasks()
    assert all(line and "\n" not in line for line in list_tasks().values())


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_data_loads_through_the_registry(name):
    task = load_task(name, data_root=shared_path("data"))
    assert (task.pair, task.num_labels, len(task["test"])) == REAL[name]
    assert all(set(rows["label"]) == set(range(task.num_labels)) for rows in task.splits.values())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "text", "label"), [
    ("glue/sst2", "no movement , no yuks , not much of anything .", "negative"),
    ("glue/rte", "No Weapons of Mass Destruction Found in Iraq Yet.", "not_entailment"),
])  # fmt: skip
def test_real_labels_mean_what_the_registry_says(name, text, label):
    task = load_task(name, data_root=shared_path("data"))
    number = {row["text"]: row["label"] for rows in task.splits.values() for row in rows}
    assert task.labels[number[text]] == label


def test_every_label_word_of_the_registry_is_one_token_of_a_real_bert():
    tokenizer = transformers.AutoTokenizer.from_pretrained(shared_path("models/minilm-mlm"))
    for name, fields in registry().items():
        about = TaskFile(**fields)
        task = Task(name=name, type="", labels=labels_of(about), verbalizer=about.verbalizer, splits={})
        assert len(set(task.label_ids(reader(tokenizer)).tolist())) == len(task.labels)


def test_a_vocabulary_without_label_words_says_so():
    tokenizer = transformers.AutoTokenizer.from_pretrained(shared_path("models/stories260k"))
    with pytest.raises(SkillkitError, match=r"'negative' \(label 'negative'\) is not one token"):
        task_of(["negative", "positive"]).label_ids(reader(tokenizer, "causal"))
