"""Pretraining of the embedded models from a seed: `python -m skillkit pretrain embedded/roberta`.

>>> pretrain("embedded/roberta", "my/folder", seed=0, steps=20)                        # doctest: +SKIP

Each is a plain `transformers` checkpoint with a tokenizer trained on the same text. A rebuild reaches the same
quality, not the same bytes: processors differ in the last digits of a sum, and the trainers of vocabularies in the
order of pieces that are equally frequent.
"""

import copy
import itertools
import random
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from transformers import Adafactor

from skillkit.core.errors import at_least
from skillkit.core.files import filling
from skillkit.small_world import tiny_models
from skillkit.small_world.corpus import Curriculum, documents
from skillkit.small_world.objectives import Causal, Masked, Spans
from skillkit.small_world.zero_shot_eval import zero_shot_counts


def _adamw(model, rate):
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [dict(params=decayed, weight_decay=0.01), dict(params=plain, weight_decay=0.0)]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def _adafactor(model, rate):
    """T5's own optimizer: a step is a share of a matrix's size, and T5's embeddings begin twenty times larger than
    the rest. AdamW, whose steps are as large everywhere, taught it facts at a third of the speed."""
    return Adafactor(model.parameters(), lr=rate, relative_step=False)


class Pretraining(NamedTuple):
    """How one embedded model is made: `steps` of 64 documents.

    >>> RECIPES["embedded/bert"].steps, RECIPES["embedded/bert"].objective
    (14000, <class 'skillkit.small_world.objectives.Masked'>)
    """

    tokenizer: Callable
    model: Callable
    objective: type
    optimizer: Callable = _adamw
    rate: float = 5e-4
    steps: int = 14000
    curriculum: Curriculum = Curriculum()


RECIPES = {
    "embedded/roberta": Pretraining(
        tiny_models.roberta_tokenizer, tiny_models.roberta, Masked, steps=14700, curriculum=Curriculum(closing=0.05)
    ),
    "embedded/bert": Pretraining(
        tiny_models.bert_tokenizer, tiny_models.bert, Masked, curriculum=Curriculum(opening=0.15)
    ),
    "embedded/gpt2": Pretraining(tiny_models.gpt2_tokenizer, tiny_models.gpt2, Causal),
    "embedded/t5": Pretraining(
        tiny_models.t5_tokenizer, tiny_models.t5, Spans, _adafactor, 1e-2, curriculum=Curriculum(lean=0.0)
    ),
}  # fmt: skip
BATCH = 64
_REMEDY = "give another folder with --out"


def _batches(objective, docs):
    """Batches of similar length, made from a few thousand documents at a time."""
    while True:
        read = list(itertools.islice(docs, 32 * BATCH))
        chunk = sorted(objective.examples(read), key=lambda e: len(e["ids"]))
        starts = list(range(0, len(chunk) - BATCH + 1, BATCH))
        objective.rng.shuffle(starts)
        for start in starts:
            yield objective.batch(chunk[start : start + BATCH])


def _optimizer(recipe, model, steps):
    """The recipe's optimizer and its schedule: a warm-up of 300 steps, the full rate, a fall over the last 40 %."""
    optimizer = recipe.optimizer(model, recipe.rate)
    shape = lambda step: min((step + 1) / 300, max(0.02, (steps - step) / (0.4 * steps)), 1.0)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, shape)


def pretrain(name, folder, seed=0, steps=None, every=None, report=print):
    """Train one embedded model from nothing and save it in half precision.

    >>> model, tokenizer = pretrain("embedded/gpt2", "dir", steps=1, every=2)              # doctest: +SKIP
    >>> model.config.vocab_size == len(tokenizer)                                        # doctest: +SKIP
    True

    name: a key of `RECIPES`; folder: where the checkpoint goes; every: steps between two zero-shot evaluations, after
    each of which the checkpoint is saved (a twentieth of all). The corpus begins easy (see `documents`), and the
    learning rates are low on purpose: at 2e-3 the comparison of two texts was never learned.
    """
    recipe = RECIPES[name]
    at_least(1, steps=1 if steps is None else steps), at_least(0, seed=seed)
    with filling(folder, _REMEDY):
        pass  # nothing is trained that could not be saved
    steps, began, running = steps or recipe.steps, time.time(), 0.0
    torch.manual_seed(seed)
    tokenizer, progress = recipe.tokenizer(seed), [0.0]
    model, objective = recipe.model(tokenizer), recipe.objective(tokenizer, random.Random(f"{name}/{seed}"))
    model.set_attn_implementation("eager")  # its backward pass is twice as fast on short CPU batches
    batches = _batches(objective, documents(seed, lambda: progress[0], recipe.curriculum))
    optimizer, schedule = _optimizer(recipe, model, steps)
    for step in range(steps):
        progress[0] = step / steps
        with torch.autocast("cpu", torch.bfloat16):
            loss = objective.loss(model, next(batches))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(), schedule.step(), optimizer.zero_grad()
        running += 0.02 * (loss.item() - running) if step else loss.item()
        if (step + 1) % (every or max(1, steps // 20)) == 0:
            spent = f"{time.time() - began:.0f} s  loss {running:.3f}"
            report(f"{name} step {step + 1}/{steps}  {spent}  {_known(model, objective)}", flush=True)
            _save(model, tokenizer, folder, dict(name=name, seed=seed, steps=step + 1))
    return model, tokenizer


def _known(model, objective):
    """One line of zero-shot accuracies."""
    found = zero_shot_counts(model, objective, rows=200)
    return "  ".join(f"{asked['question']} {asked['right'] / asked['n']:.2f}" for asked in found)


def _save(model, tokenizer, folder, recipe):
    half = copy.deepcopy(model).half()
    half.config.skillkit_pretraining = recipe
    with filling(folder, _REMEDY, sums=True) as fresh:
        half.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
