"""Files, folders and the hub: every format holds the same task, and damage is an error of one sentence."""

import csv
import gzip
import json

import datasets
import pandas as pd
import pyarrow
import pytest

from skillkit.core.errors import SkillkitError
from skillkit.tasks import Task, load_task, readers
from tests.helpers import refused
from tests.tasks.made import load_reviews, rows_of, sizes, write_arrow, write_jsonl


def read_rows(path):
    return readers.read(path).splits["train"].values.tolist()


# ---- one file ----


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".tsv", ".TSV", ".arrow"])
def test_every_file_format_holds_the_same_task(tmp_path, suffix):
    rows, path = rows_of(40), tmp_path / f"data{suffix}"
    if suffix == ".parquet":
        datasets.Dataset.from_list(rows).to_parquet(path)
    elif suffix == ".arrow":
        write_arrow(path, rows)
    elif suffix.lower() == ".tsv":
        path.write_text("review\tstars\n" + "\n".join(f"{row['review']}\t{row['stars']}" for row in rows))
    else:
        path.write_text(json.dumps(rows) if suffix == ".json" else "\n".join(map(json.dumps, rows)))
    plain = load_reviews(write_jsonl(tmp_path / "plain.jsonl", rows))
    assert load_reviews(path).fingerprint == plain.fingerprint


@pytest.mark.parametrize(("text", "rows"), [
    ("review,stars\nNA,01\nnull,1.0\n", [["NA", "01"], ["null", "1.0"]]),
    ("\ufeffreview,stars\n\nfine,1\n  \nshort\n", [["fine", "1"], ["short", ""]]),
    (f"review\n{'long ' * 40_000}\n", [["long " * 40_000]]),
    ('review,stars\r\n"a, ""b""\nc",1\r\n', [['a, "b"\nc', "1"]]),
    ("review,stars,,review\nfine,1,,x\n", [["fine", "1"]]),  # the first of two columns with one name
])  # fmt: skip
def test_cells_of_a_csv_stay_as_they_are_written(tmp_path, text, rows):
    (tmp_path / "my.csv").write_bytes(text.encode())
    table = readers.read(tmp_path / "my.csv").splits["train"]
    assert table[[name for name in ("review", "stars") if name in table]].values.tolist() == rows


LONE = ['"{} said', 'said {}"', 'a 5" disk {}', '"" {}', '"a" "{}', '"so" said {}']


@pytest.mark.parametrize("rows", [
    *([[quote.format(i) if i % 7 == 3 else f"text {i}", str(i % 2)] for i in range(40)] for quote in LONE),
    [['"one', "0"], ['two"', "1"]], [["0", '"one'], ['two"', "1"]], [['"0', 'one"']],
])  # fmt: skip
def test_lone_quotes_in_a_tsv_are_characters_and_swallow_no_fields(tmp_path, rows):
    (tmp_path / "my.tsv").write_text("\n".join(map("\t".join, [["review", "stars"], *rows])))
    assert read_rows(tmp_path / "my.tsv") == rows


@pytest.mark.parametrize("text", ['he said "hi"', "a\ttab", "a\ttab and\ntwo\nlines", '"', "", 'the end"'])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_tsv_whose_fields_are_quoted_reads_as_it_was_written(tmp_path, text, quoting):
    rows = [["review", "stars"], [text, "0"], ["plain", "1"], ["1", text]]
    with open(tmp_path / "my.tsv", "w", newline="") as file:
        csv.writer(file, csv.excel_tab, quoting=quoting).writerows(rows)
    assert read_rows(tmp_path / "my.tsv") == rows[1:]


@pytest.fixture
def with_class_names():
    names = datasets.ClassLabel(names=["z", "a"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    return datasets.Dataset.from_dict({"text": ["x", "y"] * 10, "label": [0, 1] * 10}, features=features)


def test_parquet_arrow_and_saved_sets_keep_their_class_names(tmp_path, with_class_names):
    with_class_names.to_parquet(tmp_path / "a.parquet")
    datasets.DatasetDict(train=with_class_names, test=with_class_names).save_to_disk(tmp_path / "saved")
    for path in ("a.parquet", "saved", "saved/train/data-00000-of-00001.arrow"):
        assert load_task(tmp_path / path).labels == ("z", "a")
    assert sizes(load_task(tmp_path / "saved")) == {"train": 18, "validation": 2, "test": 20}


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.jsonl", '{"review": "a"}\n{oops\n', "line 2 is not JSON"),
    ("a.jsonl", '"a text"\n', "row 1 is not a JSON object"),
    ("a.csv", "", "split 'train' of 'a' is empty"),
    ("a.csv", "review,stars\n" + "a, b,0\n" * 9, "as csv: its rows have more fields .* double quotes"),
    ("a.csv", "review,stars\nfine,1\na, b,0\n", "as csv: Expected 2 fields in line 3, saw 3; put"),
    ("a.csv", 'review,stars\nfine,1\n"open,0\nfine,1\n', "as csv: EOF inside string starting at row 2"),
    ("a.csv", 'review,stars\nfine,1\n"x"y,0\n', "goes on after its closing quote: \"x\"y,0; put"),
    ("a.csv", 'review,stars\n"a,""b"" c",1\n0,"x" \n', "closing quote: \"x\"; put"),
    ("a.TSV", "review\tstars\na\tb\t0\n", "as tsv: its rows have more"),
    ("a.csv", "review,stars\nfine,1\nshort", r"row 2 .* has no label \(''\)"),
    ("a.arrow", "ARROW1 and no more", "cannot be read as arrow"),
    ("a.arrow", "not arrow", "cannot be read as arrow"),
    ("a.parquet", "not parquet", "cannot be read as parquet"),
    ("a.txt", "a text", "not a data file"),
    ("a.csv", "review,stars\nfine,1\ncaf\xe9,2\n", "not UTF-8: line 3 holds the byte 0xe9"),
])  # fmt: skip
def test_a_damaged_file_is_an_error_of_one_sentence(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(SkillkitError, match=message) as error:
        load_reviews(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_file_that_may_not_be_read_or_is_not_there(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    path = write_jsonl(tmp_path / "a.jsonl", rows_of(9))
    monkeypatch.setattr(type(path), "read_bytes", refuse)
    refused("a.jsonl' cannot be read as jsonl: Permission denied", load_reviews, path)
    refused("there is no file or folder .*gone.csv", load_reviews, tmp_path / "gone.csv")


# ---- folders ----


@pytest.mark.parametrize("layout", [
    "{split}.jsonl", "data/{split}-00000-of-00001.jsonl", "data/{split}-00000-of-00001-ec76c64d819c86d5.jsonl",
    "{split}/0000.jsonl", "cut/{split}.jsonl",
])  # fmt: skip
def test_folders_laid_out_like_the_hub(tmp_path, layout):
    for split, size in (("train", 30), ("dev", 10), ("test", 20)):
        write_jsonl(tmp_path / layout.format(split=split), rows_of(size))
    task = load_reviews(tmp_path, config="cut" if "cut" in layout else None)
    assert sizes(task) == {"train": 30, "validation": 10, "test": 20} and task.notes == ()


@pytest.mark.parametrize("first", [0, 1])
def test_several_files_make_one_split(tmp_path, first):
    for part in (first, first + 1):
        write_jsonl(tmp_path / f"train-0000{part}-of-00002.jsonl", rows_of(30))
    assert len(read_rows(tmp_path)) == 60


@pytest.mark.parametrize(("there", "message"), [
    (["00000-of-00002"], "split 'train' of .* is not whole: train-00001-of-00002 is missing; add"),
    (["00001-of-00003", "00002-of-00003"], "train-00000-of-00003 is missing"),
    (["1-of-3", "3-of-3"], "train-2-of-3 is missing"),
])  # fmt: skip
def test_a_missing_part_of_a_split_is_named(tmp_path, there, message):
    for part in there:
        write_jsonl(tmp_path / f"train-{part}.jsonl", rows_of(30))
    refused(message, load_reviews, tmp_path)


def test_a_folder_of_arrow_files_is_read_without_the_cache_beside_them(tmp_path):
    for name in ("train", "test", "cache-0123"):
        write_arrow(tmp_path / f"{name}.arrow", rows_of(20), pyarrow.ipc.new_stream)
    assert sizes(load_reviews(tmp_path)) == {"train": 18, "validation": 2, "test": 20}


def test_a_folder_called_train_is_not_a_split_and_saved_sets_may_lie_side_by_side(tmp_path):
    for split, size in (("train", 30), ("test", 20)):
        write_jsonl(tmp_path / "files" / "train" / f"{split}.jsonl", rows_of(size))
        datasets.Dataset.from_list(rows_of(size)).save_to_disk(tmp_path / "saved" / split)
    for folder in ("files/train", "saved"):
        assert list(sizes(load_reviews(tmp_path / folder)).values()) == [27, 3, 20]


@pytest.mark.parametrize(("file", "content"), [
    ("dataset_dict.json", "{"), ("dataset_dict.json", '{"splits": ["train", "test"]}'), ("train/state.json", None),
    ("train/data-00000-of-00001.arrow", None), ("train/data-00000-of-00001.arrow", "not arrow"),
])  # fmt: skip
def test_a_damaged_saved_dataset_is_an_error_of_one_sentence(tmp_path, file, content):
    datasets.DatasetDict(train=datasets.Dataset.from_list(rows_of(10))).save_to_disk(tmp_path / "saved")
    path = tmp_path / "saved" / file
    path.unlink() if content is None else path.write_text(content)
    refused("saved' is a damaged saved dataset .*; save it anew", load_reviews, tmp_path / "saved")


def test_folders_without_a_split_or_with_one_in_two_formats_are_refused(tmp_path):
    refused("holds no data file named by a split", load_reviews, tmp_path)
    write_jsonl(tmp_path / "train.jsonl", rows_of(10))
    (tmp_path / "train.csv").write_text("review,stars\na,1\n")
    refused(r"several formats \(train.csv, train.jsonl\)", load_reviews, tmp_path)


@pytest.mark.parametrize(("files", "message"), [
    (["train.csv", "test.csv", "old/train.csv", "old/test.csv"], r"folders \(., old\); choose one with config="),
    (["en/train.csv", "fr/train.csv"], r"several folders \(en, fr\)"), (["en/train.csv", "fr/test.csv"], "several"),
    (["train.csv", "train/more.csv"], r"several folders \(., train\)"), (["a/b/c/d/train.csv", "train.csv"], "several"),
    (["train-00000-of-00001.csv", "train-00000-of-00002.csv", "train-00001-of-00002.csv"], "more than once"),
    (["train.csv", "train-00000-of-00001.csv"], "more than once"),
])  # fmt: skip
def test_rows_of_several_places_are_not_joined(tmp_path, files, message):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"review,stars\n{path.parent.name} a,0\n" + "b,1\n" * 9)
    refused(message, load_reviews, tmp_path)
    if "old/train.csv" in files:
        assert "old" not in load_reviews(tmp_path, config=".")["train"]["text"][0]
        assert load_reviews(tmp_path, config="old")["test"]["text"][0] == "old a"
    refused("which config= names", load_reviews, tmp_path, config="nosuch")


def test_parts_with_other_columns_are_refused_and_what_is_not_read_is_noted(tmp_path):
    for part, rows in enumerate([rows_of(20), [{"review": "a", "rating": 1}]]):
        write_jsonl(tmp_path / f"parts/train-{part}.jsonl", rows)
    refused("not all parts of split 'train' have the columns rating, stars", load_reviews, tmp_path / "parts")
    parts = ("train", "validation_matched", "validation_mismatched")
    saved = datasets.DatasetDict({name: datasets.Dataset.from_list(rows_of(30)) for name in parts})
    saved.save_to_disk(tmp_path / "saved")
    for name in parts:
        write_jsonl(tmp_path / f"files/{name}.jsonl", rows_of(30))
    (tmp_path / "files/test.xlsx").touch()
    assert "not read: test.xlsx, validation_mism" in load_reviews(tmp_path / "files").notes[0]
    (tmp_path / "files/test.xlsx").unlink()
    for source in (tmp_path / "saved", tmp_path / "files", saved):
        task = load_reviews(source)
        assert len(task["test"]) == 30 and "not read: validation_mismatched" in task.notes[0]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_marks_are_no_content(tmp_path, end):
    rows = [{"review": f"a\u2028b\x85c {i}", "stars": i % 2} for i in range(20)]
    lines = end.join(json.dumps(row, ensure_ascii=False) for row in rows)
    cells = end.join(["review,stars", *(f"{row['review']},{row['stars']}" for row in rows)])
    for name, text in (("a.jsonl", lines), ("a.csv", cells), ("a.tsv", cells.replace(",", "\t"))):
        (tmp_path / name).write_bytes(("\ufeff" + text).encode())
        assert [str(row[0]) for row in read_rows(tmp_path / name)] == [row["review"] for row in rows]


@pytest.mark.parametrize("wrap", [pd.DataFrame, datasets.Dataset.from_pandas])
def test_frames_and_data_sets_are_tasks_like_the_file_with_their_rows(tmp_path, wrap):
    rows = rows_of(40)
    plain, frame = load_reviews(write_jsonl(tmp_path / "a.jsonl", rows)), pd.DataFrame(rows)
    assert load_reviews(wrap(frame)).fingerprint == plain.fingerprint
    parts = {"train": wrap(frame), "test": wrap(frame[:10])}
    many = [parts] if wrap is pd.DataFrame else [parts, datasets.DatasetDict(parts)]
    assert all(list(sizes(load_reviews(one, name="mine")).values()) == [36, 4, 10] for one in many)
    assert load_task("glue/sst2", data=wrap(frame), text="review", label="stars").name == "glue/sst2"
    mine = wrap(frame.rename(columns={"review": "text", "stars": "label"}))
    assert len(Task("mine", "custom", ["a", "b"], ["bad", "good"], mine)["train"]) == 40
    numbers = lambda text, labels: wrap(pd.DataFrame({"text": [text] * 3, "label": labels}))
    for wrong in (
        wrap(frame),
        [1],
        {"train": 7},
        numbers(5, [0, 1, 0]),
        *(numbers("a", [0, n, 1]) for n in (-1, 2)),
    ):
        with pytest.raises(
            SkillkitError, match="must have text and|Dataset or DataFrame|labels are numbers from 0 to 1"
        ):
            Task("mine", "custom", ["a", "b"], ["bad", "good"], wrong)
    for wrong in (7, ["a"], plain):
        refused("rows are a path, a DataFrame", load_reviews, wrong)
    refused("no task is called 'None'", load_reviews, None)


@pytest.mark.parametrize("order", [["yes", "no"], ["no", "yes"]])
def test_categories_are_class_names_in_their_order(order):
    """As those of a ClassLabel: the first label word is that of the first."""
    stars = pd.Categorical(["no", "yes"] * 20, categories=order)
    task = load_reviews(pd.DataFrame({"review": [f"text {i}" for i in range(40)], "stars": stars}))
    assert task.labels == tuple(order)
    for row in task["train"]:
        assert task.labels[row["label"]] == ["no", "yes"][int(row["text"].split()[1]) % 2]
    numbers = pd.Categorical([1, 5] * 20, categories=[5, 1])
    assert load_reviews(pd.DataFrame({"review": [f"text {i}" for i in range(40)], "stars": numbers})).labels == (
        "5", "1",
    )  # fmt: skip


@pytest.mark.parametrize("column", [["a", None, "b"], ["a", 3, "b"]])
def test_rows_in_memory_without_a_text_are_refused(column):
    frame = pd.DataFrame({"text": pd.Series(column, dtype=object), "label": [0, 1, 0]})
    refused(
        "rows without text|no column can",
        Task,
        "mine",
        "custom",
        ["a", "b"],
        ["bad", "good"],
        {"train": frame},
    )
    pairs = frame.assign(text="a text", text_pair=frame["text"])
    refused(
        "without text_pair|no column can",
        Task,
        "mine",
        "custom",
        ["a", "b"],
        ["bad", "good"],
        {"train": pairs},
    )


# ---- names of splits ----


def test_given_names_of_splits_serve_no_other_split(tmp_path):
    write_jsonl(tmp_path / "mine.jsonl", rows_of(30))
    write_jsonl(tmp_path / "dev.jsonl", rows_of(20))
    task = load_reviews(tmp_path, splits={"train": "mine", "test": "dev"})
    assert list(sizes(task).values()) == [27, 3, 20]
    assert list(load_reviews(tmp_path / "dev.jsonl", splits={"test": "train"}).splits) == ["test"]
    twice = {"train": "mine", "validation": "dev", "test": "dev"}
    refused("'dev' for two splits", load_reviews, tmp_path, splits=twice)


@pytest.mark.parametrize("place", ["files", "files/train.jsonl", "saved"])
def test_a_split_that_is_not_there_is_refused(tmp_path, place):
    for name in ("train", "dev"):
        write_jsonl(tmp_path / f"files/{name}.jsonl", rows_of(30))
    datasets.DatasetDict(train=datasets.Dataset.from_list(rows_of(30))).save_to_disk(tmp_path / "saved")
    with pytest.raises(SkillkitError, match="names 'foo', which is not there; name one of: (dev, )?train$"):
        load_reviews(tmp_path / place, splits={"train": "foo"})


def test_the_splits_of_the_registry_need_not_be_there_in_local_copies(tmp_path):
    rows = [{"premise": "a", "hypothesis": "b", "label": number % 3} for number in range(30)]
    for name in ("train", "validation"):
        write_jsonl(tmp_path / f"glue/mnli/{name}.jsonl", rows)
    assert len(load_task("glue/mnli", data_root=tmp_path)["test"]) == 30
    refused("names 'foo'", load_task, "glue/mnli", data_root=tmp_path, splits={"train": "foo"})


# ---- the hub ----


@pytest.fixture
def hub(monkeypatch):
    """A hub that answers every request with the splits put into it and remembers what it was asked."""
    hub = {}

    def load_dataset(*args, **options):
        hub.update(args=args, options=options)
        if "splits" not in hub:
            raise ConnectionError("Couldn't reach the Hub\nwith many more lines")
        return datasets.DatasetDict(
            {name: datasets.Dataset.from_dict(rows) for name, rows in hub["splits"].items()}
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return hub


def test_a_hub_task_asks_for_its_config_and_never_for_scripts(hub):
    table = {"premise": ["p"] * 30, "hypothesis": ["h"] * 30, "label": [0, 1, 2] * 10}
    bare = table | {"label": [-1] * 30}
    hub["splits"] = {
        "train": table,
        "validation_matched": table,
        "validation_mismatched": bare,
        "test_matched": bare,
    }
    task = load_task("glue/mnli")
    assert hub["args"] == ("nyu-mll/glue", "mnli") and "trust_remote_code" not in hub["options"]
    assert task.labels == ("entailment", "neutral", "contradiction") and task.pair
    assert sizes(task) == {"train": 27, "validation": 3, "test": 30}


def test_unlabelled_pairs_of_snli_and_other_classes_of_dbpedia_are_left_out(hub):
    table = {"premise": ["p"] * 40, "hypothesis": ["h"] * 40, "label": [0, 1, 2, -1] * 10}
    hub["splits"] = dict.fromkeys(("train", "validation", "test"), table)
    task = load_task("snli")
    assert list(sizes(task).values()) == [30, 30, 30] and len(task.notes) == 3
    table = {"content": [f"class {i % 14}" for i in range(140)], "label": [*range(14)] * 10}
    hub["splits"] = {"train": table, "test": table}
    task = load_task("dbpedia-2")
    assert task.labels == ("Company", "OfficeHolder") and len(task["test"]) == 20
    assert {(row["text"], row["label"]) for row in task["test"]} == {("class 0", 0), ("class 4", 1)}


def test_without_hub_or_folder_the_error_says_what_to_do(hub, tmp_path, monkeypatch):
    for name, root, message in [
        ("imdb", None, r"^'stanfordnlp/imdb' did not load .* data= or data_root=$"),
        ("cad_imdb/revised", None, "no source on the hub; point to its files"),
        ("glue/sst2", tmp_path / "nosuch", "no folder '.*nosuch', which data_root= or SKILLKIT_DATA names"),
        ("glue/sst2", tmp_path, r"data= or data_root= \(there is no '.*glue/sst2'\)$"),
    ]:
        refused(message, load_task, name, data_root=root)
    monkeypatch.setenv("SKILLKIT_DATA", str(tmp_path / "nosuch"))
    refused("no folder", load_task, "cad_imdb/revised")


def test_local_files_come_before_the_hub(hub, tmp_path, monkeypatch):
    table = [{"sentence": "fine", "label": 1}, {"sentence": "dull", "label": 0}] * 20
    path = write_jsonl(tmp_path / "glue/sst2/train.jsonl", table)
    by_root = load_task("glue/sst2", data_root=tmp_path)
    monkeypatch.setenv("SKILLKIT_DATA", str(tmp_path))
    same = [load_task("glue/sst2"), load_task("glue/sst2", data=path)]
    assert {task.fingerprint for task in same} == {by_root.fingerprint} and not hub
    assert by_root.name == "glue/sst2" and by_root.labels == ("negative", "positive")


# ---- files and names of the published code ----


def test_columns_by_number_are_those_of_a_file_without_a_header(tmp_path):
    rows = [f"{i % 2},t,text number {i}" for i in range(20)]
    (tmp_path / "bare.csv").write_text("\n".join(rows))
    (tmp_path / "named.tsv").write_text("\n".join(["a,b,c", *rows]).replace(",", "\t"))
    bare = load_task(tmp_path / "bare.csv", text=2, label=0, verbalizer="bad,good")
    named = load_task(tmp_path / "named.tsv", text=2, label=0, header=True, verbalizer=["bad", "good"])
    assert bare.fingerprint == named.fingerprint and sum(sizes(bare).values()) == 20
    refused("has no column '5'; it has 0, 1, 2", load_task, tmp_path / "bare.csv", text=5, label=0)


def test_texts_may_be_gzipped(tmp_path):
    plain = write_jsonl(tmp_path / "plain/train.jsonl", rows_of(20))
    (tmp_path / "zipped").mkdir()
    zipped = tmp_path / "zipped/train.jsonl.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    tasks = [load_reviews(one) for one in (plain, zipped, plain.parent, zipped.parent)]
    assert len({task.fingerprint for task in tasks}) == 1 and tasks[1].name == "train"
    zipped.write_bytes(zipped.read_bytes()[:40])
    refused("cannot be read as jsonl", load_reviews, zipped)


def test_rows_and_columns_in_memory_are_a_task(tmp_path):
    rows = rows_of(20)
    file = load_reviews(write_jsonl(tmp_path / "a.jsonl", rows)).fingerprint
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for given in (rows, columns, {"train": rows}, {"train": columns}):
        assert load_reviews(given).fingerprint == file
    refused("these rows are no table", load_reviews, {"review": ["a"], "stars": [0, 1]})


def test_a_json_object_of_tables_is_that_of_the_task(tmp_path):
    tables = {
        name: [{"sentence": f"{name} {i}", "label": i % 2} for i in range(8)] for name in ("sst2", "cola")
    }
    file = tmp_path / "adv_glue.json"
    file.write_text(json.dumps(tables))
    for name in ("adv_glue/sst2", "AdvSST2"):
        task = load_task(name, data=file)
        assert sizes(task) == {"test": 8} and task["test"][1] == {"text": "sst2 1", "label": 1}
    chosen = load_task(file, config="cola", text="sentence", verbalizer=["bad", "good"])
    assert chosen["test"]["text"][0] == "cola 0"
    refused("holds several tables .sst2, cola.; choose", load_task, file, text="sentence")


def test_splits_may_follow_the_name_of_their_set(tmp_path):
    for name in ("justice", "virtue"):
        for split in ("train", "test"):
            write_jsonl(tmp_path / f"{name}_{split}.jsonl", [
                {"scenario": f"{name} {split} {i}", "trait": "kind", "label": i % 2} for i in range(20)
            ])  # fmt: skip
    task = load_task("ethicsjustice", data=tmp_path)
    assert sizes(task) == {"train": 18, "validation": 2, "test": 20} and "not read" in task.notes[0]
    assert all(text.startswith("justice") for rows in task.splits.values() for text in rows["text"])
    other = load_task(tmp_path, config="virtue", text="scenario", verbalizer=["bad", "good"])
    assert other["test"]["text"][0] == "virtue test 0"
    refused("holds several sets .justice, virtue.; choose", load_task, tmp_path, text="scenario")
