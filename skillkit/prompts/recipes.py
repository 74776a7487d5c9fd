"""Training recipes: hyperparameters of the published experiments, and those for small models.

>>> RECIPES["prompt-transferability"].seq2seq_rate
0.005
>>> choose_recipe("skill-neuron", bb, max_steps=1000, batch_size=32)
"""

import difflib
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from skillkit.core.errors import SkillkitError, at_least, check_objects, of_kind

_CHOICES = {"loss": ("label-words", "vocabulary"), "schedule": ("linear", "constant")}
NO_CLIPPING, BY_EPOCH = ("clip", float("inf")), ("evaluate_every", "epoch")
# Fields that change nothing that is trained, and `extend`, which does and counts by the checkpoint.
WITNESSES = ("keep", "log", "extend")
# The fields by their smallest values; those of whole ones count. Of 8 tokens some are text in every model.
_LEAST = {
    0.0: ["learning_rate", "seq2seq_rate", "large_rate", "eps", "weight_decay", "clip"],
    1: ["batch_size", "accumulate", "epochs", "max_steps", "evaluate_every", "validation_examples", "patience"],
    8: ["max_tokens"],
}  # fmt: skip
# What the published code and `transformers` call them; `length` and `dtype` are arguments of their own.
_PUBLISHED = {
    "prompt_size": "length (one less: it counts the mask)", "early_stop": "patience=6",
    "early_stopping": "patience=6", "evaluation_strategy": 'evaluate_every="epoch"',
    "eval_strategy": 'evaluate_every="epoch"', "save_strategy": "checkpoint=a folder, written at every evaluation",
    "save_total_limit": "keep", "load_best_model_at_end": "nothing: the best prompt is the one returned",
    "metric_for_best_model": "metric, a field of the task", "fp16": 'dtype="bfloat16"', "bf16": 'dtype="bfloat16"',
    "logging_dir": "log", "report_to": "log", "max_grad_norm": "clip", "random_seed": "seed", "bz": "batch_size",
    "train_batch_size": "batch_size", "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulate, which splits batch_size", "eval_every_step": "evaluate_every",
    "eval_steps": "evaluate_every", "num_train_epochs": "epochs", "epoch": "epochs",
    "max_source_length": "max_tokens", "max_length": "max_tokens", "prompt_len": "length", "prompt_num": "length",
    "lr": "learning_rate", "warmup_ratio": "warmup", "lr_scheduler_type": "schedule",
    "early_stopping_patience": "patience",
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of training; every field can be overridden by name in `tune_prompt` and its siblings.

    >>> RECIPES["skill-neuron"].learning_rate
    0.001

    Rates: `seq2seq_rate` and `large_rate` (hidden size ≥ 1024) replace `learning_rate` for those models.
    `epochs` or `max_steps` end the run, the first that is reached; `warmup` is a share of all steps, and the
    rate falls linearly to 0 afterwards (`schedule="linear"`) or stays (`"constant"`). Every `evaluate_every`
    steps, or every "epoch", the task's metric is measured on at most `validation_examples`; after `patience`
    measurements without gain the run stops. The score is entered into the history at the steps `curve_at` too, for a
    learning curve; what is kept does not depend on those, and the store keeps one result whatever they are: the last,
    which may have more points than are asked for. `accumulate` splits a batch into that many forward passes. Of what is
    trained with a `checkpoint`, `keep` leaves the last so many evaluated states there, in folders `step-<number>`;
    `extend=True` goes on from there after its end, optimiser and all, to a later end. `log` is a folder for
    TensorBoard, or anything with `add_scalar(name, value, step)`.
    `loss` is the cross-entropy over the "label-words" or over the whole "vocabulary". `max_tokens` limits the
    text; `segments=False` leaves BERT's segment ids out.
    """

    learning_rate: float = 1e-3
    seq2seq_rate: float | None = None
    large_rate: float | None = None
    batch_size: int = 32
    accumulate: int = 1
    epochs: int | None = None
    max_steps: int | None = None
    schedule: str = "linear"
    warmup: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip: float = 1.0
    evaluate_every: int | str = 50
    curve_at: tuple[int, ...] = ()
    validation_examples: int | None = None
    patience: int | None = None
    loss: str = "label-words"
    layout: str | None = None
    max_tokens: int | None = None
    segments: bool = True
    keep: int = 0
    extend: bool = False
    log: Any = None

    def __post_init__(self):
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                known = " or ".join(choices)
                raise SkillkitError(f"{name} cannot be {getattr(self, name)!r}; choose {known}")
        at_least(0, keep=self.keep)
        at_least(0.0, most=1.0, warmup=self.warmup)
        for least, names in _LEAST.items():
            own = {name: getattr(self, name) for name in names}
            own = {name: one for name, one in own.items() if (name, one) not in (NO_CLIPPING, BY_EPOCH)}
            at_least(least, **{name: one for name, one in own.items() if one != getattr(Recipe, name)})

    def plain(self):
        """The fields that decide a result, as plain data, as JSON would give them back.

        >>> choose_recipe("skill-neuron", bb).plain()["betas"]
        [0.9, 0.98]
        """
        plain = asdict(replace(self, log=None)) | {"betas": list(self.betas), "curve_at": list(self.curve_at)}
        return {name: value for name, value in plain.items() if name not in WITNESSES}


# Small models of real language: minutes on two cores.
_LOCAL = Recipe(learning_rate=1e-2, max_steps=400, warmup=0.05, validation_examples=1000, patience=4)
# The embedded models know their world: they only have to be asked.
_EMBEDDED = Recipe(
    learning_rate=1e-2, batch_size=16, max_steps=60, warmup=0.05, evaluate_every=10, validation_examples=100
)
# The baselines of a prompt learn fast, and stop when three measurements brought nothing.
_BASELINE = replace(_EMBEDDED, learning_rate=2e-3, max_steps=120, evaluate_every=20, patience=3)
RECIPES = {
    "embedded": _EMBEDDED,
    # The same in half the time, for a chapter that needs many prompts.
    "embedded-short": replace(_EMBEDDED, max_steps=30, evaluate_every=15),
    "local": _LOCAL,
    # The same for texts of hundreds of words, of which the first 128 tokens are read, as in the published recipes.
    "local-long": replace(_LOCAL, validation_examples=500, max_tokens=128),
    # Wang et al. 2022, section 3 and their code.
    "skill-neuron": Recipe(
        learning_rate=1e-3, batch_size=16, epochs=20, warmup=0.006, betas=(0.9, 0.98), eps=1e-6,
        evaluate_every=2000, patience=6, max_tokens=128,
    ),
    # Su et al. 2022, appendix, and PromptHub's arguments.
    "prompt-transferability": Recipe(
        learning_rate=1e-3, large_rate=1e-4, seq2seq_rate=5e-3, batch_size=16, epochs=20, schedule="constant",
        evaluate_every=1000, patience=6, layout="zero-position", max_tokens=128,
    ),
    "bitfit": _BASELINE,
    "adapter": _BASELINE,
    "fine-tuning": replace(_BASELINE, learning_rate=2e-4),
}  # fmt: skip


def choose_recipe(recipe, bb, **overrides):
    """A recipe by name (or a Recipe) with some fields replaced, and the learning rate for this backbone.

    >>> choose_recipe("embedded", bb, max_steps=100, batch_size=None).batch_size     # None keeps the recipe's
    16
    >>> choose_recipe(Recipe(learning_rate=0.01, seq2seq_rate=0.3), t5).learning_rate
    0.3

    A new `epochs` or `max_steps` alone replaces the recipe's other end. Raises SkillkitError for names it
    does not know and for numbers that are too small.
    """
    check_objects(bb)
    if isinstance(recipe, str) and recipe not in RECIPES:
        raise SkillkitError(f"no recipe {recipe!r}; choose {', '.join(RECIPES)}")
    recipe = RECIPES[recipe] if isinstance(recipe, str) else recipe
    of_kind(Recipe, recipe=recipe)
    overrides = given(overrides)
    names = [field.name for field in fields(Recipe)]
    if unknown := sorted(set(overrides) - set(names)):
        near = difflib.get_close_matches(unknown[0], [*names, *_PUBLISHED], 1)
        meant = [_PUBLISHED.get(name, name) for name in near]
        hint = "".join(f"did you mean {repr(one) if one.isidentifier() else one}? " for one in meant)
        raise SkillkitError(f"a recipe has no field {unknown[0]!r}; {hint}its fields are {', '.join(names)}")
    seq2seq, large = bb.family == "seq2seq", bb.hidden_size >= 1024
    special = [recipe.seq2seq_rate] * seq2seq + [recipe.large_rate] * large
    rates = [overrides.get("learning_rate"), *special, recipe.learning_rate]
    rate = next(rate for rate in rates if rate is not None)
    if overrides.keys() & {"epochs", "max_steps"}:
        overrides = {"epochs": None, "max_steps": None} | overrides
    return replace(recipe, **overrides | {"learning_rate": rate, "seq2seq_rate": None, "large_rate": None})


def given(overrides):
    """The overrides that are not None, which stands for the value of the recipe.

    >>> given({"max_steps": 100, "batch_size": None})
    {'max_steps': 100}
    """
    return {name: value for name, value in overrides.items() if value is not None}
