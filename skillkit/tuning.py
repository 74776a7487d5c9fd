"""Prompt tuning, and its two rivals that change the model itself: BitFit and the bottleneck adapter.

>>> prompt = tune_prompt(bb, task, length=16, seed=0)
>>> adapter = tune_adapter(bb, task, seed=0)
>>> evaluate(bb, task, prompt).accuracy, evaluate(bb, task, adapter).accuracy
"""

import time

import torch

from skillkit.adapters import Tuned, adapting, bias_names, biased, new_adapters
from skillkit.evaluation import Evaluation, encoded_logits, evaluate, predict
from skillkit.identity import digest
from skillkit.layouts import encode_for, find_layout
from skillkit.prompts import SoftPrompt, initial_weight, random_prompt
from skillkit.recipes import RECIPES, Recipe, choose_recipe
from skillkit.store import artifact
from skillkit.training import fit, precision, training_dtype

__all__ = [
    "RECIPES",
    "Recipe",
    "evaluate",
    "predict",
    "random_prompt",
    "tune_adapter",
    "tune_bitfit",
    "tune_prompt",
]


def _resolve(arguments):
    """What else decides a result: the precision that "auto" stands for, and what the recipe says."""
    bb = arguments["bb"]
    recipe = choose_recipe(arguments["recipe"], bb)
    return {"dtype": str(training_dtype(bb, arguments["dtype"])), "recipe": recipe.plain()}


@artifact("prompt", version=1, resolve=_resolve)
def tune_prompt(
    bb,
    task,
    length=16,
    seed=0,
    epochs=None,
    max_steps=None,
    recipe="embedded",
    max_train_examples=None,
    init="random",
    layout=None,
    dtype="auto",
    checkpoint=None,
    progress=True,
    **overrides,
) -> SoftPrompt:
    """Train `length` vectors in the input of a frozen model, so that it answers with the right label word.

    >>> prompt = tune_prompt(bb, task, length=16, seed=0, max_steps=400)
    >>> prompt.weight.shape, prompt.metadata["history"][-1]
    (torch.Size([16, 128]), {'step': 400, 'loss': 0.21, 'score': 0.94})

    length: trained vectors (in layout "zero-position" the first is dead). seed: of the initial vectors and
    the order of the rows. epochs, max_steps: the end. recipe: "embedded", "skill-neuron",
    "prompt-transferability" or a `Recipe`; its fields can be given here by name (`learning_rate=…,
    batch_size=…, patience=…`). init: see `initial_weight`. layout: see `skillkit.layouts`. dtype: "auto" is
    bfloat16 where the hardware is fast at it. checkpoint: a folder; a run that was killed continues from
    there to the same prompt. Kept is the prompt with the best score, by the task's metric, on the validation
    split. Lester et al. 2021; Wang et al. 2022, section 3. Raises SkillkitError for a prompt that leaves no
    room for text, a loss that is no number, a wrong name.
    """
    recipe = choose_recipe(recipe, bb, epochs=epochs, max_steps=max_steps, **overrides)
    fitting = recipe.layout if bb.family == "masked" else None
    layout = find_layout(bb, layout or fitting)
    weight = initial_weight(bb, task, length, init, seed).to(bb.device).requires_grad_()
    told = {"init": getattr(init, "fingerprint", init), "length": length}
    job = _Job(bb, task, layout, weight, recipe, seed, max_train_examples, dtype, "prompt", told)
    fitted = job.run({"weight": weight}, checkpoint, progress)
    return SoftPrompt(fitted.best["weight"].cpu(), layout.name, job.metadata(fitted))


@artifact("bitfit", version=1, resolve=_resolve)
def tune_bitfit(
    bb,
    task,
    seed=0,
    epochs=None,
    max_steps=None,
    recipe="bitfit",
    max_train_examples=None,
    layout=None,
    dtype="auto",
    checkpoint=None,
    progress=True,
    **overrides,
) -> Tuned:
    """Train the model's bias terms alone, without a prompt (Ben Zaken et al. 2022).

    >>> tuned = tune_bitfit(bb, task, seed=0)
    >>> with tuned.apply(bb): ...                     # outside, the backbone is what it was, bit for bit

    Arguments as in `tune_prompt`. Raises SkillkitError for a model without biases (T5, Llama).
    """
    recipe = choose_recipe(recipe, bb, epochs=epochs, max_steps=max_steps, **overrides)
    layout, empty = find_layout(bb, layout), torch.zeros(0, bb.hidden_size, device=bb.device)
    job = _Job(bb, task, layout, empty, recipe, seed, max_train_examples, dtype, "bitfit", {})
    with biased(bb, {name: bb.model.get_parameter(name) for name in bias_names(bb)}) as parameters:
        fitted = job.run(parameters, checkpoint, progress)
    return Tuned("bitfit", _on_cpu(fitted.best), layout.name, job.metadata(fitted))


@artifact("adapter", version=1, resolve=_resolve)
def tune_adapter(
    bb,
    task,
    bottleneck=16,
    seed=0,
    epochs=None,
    max_steps=None,
    recipe="adapter",
    max_train_examples=None,
    layout=None,
    dtype="auto",
    checkpoint=None,
    progress=True,
    **overrides,
) -> Tuned:
    """Train a bottleneck of two small matrices behind every feed-forward network (Houlsby et al. 2019, fig. 2).

    >>> tuned = tune_adapter(bb, task, bottleneck=16, seed=0)
    >>> evaluate(bb, task, tuned).accuracy

    Only the adapter behind the feed-forward network is used, not the one behind attention (as Pfeiffer et al.
    2021 found sufficient), so one rule fits every architecture. It begins as the identity. Arguments as in
    `tune_prompt`.
    """
    recipe = choose_recipe(recipe, bb, epochs=epochs, max_steps=max_steps, **overrides)
    layout, empty = find_layout(bb, layout), torch.zeros(0, bb.hidden_size, device=bb.device)
    parameters = {k: v.requires_grad_() for k, v in new_adapters(bb, bottleneck, seed).items()}
    job = _Job(
        bb,
        task,
        layout,
        empty,
        recipe,
        seed,
        max_train_examples,
        dtype,
        "adapter",
        {"bottleneck": bottleneck},
    )
    with adapting(bb, parameters):
        fitted = job.run(parameters, checkpoint, progress)
    return Tuned("adapter", _on_cpu(fitted.best), layout.name, job.metadata(fitted))


def _on_cpu(tensors):
    return {name: tensor.cpu() for name, tensor in tensors.items()}


class _Job:
    """Training for one task: encodes its texts, knows loss and score, tells what was done."""

    def __init__(self, bb, task, layout, weight, recipe, seed, max_train_examples, dtype, kind, told):
        self.bb, self.task, self.layout, self.weight, self.recipe, self.seed = (
            bb,
            task,
            layout,
            weight,
            recipe,
            seed,
        )
        self.dtype, self.began = training_dtype(bb, dtype), time.time()
        self.words = task.label_ids(bb).to(bb.device)
        options = {"max_tokens": recipe.max_tokens, "segments": recipe.segments}
        rows = (
            task.sample("train", max_train_examples, seed),
            task.sample("validation", recipe.validation_examples, 0),
        )
        self.train, self.validation = (
            encode_for(bb, task, part, layout, len(weight), **options) for part in rows
        )
        self.told = (
            told
            | options
            | {
                "kind": kind,
                "family": bb.family,
                "backbone": bb.name,
                "backbone_fingerprint": bb.fingerprint,
                "task": task.name,
                "task_fingerprint": task.fingerprint,
                "label_words": list(task.words(bb)),
                "metric": task.metric,
                "layout": layout.name,
                "segment_ids_used": task.pair and self.train.token_types is not None,
                "train_examples": len(self.train),
                "recipe": recipe.plain(),
                "seed": seed,
                "dtype": str(self.dtype).removeprefix("torch."),
            }
        )

    def run(self, parameters, checkpoint, show):
        desc = f"{self.told['kind']} for {self.task.name}, seed {self.seed}"
        with precision(self.bb, self.dtype):
            return fit(
                parameters,
                self.loss,
                self.score,
                self.train,
                self.recipe,
                self.seed,
                checkpoint,
                digest(self.told),
                desc,
                show,
            )

    def loss(self, batch):
        attached = self.layout.attach(self.bb, self.weight, batch)
        labels = batch.labels.to(self.bb.device)
        if self.recipe.loss == "vocabulary":
            logits = self.bb.answer_logits(attached.inputs, attached.answer)
            return torch.nn.functional.cross_entropy(logits, self.words[labels])
        logits = self.bb.answer_logits(attached.inputs, attached.answer, self.words)
        return torch.nn.functional.cross_entropy(logits, labels)

    def score(self):
        logits = encoded_logits(self.bb, self.layout, self.weight, self.validation, self.words)
        return Evaluation(logits, self.validation.labels, tuple(self.task.labels), self.task.metric).score

    def metadata(self, fitted):
        return self.told | {
            "history": fitted.history,
            "best_step": fitted.best_step,
            "validation_score": fitted.best_score,
            "steps": fitted.step,
            "seconds": round(time.time() - self.began, 2),
        }
