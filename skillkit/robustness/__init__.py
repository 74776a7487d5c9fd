"""Clean against adversarial: pairs, perturbations, measures, repair."""
