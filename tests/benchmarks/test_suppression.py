"""Curves over 11 rates, with the skill neurons and five random draws of as many.

The plain version starts from text for every mask: tokenises, draws batches at random, runs the head at every position,
and multiplies the neurons with the mask.
"""

import random

import torch

from skillkit.models.backbone import load_backbone
from skillkit.neurons.skill_neurons import random_neurons, skill_neurons
from skillkit.neurons.suppression_curve import suppression_curve
from skillkit.prompts.dataset import prepare
from skillkit.prompts.evaluation import Evaluation
from skillkit.prompts.soft_prompt import random_prompt
from skillkit.tasks.task import load_task
from tests.benchmarks.harness import Job, Mark, near, plainly
from tests.benchmarks.shapes import base, lengths, task_of

BATCH, LENGTH, ROWS, TEXTS, DRAWS = 8, 16, 16, 48, 5
RATES = [0, *(round(0.02 * number, 2) for number in range(1, 11))]
MASKS = len(RATES) * (1 + DRAWS)


def test_curve_on_a_base_model(bench):
    """One of ten rates is timed, since they all cost the same."""
    bb, task = base("roberta"), task_of(lengths(ROWS))
    rates, masks = [0, RATES[5]], 1 + DRAWS
    shape = f"roberta base, 11 rates × (1 + {DRAWS}) masks, {ROWS} texts of 8–56 tokens"
    setting = Setting(bb, task, None, BATCH)
    ways = {"from text each time": lambda: setting.plain(rates[1:]), "ours": lambda: setting.ours(rates)}
    whole = (1 + (len(RATES) - 1) * masks) / (1 + masks)  # the untouched model is read once
    scale = {"from text each time": len(RATES), "ours": whole}
    marks = [Mark("from text each time", "ours", 2.0)]
    bench.run(Job("suppression curve", shape, ways, marks, near(1e-3), scale=scale))


def test_curve_by_layer(bench):
    """One rate, in one layer at a time: what lies below is the same for all masks."""
    setting, windows = Setting(base("roberta"), task_of(lengths(ROWS)), None, BATCH), [[3], [8]]
    ways = {
        "from text each time": lambda: setting.plain([0.1], windows),
        "ours": lambda: setting.ours([0.1], windows),
        "ours, SKILLKIT_PLAIN=1": plainly(lambda: setting.ours([0.1], windows)),
    }
    marks = [Mark(name, "ours") for name in ways if name != "ours"]
    shape = f"roberta base, layers 3 and 8 × (1 + {DRAWS}) masks, {ROWS} texts of 8–56 tokens"
    bench.run(Job("suppression by layer", shape, ways, marks, near(1e-3)))


def test_curve_on_an_embedded_model(bench):
    """The whole curve."""
    bb, task = load_backbone("embedded/roberta"), load_task("world/movies")
    setting = Setting(bb, task, TEXTS, 16)
    ways = {"from text each time": lambda: setting.plain(RATES), "ours": lambda: setting.ours(RATES)}
    shape = f"embedded/roberta, 11 rates × (1 + {DRAWS}) masks, {TEXTS} texts"
    bench.run(Job(
        "suppression curve", shape, ways, [Mark("from text each time", "ours")], near(1e-3)
    ))  # fmt: skip


class Setting:
    """Both ways give the margins of all masks back, those of rate 0 once."""

    def __init__(self, bb, task, examples, batch_size):
        self.bb, self.task, self.examples, self.batch_size = bb, task, examples, batch_size
        self.prompt = random_prompt(bb, LENGTH, 0)
        draw = torch.Generator().manual_seed(0)
        self.scores = torch.rand(bb.num_layers, bb.num_neurons, generator=draw)

    def ours(self, rates, windows=(None,)):
        curve = suppression_curve(
            self.bb, self.task, self.prompt, self.scores, rates, windows=windows, draws=DRAWS,
            examples=self.examples, batch_size=self.batch_size, progress=False,
        )  # fmt: skip
        return _margins([(row["rate"], row["margin"]) for row in curve.rows if row["rate"]])

    def plain(self, rates, windows=(None,)):
        found = []
        for rate in rates:
            mask = skill_neurons(self.scores, rate)
            masks = [mask] * (1 + DRAWS)
            if rate:
                masks[1:] = [random_neurons(mask, number, self.bb.widths) for number in range(DRAWS)]
            found += [(rate, self._from_text(mask, window)) for window in windows for mask in masks]
        return _margins([(rate, margin) for rate, margin in found if rate])

    @torch.inference_mode()
    def _from_text(self, mask, window):
        reading = prepare(self.bb, self.task, self.prompt, self.task.sample("test", self.examples, 0))
        words, logits = self.task.label_ids(self.bb), torch.zeros(len(reading), 2)
        hooks = [
            matrix.register_forward_pre_hook(lambda _, args, row=row: (args[0] * ~row.to(args[0].device),))
            for layer, (matrix, row) in enumerate(zip(self.bb.value_matrices, mask, strict=True))
            if window is None or layer in window
        ]
        order = random.Random(0).sample(range(len(reading)), len(reading))
        for at in range(0, len(order), self.batch_size):
            batch = reading.encoded.batch(order[at : at + self.batch_size])
            attached = reading.layout.attach(self.bb, reading.weight, batch)
            answers = self.bb.model(**attached.inputs).logits[torch.arange(len(batch)), attached.answer]
            logits[batch.index] = answers[:, words.to(answers.device)].cpu()
        for hook in hooks:
            hook.remove()
        return Evaluation(logits, reading.labels, self.task.labels).margin


def _margins(found):
    return [torch.tensor([margin for _, margin in found])]
