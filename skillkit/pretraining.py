"""Embedded models, rebuilt from a seed: `python -m skillkit pretrain embedded/roberta`.

>>> from skillkit.pretraining import pretrain
>>> pretrain("embedded/roberta", "my/folder", seed=0, steps=20)                        # doctest: +SKIP

Each is a plain `transformers` checkpoint with a tokenizer trained on the same text. A rebuild reaches the same
quality, not the same bytes: processors differ in the last digits of a sum.
"""

import argparse
import copy
import itertools
import random
import time
from pathlib import Path

import torch

from skillkit import blueprints
from skillkit.corpus import Curriculum, documents
from skillkit.exams import examine
from skillkit.objectives import Causal, Masked, Spans

RECIPES = {  # tokenizer, model, objective, learning rate, steps of 64 documents, curriculum
    "embedded/roberta": (blueprints.roberta_tokenizer, blueprints.roberta, Masked, 5e-4, 14000, Curriculum()),
    "embedded/bert": (
        blueprints.bert_tokenizer,
        blueprints.bert,
        Masked,
        5e-4,
        14000,
        Curriculum(0.15),
    ),
    "embedded/gpt2": (blueprints.gpt2_tokenizer, blueprints.gpt2, Causal, 5e-4, 14000, Curriculum()),
    "embedded/t5": (
        blueprints.t5_tokenizer,
        blueprints.t5,
        Spans,
        1e-3,
        14000,
        Curriculum(opening=0.12, pairs=1.0, lean=0.0),
    ),
}
BATCH = 64


def _batches(objective, docs):
    """Batches of similar length, made from a few thousand documents at a time."""
    while True:
        chunk = sorted(
            objective.examples(list(itertools.islice(docs, 32 * BATCH))), key=lambda e: len(e["ids"])
        )
        starts = list(range(0, len(chunk) - BATCH + 1, BATCH))
        objective.rng.shuffle(starts)
        for start in starts:
            yield objective.batch(chunk[start : start + BATCH])


def _optimizer(model, rate, steps):
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [dict(params=decayed, weight_decay=0.01), dict(params=plain, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)
    shape = lambda step: min((step + 1) / 300, max(0.02, (steps - step) / (0.4 * steps)), 1.0)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, shape)


def pretrain(name, folder, seed=0, steps=None, report=print):
    """Train one embedded model from nothing and save it in half precision.

    name: a key of `RECIPES`; folder: where the checkpoint goes. The corpus begins easy (see `documents`), and the
    learning rates are low on purpose: at 2e-3 the comparison of two texts was never learned.
    """
    make_tokenizer, make_model, make_objective, rate, default, curriculum = RECIPES[name]
    steps = steps or default
    torch.manual_seed(seed)
    tokenizer, progress = make_tokenizer(seed), [0.0]
    model, objective = make_model(tokenizer), make_objective(tokenizer, random.Random(f"{name}/{seed}"))
    model.set_attn_implementation("eager")  # its backward pass is twice as fast on short CPU batches
    batches = _batches(objective, documents(seed, lambda: progress[0], curriculum))
    optimizer, schedule = _optimizer(model, rate, steps)
    began, running = time.time(), 0.0
    for step in range(steps):
        progress[0] = step / steps
        with torch.autocast("cpu", torch.bfloat16):
            loss = objective.loss(model, next(batches))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(), schedule.step(), optimizer.zero_grad()
        running += 0.02 * (loss.item() - running) if step else loss.item()
        if (step + 1) % max(1, steps // 20) == 0:
            known = "  ".join(
                f"{e['question']} {e['right'] / e['n']:.2f}" for e in examine(model, objective, rows=200)
            )
            report(
                f"{name} step {step + 1}/{steps}  {time.time() - began:.0f} s  loss {running:.3f}  {known}",
                flush=True,
            )
            _save(model, tokenizer, folder, dict(name=name, seed=seed, steps=step + 1))
    return model, tokenizer


def _save(model, tokenizer, folder, recipe):
    half = copy.deepcopy(model).half()
    half.config.skillkit_pretraining = recipe
    half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m skillkit pretrain", description="rebuild an embedded model"
    )
    parser.add_argument("name", choices=list(RECIPES))
    parser.add_argument("--out", type=Path, help="folder of the checkpoint; by default the package's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int)
    chosen = parser.parse_args(arguments)
    pretrain(chosen.name, chosen.out or Path(__file__).parent / chosen.name, chosen.seed, chosen.steps)


if __name__ == "__main__":
    main()
