"""Clean against adversarial: pairs, perturbations, measures, repair."""

from skillkit.robustness.adversarial_pair import adversarial_view
from skillkit.robustness.contrasts import choosing, contrast, overlap_curve, staying
from skillkit.robustness.measures import Comparison, activation_gaps, answers, link
from skillkit.robustness.perturbations import attacks_on, characters
from skillkit.robustness.repair import repairs

__all__ = [
    "Comparison",
    "activation_gaps",
    "adversarial_view",
    "answers",
    "attacks_on",
    "characters",
    "choosing",
    "contrast",
    "link",
    "overlap_curve",
    "repairs",
    "staying",
]
