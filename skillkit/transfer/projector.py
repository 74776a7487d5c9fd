"""Prompts of one backbone made into prompts of another: a projector, and the control that ignores its input.

>>> projector = train_projector(source_bb, target_bb, {"movies": task}, {"movies": source_prompt}, max_steps=2)
>>> projector.project(source_prompt, target_bb)             # a SoftPrompt for target_bb: zero-shot
>>> control = train_projector(source_bb, target_bb, tasks, prompts, constant=True, max_steps=2)

The projector of Su et al. 2022 (section 5) is flatten → 768 → LeakyReLU → flatten → LayerNorm per vector. The
projections published with that paper are one constant prompt per type of task: a projector that ignores the
source prompt does as well on tasks of the type it was trained on. No figure here stands without that control.
"""

import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.serialization import read_tensors, write_tensors
from skillkit.core.store import artifact
from skillkit.prompts import (
    Evaluation,
    Reading,
    SoftPrompt,
    choose_recipe,
    encode_for,
    find_layout,
    fit,
    given,
)
from skillkit.transfer.zero_shot import tuned_on

WIDTH = 768
LOSSES = ("task", "distance", "both")


@dataclass(frozen=True, eq=False)
class Projector:
    """A trained projector for one pair of backbones; see `train_projector`.

    >>> projector.project(prompt, target_bb).weight.shape        # [L, hidden size of the target]
    >>> projector.save("dir"); Projector.load("dir")

    weights  {name: tensor} of the two matrices and the norm; the control's one input as well
    told     the pair of backbones, shapes, layout, tasks, losses, history
    """

    weights: dict
    told: dict

    def project(self, prompt, bb):
        """A prompt of the source backbone as a prompt of the target `bb`.

        >>> sk.evaluate(target_bb, task, projector.project(prompt, target_bb))

        Raises SkillkitError for a prompt of another backbone than the projector's source, or of another shape,
        and for a `bb` that is not its target.
        """
        told = self.told
        mark = prompt.metadata.get("backbone_fingerprint", told["source_fingerprint"])
        if mark != told["source_fingerprint"] or bb.fingerprint != told["target_fingerprint"]:
            pair = prompt.metadata.get("backbone", "its backbone"), bb.name
            raise SkillkitError(
                f"the projector maps prompts of {told['source']} to {told['target']}, not {' to '.join(pair)}; "
                "train one for that pair"
            )
        if list(prompt.weight.shape) != told["source_shape"]:
            raise SkillkitError(
                f"the projector takes prompts of shape {told['source_shape']}, not {list(prompt.weight.shape)}"
            )
        with torch.no_grad():
            given = self.weights.get("constant", prompt.weight)
            weight = _projected(self.weights, given, told["target_shape"])
        about = {
            "family": bb.family,
            "backbone": bb.name,
            "backbone_fingerprint": bb.fingerprint,
            "projected_from": told["source"],
        }
        return SoftPrompt(weight.float().cpu(), told["layout"], about | told["options"])

    def save(self, folder):
        """Write projector.safetensors and projector.json into `folder`."""
        write_tensors(folder, "projector", self.weights, self.told)

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote; SkillkitError when it is missing, empty or damaged."""
        return cls(*read_tensors(folder, "projector", "source_fingerprint", "target_fingerprint"))


def _resolve(arguments):
    recipe = choose_recipe(arguments["recipe"], arguments["target_bb"])
    return {"recipe": recipe.plain(), "overrides": given(arguments["overrides"])}


@artifact("projector", version=1, resolve=_resolve)
def train_projector(
    source_bb,
    target_bb,
    tasks,
    prompts,
    targets=None,
    loss="task",
    constant=False,
    layout=None,
    seed=0,
    max_steps=None,
    recipe="embedded",
    learning_rate=1e-3,
    max_train_examples=None,
    progress=True,
    **overrides,
) -> Projector:
    """Learn to turn prompts of `source_bb` into prompts of `target_bb`: a `Projector`.

    >>> own = {name: tune_prompt(target_bb, task, length=4, max_steps=2) for name, task in tasks.items()}
    >>> train_projector(source_bb, target_bb, tasks, prompts, targets=own, loss="both", max_steps=2)

    tasks     {name: Task} to train on
    prompts   {name: SoftPrompt, or a list of them} of the source backbone, all of one shape
    targets   {name: SoftPrompt} of the target backbone, for the distance loss
    loss      "task" (cross-entropy of the target backbone under the projected prompt), "distance" (mean
              squared distance to the target's own prompt of the task), or "both", added
    constant  the control: every source prompt is replaced by the mean of them all, so that the projector can
              only learn one prompt
    layout    of the projected prompts; None: the default of the target's family
    The other arguments are those of `tune_prompt`, but for the learning rate: a network takes smaller steps than
    bare vectors. A batch holds texts of one task, tasks take turns.

    The best weights on the tasks' validation splits (mean score) are kept, for the loss "distance" as well.
    Su et al. 2022, section 5.1. Raises SkillkitError, before any training, for prompts of other backbones,
    shapes or tasks, for a missing target, and for an unknown loss.
    """
    prompts = {name: [one] if isinstance(one, SoftPrompt) else list(one) for name, one in prompts.items()}
    _check(source_bb, target_bb, tasks, prompts, targets, loss)
    recipe = choose_recipe(recipe, target_bb, max_steps=max_steps, learning_rate=learning_rate, **overrides)
    job = _Job(target_bb, tasks, prompts, targets, loss, constant, layout, recipe, seed, max_train_examples)
    began = time.time()
    fitted = fit(job.weights, job.loss, job.score, job.train, recipe, seed, desc="projector", show=progress)
    told = job.told | {
        "source": source_bb.name,
        "source_fingerprint": source_bb.fingerprint,
        "target": target_bb.name,
        "target_fingerprint": target_bb.fingerprint,
        "history": fitted.history,
        "best_step": fitted.best_step,
        "seconds": round(time.time() - began, 2),
    }
    weights = {name: tensor.detach().cpu() for name, tensor in fitted.best.items()}
    return Projector(weights | ({"constant": job.mean} if constant else {}), told)


class _Job:
    """Training of one projector: the texts of several tasks, loss and score of the projected prompts."""

    def __init__(self, bb, tasks, prompts, targets, loss, constant, layout, recipe, seed, max_train_examples):
        self.bb, self.kind = bb, loss
        self.layout = find_layout(bb, layout or (recipe.layout if bb.family == "masked" else None))
        self.words = {name: task.label_ids(bb).to(bb.device) for name, task in tasks.items()}
        self.tasks, options = tasks, {"max_tokens": recipe.max_tokens, "segments": recipe.segments}
        self.inputs = {name: torch.stack([one.weight for one in mine]) for name, mine in prompts.items()}
        self.mean = torch.cat(list(self.inputs.values())).mean(0)
        if constant:
            self.inputs = dict.fromkeys(self.inputs, self.mean[None])
        self.targets = {name: targets[name].weight for name in tasks} if targets else None
        length, width = next(iter(self.inputs.values())).shape[1:]
        self.told = {
            "source_shape": [length, width],
            "target_shape": [length, bb.hidden_size],
            "layout": self.layout.name,
            "options": options,
            "tasks": list(tasks),
            "loss": loss,
            "constant": constant,
            "seed": seed,
        }
        encoded = {
            split: {
                name: encode_for(bb, task, task.sample(split, count, seed if split == "train" else 0),
                                 self.layout, length, **options)
                for name, task in tasks.items()
            }
            for split, count in (("train", max_train_examples), ("validation", recipe.validation_examples))
        }  # fmt: skip
        self.train, self.validation = _Turns(encoded["train"], recipe.batch_size), encoded["validation"]
        self.weights = _initial(self.told, seed, bb.device)

    def prompts(self, name):
        """Projections of all source prompts of a task, [prompts, L, H]."""
        return _projected(self.weights, self.inputs[name].to(self.bb.device), self.told["target_shape"])

    def loss(self, turn):
        projected = self.prompts(turn.name)
        weight = projected[turn.number % len(projected)]
        total = 0.0
        if self.kind in ("distance", "both"):
            total = torch.nn.functional.mse_loss(weight, self.targets[turn.name].to(weight))
        if self.kind in ("task", "both"):
            attached = self.layout.attach_trained(self.bb, weight, turn.batch)
            logits = self.bb.answer_logits(attached.inputs, attached.answer, self.words[turn.name])
            total = total + torch.nn.functional.cross_entropy(logits, turn.batch.labels.to(logits.device))
        return total

    @torch.no_grad()
    def score(self):
        """Mean score over the tasks, each under the projection of its first prompt."""
        scores = []
        for name, rows in self.validation.items():
            reading = Reading(self.bb, self.layout, self.prompts(name)[0], rows)
            task = self.tasks[name]
            logits = reading.logits(self.words[name])
            scores.append(Evaluation(logits, rows.labels, tuple(task.labels), task.metric).score)
        return sum(scores) / len(scores)


@dataclass(frozen=True)
class _Turn:
    """A batch of one task, and how often it has been this task's turn."""

    name: str
    number: int
    batch: Any

    def __len__(self):
        return len(self.batch)

    def split(self, parts):
        return [replace(self, batch=part) for part in self.batch.split(parts)]


class _Turns:
    """Several encoded tasks as one: an epoch has batches of one task each, the tasks in turns."""

    def __init__(self, encoded, batch_size):
        self.encoded, self.size = encoded, batch_size

    def __len__(self):
        # The training loop divides by the batch size: a last batch that is not full counts as one that is.
        return (
            len(self.encoded) * max(-(-len(rows) // self.size) for rows in self.encoded.values()) * self.size
        )

    def plan(self, batch_size, shuffle_seed):
        plans = {name: rows.plan(batch_size, shuffle_seed) for name, rows in self.encoded.items()}
        rounds = range(max(map(len, plans.values())))
        turns = [(number, name) for number in rounds for name in plans]
        return [(name, number, plans[name][number % len(plans[name])]) for number, name in turns]

    def batch(self, entry):
        name, number, rows = entry
        return _Turn(name, number, self.encoded[name].batch(rows))


def _initial(told, seed, device):
    """Weights as `torch.nn.Linear` and `LayerNorm` start with, from a seed of their own."""
    sizes = [length * width for length, width in (told["source_shape"], told["target_shape"])]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first, second = torch.nn.Linear(sizes[0], WIDTH), torch.nn.Linear(WIDTH, sizes[1])
    norm = torch.nn.LayerNorm(told["target_shape"][1])
    parts = {"first": first, "second": second, "norm": norm}
    return {
        f"{part}.{name}": tensor.detach().to(device).requires_grad_()
        for part, module in parts.items()
        for name, tensor in module.named_parameters()
    }


def _projected(weights, prompt, shape):
    """[…, L, H of the source] → […, *shape], L and H of the target."""
    functional = torch.nn.functional
    hidden = functional.linear(prompt.flatten(-2), weights["first.weight"], weights["first.bias"])
    flat = functional.linear(functional.leaky_relu(hidden), weights["second.weight"], weights["second.bias"])
    vectors = flat.unflatten(-1, shape)
    return functional.layer_norm(vectors, shape[1:], weights["norm.weight"], weights["norm.bias"])


def _check(source_bb, target_bb, tasks, prompts, targets, loss):
    if loss not in LOSSES:
        raise SkillkitError(f"a projector learns by {', '.join(LOSSES)}, not {loss!r}")
    if not tasks:
        raise SkillkitError("a projector needs at least one task to be trained on; give tasks")
    for what, held in (("source", prompts), ("target", targets if loss != "task" else tasks)):
        missing = sorted(set(tasks) - {name for name, mine in (held or {}).items() if mine})
        if missing:
            raise SkillkitError(
                f"there is no {what} prompt for {missing[0]}; tune one, or leave the task out"
            )
    for name in tasks:
        for prompt in prompts[name]:
            tuned_on(source_bb, prompt, f"the source prompt {name}")
        if loss != "task":
            tuned_on(target_bb, targets[name], f"the target prompt {name}")
    lengths = {
        one.length for name in tasks for one in [*prompts[name], *([targets[name]] if loss != "task" else [])]
    }
    if len(lengths) > 1:
        raise SkillkitError(
            f"the prompts have {' and '.join(map(str, sorted(lengths)))} vectors; a projector takes one length"
        )
