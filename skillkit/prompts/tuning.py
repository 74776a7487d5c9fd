"""Prompt tuning, and what changes the model itself: BitFit, the bottleneck adapter, fine-tuning.

>>> prompt = tune_prompt(bb, task, length=16, seed=0, max_steps=2)
>>> adapter = tune_adapter(bb, task, seed=0, max_steps=2)
>>> evaluate(bb, task, prompt).accuracy, evaluate(bb, task, adapter).accuracy
"""

from pathlib import Path

import torch

from skillkit.core.errors import at_least, check_objects
from skillkit.core.hashing import checksum
from skillkit.core.store import artifact
from skillkit.models import training_dtype
from skillkit.prompts.adapters import Tuned, adapting, bias_names, biased, new_adapters
from skillkit.prompts.encoding import free_positions
from skillkit.prompts.layouts import find_layout, layout_key
from skillkit.prompts.recipes import WITNESSES, choose_recipe, given
from skillkit.prompts.soft_prompt import SoftPrompt, initial_weight
from skillkit.prompts.training import Job


def _resolve(arguments):
    """What decides a result: the precision that "auto" stands for, the recipe's fields, and changes to them.

    The steps `curve_at` decide nothing that is trained, and do not count.
    """
    check_objects(arguments["bb"], arguments["task"]), at_least(0, seed=arguments["seed"])
    recipe = choose_recipe(arguments["recipe"], arguments["bb"]).plain() | {"curve_at": []}
    overrides = given(arguments["overrides"] | {"curve_at": None})
    changes = {name: value for name, value in overrides.items() if recipe.get(name) != value}
    changes = {name: value for name, value in changes.items() if name not in WITNESSES}
    if overrides.get("extend"):  # the run that is extended decides, too
        changes["extend"] = checksum(Path(arguments["checkpoint"] or "") / "checkpoint.pt")
    dtype = str(training_dtype(arguments["bb"], arguments["dtype"]))
    layout = layout_key(arguments["bb"], arguments["layout"], recipe["layout"])
    return {"dtype": dtype, "recipe": recipe, "overrides": changes, "seed": int(arguments["seed"])} | layout


def _has_curve(tuned, arguments):
    """Whether the recorded learning curve of what was tuned has the steps that are asked for."""
    recipe = choose_recipe(arguments["recipe"], arguments["bb"], **arguments["overrides"])
    return set(recipe.curve_at) <= set(tuned.metadata["recipe"]["curve_at"])


@artifact("prompt", version=1, resolve=_resolve, complete=_has_curve)
def tune_prompt(
    bb, task, length=16, seed=0, epochs=None, max_steps=None, recipe="embedded", max_train_examples=None,
    init="random", layout=None, dtype="auto", checkpoint=None, progress=True, **overrides,
) -> SoftPrompt:  # fmt: skip
    """Train `length` vectors in the input of a frozen model, so that it answers with the right label word.

    >>> prompt = tune_prompt(bb, task, length=16, seed=0, max_steps=4, learning_rate=0.01)
    >>> prompt.weight.shape, prompt.metadata["history"][-1]
    (torch.Size([16, 128]), {'step': 4, 'loss': ..., 'score': ...})

    length              number of vectors, the mask not counted (in layout "zero-position" the first of them is dead)
    seed                decides the initial vectors, the order of the rows, and which rows are taken
    epochs, max_steps   the end, whichever comes first; without either, the recipe's
    recipe              "embedded", "skill-neuron", "prompt-transferability", or a `Recipe`
    max_train_examples  take so many rows of the training split, balanced between classes
    init                "random", "vocabulary", "label-words", or a SoftPrompt; see `initial_weight`
    layout              where the vectors stand; see `skillkit.prompts.layouts`
    dtype               "auto": bfloat16 where the hardware is fast at it, else float32
    checkpoint          a folder: a run that was killed continues from there, to the same prompt; with
                        `extend=True` a finished one goes on to a later end; `keep=3` leaves the last three there
    overrides           fields of the recipe by name: learning_rate, batch_size, accumulate, patience, …

    The prompt with the best score on the validation split, by the task's metric, is the one returned; its
    metadata holds the history and everything it depends on. Lester et al. 2021; Wang et al. 2022, section 3.

    Raises SkillkitError for a prompt that leaves no room for text, a loss that is no number, a wrong name, a
    number that is too small.
    """
    check_objects(bb, task)
    recipe = choose_recipe(recipe, bb, epochs=epochs, max_steps=max_steps, **overrides)
    layout = find_layout(bb, layout or (recipe.layout if bb.family == "masked" else None))
    at_least(1, length=length), free_positions(bb.name, bb.max_positions, layout.room(length))
    weight = initial_weight(bb, task, length, init, seed, layout.name).to(bb.device).requires_grad_()
    setting = (bb, task, layout, recipe, seed, max_train_examples, dtype)
    job = _Tuning("prompt", *setting, weight, init=getattr(init, "fingerprint", init), length=length)
    return job.result(*job.run({"weight": weight}, checkpoint, progress))


@artifact("bitfit", version=1, resolve=_resolve, complete=_has_curve)
def tune_bitfit(
    bb, task, seed=0, epochs=None, max_steps=None, recipe="bitfit", max_train_examples=None,
    layout=None, dtype="auto", checkpoint=None, progress=True, **overrides,
) -> Tuned:  # fmt: skip
    """Train the model's bias terms alone, without a prompt (Ben Zaken et al. 2022).

    >>> tuned = tune_bitfit(bb, task, seed=0, max_steps=2)
    >>> with tuned.apply(bb): ...                     # outside, the backbone is what it was, bit for bit

    Arguments are those of `tune_prompt`. Raises SkillkitError for a model without biases (T5, Llama).
    """
    check_objects(bb, task)
    recipe = choose_recipe(recipe, bb, epochs=epochs, max_steps=max_steps, **overrides)
    layout, state = find_layout(bb, layout), {name: bb.model.get_parameter(name) for name in bias_names(bb)}
    job = _Tuning("bitfit", bb, task, layout, recipe, seed, max_train_examples, dtype)
    with biased(bb, state) as parameters:
        return job.result(*job.run(parameters, checkpoint, progress))


@artifact("model", version=1, resolve=_resolve, complete=_has_curve)
def tune_model(
    bb, task, seed=0, epochs=None, max_steps=None, recipe="fine-tuning", max_train_examples=None,
    layout=None, dtype="auto", checkpoint=None, progress=True, **overrides,
) -> Tuned:  # fmt: skip
    """Fine-tune all weights of the model, without a prompt: what the others are measured against.

    >>> tuned = tune_model(bb, task, seed=0, max_steps=2)
    >>> evaluate(bb, task, tuned).accuracy            # the backbone itself stays what it is, bit for bit

    Skill-Neuron's `prompt_size 0`. What is kept has all weights of the model. Arguments are those of `tune_prompt`.
    """
    check_objects(bb, task)
    recipe = choose_recipe(recipe, bb, epochs=epochs, max_steps=max_steps, **overrides)
    layout, state = find_layout(bb, layout), dict(bb.model.named_parameters())
    job = _Tuning("model", bb, task, layout, recipe, seed, max_train_examples, dtype)
    with biased(bb, state) as parameters:
        return job.result(*job.run(parameters, checkpoint, progress))


@artifact("adapter", version=1, resolve=_resolve, complete=_has_curve)
def tune_adapter(
    bb, task, bottleneck=16, seed=0, epochs=None, max_steps=None, recipe="adapter", max_train_examples=None,
    layout=None, dtype="auto", checkpoint=None, progress=True, **overrides,
) -> Tuned:  # fmt: skip
    """Train a bottleneck of two small matrices behind every feed-forward network (Houlsby et al. 2019).

    >>> tuned = tune_adapter(bb, task, bottleneck=16, seed=0, max_steps=2)
    >>> evaluate(bb, task, tuned).accuracy

    Of Houlsby's two adapters in a layer the one behind attention is left out, as Pfeiffer et al. 2021 found
    sufficient; so one rule fits every architecture. Each begins as the identity. The other arguments are
    those of `tune_prompt`.
    """
    check_objects(bb, task)
    recipe = choose_recipe(recipe, bb, epochs=epochs, max_steps=max_steps, **overrides)
    layout, state = find_layout(bb, layout), new_adapters(bb, bottleneck, seed)
    setting = (bb, task, layout, recipe, seed, max_train_examples, dtype)
    job = _Tuning("adapter", *setting, bottleneck=bottleneck)
    with adapting(bb, {name: tensor.requires_grad_() for name, tensor in state.items()}) as parameters:
        return job.result(*job.run(parameters, checkpoint, progress))


class _Tuning(Job):
    """The training job of one task: a prompt, or (with none) what is trained in the model itself."""

    def __init__(self, kind, bb, task, layout, recipe, seed, max_train_examples, dtype, weight=None, **own):
        self.weight = torch.zeros(0, bb.hidden_size, device=bb.device) if weight is None else weight
        super().__init__(
            bb, {task.name: task}, layout, len(self.weight), recipe, seed, max_train_examples, dtype
        )
        self.name, train = f"{kind} for {task.name}, seed {seed}", self.train[task.name]
        self.about = own | {
            "kind": kind, "seed": self.seed, "dtype": str(self.dtype).removeprefix("torch."), "layout": layout.name,
            "backbone": bb.name, "backbone_fingerprint": bb.fingerprint, "family": bb.family,
            "model_type": bb.model_type, "max_tokens": recipe.max_tokens, "segments": recipe.segments,
            "segment_ids_used": task.pair and train.token_types is not None, "task": task.name,
            "task_fingerprint": task.fingerprint, "metric": task.metric, "label_words": list(task.words(bb)),
            "train_examples": len(train), "recipe": recipe.plain(),
        }  # fmt: skip

    def prompt(self, name, turn=0):
        return self.weight

    def result(self, state, metadata):
        kind = self.about["kind"]
        if kind == "prompt":
            return SoftPrompt(state["weight"], self.layout.name, metadata)
        return Tuned(kind, state, self.layout.name, metadata)
