"""Evaluation of a prompt (or BitFit, an adapter, or nothing) on a task, and labels for new texts.

>>> result = evaluate(bb, task, prompt, split="test")
>>> result.accuracy, result.interval, result.n        # 0.93, (0.91, 0.94), 1000
>>> predict(bb, task, prompt, ["what a film"])        # [{"label": "positive", "probabilities": {…}}]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import classification_report, confusion_matrix, f1_score, matthews_corrcoef

from skillkit.core.errors import SkillkitError, at_least, check_objects, is_text, listed
from skillkit.core.stats import share_interval
from skillkit.core.store import artifact
from skillkit.prompts.dataset import prepare
from skillkit.prompts.recipes import given
from skillkit.tasks import balanced


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Logits of the label words and true labels, in the order of the rows; all metrics are made of them.

    >>> result.accuracy, result.interval      # share of right predictions, its 95 % Wilson interval
    >>> result.f1, result.matthews            # F1 of class 1 of two, else the mean over classes
    >>> result.score                          # the task's metric, or the mean of several ("accuracy+f1")
    >>> result.per_class, result.confusion    # a table by label; [true, predicted] counts
    """

    logits: torch.Tensor
    labels: torch.Tensor
    names: tuple[str, ...]
    metric: str = "accuracy"

    @property
    def n(self):
        return len(self.labels)

    @cached_property
    def predictions(self):
        return self.logits.argmax(1)

    @cached_property
    def correct(self):
        """Whether each row is right, bool [n]."""
        return self.predictions == self.labels

    @property
    def accuracy(self):
        return self.correct.double().mean().item()

    @property
    def interval(self):
        """95 % confidence interval of the accuracy (Wilson): fit for small n and for accuracies near 1."""
        return share_interval(int(self.correct.sum()), self.n)

    @property
    def margin(self):
        """How far the right label's logit lies above the best other one, mean over the rows.

        >>> result.margin > 0                              # right by and large
        True
        """
        right = torch.nn.functional.one_hot(self.labels, len(self.names)).bool()
        others = self.logits.masked_fill(right, -torch.inf).amax(1)
        return (self.logits[right] - others).double().mean().item()

    @property
    def f1(self):
        average = "binary" if len(self.names) == 2 else "macro"
        return float(f1_score(self.labels, self.predictions, average=average, zero_division=0))

    @property
    def matthews(self):
        return float(matthews_corrcoef(self.labels, self.predictions))

    @property
    def score(self):
        """The task's metric; several joined by "+" are averaged, as GLUE does for MRPC and QQP."""
        return float(np.mean([getattr(self, name) for name in self.metric.split("+")]))

    @property
    def per_class(self):
        """Precision, recall, f1-score and support (rows) of every label: a DataFrame."""
        numbers = range(len(self.names))
        options = dict(labels=numbers, target_names=self.names, output_dict=True, zero_division=0)
        report = classification_report(self.labels, self.predictions, **options)
        return pd.DataFrame({name: report[name] for name in self.names}).T

    @property
    def confusion(self):
        """Counts, int [true label, predicted label]."""
        return confusion_matrix(self.labels, self.predictions, labels=range(len(self.names)))

    def __repr__(self):
        low, high = self.interval
        return f"Evaluation(accuracy {self.accuracy:.3f} [{low:.3f}, {high:.3f}], n {self.n})"


@artifact("evaluation", version=2, ignore=("batch_size",))
def evaluate(bb, task, prompt=None, split="test", rows=None, batch_size=None) -> Evaluation:
    """Predict the labels of a split of a task, and compare them with the true ones.

    >>> evaluate(bb, task, prompt).accuracy
    >>> evaluate(bb, task, None, split="validation", rows=200)      # bare text, 200 rows

    prompt: a SoftPrompt, what `tune_bitfit` or `tune_adapter` returned, or None for the bare text with the
    mask (or the last slot) read. rows: None, a number of rows (as many of each class as there are, always the
    same ones), or row numbers. The prediction is the label whose word has the highest logit at the answer
    slot; neither batch size nor padding changes it.
    Returns an `Evaluation`; raises SkillkitError for rows that are not there or without labels, and for a prompt
    that does not fit.
    """
    check_objects(bb, task, prompt)
    chosen = _rows(task[split], rows)
    labels = torch.tensor(chosen["label"][:])
    if len(labels) == 0 or (labels < 0).any():
        raise SkillkitError(f"split {split!r} of {task.name} has rows without a label; use another split")
    logits = label_logits(bb, task, prompt, chosen, batch_size)
    return Evaluation(logits, labels, tuple(task.labels), task.metric)


def predict(bb, task, prompt, texts, batch_size=None):
    """Predict labels and their probabilities for new texts.

    >>> predict(bb, task, prompt, ["what a film", "the cast was weak."])     # or pairs of texts
    [{'label': '...', 'probabilities': {'negative': ..., 'positive': ...}}, …]

    texts: strings, or pairs of strings for tasks on pairs, in any sequence (such as a column of a DataFrame). The
    probabilities are a softmax over the label words alone.
    """
    check_objects(bb, task, prompt)
    # The elements of these are names of columns, or in no order.
    if isinstance(texts, Mapping | set | pd.DataFrame):
        kind = type(texts).__name__
        raise SkillkitError(f"predict takes a sequence of texts, not a {kind}; give its column of texts")
    texts = listed(texts)
    shares = label_logits(bb, task, prompt, _columns(task, texts), batch_size).softmax(1)
    probabilities = [dict(zip(task.labels, row.tolist(), strict=True)) for row in shares]
    return [{"label": max(row, key=row.get), "probabilities": row} for row in probabilities]


def label_logits(bb, task, prompt, rows, batch_size=None):
    """Logits of the label words at the answer slot, float32 [rows, labels], in the order of the rows.

    >>> label_logits(bb, task, prompt, task["test"])
    """
    at_least(1, **given({"batch_size": batch_size}))
    if len(rows["text"]) == 0:
        return torch.zeros(0, task.num_labels)
    reading = prepare(bb, task, prompt, rows)
    return reading.logits(reading.layout.label_ids(bb, task), batch_size)


def _columns(task, texts):
    """Texts, or pairs of them, as the columns that a task's rows have."""
    names = ("text", "text_pair") if task.pair else ("text",)
    wanted = "pairs (text, text_pair) of strings" if task.pair else "single texts"
    rows = [list(text) if isinstance(text, list | tuple | np.ndarray) else [text] for text in texts]
    for number, row in enumerate(rows, 1):
        if len(row) != len(names) or not all(map(is_text, row)):
            wrong = f"number {number} of those given is {texts[number - 1]!r}"
            raise SkillkitError(f"{task.name} takes {wanted}; {wrong}")
    return {name: [str(row[at]) for row in rows] for at, name in enumerate(names)}


def _rows(split, rows):
    """The rows of a split that `evaluate` is asked for."""
    if rows is None:
        return split
    if isinstance(rows, Integral | float | str):
        at_least(1, rows=rows)
        return split.select(balanced(split["label"], rows))
    numbers = np.asarray(listed(rows))
    if (
        numbers.ndim != 1
        or numbers.dtype.kind not in "iu"
        or numbers.min() < 0
        or numbers.max() >= len(split)
    ):
        raise SkillkitError(
            f"the rows of this split have the numbers 0 to {len(split) - 1}; give some of them"
        )
    return split.select(numbers)
