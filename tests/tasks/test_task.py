"""Tasks: loading from everywhere, splits, label words, sub-tasks, and one clear sentence for bad input."""

import csv
import json
import subprocess
import sys
from types import SimpleNamespace

import datasets
import pyarrow
import pytest
import transformers

from skillkit.core.errors import SkillkitError
from skillkit.tasks import readers as sources
from skillkit.tasks.registry import TaskFile, registry
from skillkit.tasks.task import Task, list_tasks, load_task
from skillkit.tasks.verbalizer import FAMILIES
from tests.helpers import REPOSITORY, shared_path
from tests.tiny import TINY_MODELS, tiny_tokenizer


def rows_of(n, classes=2):
    return [{"review": f"text number {i}", "stars": i % classes} for i in range(n)]


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def load_reviews(path, **fields):
    return load_task(path, **{"text": "review", "label": "stars", "verbalizer": ["bad", "good"]} | fields)


def task_of(labels, counts=None, **fields):
    """A task in memory: `counts` rows of each class in every split."""
    numbers = [number for number, count in enumerate(counts or [6] * len(labels)) for _ in range(count)]
    rows = datasets.Dataset.from_dict({"text": [f"text {i}" for i in range(len(numbers))], "label": numbers})
    return Task(
        **{"name": "made", "type": "test", "labels": labels, "verbalizer": labels, "splits": {"train": rows}}
        | fields
    )


def reader(tokenizer, family="masked"):
    return SimpleNamespace(tokenizer=tokenizer, family=family, name="the model")


# ---- one file ----------------------------------------------------------------------------------------------


def test_a_csv_is_divided_by_class_and_the_same_for_a_seed(tmp_path):
    path = tmp_path / "my.csv"
    lines = [f'"text, number {i}",{5 if i % 4 else 1}' for i in range(200)]
    path.write_text("review,stars\n" + "\n".join(lines), encoding="utf-8")
    task = load_reviews(path)
    assert {split: len(rows) for split, rows in task.splits.items()} == {
        "train": 160,
        "validation": 20,
        "test": 20,
    }
    assert [rows["label"].count(0) for rows in map(datasets.Dataset.to_dict, task.splits.values())] == [
        40,
        5,
        5,
    ]
    assert task.labels == ("1", "5") and task.name == "my" and not task.pair
    texts = [text for rows in task.splits.values() for text in rows["text"]]
    assert sorted(texts) == sorted(f"text, number {i}" for i in range(200))
    assert "80/10/10" in task.notes[0]
    again, other = load_reviews(path), load_reviews(path, seed=1)
    assert again.fingerprint == task.fingerprint != other.fingerprint


def write_arrow(path, rows, opened=pyarrow.ipc.new_file):
    table = pyarrow.Table.from_pylist(rows)
    with opened(path, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".tsv", ".TSV", ".arrow"])
def test_every_file_format_holds_the_same_task(tmp_path, suffix):
    rows, path = rows_of(40), tmp_path / f"data{suffix}"
    if suffix == ".parquet":
        datasets.Dataset.from_list(rows).to_parquet(path)
    elif suffix == ".arrow":
        write_arrow(path, rows)
    elif suffix.lower() == ".tsv":
        path.write_text("review\tstars\n" + "\n".join(f"{row['review']}\t{row['stars']}" for row in rows))
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        write_jsonl(path, rows)
    assert (
        load_reviews(path).fingerprint
        == load_reviews(write_jsonl(tmp_path / "plain.jsonl", rows)).fingerprint
    )


def test_csv_words_that_look_missing_stay_text(tmp_path):
    path = tmp_path / "my.csv"
    path.write_text("review,stars\n" + "NA,1\nnull,2\n" * 10)
    assert set(load_reviews(path)["train"]["text"]) == {"NA", "null"}


def test_rows_without_a_field_are_left_out_and_the_first_of_two_columns_counts(tmp_path):
    (tmp_path / "my.csv").write_text("review,stars,,review\n\n" + "fine,1,,x\n  \nso so,2\n" * 10)
    task = load_reviews(tmp_path / "my.csv")
    assert set(task["train"]["text"]) == {"fine", "so so"} and sum(map(len, task.splits.values())) == 20


@pytest.mark.parametrize(
    "quote", ['"{} said', 'said {}"', 'a 5" disk {}', '"" {}', '"a" "{}', '"so" said {}']
)
def test_lone_quotes_in_a_tsv_are_characters(tmp_path, quote):
    texts = [quote.format(number) if number % 7 == 3 else f"text {number}" for number in range(40)]
    lines = [f"{text}\t{number % 2}" for number, text in enumerate(texts)]
    (tmp_path / "my.tsv").write_text("review\tstars\n" + "\n".join(lines))
    assert sources.read(tmp_path / "my.tsv").splits["train"]["review"] == texts


@pytest.mark.parametrize(
    "rows", [[['"one', "0"], ['two"', "1"]], [["0", '"one'], ['two"', "1"]], [['"0', 'one"']]]
)
def test_two_lone_quotes_in_a_tsv_swallow_no_rows_and_no_fields(tmp_path, rows):
    (tmp_path / "my.tsv").write_text("a\tb\n" + "\n".join(map("\t".join, rows)))
    table = sources.read(tmp_path / "my.tsv").splits["train"]
    assert [list(row) for row in zip(*table.values(), strict=True)] == rows


@pytest.mark.parametrize(
    "text", ['he said "hi"', "a\ttab", "two\nlines", "a\ttab and\ntwo\nlines", '"', "", 'the end"']
)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_tsv_whose_fields_are_quoted_reads_as_it_was_written(tmp_path, text, quoting):
    rows = [["review", "stars"], [text, "0"], ["plain", "1"], ["1", text]]
    with open(tmp_path / "my.tsv", "w", newline="") as file:
        csv.writer(file, csv.excel_tab, quoting=quoting).writerows(rows)
    table = sources.read(tmp_path / "my.tsv").splits["train"]
    assert [list(row) for row in zip(*table.values(), strict=True)] == rows[1:]


def test_a_text_longer_than_the_limit_of_the_csv_module_is_read(tmp_path):
    (tmp_path / "my.csv").write_text(f"review\n{'long ' * 40_000}\n")
    assert len(sources.read(tmp_path / "my.csv").splits["train"]["review"][0]) == 200_000


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path):
    path = tmp_path / "my.csv"
    path.write_text("review,stars\n" + "fine,1\nso so,2\n" * 5, encoding="utf-8-sig")
    assert load_reviews(path).labels == ("1", "2")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["10", "9", "2"], ("2", "9", "10")),
        (["pos", "neg", "meh"], ("meh", "neg", "pos")),
        ([0.0, 1.0, 2.0], ("0", "1", "2")),
        (["0.0", 1.5, "3.00"], ("0", "1.5", "3")),
        ([True, False, True], ("False", "True")),
    ],
)
def test_labels_are_sorted_numbers_as_numbers(tmp_path, values, labels):
    path = write_jsonl(tmp_path / "a.jsonl", [{"review": "a text", "stars": value} for value in values * 10])
    task = load_reviews(path, verbalizer=["one", "two", "three"][: len(labels)])
    assert task.labels == labels
    counts = [task["train"].to_dict()["label"].count(number) for number in range(len(labels))]
    assert sum(counts) == 24 and min(counts) >= 7


def test_declared_labels_give_order_and_names(tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl", [{"text": "a", "label": "pos"}, {"text": "b", "label": "neg"}] * 10
    )
    task = load_task(path, labels=["pos", "neg"])
    assert {row["text"]: row["label"] for row in task["train"]} == {"a": 0, "b": 1}
    assert task.verbalizer == dict.fromkeys(FAMILIES, ("pos", "neg"))


@pytest.mark.parametrize("declared", [["0", "1"], ["0.0", "1.0"]])
def test_declared_numbers_are_found_however_they_are_written(tmp_path, declared):
    (tmp_path / "my.csv").write_text("review,stars\n" + "bad,0.0\nfine,1\n" * 10)
    task = load_reviews(tmp_path / "my.csv", labels=declared)
    assert task.labels == tuple(declared)
    assert {row["text"]: row["label"] for row in task["train"]} == {"bad": 0, "fine": 1}


@pytest.fixture
def with_class_names():
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["z", "a"])}
    )
    return datasets.Dataset.from_dict({"text": ["x", "y"] * 10, "label": [0, 1] * 10}, features=features)


def test_a_parquet_file_keeps_its_class_names(tmp_path, with_class_names):
    with_class_names.to_parquet(tmp_path / "a.parquet")
    assert load_task(tmp_path / "a.parquet").labels == ("z", "a")


def test_an_arrow_stream_of_a_saved_dataset_keeps_its_class_names(tmp_path, with_class_names):
    with_class_names.save_to_disk(tmp_path / "saved")
    assert load_task(tmp_path / "saved/data-00000-of-00001.arrow").labels == ("z", "a")


# ---- folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout",
    [
        "{split}.jsonl",
        "data/{split}-00000-of-00001.jsonl",
        "data/{split}-00000-of-00001-ec76c64d819c86d5.jsonl",
        "{split}/0000.jsonl",
        "cut/{split}.jsonl",
    ],
)
def test_folders_laid_out_like_the_hub(tmp_path, layout):
    for split, size in (("train", 30), ("dev", 10), ("test", 20)):
        write_jsonl(tmp_path / layout.format(split=split), rows_of(size))
    task = load_reviews(tmp_path, config="cut")
    assert {split: len(rows) for split, rows in task.splits.items()} == {
        "train": 30,
        "validation": 10,
        "test": 20,
    }
    assert task.notes == ()


def test_several_files_make_one_split(tmp_path):
    for part in (0, 1):
        write_jsonl(tmp_path / f"train-0000{part}-of-00002.jsonl", rows_of(30))
    assert len(load_reviews(tmp_path)["train"]) == 48


def test_a_folder_of_arrow_files_is_read_without_the_cache_beside_them(tmp_path):
    for name in ("train", "test", "cache-0123"):
        (tmp_path / name.split("-")[0]).mkdir()
        write_arrow(tmp_path / f"{name}.arrow", rows_of(20), pyarrow.ipc.new_stream)
        write_arrow(tmp_path / "train" / f"{name}.arrow", rows_of(20))
    task = load_reviews(tmp_path / "train")
    assert [len(rows) for rows in task.splits.values()] == [18, 2, 20]
    assert len(sources.read(tmp_path).splits["test"]["stars"]) == 40


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (["00000-of-00002"], "split 'train' of .* is not whole: train-00001-of-00002 is missing; add"),
        (["00001-of-00003", "00002-of-00003"], "train-00000-of-00003 is missing"),
        (["1-of-3", "3-of-3"], "train-2-of-3 is missing"),
    ],
)
def test_a_missing_part_of_a_split_is_named(tmp_path, there, told):
    for part in there:
        write_jsonl(tmp_path / f"train-{part}.jsonl", rows_of(30))
    with pytest.raises(SkillkitError, match=told):
        load_reviews(tmp_path)


def test_parts_may_count_from_one(tmp_path):
    for part in (1, 2):
        write_jsonl(tmp_path / f"train-0000{part}-of-00002.jsonl", rows_of(30))
    assert len(sources.read(tmp_path).splits["train"]["stars"]) == 60


def test_a_folder_called_train_is_not_a_split(tmp_path):
    for split, size in (("train", 30), ("test", 20)):
        write_jsonl(tmp_path / "train" / f"{split}.jsonl", rows_of(size))
    assert [len(rows) for rows in load_reviews(tmp_path / "train").splits.values()] == [27, 3, 20]


def test_a_saved_dataset_loads_with_its_class_names(tmp_path):
    features = datasets.Features(
        {"review": datasets.Value("string"), "stars": datasets.ClassLabel(names=["lo", "hi"])}
    )
    made = {split: datasets.Dataset.from_list(rows_of(10), features=features) for split in ("train", "test")}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "saved")
    task = load_reviews(tmp_path / "saved")
    assert task.labels == ("lo", "hi") and len(task["test"]) == 10 and len(task["validation"]) == 1


def test_datasets_that_were_saved_side_by_side_are_splits(tmp_path):
    for split, size in (("train", 30), ("test", 20)):
        datasets.Dataset.from_list(rows_of(size)).save_to_disk(tmp_path / split)
    assert [len(rows) for rows in load_reviews(tmp_path).splits.values()] == [27, 3, 20]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("dataset_dict.json", "{"),
        ("dataset_dict.json", '{"splits": ["train", "test"]}'),
        ("train/state.json", None),
        ("train/data-00000-of-00001.arrow", None),
        ("train/data-00000-of-00001.arrow", "not arrow"),
    ],
)
def test_a_damaged_saved_dataset_is_told_in_one_sentence(tmp_path, file, content):
    datasets.DatasetDict(train=datasets.Dataset.from_list(rows_of(10))).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / file).unlink() if content is None else (tmp_path / "saved" / file).write_text(
        content
    )
    with pytest.raises(SkillkitError, match="saved' is a damaged saved dataset .*; save it anew"):
        load_reviews(tmp_path / "saved")


def test_a_folder_with_one_split_in_two_formats_is_refused(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", rows_of(10))
    (tmp_path / "train.csv").write_text("review,stars\na,1\n")
    with pytest.raises(SkillkitError, match=r"several formats \(train.csv, train.jsonl\)"):
        load_reviews(tmp_path)


# ---- splits ------------------------------------------------------------------------------------------------


def test_without_labelled_test_validation_serves_as_test(tmp_path):
    unlabelled = [dict(row, stars=-1) for row in rows_of(50)]
    for split, rows in (("train", rows_of(100)), ("validation", rows_of(20)), ("test", unlabelled)):
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    task = load_reviews(tmp_path)
    assert {split: len(rows) for split, rows in task.splits.items()} == {
        "train": 90,
        "validation": 10,
        "test": 20,
    }
    assert any("validation serves as test" in note for note in task.notes)
    assert any("10 rows taken from train" in note for note in task.notes)
    assert not set(task["train"]["text"]) & set(task["validation"]["text"])


def test_a_test_split_without_a_label_column_is_unlabelled(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", rows_of(100))
    write_jsonl(tmp_path / "validation.jsonl", rows_of(20))
    write_jsonl(tmp_path / "test.jsonl", [{"review": "a text"}])
    assert len(load_reviews(tmp_path)["test"]) == 20


def test_names_told_for_splits_are_taken_and_serve_no_other_split(tmp_path):
    write_jsonl(tmp_path / "mine.jsonl", rows_of(30))
    write_jsonl(tmp_path / "dev.jsonl", rows_of(20))
    task = load_reviews(tmp_path, splits={"train": "mine", "test": "dev"})
    assert [len(rows) for rows in task.splits.values()] == [27, 3, 20]
    assert list(load_reviews(tmp_path / "dev.jsonl", splits={"test": "train"}).splits) == ["test"]


@pytest.mark.parametrize("place", ["files", "files/train.jsonl", "saved"])
@pytest.mark.parametrize(
    ("splits", "told"),
    [
        ({"train": "foo"}, "names 'foo', which is not there; name one of: (dev, )?train$"),
        ({"trian": "train"}, "'splits.trian.*Input should be 'train', 'validation' or 'test'"),
    ],
)
def test_a_split_that_is_not_there_is_refused(tmp_path, place, splits, told):
    for name in ("train", "dev"):
        write_jsonl(tmp_path / f"files/{name}.jsonl", rows_of(30))
    datasets.DatasetDict(train=datasets.Dataset.from_list(rows_of(30))).save_to_disk(tmp_path / "saved")
    with pytest.raises(SkillkitError, match=told):
        load_reviews(tmp_path / place, splits=splits)


def test_what_the_registry_calls_splits_is_no_must_for_local_copies(tmp_path):
    rows = [{"premise": "a", "hypothesis": "b", "label": number % 3} for number in range(30)]
    for name in ("train", "validation"):
        write_jsonl(tmp_path / f"glue/mnli/{name}.jsonl", rows)
    assert len(load_task("glue/mnli", data_root=tmp_path)["test"]) == 30
    with pytest.raises(SkillkitError, match="names 'foo'"):
        load_task("glue/mnli", data_root=tmp_path, splits={"train": "foo"})


def test_a_lone_test_split_is_enough_and_a_missing_one_is_named(tmp_path):
    write_jsonl(tmp_path / "test.jsonl", rows_of(8))
    task = load_reviews(tmp_path)
    assert list(task.splits) == ["test"]
    with pytest.raises(SkillkitError, match="no split 'train'; it has test"):
        task["train"]


def test_unlabelled_rows_can_be_left_out_and_are_counted(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows_of(20) + [{"review": "?", "stars": -1}] * 3)
    task = load_reviews(path, drop_unlabelled=True)
    assert sum(map(len, task.splits.values())) == 20
    assert "3 rows of train had no label" in task.notes[0]


def test_a_sample_is_balanced_seeded_and_nested():
    task = task_of(["no", "yes"], counts=[90, 10])
    small, large = task.sample("train", 8, seed=0), task.sample("train", 30, seed=0)
    assert small["label"][:].count(1) == 4 and large["label"][:].count(1) == 10
    assert set(small["text"]) < set(large["text"])
    assert (
        small["text"][:]
        == task.sample("train", 8, seed=0)["text"][:]
        != task.sample("train", 8, seed=1)["text"][:]
    )
    assert len(task.sample("train")) == len(task.sample("train", 1000)) == 100


def test_the_fingerprint_is_the_same_in_another_process(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows_of(40))
    code = (
        "import sys; from skillkit.tasks.task import load_task; "
        "print(load_task(sys.argv[1], text='review', label='stars', verbalizer=['bad', 'good']).fingerprint)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert ran.stdout.strip() == load_reviews(path).fingerprint


def test_the_fingerprint_follows_content_and_not_the_name():
    plain = task_of(["no", "yes"])
    assert plain.fingerprint == task_of(["no", "yes"], name="other", notes=("a note",)).fingerprint
    changes = [
        {"verbalizer": ["nay", "yes"]},
        {"template": "{text} [MASK]"},
        {"leading_space": False},
        {"counts": [6, 5]},
    ]
    assert (
        len({plain.fingerprint, *(task_of(["no", "yes"], **change).fingerprint for change in changes)}) == 5
    )


# ---- label words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", TINY_MODELS)
def test_label_ids_are_the_words_in_running_text(model):
    tokenizer, task = tiny_tokenizer(model), task_of(["bad", "good"])
    for word, number in zip(task.labels, task.label_ids(reader(tokenizer)).tolist(), strict=True):
        assert number in tokenizer(f"the movie was {word}")["input_ids"]
        assert tokenizer.decode([number]).strip() == word


def test_leading_space_chooses_between_two_tokens_of_a_byte_level_vocabulary():
    bb = reader(tiny_tokenizer("roberta"))
    spaced, bare = (
        task_of(["bad", "good"], leading_space=space).label_ids(bb).tolist() for space in (True, False)
    )
    assert bb.tokenizer.convert_ids_to_tokens(spaced) == ["Ġbad", "Ġgood"]
    assert bb.tokenizer.convert_ids_to_tokens(bare) == ["bad", "good"]


def test_words_differ_by_family_and_default_to_the_masked_ones():
    task = task_of(["0", "1"], verbalizer={"masked": ["no", "yes"], "seq2seq": ["false", "true"]})
    assert task.words(reader(None, "seq2seq")) == ("false", "true")
    assert task.words(reader(None, "causal")) == task.words(reader(None, "masked")) == ("no", "yes")


def test_the_first_piece_of_entailment_is_a_label_word_of_t5():
    tokenizer = tiny_tokenizer("t5")
    assert task_of(["▁", "no"]).label_ids(reader(tokenizer))[0] == tokenizer.convert_tokens_to_ids("▁")


def test_a_word_of_several_tokens_is_named_with_its_pieces():
    with pytest.raises(
        SkillkitError, match=r"'wonderful' \(label 'wonderful'\) is not one token .* Ġ?w \+ on \+ d"
    ):
        task_of(["bad", "wonderful"]).label_ids(reader(tiny_tokenizer("roberta")))


def test_a_word_unknown_to_the_vocabulary_is_an_error():
    with pytest.raises(SkillkitError, match="not one token"):
        task_of(["bad", "☃"]).label_ids(reader(tiny_tokenizer("bert")))


def test_two_words_that_become_one_token_are_an_error():
    with pytest.raises(SkillkitError, match="'Good' and 'good' share one token"):
        task_of(["Good", "good"]).label_ids(reader(tiny_tokenizer("bert")))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bad"], "2 labels .no, yes. but 1 label words"),
        (["bad", "so", "good"], "but 3 label words"),
        (["bad", "bad"], "'bad' for two labels"),
        ({"bert": ["bad", "good"]}, "not for bert"),
        ({"seq2seq": ["bad", "good"], "masked": ["bad"]}, "but 1 label words"),
    ],
)
def test_words_must_fit_the_labels(words, told):
    with pytest.raises(SkillkitError, match=told):
        task_of(["no", "yes"], verbalizer=words)


# ---- templates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "pair"),
    [("{text}", False), ("It was [MASK]: {text}", False), ("{text_pair}? [MASK], {text}", True)],
)
def test_a_template_holds_every_text_once(template, pair):
    texts = {"text": ["a", "b"]} | ({"text_pair": ["c", "d"]} if pair else {})
    rows = datasets.Dataset.from_dict(texts | {"label": [0, 1]})
    assert task_of(["no", "yes"], splits={"train": rows}, template=template).template == template
    with pytest.raises(SkillkitError, match="template of task 'made' is .* must hold {text}"):
        task_of(["no", "yes"], splits={"train": rows.remove_columns("text")}, template="{text_pair}")
    for wrong in ("", "{review} [MASK].", "It was [MASK].", template + "{text}", template + "{0}",
                  template + "[MASK][MASK]", "{text}" if pair else "{text} {text_pair}"):  # fmt: skip
        with pytest.raises(SkillkitError, match="must hold {text}.* once, .MASK. at most once, and no other"):
            task_of(["no", "yes"], splits={"train": rows}, template=wrong)


def test_a_template_that_does_not_read_the_text_is_refused_from_file_and_call(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", rows_of(20))
    fields = "path: a.jsonl\ntext: review\nlabel: stars\nverbalizer: [bad, good]\n"
    (tmp_path / "mine.yaml").write_text(fields + 'template: "{review} It was [MASK]."\n')
    for name, told in ((tmp_path / "mine.yaml", {}), (tmp_path / "a.jsonl", {"template": "It was [MASK]."})):
        with pytest.raises(SkillkitError, match="it must hold {text} once"):
            load_reviews(name, **told)


# ---- sub-tasks ---------------------------------------------------------------------------------------------


def test_three_classes_split_into_poles_and_neutral():
    pn, neu = task_of(["negative", "neutral", "positive"], counts=[8, 6, 4]).subtasks()
    assert (pn.name, pn.labels, pn.words(reader(None))) == ("made-pn", ("negative", "positive"), pn.labels)
    assert pn["train"]["label"][:] == [0] * 4 + [1] * 4
    assert (neu.name, neu.labels) == ("made-neu", ("not neutral", "neutral"))
    assert neu.words(reader(None)) == ("negative", "positive")
    texts = {row["text"]: row["label"] for row in neu["train"]}
    assert (
        all(label == (8 <= int(text.split()[1]) < 14) for text, label in texts.items()) and len(texts) == 12
    )


def test_the_fourth_class_conflict_only_stands_against_neutral():
    pn, neu = task_of(["conflict", "negative", "neutral", "positive"]).subtasks()
    assert pn.labels == ("negative", "positive") and len(pn["train"]) == 12
    assert {int(text.split()[1]) // 6 for text in pn["train"]["text"]} == {1, 3}
    assert neu.labels == ("not neutral", "neutral")


def test_topics_go_one_against_the_rest():
    subs = task_of(["world", "sports", "business"], counts=[10, 4, 6]).subtasks()
    assert [sub.name for sub in subs] == ["made-world", "made-sports", "made-business"]
    for number, sub in enumerate(subs):
        labels = sub["train"]["label"][:]
        assert labels.count(1) == labels.count(0) == min((10, 4, 6)[number], 20 - (10, 4, 6)[number])
        assert (
            sub.labels[1] == ("world", "sports", "business")[number]
            and len(set(sub.words(reader(None)))) == 2
        )


def test_two_classes_are_their_own_subtask_and_seeds_matter():
    two = task_of(["no", "yes"])
    assert two.subtasks() == (two,)
    first, same, other = (
        task_of(["a", "b", "c"], [50, 5, 5]).subtasks(seed)[1].fingerprint for seed in (0, 0, 1)
    )
    assert first == same != other


# ---- names, the registry, the small world ------------------------------------------------------------------


def test_the_list_names_every_task_in_one_line():
    listed = list_tasks()
    published = """glue/sst2 glue/cola glue/mnli glue/mnli-mm glue/qnli glue/qqp glue/mrpc glue/rte snli imdb
        rotten_tomatoes movierationales laptop restaurant tweet_eval/sentiment tweet_eval/emotion
        tweet_eval/hate ethos ag_news ag_news-2 dbpedia dbpedia-2 ethics/deontology ethics/justice
        ethics/virtue adv_glue/sst2 adv_glue/qqp adv_glue/mnli adv_glue/mnli-mm adv_glue/qnli adv_glue/rte
        cad_imdb/original cad_imdb/revised cad_nli/original cad_nli/revised world/movies"""
    assert not set(published.split()) - set(listed)
    assert all(line and "\n" not in line for line in listed.values())


@pytest.mark.parametrize("name", sorted(registry()))
def test_every_entry_of_the_registry_is_complete(name):
    about = TaskFile(**registry()[name])
    assert about.about and about.hub or "local files" in about.about
    labels = [about.labels[number] for number in about.classes] if about.classes else about.labels
    rows = datasets.Dataset.from_dict({"text": ["a"] * len(labels), "label": list(range(len(labels)))})
    Task(name=name, type=about.type, labels=labels, verbalizer=about.verbalizer, splits={"test": rows})
    assert "{text}" in about.template and ("{text_pair}" in about.template) == bool(about.text_pair)


@pytest.mark.parametrize("name", [name for name in list_tasks() if name.startswith("world/")])
def test_small_world_tasks_are_tasks(name):
    task = load_task(name)
    assert list(task.splits) == ["train", "validation", "test"]
    assert task.pair == (task.type in ("inference", "paraphrase"))
    assert set(task["train"]["label"]) == set(range(task.num_labels))


def test_an_attacked_view_keeps_labels_and_training_texts():
    clean, attacked = load_task("world/movies"), load_task("world/movies/typos", strength=0.5)
    assert clean["train"]["text"][:] == attacked["train"]["text"][:]
    assert clean["test"]["label"][:] == attacked["test"]["label"][:]
    assert clean["test"]["text"][:] != attacked["test"]["text"][:]


def test_a_small_world_task_takes_words_but_no_columns():
    assert load_task("world/movies", verbalizer=["bad", "good"]).words(reader(None)) == ("bad", "good")
    with pytest.raises(SkillkitError, match="small world; it takes .* not text"):
        load_task("world/movies", text="review")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sst2", "did you mean glue/sst2"),
        ("world/moveis", "did you mean world/movies"),
        ("zzzzzzzz", r"list_tasks\(\) names"),
    ],
)
def test_an_unknown_name_gets_a_suggestion(name, told):
    with pytest.raises(SkillkitError, match=told):
        load_task(name)


# ---- the hub -----------------------------------------------------------------------------------------------


def hub_of(monkeypatch, splits, features=None):
    """A hub that answers every request with these splits and remembers what it was asked."""
    asked = {}

    def load_dataset(*args, **options):
        asked.update(args=args, **options)
        return datasets.DatasetDict(
            {split: datasets.Dataset.from_dict(table, features=features) for split, table in splits.items()}
        )

    monkeypatch.setattr(sources.datasets, "load_dataset", load_dataset)
    return asked


def test_a_hub_task_asks_for_its_config_and_never_for_scripts(monkeypatch):
    features = datasets.Features(
        {
            "premise": datasets.Value("string"),
            "hypothesis": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["entailment", "neutral", "contradiction"]),
        }
    )
    table = {"premise": ["p"] * 30, "hypothesis": ["h"] * 30, "label": [0, 1, 2] * 10}
    unlabelled = table | {"label": [-1] * 30}
    asked = hub_of(
        monkeypatch,
        {
            "train": table,
            "validation_matched": table,
            "validation_mismatched": unlabelled,
            "test_matched": unlabelled,
            "test_mismatched": unlabelled,
        },
        features,
    )
    task = load_task("glue/mnli")
    assert asked["args"] == ("nyu-mll/glue", "mnli") and "trust_remote_code" not in asked
    assert task.labels == ("entailment", "neutral", "contradiction") and task.pair
    assert {split: len(rows) for split, rows in task.splits.items()} == {
        "train": 27,
        "validation": 3,
        "test": 30,
    }


def test_unanimous_snli_pairs_only(monkeypatch):
    table = {"premise": ["p"] * 40, "hypothesis": ["h"] * 40, "label": [0, 1, 2, -1] * 10}
    hub_of(monkeypatch, dict.fromkeys(("train", "validation", "test"), table))
    task = load_task("snli")
    assert [len(rows) for rows in task.splits.values()] == [30, 30, 30] and len(task.notes) == 3


def test_a_cut_keeps_two_classes_and_numbers_them(monkeypatch):
    table = {
        "title": ["t"] * 140,
        "content": [f"class {i % 14}" for i in range(140)],
        "label": [*range(14)] * 10,
    }
    hub_of(monkeypatch, {"train": table, "test": table})
    task = load_task("dbpedia-2")
    assert task.labels == ("Company", "OfficeHolder") and len(task["test"]) == 20
    assert {(row["text"], row["label"]) for row in task["test"]} == {("class 0", 0), ("class 4", 1)}


def test_an_unreachable_hub_says_what_to_do(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("Couldn't reach the Hub\nwith many more lines")

    monkeypatch.setattr(sources.datasets, "load_dataset", unreachable)
    with pytest.raises(
        SkillkitError, match=r"^'stanfordnlp/imdb' could not be loaded .* data= or data_root=$"
    ):
        load_task("imdb")


def test_a_task_without_a_hub_asks_for_files():
    with pytest.raises(SkillkitError, match="no source on the hub; point to its files"):
        load_task("cad_imdb/revised")


def test_a_root_that_does_not_exist_is_refused_and_the_hub_tells_where_it_looked(tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no hub")

    monkeypatch.setattr(sources.datasets, "load_dataset", unreachable)
    with pytest.raises(SkillkitError, match="no folder '.*nosuch', which data_root= or SKILLKIT_DATA names"):
        load_task("glue/sst2", data_root=tmp_path / "nosuch")
    with pytest.raises(SkillkitError, match=r"data= or data_root= \(there is no '.*glue/sst2'\)$"):
        load_task("glue/sst2", data_root=tmp_path)
    monkeypatch.setenv("SKILLKIT_DATA", str(tmp_path / "nosuch"))
    with pytest.raises(SkillkitError, match="no folder"):
        load_task("cad_imdb/revised")


def test_local_files_come_before_the_hub(tmp_path, monkeypatch):
    hub_of(monkeypatch, {})
    table = [{"sentence": "fine", "label": 1}, {"sentence": "dull", "label": 0}] * 20
    write_jsonl(tmp_path / "glue/sst2/train.jsonl", table)
    by_root = load_task("glue/sst2", data_root=tmp_path)
    monkeypatch.setenv("SKILLKIT_DATA", str(tmp_path))
    assert load_task("glue/sst2").fingerprint == by_root.fingerprint
    assert load_task("glue/sst2", data=tmp_path / "glue/sst2/train.jsonl").fingerprint == by_root.fingerprint
    assert by_root.name == "glue/sst2" and by_root.labels == ("negative", "positive")


# ---- task files --------------------------------------------------------------------------------------------


def test_a_task_file_finds_its_data_and_its_words_stay_words(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "data/pairs.jsonl", [{"a": "x", "b": "y", "same": i % 2} for i in range(20)])
    (tmp_path / "mine.yaml").write_text(
        "path: data/pairs.jsonl\ntext: a\ntext_pair: b\nlabel: same\n"
        "verbalizer: [no, yes]\nmetric: accuracy+f1\n"
    )
    monkeypatch.chdir("/")
    task = load_task(tmp_path / "mine.yaml")
    assert (task.name, task.words(reader(None)), task.metric, task.pair) == (
        "mine",
        ("no", "yes"),
        "accuracy+f1",
        True,
    )
    assert (
        load_task(tmp_path / "mine.yaml", text_pair=None, verbalizer=["nay", "aye"]).words(reader(None))[0]
        == "nay"
    )


def test_the_example_of_a_task_file_loads():
    task = load_task(REPOSITORY / "params/tasks/reviews.yaml")
    assert task.labels == ("1", "5") and [len(rows) for rows in task.splits.values()] == [32, 4, 4]


def test_the_example_of_pairs_says_what_the_registry_says():
    root = shared_path("data/glue/rte")
    example, named = load_task(REPOSITORY / "params/tasks/rte-files.yaml"), load_task("glue/rte", data=root)
    assert example["test"].to_dict() == named["test"].to_dict() and example.labels == named.labels


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("path: a.jsonl\nverbaliser: [a, b]\n", "field 'verbaliser': Extra inputs"),
        ("path: a.jsonl\nmetric: accurcy\n", "field 'metric'"),
        ("- a list\n", "must hold names with values .* not list"),
        ("path: [unclosed\n", "mine.yaml is no YAML in line"),
        ("text: a\npath: a.jsonl\ntext: b\n", 'duplicate key "text"'),
        ("splits: {test: a, test: b}\n", 'duplicate key "test"'),
        ("path: a.jsonl\nsplits: {trian: a}\n", "'splits.trian"),
        ("name: x\n", "no source on the hub"),
        ("path: b.jsonl\n", "there is no file or folder .*b.jsonl"),
    ],
)
def test_a_wrong_task_file_is_told_in_one_sentence(tmp_path, content, told):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(SkillkitError, match=told):
        load_task(tmp_path / "mine.yaml")


def test_a_task_file_that_is_a_folder_or_not_there_is_told_in_one_sentence(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    for name, told in (("folder", "Is a directory"), ("gone", "No such file")):
        with pytest.raises(SkillkitError, match=rf"cannot read .*{name}.yaml: {told}"):
            load_task(tmp_path / f"{name}.yaml")


# ---- bad data ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "split 'train' of 'a' is empty"),
        (
            [{"text": "a", "stars": 1}],
            "no column 'review'; it has text, stars: name the right one with text=",
        ),
        (
            [{"review": "a", "label": 1}],
            "no column 'stars'; it has review, label: name the right one with label=",
        ),
        (
            [{"review": "a", "stars": 1}, {"review": 7, "stars": 1}],
            "row 2 of split 'train' of 'a' holds 7 in column",
        ),
        ([{"review": None, "stars": 1}], "row 1 .* holds None in column 'review', which is not text"),
        ([*rows_of(3), {"review": "a", "stars": -1}], r"row 4 .* no label \(-1\).*drop_unlabelled=True"),
        ([{"review": "half \ud800", "stars": 1}], r"row 1 .* holds 'half \\ud800' .* not text"),
        (rows_of(9, classes=1), "labels of 'a' are 0; a task takes two or more, all different"),
        (rows_of(9), "9 rows and no splits; dividing it 80/10/10 takes at least 10"),
    ],
)
def test_bad_rows_are_named(tmp_path, rows, told):
    with pytest.raises(SkillkitError, match=told):
        load_reviews(write_jsonl(tmp_path / "a.jsonl", rows))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"classes": [0, 5]},
            r"classes of 'a' are \[0, 5\], but its 3 labels \(0, 1, 2\) are numbered from 0",
        ),
        ({"classes": [-1, 0]}, r"classes of 'a' are \[-1, 0\]"),
        ({"classes": [0, 0]}, "labels of 'a' are 0, 0; a task takes two or more"),
        ({"classes": [1]}, "labels of 'a' are 1; a task"),
        ({"classes": []}, "labels of 'a' are none; a task"),
        ({"labels": ["0", "1", "2", "1.0"]}, "labels of 'a' are 0, 1, 2, 1.0; a task .* check labels="),
    ],
)
def test_classes_are_numbers_of_different_labels(tmp_path, fields, told):
    with pytest.raises(SkillkitError, match=told):
        load_reviews(write_jsonl(tmp_path / "a.jsonl", rows_of(30, classes=3)), **fields)


def test_an_unknown_label_is_named_with_its_row(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": "no"}, {"text": "b", "label": "maybe"}])
    with pytest.raises(SkillkitError, match=r"row 2 .* unknown label \('maybe'\); labels are no, yes$"):
        load_task(path, labels=["no", "yes"])


def test_a_number_is_no_position_among_declared_numbers(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [*rows_of(20), {"review": "a", "stars": 2}])
    with pytest.raises(SkillkitError, match=r"row 1 .* unknown label \(0\); labels are 1, 2"):
        load_reviews(path, labels=["1", "2"])


def test_minus_one_is_a_label_where_it_is_declared(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": i % 2 * 2 - 1} for i in range(20)])
    task = load_task(path, labels=["-1", "1"], verbalizer=["bad", "good"])
    assert set(task["train"]["label"]) == {0, 1}


def test_numbers_are_not_label_words(tmp_path):
    with pytest.raises(SkillkitError, match=r"labels of 'a' are numbers \(0, 1\); give a label word"):
        load_task(write_jsonl(tmp_path / "a.jsonl", rows_of(20)), text="review", label="stars")


def test_a_wrong_encoding_names_file_line_and_byte(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("review,stars\nfine,1\ncafé,2\n".encode("latin-1"))
    with pytest.raises(SkillkitError, match=r"latin.csv' is not UTF-8: line 3 holds the byte 0xe9 \(at 23\)"):
        load_reviews(path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", '{"review": "a"}\n{oops\n', "line 2 of .* is not JSON"),
        ("a.jsonl", '"a text"\n', "row 1 of .* not a JSON object"),
        ("a.csv", "", "split 'train' of 'a' is empty"),
        (
            "a.csv",
            "review,stars\n" + "a, b,0\n" * 9,
            "line 2 .* as csv: 3 fields under a header of 2; put .* quotes",
        ),
        ("a.csv", "review,stars\n\n" + "a, b,0\n" + "fine,1\n" * 9, "line 3 .* 3 fields under a header of 2"),
        ("a.csv", 'review,stars\n"two\nlines",1\na, b,0\n', "line 4 .* 3 fields"),
        ("a.csv", 'review,stars\nfine,1\n"open,0\nfine,1\n', "line 3 .* as csv: unexpected end of data"),
        ("a.TSV", "review\tstars\na\tb\t0\n", "line 2 .* as tsv: 3 fields"),
        ("a.arrow", "ARROW1 and no more", "cannot be read as arrow"),
        ("a.arrow", "not arrow", "cannot be read as arrow"),
        ("a.csv", "review,stars\nfine,1\nshort", r"row 2 .* has no label \(''\)"),
        ("a.parquet", "not parquet", "cannot be read as parquet"),
        ("a.txt", "a text", "not a data file"),
    ],
)
def test_a_damaged_file_is_told_in_one_sentence(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    with pytest.raises(SkillkitError, match=told):
        load_reviews(tmp_path / name)


def test_a_file_that_may_not_be_read_is_told_in_one_sentence(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    path = write_jsonl(tmp_path / "a.jsonl", rows_of(9))
    monkeypatch.setattr(type(path), "read_bytes", refuse)
    with pytest.raises(SkillkitError, match="a.jsonl' cannot be read as jsonl: Permission denied; check"):
        load_reviews(path)


def test_a_missing_file_and_an_empty_folder(tmp_path):
    with pytest.raises(SkillkitError, match="there is no file or folder .*gone.csv"):
        load_reviews(tmp_path / "gone.csv")
    with pytest.raises(SkillkitError, match="holds no data file named by a split"):
        load_reviews(tmp_path)


# ---- real data ---------------------------------------------------------------------------------------------

REAL = {
    "glue/sst2": (False, 2, 1821), "glue/rte": (True, 2, 277), "glue/mrpc": (True, 2, 1725),
    "glue/qqp": (True, 2, 10000), "glue/qnli": (True, 2, 1000), "glue/cola": (False, 2, 1043),
    "snli": (True, 3, 9824), "tweet_eval/sentiment": (False, 3, 3000), "tweet_eval/emotion": (False, 4, 1421),
    "ag_news": (False, 4, 1000), "ag_news-2": (False, 2, 489), "ethics/justice": (False, 2, 2704),
    "ethics/deontology": (True, 2, 3596), "cad_imdb/original": (False, 2, 488),
    "cad_imdb/revised": (False, 2, 488),
    "cad_nli/original": (True, 3, 400), "cad_nli/revised": (True, 3, 1600), "adv_glue/sst2": (False, 2, 148),
    "adv_glue/qqp": (True, 2, 78), "adv_glue/mnli": (True, 3, 121), "adv_glue/mnli-mm": (True, 3, 162),
    "adv_glue/qnli": (True, 2, 148), "adv_glue/rte": (True, 2, 81),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_data_loads_through_the_registry(name):
    task = load_task(name, data_root=shared_path("data"))
    pair, classes, size = REAL[name]
    assert (task.pair, task.num_labels, len(task["test"])) == (pair, classes, size)
    for rows in task.splits.values():
        assert set(rows["label"]) == set(range(classes))


def test_real_labels_mean_what_the_registry_says():
    root = shared_path("data")
    sst2 = {row["text"]: row["label"] for row in load_task("glue/sst2", data_root=root)["test"]}
    assert (
        load_task("glue/sst2", data_root=root).labels[sst2["no movement , no yuks , not much of anything ."]]
        == "negative"
    )
    rte = load_task("glue/rte", data_root=root)
    told = {row["text"]: row["label"] for split in rte.splits for row in rte[split]}
    assert rte.labels[told["No Weapons of Mass Destruction Found in Iraq Yet."]] == "not_entailment"


def test_every_label_word_of_the_registry_is_one_token_of_a_real_bert():
    tokenizer = transformers.AutoTokenizer.from_pretrained(shared_path("models/minilm-mlm"))
    for name, fields in registry().items():
        about = TaskFile(**fields)
        labels = [about.labels[number] for number in about.classes] if about.classes else about.labels
        ids = Task(name=name, type="", labels=labels, verbalizer=about.verbalizer, splits={}).label_ids(
            reader(tokenizer)
        )
        assert len(set(ids.tolist())) == len(labels)


def test_a_vocabulary_without_label_words_says_so():
    tokenizer = transformers.AutoTokenizer.from_pretrained(shared_path("models/stories260k"))
    with pytest.raises(SkillkitError, match=r"'negative' \(label 'negative'\) is not one token"):
        task_of(["negative", "positive"]).label_ids(reader(tokenizer, "causal"))


def test_a_task_cut_short_is_balanced_and_keeps_the_rest():
    task = load_task("world/movies")
    short = task.cut(test=10, train=None)
    assert short["test"]["label"].count(1) == 5 and short["train"] is task["train"] and len(task["test"]) > 10
    assert short.fingerprint != task.fingerprint and task.cut(test=None).fingerprint == task.fingerprint
