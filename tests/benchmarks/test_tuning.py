"""Steps of prompt tuning.

The plain version is how the published code does it: nothing is frozen, the norm for clipping is over all gradients,
batches are drawn at random, and the head runs at every position. PEFT freezes, and runs the head everywhere. The marks
are for batches padded to their longest text. Prompt Transferability 1.0 and Robust Neurons pad every text to `max_len`
of their configurations; how long that takes is only reported.

For the results to be comparable, the learning rate is next to nothing: over an epoch all ways see the same rows, so
the gradients of the prompt, weighted by rows, add up to the same.
"""

from dataclasses import replace
from math import nan

import peft
import pytest
import torch

from skillkit.models import precision, training_dtype
from skillkit.prompts import choose_recipe, find_layout, initial_weight
from skillkit.prompts.dataset import Reading
from skillkit.prompts.training import fit
from skillkit.prompts.tuning import _Tuning
from tests.benchmarks.harness import Job, Mark, near, plainly
from tests.benchmarks.shapes import base, called, counted, lengths, shuffled, task_of

BATCH, LENGTH, ROWS = 8, 16, 32
RATE = 1e-12
# In the configurations of both, RoBERTa's and T5's, for SST-2, the texts of which are about as long as these.
MAX_LEN = 128


class Setting:
    """A task and a prompt in front of a backbone; every way gives the sum of the prompt's gradients back."""

    def __init__(self, kind, tokens, length=LENGTH):
        self.bb, self.task, self.tokens = base(kind), task_of(tokens), tokens
        self.layout = find_layout(self.bb)
        self.initial = initial_weight(self.bb, self.task, length, "random", 0).to(self.bb.device)
        # The same as one more way, where the hardware is fast at it.
        fast = training_dtype(self.bb) == torch.bfloat16
        self.ways = {"ours": self.ours} | ({"ours, bf16": lambda: self.ours("bfloat16")} if fast else {})
        self.close = near(0.1 if fast else 1e-3)

    def job(self, dtype="float32"):
        weight = self.initial.clone().requires_grad_()
        total = torch.zeros_like(weight)
        weight.register_hook(lambda slope: total.add_(slope))
        options = dict(epochs=1, batch_size=BATCH, learning_rate=RATE, evaluate_every=10**6)
        recipe = choose_recipe("embedded", self.bb, **options)
        return _Tuning("prompt", self.bb, self.task, self.layout, recipe, 0, None, dtype, weight), total

    def ours(self, dtype="float32"):
        job, total = self.job(dtype)
        job.score = lambda: 0.0
        with precision(self.bb, job.dtype):
            fit(job, {"weight": job.weight}, show=False)
        return total

    def as_published(self, padded_to=1):
        """`padded_to`: texts are padded to the next multiple of it."""
        job, total = self.job()
        self.bb.model.requires_grad_(True)
        try:
            self._steps(job, replace(job.train[self.task.name], step=padded_to))
        finally:
            self.bb.model.requires_grad_(False)
            self.bb.model.zero_grad(set_to_none=True)
        return total

    def _steps(self, job, texts):
        optimizer = torch.optim.AdamW([job.weight], RATE, weight_decay=0)
        everything = [job.weight, *self.bb.model.parameters()]
        for attached, batch in shuffled(Reading(self.bb, self.layout, job.weight, texts), BATCH):
            for parameter in everything:
                parameter.grad = None
            logits = self.bb.model(**attached.inputs).logits
            answers = logits[torch.arange(len(logits)), attached.answer][:, job.words[self.task.name]]
            torch.nn.functional.cross_entropy(answers, batch.labels.to(self.bb.device)).backward()
            torch.nn.utils.clip_grad_norm_(everything, 1.0)
            optimizer.step()

    def run(self, bench, name, shape, ways, marks):
        """`marks`: (slower, quicker, how many times as fast)."""
        # There and back; of attention, back costs twice what there costs.
        slots = self.layout.room(len(self.initial))
        whole, last = counted(self.bb, [count + slots for count in self.tokens])
        needed = 2 * (whole * (self.bb.num_layers - 1) + last) if self.bb.family == "masked" else nan
        marks = [Mark(*mark) for mark in marks if mark[0] in ways and mark[1] in ways]
        bench.run(Job(name, shape, ways, marks, self.close, needed, {"ours, bf16": torch.bfloat16}))


@pytest.mark.parametrize("kind, mark", [("roberta", 3.0), ("gpt2", 3.0), ("t5", 3.0), ("smollm2", 4.0)])
def test_steps(bench, kind, mark):
    plain, padded = "as published", f"as published, padded to {MAX_LEN}"
    setting = Setting(kind, lengths(ROWS))
    ways = {plain: setting.as_published} | setting.ways | {"ours, SKILLKIT_PLAIN=1": plainly(setting.ours)}
    if kind in ("roberta", "t5"):  # which others have published
        ways[padded] = lambda: setting.as_published(MAX_LEN)
    marks = [(plain, "ours", mark), (plain, "ours, bf16", 5.0 if kind == "roberta" else None)]
    marks += [(name, "ours") for name in (padded, "ours, SKILLKIT_PLAIN=1")]
    shape = f"{called(kind)}, {ROWS // BATCH} steps of {BATCH} texts of 8–56 tokens, {LENGTH} slots"
    setting.run(bench, "prompt tuning", shape, ways, marks)


def test_step_of_peft(bench):
    setting = Setting("roberta", [32] * BATCH, 100)
    tuned = _peft_model(setting)
    ways = {"PEFT": lambda: _peft_step(setting, tuned)} | setting.ways
    shape = f"roberta base, 1 step of {BATCH} texts of 32 tokens, 100 slots"
    marks = [("PEFT", "ours", 1.5), ("PEFT", "ours, bf16")]
    setting.run(bench, "prompt tuning beside PEFT", shape, ways, marks)


def _peft_model(setting):
    """PEFT's own prompt tuning with the same vectors, behind one for the mask."""
    options = dict(task_type="FEATURE_EXTRACTION", num_virtual_tokens=len(setting.initial) + 1)
    tuned = peft.get_peft_model(setting.bb.model, peft.PromptTuningConfig(**options))
    rows = tuned.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        rows.copy_(setting.layout.rows(setting.bb, setting.initial))
    return tuned, rows


def _peft_step(setting, tuned):
    model, rows = tuned
    job, _ = setting.job()
    optimizer = torch.optim.AdamW([rows], RATE, weight_decay=0)
    batch = job.train[setting.task.name].batch(range(BATCH))
    ids, mask, labels = (one.to(setting.bb.device) for one in (batch.ids, batch.mask, batch.labels))
    rows.grad = None
    logits = model(input_ids=ids, attention_mask=mask).logits[:, 0, job.words[setting.task.name]]
    torch.nn.functional.cross_entropy(logits, labels).backward()
    torch.nn.utils.clip_grad_norm_([rows], 1e9)
    optimizer.step()
    return rows.grad[1:].clone()
