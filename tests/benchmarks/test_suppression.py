"""Curves over 11 rates, with the skill neurons and five random draws of as many.

The plain version starts from text for every mask: tokenises, draws batches at random, runs the head at every position,
and multiplies the neurons with the mask.
"""

import pytest
import torch

from skillkit.models import load_backbone
from skillkit.neurons import random_neurons, skill_neurons, suppress, suppression_curve
from skillkit.prompts import Evaluation, prepare, random_prompt
from skillkit.tasks import load_task
from tests.benchmarks.harness import Job, Mark, near, plainly
from tests.benchmarks.shapes import base, lengths, shuffled, task_of

BATCH, LENGTH, ROWS, TEXTS, DRAWS = 8, 16, 16, 48, 5
RATES = [0, *(round(0.02 * number, 2) for number in range(1, 11))]


WHOLE, OURS, PLAIN = "from text each time", "ours", "ours, SKILLKIT_PLAIN=1"


WHOLE_CURVE = (1 + 10 * (1 + DRAWS)) / (2 + DRAWS)  # the untouched model is read once
SCALE = {WHOLE: len(RATES), OURS: WHOLE_CURVE, PLAIN: WHOLE_CURVE}
TEXTS_OF = f"(1 + {DRAWS}) masks, {ROWS} texts of 8–56 tokens"
JOBS = {  # shape: rates, windows, what to reach, scale
    # One of ten rates is timed, since they all cost the same.
    f"roberta base, 11 rates × {TEXTS_OF}": ([0, RATES[5]], (None,), 2.0, SCALE),
    f"smollm2-135m, 11 rates × {TEXTS_OF}": ([0, RATES[5]], (None,), 2.0, SCALE),
    # In one layer at a time what lies below is the same for all masks.
    f"roberta base, layers 3 and 8 × {TEXTS_OF}": ([0.1], ([3], [8]), None, {}),
    f"embedded/roberta, 11 rates × (1 + {DRAWS}) masks, {TEXTS} texts": (RATES, (None,), None, {}),
}


@pytest.mark.parametrize("shape", JOBS)
def test_curves(bench, shape):
    rates, windows, mark, scale = JOBS[shape]
    if shape.startswith("embedded"):
        setting = Setting(load_backbone("embedded/roberta"), load_task("world/movies"), TEXTS, 16)
    else:
        kind = "smollm2" if shape.startswith("smollm2") else "roberta"
        setting = Setting(base(kind), task_of(lengths(ROWS)), None, BATCH)
    ours = lambda: setting.ours(rates, windows)
    ways = {WHOLE: lambda: setting.plain(rates, windows), OURS: ours, PLAIN: plainly(ours)}
    marks = [Mark(WHOLE, OURS, mark), Mark(PLAIN, OURS)]
    bench.run(Job("suppression curve", shape, ways, marks, near(1e-3), scale=scale))


class Setting:
    """All ways give the margins of all masks back, without those of rate 0."""

    def __init__(self, bb, task, examples, batch_size):
        self.bb, self.task, self.examples, self.batch_size = bb, task, examples, batch_size
        self.prompt = random_prompt(bb, LENGTH, 0)
        draw = torch.Generator().manual_seed(0)
        self.scores = torch.rand(bb.num_layers, bb.num_neurons, generator=draw)

    def ours(self, rates, windows):
        curve = suppression_curve(
            self.bb, self.task, self.prompt, self.scores, rates, windows=windows, draws=DRAWS,
            examples=self.examples, batch_size=self.batch_size, progress=False,
        )  # fmt: skip
        return torch.tensor([row["margin"] for row in curve.rows if row["rate"]])

    def plain(self, rates, windows):
        found = []
        for rate in filter(None, rates):
            mask = skill_neurons(self.scores, rate)
            masks = [mask, *(random_neurons(mask, number, self.bb.widths) for number in range(DRAWS))]
            found += [self._from_text(mask, window) for window in windows for mask in masks]
        return torch.tensor(found)

    @torch.inference_mode()
    def _from_text(self, mask, window):
        reading = prepare(self.bb, self.task, self.prompt, self.task.sample("test", self.examples, 0))
        words, logits = self.task.label_ids(self.bb).to(self.bb.device), torch.zeros(len(reading), 2)
        with suppress(self.bb, mask, layers=window):
            for attached, batch in shuffled(reading, self.batch_size):
                answers = self.bb.model(**attached.inputs).logits[torch.arange(len(batch)), attached.answer]
                logits[batch.index] = answers[:, words].cpu()
        return Evaluation(logits, reading.labels, self.task.labels).margin
