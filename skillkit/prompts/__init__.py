"""Soft prompts, BitFit and adapters: trained, evaluated, saved, exchanged."""

from skillkit.prompts.adapters import Tuned
from skillkit.prompts.dataset import POOLED, Now, Reading, prepare
from skillkit.prompts.evaluation import Evaluation, evaluate, predict
from skillkit.prompts.layouts import encode_for, find_layout
from skillkit.prompts.recipes import choose_recipe, given
from skillkit.prompts.soft_prompt import (
    SoftPrompt,
    initial_weight,
    random_prompt,
)
from skillkit.prompts.training import fit
from skillkit.prompts.tuning import tune_adapter, tune_bitfit, tune_prompt

__all__ = [
    "Evaluation",
    "Now",
    "POOLED",
    "Reading",
    "SoftPrompt",
    "Tuned",
    "choose_recipe",
    "encode_for",
    "evaluate",
    "find_layout",
    "fit",
    "given",
    "initial_weight",
    "predict",
    "prepare",
    "random_prompt",
    "tune_adapter",
    "tune_bitfit",
    "tune_prompt",
]
