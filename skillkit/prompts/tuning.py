"""Prompt tuning, and its two rivals that change the model itself: BitFit and the bottleneck adapter.

>>> prompt = tune_prompt(bb, task, length=16, seed=0, max_steps=2)
>>> adapter = tune_adapter(bb, task, seed=0, max_steps=2)
>>> evaluate(bb, task, prompt).accuracy, evaluate(bb, task, adapter).accuracy
"""

import time

import torch

from skillkit.core.errors import at_least
from skillkit.core.hashing import digest
from skillkit.core.store import artifact
from skillkit.models import precision, training_dtype
from skillkit.prompts.adapters import Tuned, adapting, bias_names, biased, new_adapters
from skillkit.prompts.dataset import Reading
from skillkit.prompts.evaluation import Evaluation, evaluate, predict
from skillkit.prompts.layouts import encode_for, find_layout
from skillkit.prompts.recipes import choose_recipe, given
from skillkit.prompts.soft_prompt import SoftPrompt, initial_weight
from skillkit.prompts.training import fit

__all__ = ["evaluate", "predict", "tune_adapter", "tune_bitfit", "tune_prompt"]


def _resolve(arguments):
    """What decides a result: the precision that "auto" stands for, what the recipe says, what that is changed by."""
    recipe = choose_recipe(arguments["recipe"], arguments["bb"]).plain()
    changes = {k: value for k, value in given(arguments["overrides"]).items() if recipe.get(k) != value}
    return {
        "dtype": str(training_dtype(arguments["bb"], arguments["dtype"])),
        "recipe": recipe,
        "overrides": changes,
    }


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

    >>> prompt = tune_prompt(bb, task, length=16, seed=0, max_steps=4, learning_rate=0.01)
    >>> prompt.weight.shape, prompt.metadata["history"][-1]
    (torch.Size([16, 128]), {'step': 4, 'loss': ..., 'score': ...})

    length              number of vectors (in layout "zero-position" the first of them is dead)
    seed                decides the initial vectors, the order of the rows, and which rows are taken
    epochs, max_steps   the end, whichever comes first; without either, the recipe's
    recipe              "embedded", "skill-neuron", "prompt-transferability", or a `Recipe`
    max_train_examples  take so many rows of the training split, balanced between classes
    init                "random", "vocabulary", "label-words", or a SoftPrompt; see `initial_weight`
    layout              where the vectors stand; see `skillkit.prompts.layouts`
    dtype               "auto": bfloat16 where the hardware is fast at it, else float32
    checkpoint          a folder: a run that was killed continues from there, to the same prompt
    overrides           fields of the recipe by name: learning_rate, batch_size, accumulate, patience, …

    The prompt with the best score on the validation split, by the task's metric, is the one returned; its
    metadata holds the history and everything it depends on. Lester et al. 2021; Wang et al. 2022, section 3.

    Raises SkillkitError for a prompt that leaves no room for text, a loss that is no number, a wrong name, a
    number that is too small.
    """
    recipe = choose_recipe(recipe, bb, epochs=epochs, max_steps=max_steps, **overrides)
    layout = find_layout(bb, layout or (recipe.layout if bb.family == "masked" else None))
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

    >>> tuned = tune_bitfit(bb, task, seed=0, max_steps=2)
    >>> with tuned.apply(bb): ...                     # outside, the backbone is what it was, bit for bit

    Arguments are those of `tune_prompt`. Raises SkillkitError for a model without biases (T5, Llama).
    """
    recipe = choose_recipe(recipe, bb, epochs=epochs, max_steps=max_steps, **overrides)
    own = {name: bb.model.get_parameter(name) for name in bias_names(bb)}
    with biased(bb, own) as parameters:
        job = _Job(
            bb, task, find_layout(bb, layout), None, recipe, seed, max_train_examples, dtype, "bitfit", {}
        )
        fitted = job.run(parameters, checkpoint, progress)
    return job.tuned(fitted)


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
    """Train a bottleneck of two small matrices behind every feed-forward network (Houlsby et al. 2019).

    >>> tuned = tune_adapter(bb, task, bottleneck=16, seed=0, max_steps=2)
    >>> evaluate(bb, task, tuned).accuracy

    Of Houlsby's two adapters in a layer the one behind attention is left out, as Pfeiffer et al. 2021 found
    sufficient; so one rule fits every architecture. Each begins as the identity. The other arguments are
    those of `tune_prompt`.
    """
    recipe = choose_recipe(recipe, bb, epochs=epochs, max_steps=max_steps, **overrides)
    state, told = new_adapters(bb, bottleneck, seed), {"bottleneck": bottleneck}
    job = _Job(
        bb, task, find_layout(bb, layout), None, recipe, seed, max_train_examples, dtype, "adapter", told
    )
    with adapting(bb, {name: tensor.requires_grad_() for name, tensor in state.items()}) as parameters:
        fitted = job.run(parameters, checkpoint, progress)
    return job.tuned(fitted)


class _Job:
    """Training for one task: encodes its texts, knows loss and score, tells what was done."""

    def __init__(self, bb, task, layout, weight, recipe, seed, max_train_examples, dtype, kind, told):
        at_least(0, seed=seed)
        at_least(1, **given({"max_train_examples": max_train_examples}))
        self.bb, self.task, self.layout, self.recipe = bb, task, layout, recipe
        self.weight = torch.zeros(0, bb.hidden_size, device=bb.device) if weight is None else weight
        self.dtype, self.words = training_dtype(bb, dtype), task.label_ids(bb).to(bb.device)
        self.began = time.time()
        self.train = self._encode(task.sample("train", max_train_examples, seed))
        self.validation = self._encode(task.sample("validation", recipe.validation_examples))
        self.told = {"kind": kind, "seed": seed, "dtype": str(self.dtype).removeprefix("torch.")} | told
        self.told |= self._about_backbone() | self._about_task()

    def _encode(self, rows):
        options = {"max_tokens": self.recipe.max_tokens, "segments": self.recipe.segments}
        return encode_for(self.bb, self.task, rows, self.layout, len(self.weight), **options)

    def _about_backbone(self):
        return {
            "backbone": self.bb.name,
            "backbone_fingerprint": self.bb.fingerprint,
            "family": self.bb.family,
            "model_type": self.bb.model_type,
            "layout": self.layout.name,
            "max_tokens": self.recipe.max_tokens,
            "segments": self.recipe.segments,
            "segment_ids_used": self.task.pair and self.train.token_types is not None,
        }

    def _about_task(self):
        return {
            "task": self.task.name,
            "task_fingerprint": self.task.fingerprint,
            "metric": self.task.metric,
            "label_words": list(self.task.words(self.bb)),
            "train_examples": len(self.train),
            "recipe": self.recipe.plain(),
        }

    def run(self, parameters, checkpoint, show):
        desc = f"{self.told['kind']} for {self.task.name}, seed {self.told['seed']}"
        with precision(self.bb, self.dtype):
            return fit(
                parameters,
                self.loss,
                self.score,
                self.train,
                self.recipe,
                self.told["seed"],
                checkpoint,
                digest(self.told),
                desc,
                show,
            )

    def loss(self, batch):
        attached = self.layout.attach_trained(self.bb, self.weight, batch)
        labels = batch.labels.to(self.bb.device)
        if self.recipe.loss == "vocabulary":
            logits = self.bb.answer_logits(attached.inputs, attached.answer)
            return torch.nn.functional.cross_entropy(logits, self.words[labels])
        logits = self.bb.answer_logits(attached.inputs, attached.answer, self.words)
        return torch.nn.functional.cross_entropy(logits, labels)

    def score(self):
        reading = Reading(self.bb, self.layout, self.weight, self.validation)
        logits = reading.logits(self.words)
        return Evaluation(logits, self.validation.labels, tuple(self.task.labels), self.task.metric).score

    def metadata(self, fitted):
        return self.told | {
            "history": fitted.history,
            "best_step": fitted.best_step,
            "validation_score": fitted.best_score,
            "steps": fitted.step,
            "seconds": round(time.time() - self.began, 2),
        }

    def tuned(self, fitted):
        state = {name: tensor.cpu() for name, tensor in fitted.best.items()}
        return Tuned(self.told["kind"], state, self.layout.name, self.metadata(fitted))
