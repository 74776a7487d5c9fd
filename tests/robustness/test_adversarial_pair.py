"""Views: what is changed, what stays, what belongs together, and what is refused."""

import json
import warnings
from dataclasses import replace

import pytest

from skillkit import adversarial_view, load_task
from skillkit.core.errors import SkillkitError
from skillkit.robustness.perturbations import attacked
from skillkit.small_world import ATTACKS
from tests.helpers import shared_path
from tests.toys import toy_task


@pytest.fixture
def task():
    return toy_task(24)


def lines(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def changed(task, split="test", **more):
    """The rows of a split as they would stand in a file of the user's."""
    return [dict(row, text=f"well , {row['text']}", **more) for row in task[split]]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", ["world/movies", "world/rooms"])
def test_a_small_world_view_has_the_texts_of_its_named_task(name, attack):
    view = adversarial_view(name, attack, strength=0.5)
    named = load_task(f"{name}/{attack}", strength=0.5)
    assert view.adversarial["test"].to_dict() == named["test"].to_dict()
    assert view.adversarial["validation"].to_dict() == named["validation"].to_dict()
    assert view.adversarial["train"].to_dict() != view.clean["train"].to_dict()
    assert view.clean.fingerprint == load_task(name).fingerprint and view.paired


def test_labels_words_and_order_stay_and_strength_zero_is_clean(task):
    view = adversarial_view(task, "dropout", strength=1.0)
    assert view.adversarial["test"]["label"][:] == task["test"]["label"][:]
    assert view.adversarial.verbalizer == task.verbalizer
    assert view.name == "toy, dropout 1" and view.chance == 0.5
    untouched = adversarial_view(task, "dropout", strength=0.0)
    assert untouched.adversarial.fingerprint == task.fingerprint
    assert attacked(task, "dropout", seed=1).fingerprint != view.adversarial.fingerprint


def test_a_pair_gets_its_distractor_in_the_second_text_only():
    task = toy_task(24, pair=True)
    view = adversarial_view(task, "distractor")
    assert view.adversarial["test"]["text"][:] == task["test"]["text"][:]
    assert all(a != b for a, b in zip(view.adversarial["test"]["text_pair"], task["test"]["text_pair"]))


def test_one_file_is_a_test_split_as_a_whole(task, tmp_path):
    path = lines(tmp_path / "attacked.jsonl", changed(task))
    view = adversarial_view(task, str(path), paired=True)
    assert view.name == "toy, attacked"
    assert list(view.adversarial.splits) == ["test"] and len(view.adversarial["test"]) == 24
    assert view.paired and not adversarial_view(task, path).paired
    assert view.adversarial["test"]["label"][:] == task["test"]["label"][:]
    assert view.adversarial.words(type("bb", (), {"family": "masked"})) == ("bad", "good")


def test_labels_of_other_names_are_mapped(task, tmp_path):
    rows = [dict(review=row["text"], stars=("one", "five")[row["label"]]) for row in changed(task)]
    path = lines(tmp_path / "stars.jsonl", rows)
    columns = dict(text="review", label="stars")
    view = adversarial_view(task, path, labels={"five": "positive", "one": "negative"}, **columns)
    assert view.adversarial["test"]["label"][:] == task["test"]["label"][:]
    with pytest.raises(SkillkitError, match="unknown label .*one"):
        adversarial_view(task, path, **columns)
    with pytest.raises(SkillkitError, match="has no column 'text'.*review, stars"):
        adversarial_view(task, path)


def test_several_adversarial_rows_for_each_clean_one(task, tmp_path):
    rows = [twin for row in changed(task) for twin in (row, dict(row, text=row["text"] + " overall"))]
    view = adversarial_view(task, lines(tmp_path / "twins.jsonl", rows), paired=True)
    assert view.per_row == 2
    for wrong in (rows[:-1], list(reversed(rows))):
        with pytest.raises(SkillkitError, match="do not look like pairs"):
            adversarial_view(task, lines(tmp_path / "wrong.jsonl", wrong), paired=True)


def test_clean_rows_from_elsewhere_keep_the_training_data(task, tmp_path):
    clean = lines(tmp_path / "clean.jsonl", changed(task))
    view = adversarial_view(task, "casing", clean=clean)
    assert view.clean["test"]["text"][0] == changed(task)[0]["text"]
    assert view.clean["train"].to_dict() == task["train"].to_dict()


def test_classes_left_out_and_sub_tasks():
    whole = adversarial_view("world/scenes", "typos")
    view = adversarial_view("world/scenes", "typos", without=["neutral"])
    assert view.clean.labels == view.adversarial.labels == ("contradiction", "entailment")
    assert view.clean.verbalizer["masked"] == ("no", "yes") and view.paired
    assert view.name == "world/scenes, typos without neutral 1"
    assert len(view.adversarial["test"]) == sum(y != 1 for y in whole.clean["test"]["label"])
    parts = whole.subtasks()
    assert [part.clean.name for part in parts] == ["world/scenes-pn", "world/scenes-neu"]
    assert all(part.paired and part.adversarial.num_labels == 2 for part in parts)
    assert view.subtasks() == (view,)
    with pytest.raises(SkillkitError, match="'?moderate'? cannot be left out"):
        adversarial_view("world/scenes", "typos", without=["moderate"])
    with pytest.raises(SkillkitError, match="two must stay"):
        adversarial_view("world/movies", "typos", without=["positive"])


@pytest.mark.parametrize(
    ("adversarial", "said"),
    [
        ("typoz", r"no attack on world/movies \(typos, .*\), no task and no file"),
        ("world/restaurants/typos", "a view of world/restaurants, not of world/movies"),
        ("world/rooms", "of type inference, world/movies of type sentiment"),
        ("world/hotels", "labels of world/hotels are negative, neutral, positive.*labels={"),
    ],
)
def test_a_view_of_another_task_is_refused(adversarial, said):
    with pytest.raises(SkillkitError, match=said):
        adversarial_view("world/movies", adversarial)


def test_more_bad_input(task):
    with pytest.raises(SkillkitError, match="between 0 and 1, not 2"):
        adversarial_view(task, "casing", strength=2)
    with pytest.raises(SkillkitError, match="holds pairs of texts, toy single texts"):
        adversarial_view(task, toy_task(24, pair=True))
    with pytest.raises(SkillkitError, match="typos.*no attack on toy"):
        adversarial_view(task, "typos")
    with pytest.raises(SkillkitError, match="no test split"):
        adversarial_view(task, replace(task, splits={"train": task["train"]}))


def test_few_examples_of_a_class_are_warned_of_with_the_interval(task):
    few = replace(task, splits={"test": task["test"].select([0, *range(1, 24, 2)])})
    with pytest.warns(UserWarning, match=r"1 test rows of class 'negative'.*95 % interval \[0\.21, 1\.00\]"):
        adversarial_view(task, few)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adversarial_view(task, task)


@pytest.mark.parametrize(
    ("name", "rows"),
    [("sst2", 148), ("qqp", 78), ("mnli", 121), ("mnli-mm", 162), ("qnli", 148), ("rte", 81)],
)
def test_all_of_adv_glue_can_be_read(name, rows):
    data = str(shared_path("data"))
    clean = "snli" if "mnli" in name else f"glue/{name}"
    view = adversarial_view(clean, f"adv_glue/{name}", data_root=data)
    assert len(view.adversarial["test"]) == rows and not view.paired
    assert view.adversarial.verbalizer == view.clean.verbalizer
    if "mnli" in name:
        two = adversarial_view(clean, f"adv_glue/{name}", data_root=data, without=["neutral"])
        assert two.clean.labels == ("entailment", "contradiction") and len(two.adversarial["test"]) < rows


def test_counterfactual_sets():
    data = str(shared_path("data"))
    view = adversarial_view("glue/sst2", "cad_imdb/revised", clean="cad_imdb/original", data_root=data)
    assert (len(view.clean["test"]), len(view.adversarial["test"]), view.paired) == (488, 488, False)
    assert len(view.clean["train"]) > 60000
    pairs = adversarial_view("snli", "cad_nli/revised", clean="cad_nli/original", paired=True, data_root=data)
    assert pairs.per_row == 4 and len(pairs.clean["test"]) == 400
