"""Labels and splits: numbered, completed, balanced, and wrong rows named."""

import unicodedata

import datasets
import pandas as pd
import pytest

from skillkit.core.errors import SkillkitError
from skillkit.tasks import Task, load_task
from tests.helpers import refused
from tests.tasks.made import load_reviews, rows_of, sizes, task_of, write_jsonl

# ---- labels ----


@pytest.mark.parametrize(("values", "labels"), [
    (["10", "9", "2"], ("2", "9", "10")), (["pos", "neg", "meh"], ("meh", "neg", "pos")),
    ([0.0, 1.0, 2.0], ("0", "1", "2")), (["0.0", 1.5, "3.00"], ("0", "1.5", "3")),
    ([True, False, True], ("False", "True")),
])  # fmt: skip
def test_labels_are_sorted_numbers_as_numbers(tmp_path, values, labels):
    path = write_jsonl(tmp_path / "a.jsonl", [{"review": "a text", "stars": value} for value in values * 10])
    task = load_reviews(path, verbalizer=["one", "two", "three"][: len(labels)])
    counts = [task["train"]["label"][:].count(number) for number in range(len(labels))]
    assert task.labels == labels and sum(counts) == 24 and min(counts) >= 7


@pytest.mark.parametrize("declared", [["pos", "neg"], ["1", "0"], ["1.0", "0.0"], ["1", "-1"], [1, -1]])
def test_declared_labels_give_order_and_names(tmp_path, declared):
    values = [float(label) if str(label).endswith(".0") else label for label in declared]
    rows = [{"text": text, "label": value} for text, value in zip("ab", values, strict=True)] * 10
    task = load_task(write_jsonl(tmp_path / "a.jsonl", rows), labels=declared, verbalizer=["good", "bad"])
    assert task.labels == tuple(map(str, declared)) and {
        row["text"]: row["label"] for row in task["train"]
    } == {"a": 0, "b": 1}


@pytest.mark.parametrize(("own", "labels", "first"), [
    (["neg", "pos"], ["pos", "neg"], "neg"), (["neg", "pos"], ["Pos", "Neg"], "Neg"),
    (["neg", "pos"], ["bad", "good"], "bad"), (["1", "0"], None, "1"), (["1", "0"], ["0", "1"], "1"),
    (["-1", "1"], ["1", "-1"], "-1"), (["neg", "pos"], ["pos", "other"], None), (["a", "b", "c"], ["x", "y"], None),
])  # fmt: skip
def test_the_numbers_of_a_class_label_are_places_in_its_own_names(own, labels, first):
    kind = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=own)})
    columns = {"text": [f"{i % 2} {i}" for i in range(20)], "label": [i % 2 for i in range(20)]}
    rows = datasets.Dataset.from_dict(columns, features=kind)
    if first is None:
        refused(
            "declares the labels .*give those names, or as many new ones",
            load_task,
            rows,
            labels=labels,
            verbalizer=["x", "y"],
        )
        return
    task = load_task(rows, labels=labels, verbalizer=["x", "y"])
    assert {task.labels[row["label"]] for row in task["train"] if row["text"][0] == "0"} == {first}
    if labels and set(labels) == set(own):
        refused("numbers .* labels= says", Task, "a", "custom", labels, ["x", "y"], {"train": rows})


@pytest.mark.parametrize("values", [[-1, 0, 1], [-1, 1], ["-1", "1"], [-1.0, 1.0]])
def test_minus_one_is_a_label_unless_the_set_says_otherwise(tmp_path, values):
    rows = [{"review": f"text {i}", "stars": values[i % len(values)]} for i in range(60)]
    task = load_reviews(
        write_jsonl(tmp_path / "a.jsonl", rows), verbalizer=["bad", "good", "fine"][: len(values)]
    )
    assert task.labels[0] == "-1" and task.num_labels == len(values)
    hidden = {"train": pd.DataFrame(rows_of(60)), "test": pd.DataFrame(rows_of(20)).assign(stars=-1)}
    assert load_reviews(hidden).labels == ("0", "1") and len(load_reviews(hidden)["test"]) == 6
    with pytest.raises(SkillkitError, match=r"no label \(-1\).* naming it in labels= makes it a label"):
        load_reviews({"train": pd.DataFrame([*rows_of(20), {"review": "a", "stars": -1}])}, labels=["0", "1"])


@pytest.mark.parametrize(("fields", "message"), [
    ({"classes": [0, 5]}, r"classes of 'a' are \[0, 5\], but its 3 labels \(0, 1, 2\) are numbered from 0"),
    ({"classes": [-1, 0]}, r"classes of 'a' are \[-1, 0\]"),
    ({"classes": [0, 0]}, "labels of 'a' are 0, 0; a task takes two or more"),
    ({"classes": [1]}, "labels of 'a' are 1; a task"),
    ({"classes": []}, "labels of 'a' are none; a task"),
    ({"labels": ["0", "1", "2", "1.0"]}, "labels of 'a' are 0, 1, 2, 1.0; a task .* check labels="),
    ({"labels": ["1", "2", "3"]}, r"row 1 .* unknown label \(0\); labels are 1, 2, 3$"),
    ({"labels": ["no", "yes"]}, r"row 3 .* unknown label \(2\); labels are no, yes$"),
    ({"verbalizer": None}, r"labels of 'a' are numbers \(0, 1, 2\); give a label word"),
])  # fmt: skip
def test_classes_are_numbers_of_different_labels(tmp_path, fields, message):
    refused(message, load_reviews, write_jsonl(tmp_path / "a.jsonl", rows_of(30, classes=3)), **fields)


@pytest.mark.parametrize(("rows", "message"), [
    ([], "split 'train' of 'a' is empty"),
    ([{"text": "a", "stars": 1}], "no column 'review'; it has text, stars: name the right one with text="),
    ([{"review": "a", "label": 1}], "no column 'stars'; it has review, label: name the right one with label="),
    ([{"review": "a", "stars": 1}, {"review": 7, "stars": 1}], "row 2 of split 'train' of 'a' holds 7 in column"),
    ([{"review": None, "stars": 1}], "row 1 .* holds None in column 'review', which is not text"),
    ([{"review": "half \ud800", "stars": 1}], r"row 1 .* holds 'half \\ud800' .* not text"),
    ([*rows_of(3), {"review": "a", "stars": ""}], r"row 4 .* no label \(''\).*drop_unlabelled=True"),
    (rows_of(9, classes=1), "labels of 'a' are 0; a task takes two or more, all different"),
    (rows_of(9), "9 rows and no splits"),
])  # fmt: skip
def test_bad_rows_are_named(tmp_path, rows, message):
    refused(message, load_reviews, write_jsonl(tmp_path / "a.jsonl", rows))


def test_unlabelled_rows_can_be_left_out_and_are_counted(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"review": "?", "stars": -1}] * 3 + rows_of(20))
    task = load_reviews(path, drop_unlabelled=True)
    assert sum(sizes(task).values()) == 20 and "3 rows of train had no label" in task.notes[0]


# ---- splits ----


def test_a_csv_is_divided_by_class_and_the_same_for_a_seed(tmp_path):
    path = tmp_path / "my.csv"
    lines = [f'"text, number {i}",{5 if i % 4 else 1}' for i in range(200)]
    path.write_text("review,stars\n" + "\n".join(lines), encoding="utf-8")
    task = load_reviews(path)
    assert sizes(task) == {"train": 160, "validation": 20, "test": 20} and "80/10/10" in task.notes[0]
    assert [rows["label"][:].count(0) for rows in task.splits.values()] == [40, 5, 5]
    assert task.labels == ("1", "5") and task.name == "my" and not task.pair
    texts = [text for rows in task.splits.values() for text in rows["text"]]
    assert sorted(texts) == sorted(f"text, number {i}" for i in range(200))
    assert load_reviews(path).fingerprint == task.fingerprint != load_reviews(path, seed=1).fingerprint


@pytest.mark.parametrize("bare", [{"stars": -1}, {}])
def test_without_labelled_test_validation_serves_as_test(tmp_path, bare):
    unlabelled = [{"review": "a text"} | bare] * 50
    for split, rows in (("train", rows_of(100)), ("validation", rows_of(20)), ("test", unlabelled)):
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    task = load_reviews(tmp_path)
    assert sizes(task) == {"train": 90, "validation": 10, "test": 20}
    assert "validation serves as test" in task.notes[0] and "10 rows taken from train" in task.notes[1]
    assert not set(task["train"]["text"]) & set(task["validation"]["text"])


@pytest.mark.parametrize("texts", [10, 25, 60])
@pytest.mark.parametrize("rare", [3, 5, 40])
@pytest.mark.parametrize("given", [["train"], ["train", "test"]])
def test_made_splits_share_no_text_and_have_every_class(texts, rare, given):
    rows = [{"review": f"text {i % texts}{' ' * (i % 2)}", "stars": 0} for i in range(200)]
    rows += [{"review": f"rare {i}", "stars": 1} for i in range(rare)]
    parts = {"train": rows, "test": rows_of(20)}
    task = load_reviews({name: pd.DataFrame(parts[name]) for name in given})
    made = [set(map(str.strip, rows["text"])) for name, rows in task.splits.items() if name not in given[1:]]
    assert sum(map(len, made)) == len(set.union(*made)) == texts + rare
    assert all(set(rows["label"]) == {0, 1} for rows in task.splits.values())
    assert not any("same as in train" in note or "no row of" in note for note in task.notes)


@pytest.mark.parametrize("written", [
    lambda one, other, again: (other, one) if again else (one, other),
    lambda one, other, again: (one, unicodedata.normalize("NFD", other) if again else other),
    lambda one, other, again: (one.upper() if again else one, f" {other}  " if again else other),
])  # fmt: skip
def test_pairs_that_are_written_otherwise_stay_together(written):
    rows = [[*written(f"café {i // 2}", f"thé {i // 2}", i % 2), i // 2 % 2] for i in range(80)]
    task = load_task(
        pd.DataFrame(rows, columns=["a", "b", "label"]), text="a", text_pair="b", verbalizer=["bad", "good"]
    )
    numbers = {split: {text.split()[1] for text in rows["text"]} for split, rows in task.splits.items()}
    assert sum(map(len, numbers.values())) == 40 and sizes(task) == {"train": 64, "validation": 8, "test": 8}


def test_what_the_splits_cannot_keep_is_noted():
    few = [{"review": f"text {i % 4}", "stars": i % 2} for i in range(40)]
    assert "4 texts of test are the same as in train" in load_reviews(pd.DataFrame(few)).notes
    pairs = pd.DataFrame(
        [{"review": f"text {i % 30}", "claim": f"claim {i}", "stars": i % 2} for i in range(90)]
    )
    assert any(
        note.endswith("in train in another pair") for note in load_reviews(pairs, text_pair="claim").notes
    )
    rare = [*rows_of(40, classes=1), {"review": "a", "stars": 1}]
    assert any(note.startswith("test has no row of 1") for note in load_reviews(pd.DataFrame(rare)).notes)


def test_a_lone_test_split_is_enough_and_a_missing_one_is_named(tmp_path):
    write_jsonl(tmp_path / "test.jsonl", rows_of(8))
    task = load_reviews(tmp_path)
    assert list(task.splits) == ["test"]
    for wrong in ("train", ["test"], None, {"test": 1}):
        refused("no split .*; it has test", task.__getitem__, wrong)


def test_a_sample_is_balanced_seeded_and_nested():
    task = task_of(["no", "yes"], counts=[90, 10])
    small, large = task.sample("train", 8, seed=0), task.sample("train", 30, seed=0)
    assert small["label"][:].count(1) == 4 and large["label"][:].count(1) == 10
    again, other = (task.sample("train", 8, seed=seed)["text"][:] for seed in (0, 1))
    assert set(small["text"]) < set(large["text"]) and small["text"][:] == again != other
    assert len(task.sample("train")) == len(task.sample("train", 1000)) == 100
    for wrong in (-3, 2.5, "8"):
        refused("^n cannot be", task.sample, "train", wrong)
