"""Where the integral along α is sampled, and with which weights.

>>> alphas, weights = rule_nodes("right", 4)
>>> alphas.tolist(), weights.tolist()
([0.25, 0.5, 0.75, 1.0], [0.25, 0.25, 0.25, 0.25])
"""

import numpy as np

from skillkit.core.errors import SkillkitError

RULES = ("right", "left", "endpoints", "gauss-legendre")


def rule_nodes(rule, steps):
    """Nodes α in [0, 1] and weights of a rule with so many steps.

    >>> rule_nodes("endpoints", 3)
    (array([0. , 0.5, 1. ]), array([0.33333333, 0.33333333, 0.33333333]))

    right           α = k/m, k = 1 … m: the paper (Dai et al. 2022, equation 2)
    left            α = k/m, k = 0 … m − 1: the authors' code
    endpoints       α = k/(m − 1), k = 0 … m − 1, weight 1/m: the widely used re-implementation
    gauss-legendre  exact for polynomials of degree 2m − 1

    Raises SkillkitError for another rule or too few steps.
    """
    if rule not in RULES:
        raise SkillkitError(f"there is no rule {rule!r}; choose one of {', '.join(RULES)}")
    least = 2 if rule == "endpoints" else 1
    if not isinstance(steps, int) or steps < least:
        raise SkillkitError(f"the rule {rule!r} needs at least {least} steps (a whole number), not {steps!r}")
    if rule == "gauss-legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return (nodes + 1) / 2, weights / 2
    count = np.arange(steps)
    alphas = {"right": (count + 1) / steps, "left": count / steps, "endpoints": count / max(steps - 1, 1)}[
        rule
    ]
    return alphas, np.full(steps, 1 / steps)


def nested_nodes(count):
    """Clenshaw–Curtis nodes in [0, 1]; every second one, and every fourth, is such a set too.

    >>> nested_nodes(5).round(3).tolist()
    [0.0, 0.146, 0.5, 0.854, 1.0]

    Raises SkillkitError unless `count` is 5, 9, 13, …
    """
    if not isinstance(count, int) or count < 5 or count % 4 != 1:
        raise SkillkitError(f"nested nodes come in 5, 9, 13, …, not {count!r}; try 5")
    return (1 - np.cos(np.pi * np.arange(count) / (count - 1))) / 2


def carried_weights(nodes, alphas, weights):
    """Weights at a few nodes that give what a rule gives, for every polynomial through the nodes.

    >>> carried_weights(nested_nodes(5)[::2], *rule_nodes("gauss-legendre", 20)).round(3).tolist()      # Simpson
    [0.167, 0.667, 0.167]
    """
    basis = np.ones((len(nodes), len(alphas)))
    for i, node in enumerate(nodes):
        for other in np.delete(nodes, i):
            basis[i] *= (alphas - other) / (node - other)
    return basis @ weights
