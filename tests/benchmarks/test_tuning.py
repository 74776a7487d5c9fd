"""Steps of prompt tuning.

The plain version is how the published code does it: nothing is frozen, the norm for clipping is over all gradients,
batches are drawn at random, and the head runs at every position. PEFT freezes, and runs the head everywhere. The marks
are for batches padded to their longest text. Prompt Transferability 1.0 and Robust Neurons pad every text to `max_len`
of their configurations; how long that takes is only reported.

For the results to be comparable, the learning rate is next to nothing: over an epoch all ways see the same rows, so
the gradients of the prompt, weighted by rows, add up to the same.
"""

import random
from dataclasses import replace

import peft
import pytest
import torch

from skillkit.models.precision import precision, training_dtype
from skillkit.prompts.layouts import find_layout
from skillkit.prompts.recipes import choose_recipe
from skillkit.prompts.soft_prompt import initial_weight
from skillkit.prompts.training import fit
from skillkit.prompts.tuning import _Tuning
from tests.benchmarks.harness import Job, Mark, near, plainly
from tests.benchmarks.shapes import base, counted, lengths, task_of

BATCH, LENGTH, ROWS = 8, 16, 32
RATE = 1e-12
# In the configurations of both, RoBERTa's and T5's, for SST-2, the texts of which are about as long as these.
MAX_LEN = 128


class Setting:
    """A task and a prompt in front of a backbone; every way gives the sum of the prompt's gradients back."""

    def __init__(self, bb, tokens, length):
        self.bb, self.task, self.tokens = bb, task_of(tokens), tokens
        self.layout = find_layout(bb)
        self.initial = initial_weight(bb, self.task, length, "random", 0).to(bb.device)

    def job(self, dtype):
        weight = self.initial.clone().requires_grad_()
        total = torch.zeros_like(weight)
        weight.register_hook(lambda slope: total.add_(slope))
        recipe = choose_recipe(
            "embedded", self.bb, epochs=1, batch_size=BATCH, learning_rate=RATE, evaluate_every=10**6
        )
        return _Tuning("prompt", self.bb, self.task, self.layout, recipe, 0, None, dtype, weight), total

    def ours(self, dtype="float32"):
        job, total = self.job(dtype)
        job.score = lambda: 0.0
        with precision(self.bb, job.dtype):
            fit(job, {"weight": job.weight}, show=False)
        return total

    def in_bfloat16(self):
        """The same as one more way, where the hardware is fast at it."""
        fast = training_dtype(self.bb) == torch.bfloat16
        return {"ours, bf16": lambda: self.ours("bfloat16")} if fast else {}

    def as_published(self, padded_to=1):
        """`padded_to`: texts are padded to the next multiple of it."""
        job, total = self.job("float32")
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
        for rows in self.random_rows():
            batch = texts.batch(rows)
            attached = self.layout.attach(self.bb, job.weight, batch)
            for parameter in everything:
                parameter.grad = None
            logits = self.bb.model(**attached.inputs).logits
            answers = logits[torch.arange(len(logits)), attached.answer][:, job.words[self.task.name]]
            torch.nn.functional.cross_entropy(answers, batch.labels.to(self.bb.device)).backward()
            torch.nn.utils.clip_grad_norm_(everything, 1.0)
            optimizer.step()

    def random_rows(self):
        """The rows of each batch of the published way."""
        order = random.Random(0).sample(range(len(self.tokens)), len(self.tokens))
        return [order[at : at + BATCH] for at in range(0, len(order), BATCH)]

    @property
    def multiply_adds(self):
        """There and back; of attention, back costs twice what there costs."""
        slots = self.layout.room(len(self.initial))
        whole, last = counted(self.bb, [count + slots for count in self.tokens])
        return 2 * (whole * (self.bb.num_layers - 1) + last)


def test_steps(bench):
    setting = Setting(base("roberta"), lengths(ROWS), LENGTH)
    quick = {"ours": setting.ours} | setting.in_bfloat16()
    ways = {"as published": setting.as_published} | quick | {"ours, SKILLKIT_PLAIN=1": plainly(setting.ours)}
    wanted = {"ours": 3.0, "ours, bf16": 5.0}
    marks = [Mark("as published", name, wanted.get(name)) for name in quick]
    marks.append(Mark("ours, SKILLKIT_PLAIN=1", "ours"))
    shape = f"roberta base, {ROWS // BATCH} steps of {BATCH} texts of 8–56 tokens, {LENGTH} slots"
    dtypes = {"ours, bf16": torch.bfloat16}
    bench.run(Job("prompt tuning", shape, ways, marks, near(0.1), setting.multiply_adds, dtypes))


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_steps_of_other_models(bench, kind):
    setting = Setting(base(kind), lengths(ROWS), LENGTH)
    ways = {"ours": setting.ours, "as published": setting.as_published}
    shape = f"{kind} base, {ROWS // BATCH} steps of {BATCH} texts of 8–56 tokens, {LENGTH} slots"
    marks = [Mark("as published", "ours", 3.0)]
    setting.ours()  # warm up
    bench.run(Job("prompt tuning", shape, ways, marks, near(1e-3), warm=False))


@pytest.mark.parametrize("kind", ["roberta", "t5"])
def test_steps_as_configured(bench, kind):
    setting = Setting(base(kind), lengths(ROWS), LENGTH)
    slow = f"as published, texts padded to {MAX_LEN}"
    ways = {"ours": setting.ours, slow: lambda: setting.as_published(MAX_LEN)}
    shape = f"{kind} base, {ROWS // BATCH} steps of {BATCH} texts of 8–56 tokens, {LENGTH} slots"
    bench.run(Job("prompt tuning as configured", shape, ways, [Mark(slow, "ours")], near(1e-3)))


def test_step_of_peft(bench):
    setting = Setting(base("roberta"), [32] * BATCH, 100)
    tuned = _peft_model(setting)
    ways = {"PEFT": lambda: _peft_step(setting, tuned), "ours": setting.ours} | setting.in_bfloat16()
    marks = [Mark("PEFT", name, {"ours": 1.5}.get(name)) for name in list(ways)[1:]]
    bench.run(Job(
        "prompt tuning beside PEFT", f"roberta base, 1 step of {BATCH} texts of 32 tokens, 100 slots",
        ways, marks, near(0.1), setting.multiply_adds, {"ours, bf16": torch.bfloat16},
    ))  # fmt: skip


def _peft_model(setting):
    """PEFT's own prompt tuning with the same vectors, behind one for the mask."""
    count = len(setting.initial) + 1
    tuned = peft.get_peft_model(
        setting.bb.model, peft.PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=count)
    )
    rows = tuned.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        rows.copy_(setting.layout.rows(setting.bb, setting.initial))
    return tuned, rows


def _peft_step(setting, tuned):
    model, rows = tuned
    job, _ = setting.job("float32")
    optimizer = torch.optim.AdamW([rows], RATE, weight_decay=0)
    batch = job.train[setting.task.name].batch(range(BATCH)).to(setting.bb.device)
    rows.grad = None
    logits = model(input_ids=batch.ids, attention_mask=batch.mask).logits[:, 0, job.words[setting.task.name]]
    torch.nn.functional.cross_entropy(logits, batch.labels).backward()
    torch.nn.utils.clip_grad_norm_([rows], 1e9)
    optimizer.step()
    return rows.grad[1:].clone()
