"""Clean against adversarial: pairs of tasks, attacks, accuracy, neurons and repair."""

from skillkit.robustness.adversarial_pair import View, adversarial_view
from skillkit.robustness.measures import activation_gaps, answers
from skillkit.robustness.neuron_overlap import overlap_curve, paired_probes
from skillkit.robustness.perturbations import attacks_on
from skillkit.robustness.repair import mixed, push, push_curve, repairs

__all__ = [
    "View", "activation_gaps", "adversarial_view", "answers", "attacks_on", "mixed", "overlap_curve",
    "paired_probes", "push", "push_curve", "repairs",
]  # fmt: skip
