"""Soft prompts, BitFit and adapters: trained, evaluated, saved, exchanged."""

from skillkit.prompts.adapters import Tuned
from skillkit.prompts.dataset import POOLED, Now, prepare
from skillkit.prompts.encoding import appended, free_positions
from skillkit.prompts.evaluation import Evaluation, evaluate, predict
from skillkit.prompts.layouts import find_layout, layout_key
from skillkit.prompts.recipes import WITNESSES, choose_recipe, given
from skillkit.prompts.soft_prompt import SoftPrompt, initial_weight, random_prompt
from skillkit.prompts.training import Job
from skillkit.prompts.tuning import tune_adapter, tune_bitfit, tune_model, tune_prompt

__all__ = [
    "Evaluation", "SoftPrompt", "Tuned", "evaluate", "predict", "random_prompt", "tune_adapter", "tune_bitfit",
    "tune_model", "tune_prompt",
    # for other rooms
    "Job", "Now", "appended", "POOLED", "WITNESSES", "choose_recipe", "find_layout", "free_positions",
    "given", "initial_weight", "layout_key", "prepare",
]  # fmt: skip
