"""Views: what is changed, what stays, what belongs together, and what is refused."""

import json
import warnings
from dataclasses import replace

import pandas as pd
import pytest
from datasets import Dataset

from skillkit import adversarial_view, load_task
from skillkit.core import SkillkitError
from skillkit.robustness.perturbations import attacked
from skillkit.small_world import ATTACKS
from tests.helpers import refused, shared_path
from tests.toys import toy_task

TASK = toy_task(24)
CHANGED = [dict(row, text=f"well , {row['text']}") for row in TASK["test"]]  # as in a file of the user's


def lines(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize(
    "name, attack", [*(("world/movies", a) for a in ATTACKS), ("world/rooms", "negation")]
)
def test_a_small_world_view_has_the_texts_of_its_named_task(name, attack):
    view, named = adversarial_view(name, attack, strength=0.5), load_task(f"{name}/{attack}", strength=0.5)
    for split in ("validation", "test"):
        assert view.adversarial[split].to_dict() == named[split].to_dict()
    assert view.adversarial["train"].to_dict() != view.clean["train"].to_dict()
    assert view.clean.fingerprint == load_task(name).fingerprint and view.paired


def test_labels_words_and_order_stay_and_strength_zero_is_clean():
    view = adversarial_view(TASK, "dropout", strength=1.0)
    assert view.adversarial["test"]["label"][:] == TASK["test"]["label"][:]
    assert view.adversarial.verbalizer == TASK.verbalizer
    assert view.name == "toy, dropout 1" and view.chance == 0.5 and "\n" not in repr(view)
    assert adversarial_view(TASK, "dropout", strength=0.0).adversarial.fingerprint == TASK.fingerprint
    assert attacked(TASK, "dropout", seed=1).fingerprint != view.adversarial.fingerprint
    pair = toy_task(24, pair=True)
    test = adversarial_view(pair, "distractor").adversarial["test"]  # changes the second text only
    assert test["text"][:] == pair["test"]["text"][:]
    assert all(a != b for a, b in zip(test["text_pair"], pair["test"]["text_pair"], strict=True))


def test_one_file_is_a_test_split_as_a_whole(tmp_path):
    path = lines(tmp_path / "attacked.jsonl", CHANGED)
    view = adversarial_view(TASK, str(path), paired=True)
    assert view.name == "toy, attacked" and view.paired and not adversarial_view(TASK, path).paired
    assert list(view.adversarial.splits) == ["test"] and len(view.adversarial["test"]) == 24
    assert view.adversarial["test"]["label"][:] == TASK["test"]["label"][:]
    assert view.adversarial.words(type("bb", (), {"family": "masked"})) == ("bad", "good")
    clean = adversarial_view(TASK, "casing", clean=path).clean  # its training data are the task's
    assert clean["test"]["text"][0] == CHANGED[0]["text"]
    assert clean["train"].to_dict() == TASK["train"].to_dict()


@pytest.mark.parametrize("wrap", [Dataset.from_pandas, lambda frame: frame, lambda frame: {"test": frame}])
def test_tables_are_adversarial_sets_like_the_file_with_their_rows(tmp_path, wrap):
    path, frame = lines(tmp_path / "data.jsonl", CHANGED), pd.DataFrame(CHANGED)
    for options in (dict(adversarial=path, clean=path), dict(adversarial=path, paired=True)):
        view = adversarial_view(TASK, **options)
        same = {name: wrap(frame) if value is path else value for name, value in options.items()}
        assert adversarial_view(TASK, **same).fingerprint == view.fingerprint
    assert adversarial_view(TASK, "casing", clean=wrap(frame)).clean.notes == ("test is data",)
    refused("rows are a path, a DataFrame", adversarial_view, TASK, ["typos"])


def test_labels_of_other_names_are_mapped(tmp_path):
    rows = [dict(review=row["text"], stars=("one", "five")[row["label"]]) for row in CHANGED]
    path, columns = lines(tmp_path / "stars.jsonl", rows), dict(text="review", label="stars")
    view = adversarial_view(TASK, path, labels={"five": "positive", "one": "negative"}, **columns)
    assert view.adversarial["test"]["label"][:] == TASK["test"]["label"][:]
    refused("unknown label .*one", adversarial_view, TASK, path, **columns)
    refused("has no column 'text'.*review, stars", adversarial_view, TASK, path)


def test_several_adversarial_rows_for_each_clean_one(tmp_path):
    rows = [twin for row in CHANGED for twin in (row, dict(row, text=row["text"] + " overall"))]
    assert adversarial_view(TASK, lines(tmp_path / "twins.jsonl", rows), paired=True).per_row == 2
    for wrong in (rows[:-1], list(reversed(rows))):
        with pytest.raises(SkillkitError, match="do not look like pairs"):
            adversarial_view(TASK, lines(tmp_path / "wrong.jsonl", wrong), paired=True)


@pytest.mark.slow
def test_classes_left_out_and_sub_tasks():
    whole = adversarial_view("world/scenes", "typos")
    view = adversarial_view("world/scenes", "typos", without=["neutral"])
    assert view.clean.labels == view.adversarial.labels == ("contradiction", "entailment")
    assert view.clean.verbalizer["masked"] == ("no", "yes") and view.paired
    assert adversarial_view("world/scenes", "typos", without="neutral").fingerprint == view.fingerprint
    assert view.name == "world/scenes, typos without neutral 1"
    assert len(view.adversarial["test"]) == sum(y != 1 for y in whole.clean["test"]["label"])
    parts = whole.subtasks()
    assert [part.clean.name for part in parts] == ["world/scenes-pn", "world/scenes-neu"]
    assert all(part.paired and part.adversarial.num_labels == 2 for part in parts)
    assert view.subtasks() == (view,)


@pytest.mark.parametrize(
    ("task", "adversarial", "options", "message"),
    [
        ("world/movies", "typoz", {}, r"no attack on world/movies \(typos, .*\), no task and no file"),
        ("world/movies", "world/restaurants/typos", {}, "a view of world/restaurants, not of world/movies"),
        ("world/movies", "world/rooms", {}, "of type inference, world/movies of type sentiment"),
        ("world/movies", "world/hotels", {}, "labels of world/hotels are negative, neutral, .*labels={"),
        ("world/movies", "typos", {"without": ["positive"]}, "two must stay"),
        ("world/scenes", "typos", {"without": ["moderate"]}, "moderate cannot be left out"),
        (TASK, "casing", {"strength": 2}, "between 0 and 1, not 2"),
        (TASK, toy_task(24, pair=True), {}, "holds pairs of texts, toy single texts"),
        (TASK, "typos", {}, "typos.*no attack on toy"),
        (TASK, replace(TASK, splits={"train": TASK["train"]}), {}, "no test split"),
    ],
)
def test_bad_input(task, adversarial, options, message):
    refused(message, adversarial_view, task, adversarial, **options)


def test_few_examples_of_a_class_are_warned_of_with_the_interval():
    few = replace(TASK, splits={"test": TASK["test"].select([0, *range(1, 24, 2)])})
    with pytest.warns(UserWarning, match=r"1 test rows of class 'negative'.*95 % interval \[0\.21, 1\.00\]"):
        adversarial_view(TASK, few)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adversarial_view(TASK, TASK)


@pytest.mark.slow
def test_adv_glue_and_counterfactual_sets_can_be_read():
    data = str(shared_path("data"))
    sets = dict(sst2=148, qqp=78, mnli=121, qnli=148, rte=81) | {"mnli-mm": 162}
    for name, rows in sets.items():
        clean = "snli" if "mnli" in name else f"glue/{name}"
        view = adversarial_view(clean, f"adv_glue/{name}", data_root=data)
        assert len(view.adversarial["test"]) == rows and not view.paired
        assert view.adversarial.verbalizer == view.clean.verbalizer
    two = adversarial_view("snli", "adv_glue/mnli", data_root=data, without=["neutral"])
    assert two.clean.labels == ("entailment", "contradiction") and len(two.adversarial["test"]) < sets["mnli"]
    view = adversarial_view("glue/sst2", "cad_imdb/revised", clean="cad_imdb/original", data_root=data)
    assert (len(view.clean["test"]), len(view.adversarial["test"]), view.paired) == (488, 488, False)
    assert len(view.clean["train"]) > 60000
    pairs = adversarial_view("snli", "cad_nli/revised", clean="cad_nli/original", paired=True, data_root=data)
    assert pairs.per_row == 4 and len(pairs.clean["test"]) == 400


def test_advglue_in_one_file_by_the_name_of_robust_neurons(tmp_path):
    rows = [{"sentence": f"a text {i}", "label": i % 2} for i in range(30)]
    (tmp_path / "adv_glue.json").write_text(json.dumps({"sst2": rows, "rte": rows[:2]}))
    clean = load_task("SST2", data=pd.DataFrame(rows))
    view = adversarial_view(clean, "AdvSST2", data=tmp_path / "adv_glue.json")
    assert len(view.adversarial["test"]) == 30 and view.adversarial.name == "adv_glue/sst2"
    for source in ("no such", "AdvNothing"):
        refused("no attack on glue/sst2", adversarial_view, clean, source)
