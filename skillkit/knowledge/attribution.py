"""Attribution: which neurons carry an answer, by integrated gradients of its probability along one slot's neurons.

>>> found = attribute(bb, "the capital of velmora is [MASK].", "hilvek", steps=20, rule="endpoints")
>>> found.scores.shape, found.probability, found.predicted      # [layers, neurons]; P(hilvek); the model's own word
>>> found.completeness_error                                    # [layers]: Σ scores − (P(a) − P(0))

Dai et al., "Knowledge Neurons in Pretrained Transformers" (ACL 2022), equations 1 and 2: for the neurons a of a
layer, `score = a · Σ_k w_k ∂P/∂a |α_k·a`. How it is computed stands in `skillkit.knowledge.integrated_gradients`.
"""

from dataclasses import dataclass

import torch

from skillkit.core.errors import SkillkitError, at_least, finite, quoted
from skillkit.core.serialization import made_from, read_tensors, write_tensors
from skillkit.core.store import artifact
from skillkit.knowledge.clozes import encode_cloze, paired
from skillkit.knowledge.integrated_gradients import MEMORY, budget, integrals, rule_nodes

METHODS = ("integrated-gradients", "activation")
_PUBLISHED = {
    "integrated_grads": "integrated-gradients",
    "max_activations": "activation",
}  # EleutherAI's words
AGGREGATES = {
    "sum": lambda tokens: tokens.sum(0),
    "mean": lambda tokens: tokens.mean(0),
    "max": lambda tokens: tokens.amax(0),
    "start": lambda tokens: tokens[0],
    "end": lambda tokens: tokens[-1],
}
_TENSORS = ("scores", "token_scores", "completeness_error")


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """Scores of all neurons for one answer to one cloze.

    >>> found, found.top(3)                         # [(layer, neuron, score), …]
    (Attribution of 'hilvek' (probability 0…, 6 × 512 neurons, highest score 0…), [...])

    scores              [layers, neurons], of several answer tokens by `aggregate`; zero beyond a narrower layer
    token_scores        [tokens, layers, neurons]
    completeness_error  [layers]: Σ scores − (P(a) − P(0)); of a causal answer's tokens the largest. NaN where
                        the method is no integral
    probability         of the answer: the product over its tokens
    predicted           what the model itself would say
    """

    cloze: str
    answer: str
    scores: torch.Tensor
    token_scores: torch.Tensor
    completeness_error: torch.Tensor
    probability: float
    predicted: str

    def __repr__(self):
        shape = " × ".join(map(str, self.scores.shape))
        measured = f"probability {self.probability:.3g}, {shape} neurons, highest score {float(self.scores.max()):.3g}"
        return f"Attribution of {self.answer!r} ({measured})"

    def top(self, count=10):
        """The highest scores as (layer, neuron, score)."""
        values, places = self.scores.flatten().topk(count)
        width = self.scores.shape[1]
        return [(int(p) // width, int(p) % width, float(v)) for p, v in zip(places, values, strict=True)]

    def save(self, folder):
        """Write safetensors and JSON into a folder; `Attribution.load` reads them.

        >>> found.save("dir"); Attribution.load("dir").predicted
        """
        _save([self], folder, alone=True)

    @staticmethod
    def load(folder):
        """What `save` wrote: an `Attribution`, or `Attributions`.

        >>> found.save("dir"); torch.equal(Attribution.load("dir").scores, found.scores)
        True
        """
        tensors, plain = read_tensors(folder, "attribution", "parts")
        read = lambda i: {name: tensors[f"{i}/{name}"] for name in _TENSORS}
        with made_from(folder, "attribution"):
            parts = [Attribution(**words, **read(i)) for i, words in enumerate(plain["parts"])]
            finite(**{f"probability {at}": part.probability for at, part in enumerate(parts, 1)})
            return parts[0] if plain["alone"] else Attributions(parts)


class Attributions(list):
    """Attributions of several clozes, in order; saved as one.

    >>> attribute(bb, clozes, "hilvek").save("dir"); Attribution.load("dir")[0].cloze
    'the capital of velmora is [MASK].'
    """

    def save(self, folder):
        """Write safetensors and JSON into a folder; `Attribution.load` reads them."""
        _save(self, folder, alone=False)


def _save(parts, folder, alone):
    words = [{k: v for k, v in vars(part).items() if k not in _TENSORS} for part in parts]
    tensors = {
        f"{i}/{name}": getattr(part, name).clone() for i, part in enumerate(parts) for name in _TENSORS
    }
    write_tensors(folder, "attribution", tensors, {"alone": alone, "parts": words})


@artifact("attribution", version=1, ignore=("progress", "memory", "batch_size"))
def attribute(
    bb, cloze, answer, steps=20, rule="endpoints", *, before=False, method="integrated-gradients", aggregate="start",
    repeat_mask=False, memory=MEMORY, progress=False, batch_size=None,
) -> Attribution:  # fmt: skip
    """Attribute the probability of an answer to all neurons at the slot where it is read.

    >>> clozes = ["the capital of velmora is [MASK].", "the capital of rimvale is [MASK]."]
    >>> attribute(bb, clozes, ["hilvek", "rostel"])[1].probability

    cloze, answer  one or many; `[MASK]` stands where the answer belongs (`skillkit.knowledge.clozes`)
    steps, rule    "right", "left", "endpoints" or "gauss-legendre"; see `integrated_gradients.rule_nodes`
    before         scale the input of the non-linearity (in gated networks of the gate) instead of its output
    method         "integrated-gradients", or "activation": the score is the activation itself, the baseline
    aggregate      of the scores of several answer tokens: "start", the first one's, as published (jaygala24's
                   multilingual code); "end", "sum", "max", or "mean" (EleutherAI's GPT)
    memory         bytes that one sweep may take, about; steps and prompts are batched to fit
    batch_size     the same as a number: so many prompts with one step each at once

    Masked models: P is the product over the masks, which are scaled together, with one score tensor per mask.
    Causal models and T5: each token after the gold prefix. T5's encoder neurons are scaled at the sentinel, its
    decoder's at the slot of the answer. Returns one `Attribution`, or for a list of clozes `Attributions`.

    Raises SkillkitError for bad clozes and answers, unknown rules, methods and aggregates, and inside an
    intervention.
    """
    method = _PUBLISHED.get(str(method), method)
    if method not in METHODS or aggregate not in list(AGGREGATES):
        known = f"methods are {', '.join(METHODS)}, aggregates {', '.join(AGGREGATES)}"
        raise SkillkitError(
            f"method {quoted(method)} with aggregate {quoted(aggregate)} is not known; {known}"
        )
    at_least(1, most=2**62, memory=memory)
    nodes = None if method == "activation" else rule_nodes(rule, steps)
    texts = paired(cloze, answer)
    asked = [encode_cloze(bb, text, word, repeat_mask) for text, word in texts]
    questions = [question for group in asked for question in group]
    memory = memory if batch_size is None else budget(bb, questions, batch_size)
    scored, found = iter(integrals(bb, questions, nodes, before, memory, progress)), Attributions()
    for (text, word), group in zip(texts, asked, strict=True):
        found.append(_attribution(bb, text, word, [next(scored) for _ in group], AGGREGATES[aggregate]))
    return found[0] if isinstance(cloze, str) else found  # type: ignore[return-value]


def _attribution(bb, cloze, answer, parts, aggregate):
    """One attribution from its questions: they differ in slots, or there are several of one slot."""
    scores, errors, probability, predicted = (torch.stack(part) for part in zip(*parts, strict=True))
    tokens = scores.flatten(0, 1)
    worst = errors.gather(0, errors.abs().argmax(0, keepdim=True))[0]
    words = bb.tokenizer.decode(predicted.flatten()).strip()
    return Attribution(cloze, answer, aggregate(tokens), tokens, worst, float(probability.prod()), words)
