"""The integral along α for batches of questions, within a memory budget, with few nodes where those are enough.

>>> integrals(bb, questions, Plan("endpoints", 4))[0]           # scores, completeness error, probability, …
"""

import numpy as np
import torch

from skillkit.core.progress import progress as progress_bar
from skillkit.knowledge.clozes import by_shape
from skillkit.knowledge.quadrature import carried_weights, nested_nodes, rule_nodes
from skillkit.knowledge.replay import stacks_of_groups

MEMORY = 2**30  # bytes of one sweep; more makes nothing faster on a CPU
PLAIN = 1 / 16  # how much of that plain passes that wait for their sweeps may keep


def integrals(bb, questions, plan=None, before=False, memory=MEMORY, progress=False):
    """Attribute many questions, in batches that fit into memory.

    >>> scores, error, probability, predicted, estimated = integrals(bb, questions, Plan("right", 4))[0]

    For each question: scores [S, layers, neurons], completeness error [layers], probability of its targets,
    the ids [S] that the model puts first, and bool [layers] where few nodes were enough. Without a plan, the
    scores are what would be scaled: the activations.
    """
    found = [None] * len(questions)
    with progress_bar(total=len(questions), desc="attribution", disable=not progress) as bar:
        for batches in _passes(bb, questions, plan, memory):
            groups = [[questions[row] for row in rows] for rows in batches]
            for rows, group, of in zip(batches, groups, stacks_of_groups(bb, groups, before), strict=True):
                for row, result in zip(rows, _Batch(bb, group, plan, memory, of).results(), strict=True):
                    found[row] = result
                bar.update(len(rows))
    return found


def _passes(bb, questions, plan, memory):
    """Row numbers of questions, in batches of one shape that fit into memory, and those in lists for one plain pass."""
    kept, passes, room = bb.num_layers * 4 * bb.hidden_size * _bytes(bb), [], 0
    for group in by_shape(questions):
        length = len(questions[group[0]].ids)
        size = max(1, memory // _footprint(bb, questions[group[0]], range(bb.num_layers)))
        size = max(1, size // (plan.sweeps if plan else 1))
        for at in range(0, len(group), size):
            rows = group[at : at + size]
            cost = len(rows) * length * kept
            if cost > room:
                passes.append([])
                room = memory * PLAIN
            room -= cost
            passes[-1].append(rows)
    return passes


class Plan:
    """Where to evaluate slopes: the nodes of a rule, or fewer of them with a guard.

    >>> Plan("endpoints", 20).sweeps, Plan("endpoints", 20, nodes=5).sweeps
    (20, 5)
    """

    def __init__(self, rule, steps, nodes=None, tolerance=0.01):
        self.full = rule_nodes(rule, steps)
        self.tolerance, self.few = tolerance, None
        if nodes is not None:
            fine = nested_nodes(nodes)
            weights = np.zeros((4, nodes))
            for row, step in enumerate((1, 2, 4)):  # the rule from all nodes, every second, every fourth
                weights[row, ::step] = carried_weights(fine[::step], *self.full)
            weights[3] = carried_weights(fine, *rule_nodes("gauss-legendre", nodes))  # the integral itself
            self.few = fine, weights

    @property
    def sweeps(self):
        return len(self.few[0] if self.few else self.full[0])


class _Batch:
    """Questions of one shape that are attributed together."""

    def __init__(self, bb, questions, plan, memory, stacks):
        self.bb, self.questions, self.plan, self.memory, self.stacks = bb, questions, plan, memory, stacks

    def results(self):
        """One (scores, errors, probability, predicted, estimated) per question, on the CPU."""
        count, slots = len(self.questions), len(self.questions[0].slots)
        dtype = torch.promote_types(self.stacks[0].probability.dtype, torch.float32)
        scores = torch.zeros(count, slots, self.bb.num_layers, self.bb.num_neurons, dtype=dtype)
        errors = torch.full((count, self.bb.num_layers), torch.nan, dtype=dtype)
        estimated = torch.zeros(count, self.bb.num_layers, dtype=torch.bool)
        for stack in self.stacks:
            for layer, score, error, guess in self._layers(stack):
                scores[:, :, layer, : score.shape[2]] = score.cpu()
                errors[:, layer], estimated[:, layer] = error.cpu(), guess
        last = self.stacks[-1]
        return zip(scores, errors, last.probability.cpu(), last.predicted.cpu(), estimated, strict=True)

    def _layers(self, stack):
        if self.plan is None:
            for layer in stack.layers:
                yield layer, stack.scaled[layer], torch.tensor(torch.nan), False
            return
        if self.plan.few is not None:
            yield from self._guarded(stack)
            return
        for layers in self._ranges(stack.layers):
            yield from self._exact(stack, layers)

    def _exact(self, stack, layers):
        alphas, weights = self.plan.full
        scores, zero = self._integrals(stack, layers, alphas, weights[None])
        for layer in layers:
            yield layer, scores[layer][0], self._error(stack, scores[layer][0], zero[layer]), False

    def _guarded(self, stack):
        """Scores from few nodes, where the nested estimates and the completeness of the integral agree.

        From every fourth node to every second the scores change by d₁, from there to all nodes by d₂; if that
        goes on, they are off by d₂ · d₂/d₁. A tenth of d₂ is the least that is believed.
        """
        scores, zero = {}, {}
        for layers in self._ranges(stack.layers):
            for kept, part in zip(
                (scores, zero), self._integrals(stack, layers, *self.plan.few), strict=True
            ):
                kept.update(part)
        highest = torch.stack([fine.abs().amax((1, 2)).cpu() for fine, *_ in scores.values()]).amax(0)
        for layer, (fine, coarse, coarsest, integral) in scores.items():
            first, second = (
                (a - b).abs().amax((1, 2)).cpu() for a, b in ((coarse, coarsest), (fine, coarse))
            )
            off = second * (second / first).clamp(0.1, 1)
            missed = self._error(stack, integral, zero[layer]).abs() / integral.abs().sum((1, 2)).cpu()
            if (off <= self.plan.tolerance * highest).all() and (missed <= self.plan.tolerance).all():
                yield layer, fine, self._error(stack, fine, zero[layer]), True
            else:
                yield from self._exact(stack, range(layer, layer + 1))

    def _error(self, stack, scores, zero):
        return scores.sum((1, 2)).cpu() - (stack.probability - zero).cpu()

    def _integrals(self, stack, layers, alphas, weights):
        """Scores {layer: [rules, questions, S, neurons]} for weights [rules, alphas], and P(0) {layer: [questions]}."""
        inner = [i for i, alpha in enumerate(alphas) if alpha != 1]  # the plain pass has α = 1
        sums = {layer: self._weighted(stack.slopes[layer][None], weights[:, alphas == 1]) for layer in layers}
        zero, size = None, self._alphas_at_once(layers)
        for at in range(0, len(inner), size):
            chosen = inner[at : at + size]
            slopes, probability = stack.sweep(layers, alphas[chosen])
            for layer in layers:
                sums[layer] += self._weighted(slopes[layer], weights[:, chosen])
            if alphas[chosen[0]] == 0:
                zero = probability[:, 0]
        if zero is None:
            zero = stack.sweep(layers, [0.0], slopes=False)[1][:, 0]
        scores = {layer: self._score(stack, layer, total) for layer, total in sums.items()}
        return scores, dict(zip(layers, zero, strict=True))

    def _weighted(self, slopes, weights):
        """Sums of slopes [alphas, …] over α for weights [rules, alphas]; zero without any α."""
        wide = torch.promote_types(slopes.dtype, torch.float32)
        weights = torch.as_tensor(weights, dtype=wide, device=slopes.device)
        return torch.tensordot(weights, slopes[: weights.shape[1]].to(wide), dims=1)

    def _score(self, stack, layer, total):
        scaled = stack.scaled[layer]
        pulled = total if stack.before else torch.stack([stack.pull(layer, slope) for slope in total])
        return scaled.to(pulled) * pulled

    def _alphas_at_once(self, layers):
        return max(1, self.memory // (len(self.questions) * _footprint(self.bb, self.questions[0], layers)))

    def _ranges(self, layers):
        """The layers, in as few ranges as fit into memory with every α: products of many rows are the faster ones."""
        start = layers.start
        for stop in range(start + 1, layers.stop + 1):
            fits = self._alphas_at_once(range(start, min(stop + 1, layers.stop))) >= self.plan.sweeps
            if stop == layers.stop or not fits:
                yield range(start, stop)
                start = stop


def _footprint(bb, question, layers):
    """Bytes, about, that one question with one α takes in a sweep that scales each of `layers`."""
    total = 0
    for layer in layers:
        stack = bb.decoder_layers if layer in bb.decoder_layers else bb.encoder_layers
        alone = bb.family == "causal" or layer in bb.decoder_layers
        tokens = 1 if alone else len(question.ids)
        blocks = stack.stop - 1 - layer
        if bb.family == "seq2seq" and not alone:
            blocks += len(bb.decoder_layers)
        seen = 4 * len(question.ids) * bb.hidden_size if alone else 0
        kept = tokens * (10 * bb.hidden_size + 4 * bb.num_neurons) + seen
        head = 3 * len(question.slots) * bb.model.config.vocab_size
        total += (1 + blocks) * kept + head
    return total * _bytes(bb)


def _bytes(bb):
    return bb.model.get_input_embeddings().weight.element_size()
