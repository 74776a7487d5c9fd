"""The one training loop: a schedule, early stop, the best weights kept, and continuing after a kill.

>>> recipe = choose_recipe("skill-neuron", bb, max_steps=2, batch_size=16)
>>> fitted = fit({"weight": weight}, loss_of, score_of, encoded, recipe, seed=0, checkpoint="runs/checkpoint")
>>> fitted.best["weight"], fitted.history

The backbone is frozen and in eval mode (no dropout), and the order of the batches is a function of seed and
epoch: so a run has no hidden random state, and one that was killed continues to the same weights.
"""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress as progress_bar

# No metric of a task goes beyond: since only better weights replace the best, what reaches it has ended.
PERFECT = 1.0


@dataclass
class Fitted:
    """What `fit` found, and while it runs, where it stands: also the content of a checkpoint.

    >>> fitted.best, fitted.best_score, fitted.best_step      # tensors of the best evaluation
    >>> fitted.history                                   # [{"step", "loss", "score"}, …], one per evaluation
    """

    step: int = 0
    best: dict = field(default_factory=dict)
    best_score: float = -math.inf
    best_step: int = 0
    waited: int = 0
    done: bool = False
    history: list = field(default_factory=list)


def fit(
    parameters,
    loss_of,
    score_of,
    train,
    recipe,
    seed=0,
    checkpoint=None,
    identity=None,
    desc="tuning",
    show=True,
):
    """Minimise `loss_of(batch)` over `parameters` {name: leaf tensor}; keep those with the best `score_of()`.

    >>> fit({"weight": weight}, loss_of, score_of, encoded, recipe, checkpoint="runs/checkpoint").best_step

    It ends with the recipe's steps, by its patience, or with a perfect score, which nothing can replace. With
    `checkpoint` (a folder) the state is written at every evaluation and taken up again when it is there;
    `identity` tells whether it belongs to this run. Raises SkillkitError when the loss is no longer a number,
    and when the checkpoint is another run's.
    """
    named = list(parameters.values())
    optimizer = torch.optim.AdamW(named, recipe.learning_rate, recipe.betas, recipe.eps, recipe.weight_decay)
    total = total_steps(len(train), recipe)
    state = _resume(checkpoint, identity, parameters, optimizer) or Fitted()
    losses = []
    with progress_bar(total=total, desc=desc, disable=not show) as bar:
        bar.update(state.step)
        for step, batch in _schedule(train, recipe, seed, state.step, 0 if state.done else total):
            losses.append(_update(optimizer, named, loss_of, batch, recipe, step, total))
            state.step = step + 1
            bar.update()
            if state.step % recipe.evaluate_every == 0 or state.step == total:
                _evaluated(state, parameters, score_of(), sum(losses) / len(losses), recipe, total)
                losses.clear()
                bar.set_postfix(loss=f"{state.history[-1]['loss']:.3f}", best=f"{state.best_score:.3f}")
                _save(checkpoint, identity, state, parameters, optimizer)
            if state.done:
                break
    return state


def total_steps(rows, recipe):
    """How many steps the recipe's end means for so many training rows.

    >>> recipe = sk.prompts.recipes.choose_recipe("skill-neuron", bb, epochs=3, batch_size=16)
    >>> total_steps(100, recipe)                           # seven in each epoch
    21
    """
    by_epochs = None if recipe.epochs is None else math.ceil(rows / recipe.batch_size) * recipe.epochs
    ends = [end for end in (by_epochs, recipe.max_steps) if end is not None]
    if not ends or min(ends) < 1:
        raise SkillkitError(
            "training needs at least one step; give epochs or max_steps, and rows to train on"
        )
    return min(ends)


def _schedule(train, recipe, seed, start, total):
    """(step, batch) from `start` on: what a run would see that was never interrupted."""
    per_epoch, plan, planned = math.ceil(len(train) / recipe.batch_size), None, None
    for step in range(start, total):
        epoch, at = divmod(step, per_epoch)
        if planned != epoch:
            plan, planned = train.plan(recipe.batch_size, (seed, epoch)), epoch
        yield step, train.batch(plan[at])


def _update(optimizer, named, loss_of, batch, recipe, step, total):
    """One optimiser step; the loss before it."""
    optimizer.zero_grad()
    loss = 0.0
    for part in batch.split(recipe.accumulate):
        share = loss_of(part) * (len(part) / len(batch))
        share.backward()
        loss = loss + share.detach().double()  # read once per step: reading waits for a GPU
    norm, loss = torch.nn.utils.clip_grad_norm_(named, recipe.clip), float(loss)
    if not (math.isfinite(loss) and norm.isfinite()):
        raise SkillkitError(
            f"the loss is no longer a finite number at step {step + 1} with learning rate "
            f"{recipe.learning_rate:g}; lower learning_rate, or use dtype='float32'"
        )
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * _factor(step, total, recipe)
    optimizer.step()
    return loss


def _factor(step, total, recipe):
    """The share of the peak learning rate at a step: up during warm-up, then down to 0 (or level)."""
    warm = round(recipe.warmup * total)
    if step < warm:
        return (step + 1) / warm
    return 1.0 if recipe.schedule == "constant" else (total - step) / max(total - warm, 1)


def _evaluated(state, parameters, score, loss, recipe, total):
    """Enter an evaluation into the state: history, the best weights, whether to go on."""
    state.history.append({"step": state.step, "loss": loss, "score": score})
    if score > state.best_score:
        state.best = {name: tensor.detach().clone() for name, tensor in parameters.items()}
        state.best_score, state.best_step, state.waited = score, state.step, 0
    else:
        state.waited += 1
    tired = recipe.patience is not None and state.waited >= recipe.patience
    state.done = state.step >= total or tired or score >= PERFECT


_TOLD = ("step", "best_score", "best_step", "waited", "done", "history")


def _save(checkpoint, identity, state, parameters, optimizer):
    """Write the whole state into one file, renamed into place: a kill leaves the old one or the new one."""
    if checkpoint is None:
        return
    file = Path(checkpoint) / "checkpoint.safetensors"
    tensors = {f"now/{name}": tensor.detach() for name, tensor in parameters.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in state.best.items()}
    for name, tensor in parameters.items():
        tensors |= {f"{moment}/{name}": value for moment, value in optimizer.state[tensor].items()}
    told = {name: getattr(state, name) for name in _TOLD} | {"identity": identity}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        held = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_file(held, f"{file}.tmp", {"state": json.dumps(told)})
        os.replace(f"{file}.tmp", file)
    except (OSError, SafetensorError) as error:
        raise SkillkitError(
            f"cannot write the checkpoint {file} ({error}); free some space or choose another folder"
        ) from error


def _resume(checkpoint, identity, parameters, optimizer):
    """The state that a checkpoint holds, put back into parameters and optimiser; None when there is none."""
    file = None if checkpoint is None else Path(checkpoint) / "checkpoint.safetensors"
    if file is None or not file.exists():
        return None
    try:
        with safe_open(file, "pt") as opened:
            told = json.loads(opened.metadata()["state"])
        tensors = load_file(file)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise SkillkitError(
            f"the checkpoint {file} is empty or damaged ({error}); remove it to start again"
        ) from error
    if told.pop("identity") != identity:
        raise SkillkitError(
            f"the checkpoint {file} belongs to another run; choose another folder or remove it"
        )
    with torch.no_grad():
        for name, tensor in parameters.items():
            tensor.copy_(tensors[f"now/{name}"])
            moments = {key: tensors[f"{key}/{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            optimizer.state[tensor] = {k: v if k == "step" else v.to(tensor) for k, v in moments.items()}
    best = {name: tensors[f"best/{name}"].to(tensor) for name, tensor in parameters.items()}
    return Fitted(best=best, **told)
