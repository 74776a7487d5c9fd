"""From predictivity to masks: probing, skill neurons, suppression, pruning."""

from skillkit.neurons.activations import activations
from skillkit.neurons.controls import controls
from skillkit.neurons.ensembles import ensembles
from skillkit.neurons.mask_files import load_neurons, neurons_from, pairs, save_neurons, save_published
from skillkit.neurons.number_files import read_numbers, read_scores, save_figures
from skillkit.neurons.probe import Probe
from skillkit.neurons.probing import probe
from skillkit.neurons.pruning import magnitude, prune
from skillkit.neurons.pruning_curve import pruning_curve
from skillkit.neurons.similarity import SameType, overlap, similarity
from skillkit.neurons.skill_neurons import checked_mask, random_neurons, scores_of, skill_neurons
from skillkit.neurons.suppression import answer_positions, suppress
from skillkit.neurons.suppression_curve import damage_matrix, suppression_curve
from skillkit.neurons.timing import compare_speed

__all__ = [
    "Probe", "SameType", "activations", "answer_positions", "checked_mask", "compare_speed", "controls",
    "damage_matrix", "ensembles", "load_neurons", "magnitude", "neurons_from", "overlap", "pairs", "probe", "prune",
    "pruning_curve", "random_neurons", "read_numbers", "read_scores", "save_figures", "save_neurons", "save_published",
    "scores_of", "similarity", "skill_neurons", "suppress", "suppression_curve",
]  # fmt: skip
