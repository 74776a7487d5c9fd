"""Integrated gradients of an answer's probability along the neurons of one slot.

>>> scores, error, probability, predicted = integrals(bb, questions, rule_nodes("right", 4))[0]

For the neurons a of one layer at the slot where the answer is read: score = a · Σ_k w_k ∂P/∂a |α_k·a (Dai et al. 2022,
equation 2). `WholeModel` computes the slopes just so; `skillkit.knowledge.upper_layers` gives the same in less time,
of what follows the non-linearity and unless SKILLKIT_PLAIN=1.
"""

from numbers import Integral

import numpy as np
import torch

from skillkit.core.errors import SkillkitError, at_least, quoted
from skillkit.core.progress import progress as progress_bar
from skillkit.knowledge.clozes import by_shape, inputs_of, slots_of
from skillkit.knowledge.upper_layers import answer_probability, upper_stacks
from skillkit.models import hooked, replace_neurons, take
from skillkit.models.fast import enabled
from skillkit.models.fast.products import quick_products

RULES = ("right", "left", "endpoints", "gauss-legendre")
MEMORY = 2**30  # bytes of one sweep; more makes nothing faster on a CPU


def rule_nodes(rule, steps):
    """Nodes α in [0, 1] and weights of a quadrature rule with so many steps.

    >>> rule_nodes("endpoints", 3)
    (array([0. , 0.5, 1. ]), array([0.33333333, 0.33333333, 0.33333333]))

    right           α = k/m, k = 1 … m: the paper (Dai et al. 2022, equation 2)
    left            α = k/m, k = 0 … m − 1: the authors' code
    endpoints       α = k/(m − 1), k = 0 … m − 1, weight 1/m: the widely used re-implementation
    gauss-legendre  exact for polynomials of degree 2m − 1

    Raises SkillkitError for another rule or too few steps.
    """
    if rule not in RULES:
        raise SkillkitError(f"there is no rule {quoted(rule)}; choose one of {', '.join(RULES)}")
    least = 2 if rule == "endpoints" else 1
    if not isinstance(steps, Integral) or isinstance(steps, bool) or steps < least:
        raise SkillkitError(
            f"the rule {rule!r} needs at least {least} steps (a whole number), not {quoted(steps)}"
        )
    at_least(least, most=10_000, steps=steps)
    if rule == "gauss-legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return (nodes + 1) / 2, weights / 2
    count = np.arange(steps)
    alphas = {
        "right": (count + 1) / steps,
        "left": count / steps,
        "endpoints": count / max(int(steps) - 1, 1),
    }
    return alphas[rule], np.full(steps, 1 / steps)


def integrals(bb, questions, nodes=None, before=False, memory=MEMORY, progress=False):
    """Attribute many questions, in batches that fit into memory.

    >>> scores, error, probability, predicted = integrals(bb, questions, rule_nodes("right", 4))[0]

    For each question: scores [S, layers, neurons], completeness error [layers], probability of its targets, and
    the ids [S] that the model puts first. Without nodes, the scores are the activations themselves.
    """
    if hooked(bb):
        raise SkillkitError("attribution inside an intervention is not defined; leave its with block first")
    found = [None] * len(questions)
    bar = progress_bar(total=len(questions), desc="attribution", disable=not progress)
    with bar, quick_products(bb):
        for rows in _batches(bb, questions, nodes, memory):
            batch = [questions[row] for row in rows]
            for row, result in zip(rows, _attribute(bb, batch, nodes, before, memory), strict=True):
                found[row] = result
            bar.update(len(rows))
    return found


def budget(bb, questions, batch_size):
    """Bytes, about, that so many questions with one step each take in all layers at once: `memory` in other words.

    >>> budget(bb, questions, 20) == 20 * budget(bb, questions, 1)
    True
    """
    at_least(1, batch_size=batch_size)
    return batch_size * max(_footprint(bb, one, range(bb.num_layers)) for one in questions)


def _batches(bb, questions, nodes, memory):
    """Row numbers of questions of one shape, as many together as fit into memory with all layers and steps."""
    for group in by_shape(questions):
        room = memory // _footprint(bb, questions[group[0]], range(bb.num_layers))
        size = max(1, room // (1 if nodes is None else len(nodes[0])))
        yield from (group[at : at + size] for at in range(0, len(group), size))


def _attribute(bb, questions, nodes, before, memory):
    """(scores, errors, probability, predicted) of each of some questions of one shape, on the CPU."""
    fast = enabled() and bb.plain_sum and not before
    engines = upper_stacks(bb, questions) if fast else [WholeModel(bb, questions, before)]
    last, count = engines[-1], len(questions)
    dtype = torch.promote_types(last.probability.dtype, torch.float32)
    scores = torch.zeros(count, len(questions[0].slots), bb.num_layers, bb.num_neurons, dtype=dtype)
    errors = torch.full((count, bb.num_layers), torch.nan, dtype=dtype)
    for engine in engines:
        for layers, size in _ranges(bb, questions, engine.layers, nodes, memory):
            means, zero = (None, None) if nodes is None else _mean_slopes(engine, layers, nodes, size)
            for i, layer in enumerate(layers):
                score = engine.scaled[layer] if nodes is None else engine.scaled[layer] * means[layer]
                scores[:, :, layer, : score.shape[2]] = score.cpu()
                if nodes is not None:
                    errors[:, layer] = (score.sum((1, 2)) - (engine.probability - zero[i])).cpu()
    return zip(scores, errors, last.probability.cpu(), last.predicted.cpu(), strict=True)


def _mean_slopes(engine, layers, nodes, size):
    """Σ_k w_k ∂P/∂a |α_k·a as {layer: [questions, S, neurons]}, and P(0) [layers, questions]; `size` αs at a time."""
    (alphas, weights), wide = nodes, torch.promote_types(engine.probability.dtype, torch.float32)
    means, zero = dict.fromkeys(layers, 0), None
    if engine.slopes:  # at α = 1, from the plain pass
        last, inner = float(weights[alphas == 1].sum()), alphas != 1
        means = {layer: last * engine.slopes[layer].to(wide) for layer in layers}
        alphas, weights = alphas[inner], weights[inner]
    if not (alphas[:1] == 0).any():  # P(0) is wanted for the completeness error
        alphas, weights = np.r_[0, alphas], np.r_[0, weights]
    for at in range(0, len(alphas), size):
        slopes, probability = engine.sweep(layers, alphas[at : at + size])
        zero = probability[:, 0] if zero is None else zero
        for layer, slope in slopes.items():
            weight = torch.as_tensor(weights[at : at + size], dtype=wide, device=slope.device)
            means[layer] = means[layer] + torch.tensordot(weight, slope.to(wide), dims=1)
    return means, zero


def _ranges(bb, questions, layers, nodes, memory):
    """(layers, αs at a time): the layers in as few ranges as fit into memory with every α, else fewer αs."""
    fitting = lambda some: max(1, memory // (len(questions) * _footprint(bb, questions[0], some)))
    steps = 1 if nodes is None else len(nodes[0]) + 1
    start = layers.start
    for stop in range(start + 1, layers.stop + 1):
        if stop == layers.stop or fitting(range(start, stop + 1)) < steps:
            yield range(start, stop), fitting(range(start, stop))
            start = stop


def _footprint(bb, question, layers):
    """Bytes, about, that one question with one α takes in a sweep that scales each of `layers`."""
    total, tokens = 0, len(question.ids)
    for layer in layers:
        width = 10 * bb.hidden_size + 4 * bb.num_neurons
        one_token = bb.family == "causal" or layer in bb.decoder_layers
        # One token stands beside keys and values of the others.
        kept = width + 4 * tokens * bb.hidden_size if one_token else tokens * width
        head = 4 * len(question.slots) * bb.model.config.vocab_size
        total += (bb.num_layers - layer) * kept + head
    return total * bb.model.get_input_embeddings().weight.element_size()


class WholeModel:
    """Slopes of the answers' probability by whole forward passes, one for each layer and α.

    >>> slopes, probability = WholeModel(bb, questions).sweep(range(3, 5), [0.0, 0.5])
    >>> slopes[3].shape, probability.shape          # [alphas, questions, slots, neurons]; [layers, alphas, questions]
    (torch.Size([2, 1, 1, 512]), torch.Size([2, 2, 1]))

    `scaled[layer]` is what α scales: the neurons, or (`before`) the input of the activation function, at the slots;
    `probability` [questions] of the targets, `predicted` [questions, S] the tokens that the model puts first.
    """

    slopes: dict = {}  # those at α = 1 are not known beforehand

    def __init__(self, bb, questions, before=False):
        self.bb, self.before, self.layers = bb, before, range(bb.num_layers)
        self.inputs, self.slots = inputs_of(bb, questions), slots_of(bb, questions)
        self.targets = torch.tensor([question.targets for question in questions], device=bb.device)
        with torch.no_grad(), bb.record(positions=self.slots, before=before) as acts:
            logits = self._logits()
        self.scaled = dict(acts.items())
        self.probability, self.predicted = answer_probability(logits, self.targets), logits.argmax(-1)

    def sweep(self, layers, alphas):
        """{layer: slopes [alphas, questions, S, neurons]} and the probability [layers, alphas, questions]."""
        found = {layer: [self._slope(layer, float(alpha)) for alpha in alphas] for layer in layers}
        stacked = {layer: [torch.stack(part) for part in zip(*pairs)] for layer, pairs in found.items()}
        slopes = {layer: slope for layer, (slope, _) in stacked.items()}
        return slopes, torch.stack([probability for _, probability in stacked.values()])

    def _slope(self, layer, alpha):
        scaled = (alpha * self.scaled[layer]).requires_grad_()
        with replace_neurons(self.bb, {layer: lambda _: scaled}, self.slots, before=self.before):
            probability = answer_probability(self._logits(), self.targets)
        return torch.autograd.grad(probability.sum(), scaled)[0], probability.detach()

    def _logits(self):
        hidden = self.bb.run(self.inputs)
        return self.bb.head(take(hidden, self.slots[self.bb.num_layers - 1].to(hidden.device)))
