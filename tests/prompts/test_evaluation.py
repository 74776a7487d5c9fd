from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from skillkit.core.errors import SkillkitError
from skillkit.prompts.evaluation import Evaluation, evaluate, label_logits, predict
from skillkit.prompts.soft_prompt import SoftPrompt, random_prompt
from skillkit.tasks.splits import balanced
from tests.tiny import TINY_MODELS, tiny_backbone
from tests.toys import toy_task

TASK, PAIRS = toy_task(30), toy_task(12, pair=True)


def evaluation(predicted, true, names=("no", "yes"), metric="accuracy"):
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), len(names)).float()
    return Evaluation(logits, torch.tensor(true), names, metric)


def test_figures_by_hand():
    # Class yes: two hits, one miss, one false alarm; class no: one right.
    result = evaluation([1, 1, 0, 1, 0], [1, 1, 1, 0, 0])
    assert result.accuracy == pytest.approx(0.6) and result.n == 5
    assert result.f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert result.margin == pytest.approx((3 * 1 + 2 * -1) / 5)
    assert result.matthews == pytest.approx((2 * 1 - 1 * 1) / np.sqrt(3 * 3 * 2 * 2))
    assert result.confusion.tolist() == [[1, 1], [1, 2]]
    assert result.per_class["yes"] == pytest.approx(
        {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "n": 3}
    )
    assert result.correct.tolist() == [True, True, False, False, True]


def test_interval_is_wilsons():
    low, high = evaluation([1] * 10, [1] * 8 + [0] * 2).interval
    z, p, n = 1.959964, 0.8, 10
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (low, high) == pytest.approx(
        [(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)], abs=1e-6
    )
    assert evaluation([1] * 10, [1] * 10).interval[0] == pytest.approx(1 / (1 + z * z / n), abs=1e-6)


@pytest.mark.parametrize(
    ("metric", "parts"), [("f1", ["f1"]), ("matthews", ["matthews"]), ("accuracy+f1", ["accuracy", "f1"])]
)
def test_score_is_the_tasks_metric(metric, parts):
    result = evaluation([1, 1, 0, 1, 0], [1, 1, 1, 0, 0], metric=metric)
    assert result.score == pytest.approx(np.mean([getattr(result, part) for part in parts]))


def test_several_classes_take_the_mean_f1():
    predicted, true = [0, 1, 2, 2, 0], [0, 1, 2, 0, 1]
    result = evaluation(predicted, true, names=("a", "b", "c"))
    assert result.f1 == pytest.approx(
        np.mean([f1_score(np.equal(true, c), np.equal(predicted, c)) for c in range(3)])
    )
    assert list(result.per_class) == ["a", "b", "c"] and result.confusion.shape == (3, 3)


@pytest.mark.parametrize("model", TINY_MODELS)
def test_logits_come_in_the_order_of_the_rows_whatever_the_batch_size(model):
    bb = tiny_backbone(model)
    prompt = random_prompt(bb, 4, seed=1)
    whole = evaluate(bb, TASK, prompt, batch_size=30)
    single = evaluate(bb, TASK, prompt, batch_size=1)
    torch.testing.assert_close(whole.logits, single.logits, atol=2e-4, rtol=1e-4)
    assert whole.labels.tolist() == TASK["test"]["label"] and whole.logits.shape == (30, 2)


def test_some_rows_only():
    bb = tiny_backbone("bert", layers=1)
    prompt = random_prompt(bb, 4)
    whole = evaluate(bb, TASK, prompt)
    seven = balanced(TASK["test"]["label"], 7)
    assert torch.allclose(evaluate(bb, TASK, prompt, rows=7).logits, whole.logits[seven], atol=1e-4)
    assert torch.allclose(evaluate(bb, TASK, prompt, rows=[9, 2]).logits, whole.logits[[9, 2]], atol=1e-4)
    assert evaluate(bb, TASK, prompt, rows=1000).n == 30
    assert evaluate(bb, TASK, prompt, split="validation").labels.tolist() == TASK["validation"]["label"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": -1}, "^batch_size cannot be -1; give a whole number of at least 1$"),
        ({"batch_size": 0}, "^batch_size cannot be 0"),
        ({"rows": -1}, "^rows cannot be -1; give a whole number"),
        ({"rows": 0}, "^rows cannot be 0"),
        ({"rows": 1.5}, "^rows cannot be 1.5"),
        ({"rows": [99999]}, "numbers 0 to 29; give some of these, or how many to take"),
        ({"rows": [0, -1]}, "numbers 0 to 29"),
        ({"rows": []}, "numbers 0 to 29"),
        ({"rows": ["a"]}, "numbers 0 to 29"),
    ],
)
def test_rows_and_batches_that_there_cannot_be(options, message, monkeypatch):
    monkeypatch.setattr("skillkit.prompts.evaluation.prepare", None)  # told before anything is read
    with pytest.raises(SkillkitError, match=message):
        evaluate(tiny_backbone("bert", layers=1), TASK, None, **options)


def test_row_numbers_may_be_of_any_kind_of_whole_number():
    bb = tiny_backbone("bert", layers=1)
    logits = evaluate(bb, TASK, None, rows=[9, 2]).logits
    for rows in (np.array([9, 2]), torch.tensor([9, 2]), (row for row in (9, 2))):
        assert torch.equal(evaluate(bb, TASK, None, rows=rows).logits, logits)
    assert evaluate(bb, TASK, None, rows=np.int64(7)).n == 7


def test_prompt_decides_how_texts_are_encoded():
    bb = tiny_backbone("bert", layers=1)
    weight = random_prompt(bb, 4).weight
    with_segments, without = (
        label_logits(bb, PAIRS, SoftPrompt(weight, "mask-first", {"segments": used}), PAIRS["test"])
        for used in (True, False)
    )
    assert not torch.allclose(with_segments, without, atol=1e-3)
    with pytest.warns(UserWarning, match="longer than 9 tokens"):
        label_logits(bb, TASK, SoftPrompt(weight, "mask-first", {"max_tokens": 9}), TASK["test"])


def test_predict_gives_labels_and_probabilities():
    bb = tiny_backbone("gpt2", layers=1)
    prompt = random_prompt(bb, 4)
    found = predict(bb, TASK, prompt, TASK["test"]["text"][:5])
    logits = evaluate(bb, TASK, prompt, rows=range(5)).logits
    for one, row in zip(found, logits.softmax(1), strict=True):
        assert one["probabilities"]["positive"] == pytest.approx(row[1].item(), abs=1e-4)
        assert one["label"] == TASK.labels[row.argmax()]
    assert predict(bb, TASK, prompt, "a movie")[0].keys() == {"label", "probabilities"}
    assert predict(bb, TASK, prompt, []) == []
    assert len(predict(bb, PAIRS, prompt, [("a movie", "it was fun")])) == 1


def test_predict_wants_what_the_task_takes():
    bb = tiny_backbone("gpt2", layers=1)
    with pytest.raises(SkillkitError, match="toy takes pairs"):
        predict(bb, PAIRS, None, ["a movie"])
    for texts in ([("a movie", "it was fun")], ["a movie", 5]):
        with pytest.raises(SkillkitError, match=f"toy takes single texts; number {len(texts)} "):
            predict(bb, TASK, None, texts)
    for wrong in (("a", 5), ("a", "b", "c"), ("a",), 5, {"text": "a", "text_pair": "b"}):
        with pytest.raises(SkillkitError, match="toy takes pairs .* number 2 of those given is") as told:
            predict(bb, PAIRS, None, [("a", "b"), wrong])
        assert repr(wrong) in str(told.value)
    assert predict(bb, PAIRS, None, []) == []


def test_a_split_that_is_sorted_by_class_gives_rows_of_every_class():
    order = sorted(range(30), key=lambda row: TASK["test"]["label"][row])
    task = replace(TASK, splits=TASK.splits | {"test": TASK["test"].select(order)})
    bb = tiny_backbone("bert", layers=1)
    assert evaluate(bb, task, random_prompt(bb, 4), rows=10).labels.tolist() == [0] * 5 + [1] * 5


def test_rows_without_labels_are_refused():
    task = toy_task(4)
    task.splits["test"] = task["test"].map(lambda row: {"label": -1})
    with pytest.raises(SkillkitError, match="'test' of toy has rows without a label"):
        evaluate(tiny_backbone("bert", layers=1), task)


def test_prompt_longer_than_the_model_is_refused():
    bb = tiny_backbone("roberta", layers=1)
    with pytest.raises(SkillkitError, match="prompt of 126 positions.*shorter prompt"):
        evaluate(bb, TASK, random_prompt(bb, 125))
