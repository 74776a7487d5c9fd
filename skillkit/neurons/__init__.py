"""From predictivity to masks: probing, skill neurons, suppression, pruning."""

from skillkit.neurons.activations import neuron_activations, prompt_activations
from skillkit.neurons.controls import controls
from skillkit.neurons.ensembles import ensembles
from skillkit.neurons.probe import Probe, stacks
from skillkit.neurons.probing import probe
from skillkit.neurons.pruning import prune, upper_layers
from skillkit.neurons.similarity import SameType, mean_specificity, overlap, pairwise
from skillkit.neurons.skill_neurons import (
    checked_mask,
    load_neurons,
    random_neurons,
    save_neurons,
    scores_of,
    skill_neurons,
)
from skillkit.neurons.suppression import KINDS, PLACES, suppress
from skillkit.neurons.suppression_curve import costs, damage, damage_across, summary, suppression_curve
from skillkit.neurons.timing import speed

__all__ = [
    "KINDS",
    "PLACES",
    "Probe",
    "SameType",
    "checked_mask",
    "controls",
    "costs",
    "damage",
    "damage_across",
    "ensembles",
    "load_neurons",
    "mean_specificity",
    "neuron_activations",
    "overlap",
    "pairwise",
    "probe",
    "prompt_activations",
    "prune",
    "random_neurons",
    "save_neurons",
    "scores_of",
    "skill_neurons",
    "speed",
    "stacks",
    "summary",
    "suppress",
    "suppression_curve",
    "upper_layers",
]
