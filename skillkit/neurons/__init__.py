"""From predictivity to masks: probing, skill neurons, suppression, pruning."""

from skillkit.neurons.activations import neuron_activations, prompt_activations
from skillkit.neurons.controls import controls
from skillkit.neurons.ensembles import ensembles
from skillkit.neurons.probe import Probe, stacks
from skillkit.neurons.probing import probe
from skillkit.neurons.pruning import magnitude, prune
from skillkit.neurons.pruning_curve import pruning_curve
from skillkit.neurons.similarity import SameType, mean_specificity, overlap, pairwise
from skillkit.neurons.skill_neurons import (
    checked_mask,
    load_neurons,
    random_neurons,
    save_neurons,
    scores_of,
    skill_neurons,
)
from skillkit.neurons.suppression import suppress
from skillkit.neurons.suppression_curve import damage_matrix, suppression_curve
from skillkit.neurons.timing import compare_speed

__all__ = [
    "Probe",
    "SameType",
    "checked_mask",
    "compare_speed",
    "controls",
    "damage_matrix",
    "ensembles",
    "load_neurons",
    "magnitude",
    "mean_specificity",
    "neuron_activations",
    "overlap",
    "pairwise",
    "probe",
    "prompt_activations",
    "prune",
    "pruning_curve",
    "random_neurons",
    "save_neurons",
    "scores_of",
    "skill_neurons",
    "stacks",
    "suppress",
    "suppression_curve",
]
