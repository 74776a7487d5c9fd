from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from skillkit.core import SkillkitError
from skillkit.prompts import Evaluation, SoftPrompt, evaluate, predict, random_prompt
from skillkit.prompts.evaluation import label_logits
from skillkit.tasks import balanced
from tests.helpers import refused
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK, PAIRS = toy_task(30), toy_task(12, pair=True)
BERT, GPT = tiny_backbone("bert", layers=1), tiny_backbone("gpt2", layers=1)


def evaluation(predicted, true, names=("no", "yes"), metric="accuracy"):
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), len(names)).float()
    return Evaluation(logits, torch.tensor(true), names, metric)


def test_figures_by_hand():
    # Class yes: two hits, one miss, one false alarm; class no: one right.
    result = evaluation([1, 1, 0, 1, 0], [1, 1, 1, 0, 0])
    assert result.accuracy == pytest.approx(0.6) and result.n == 5
    # Newcombe 1998 gives Wilson's interval for 81 of 263.
    wilson = evaluation([1] * 263, [1] * 81 + [0] * 182).interval
    assert wilson == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert result.f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert result.margin == pytest.approx((3 * 1 + 2 * -1) / 5)
    assert result.matthews == pytest.approx((2 * 1 - 1 * 1) / np.sqrt(3 * 3 * 2 * 2))
    assert result.confusion.tolist() == [[1, 1], [1, 2]]
    assert result.per_class.loc["yes"].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 3])
    assert result.correct.tolist() == [True, True, False, False, True]
    for metric in ("f1", "matthews", "accuracy+f1"):  # the score is the task's metric
        score = evaluation([1, 1, 0, 1, 0], [1, 1, 1, 0, 0], metric=metric).score
        assert score == pytest.approx(np.mean([getattr(result, part) for part in metric.split("+")]))
    # Several classes take the mean F1.
    predicted, true = [0, 1, 2, 2, 0], [0, 1, 2, 0, 1]
    result = evaluation(predicted, true, names=("a", "b", "c"))
    assert result.f1 == pytest.approx((1 / 2 + 2 / 3 + 2 / 3) / 3) and result.confusion.shape == (3, 3)
    assert result.per_class.index.tolist() == ["a", "b", "c"]


def test_some_rows_only():
    prompt = random_prompt(BERT, 4)
    whole, seven = evaluate(BERT, TASK, prompt), balanced(TASK["test"]["label"], 7)
    assert torch.allclose(evaluate(BERT, TASK, prompt, rows=7).logits, whole.logits[seven], atol=1e-4)
    for rows in ([9, 2], np.array([9, 2]), torch.tensor([9, 2]), (row for row in (9, 2))):
        found = evaluate(BERT, TASK, prompt, rows=rows).logits
        assert torch.allclose(found, whole.logits[[9, 2]], atol=1e-4)
    assert evaluate(BERT, TASK, prompt, rows=1000).n == 30 and evaluate(BERT, TASK, rows=np.int64(7)).n == 7
    order = sorted(range(30), key=lambda row: TASK["test"]["label"][row])
    task = replace(TASK, splits=TASK.splits | {"test": TASK["test"].select(order)})
    assert evaluate(BERT, task, prompt, rows=10).labels.tolist() == [0] * 5 + [1] * 5
    assert evaluate(BERT, TASK, prompt, split="validation").labels.tolist() == TASK["validation"]["label"]


@pytest.mark.parametrize(("options", "message"), [
    ({"batch_size": -1}, "^batch_size cannot be -1; give a whole number"),
    ({"rows": 0}, "^rows cannot be 0"), ({"rows": 1.5}, "^rows cannot be 1.5"),
    ({"rows": [99999]}, "numbers 0 to 29"), ({"rows": [0, -1]}, "numbers 0 to 29"),
    ({"rows": []}, "numbers 0 to 29"), ({"rows": ["a"]}, "numbers 0 to 29"),
])  # fmt: skip
def test_rows_and_batches_that_cannot_be(options, message, monkeypatch):
    monkeypatch.setattr("skillkit.prompts.evaluation.prepare", None)  # an error before anything is read
    refused(message, evaluate, BERT, TASK, None, **options)


def test_prompt_decides_how_texts_are_encoded():
    weight = random_prompt(BERT, 4).weight
    prompt = lambda **options: SoftPrompt(weight, "mask-first", options)
    both = [label_logits(BERT, PAIRS, prompt(segments=used), PAIRS["test"]) for used in (True, False)]
    assert not torch.allclose(*both, atol=1e-3)
    with pytest.warns(UserWarning, match="longer than 9 tokens"):
        label_logits(BERT, TASK, prompt(max_tokens=9), TASK["test"])


def test_predict_gives_labels_and_probabilities():
    prompt = random_prompt(GPT, 4)
    found = predict(GPT, TASK, prompt, TASK["test"]["text"][:5])
    logits = evaluate(GPT, TASK, prompt, rows=range(5)).logits
    for one, row in zip(found, logits.softmax(1), strict=True):
        assert one["probabilities"]["positive"] == pytest.approx(row[1].item(), abs=1e-4)
        assert one["label"] == TASK.labels[row.argmax()]
    assert predict(GPT, TASK, prompt, "a movie")[0].keys() == {"label", "probabilities"}
    assert predict(GPT, TASK, prompt, []) == predict(GPT, PAIRS, None, []) == []
    assert len(predict(GPT, PAIRS, prompt, [("a movie", "it was fun")])) == 1
    frame = pd.DataFrame({"text": TASK["test"]["text"][:5]}, index=range(5, 10))
    for texts in (frame["text"], frame["text"].to_numpy(), TASK["test"].select(range(5))["text"]):
        assert predict(GPT, TASK, prompt, texts) == found
    for wrong in (frame, frame.to_dict("list"), set(frame["text"])):
        refused("sequence of texts, not a .*; give its column", predict, GPT, TASK, prompt, wrong)


@pytest.mark.parametrize(("task", "wrong"), [
    (TASK, ("a movie", "it was fun")), (TASK, 5), (PAIRS, "a"), (PAIRS, ("a", 5)), (PAIRS, ("a", "b", "c")),
    (TASK, "half \ud800"), (PAIRS, ("a",)), (PAIRS, 5), (PAIRS, {"text": "a", "text_pair": "b"}),
])  # fmt: skip
def test_predict_wants_what_the_task_takes(task, wrong):
    wanted = "pairs" if task.pair else "single texts"
    with pytest.raises(SkillkitError, match=f"toy takes {wanted}.* number 2 of those given is") as error:
        predict(GPT, task, None, [("a", "b") if task.pair else "a", wrong])
    assert repr(wrong) in str(error.value)


def test_rows_without_labels_and_prompts_longer_than_the_model_are_refused():
    task = toy_task(4)
    task.splits["test"] = task["test"].map(lambda row: {"label": -1})
    refused("'test' of toy has rows without a label", evaluate, BERT, task)
    refused("prompt of 126 positions.*shorter prompt", evaluate, BERT, TASK, random_prompt(BERT, 125))
