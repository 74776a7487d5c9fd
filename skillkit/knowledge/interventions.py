"""Interventions on facts: enhance, erase and edit the neurons that hold them.

>>> with enhance(bb, facts, factor=2), edit(bb, other_facts, to="rostel", answer="pryden"):
...     ask(bb, "the capital of velmora is [MASK].", "hilvek")

All are contexts that touch no weight, nest in any order, restore bit for bit (also on an exception), and raise
for an empty set of neurons and when no forward pass used them. `facts` is what `knowledge_neurons` found, or a
mask, bool [layers, neurons]. `positions` is None (everywhere), "answer" (the slot where a cloze is answered, as in
EleutherAI's code; `ask` and what builds on it know where that is), or positions as in `skillkit.models.hooks.record`.
Suppression, at the same positions, is `skillkit.neurons.suppress`.

Dai et al., "Knowledge Neurons in Pretrained Transformers" (ACL 2022), sections 4.3 and 5.
"""

import weakref
from functools import partial

import torch

from skillkit.core.errors import SkillkitError, finite, listed, quoted
from skillkit.knowledge.clozes import encode_cloze, one_mask
from skillkit.models import Hooks, of_layer, put, replace_neurons, take, weakly
from skillkit.neurons import answer_positions, checked_mask


def enhance(bb, facts, factor=2.0, positions=None):
    """Multiply the neurons, after the non-linearity, by a factor; the paper doubles them.

    >>> with enhance(bb, facts, factor=3): ask(bb, prompts, "hilvek")
    """
    finite(factor=factor)
    mask = checked_mask(bb, facts)
    functions = {layer: partial(_scaled, mask[layer, : bb.widths[layer]], factor) for layer in _layers(mask)}
    return replace_neurons(bb, functions, answer_positions(bb, positions), tokenwise=True)


def erase(bb, facts, to="zero", positions=None):
    """Replace the neurons' value vectors by zero, or by the embedding of the unknown token (`to="unknown"`, "unk").

    >>> with erase(bb, facts): ask(bb, prompts, "hilvek")[0].rank

    Raises SkillkitError for another `to`, and where the tokenizer has no unknown token.
    """
    to = "unknown" if to == "unk" else to
    mask = checked_mask(bb, facts)
    if to not in ("zero", "unknown"):
        raise SkillkitError(f"value vectors are erased to 'zero' or 'unknown', not {quoted(to)}")
    unknown = bb.tokenizer.unk_token_id
    if to == "unknown" and unknown is None:
        raise SkillkitError(f"the tokenizer of {bb.name} has no unknown token; erase to='zero'")
    vector = 0 if to == "zero" else _embedding(bb, [unknown])
    return NewVectors(bb, mask, lambda old: vector - old, positions)


def edit(bb, facts, to, answer=None, form="normed", strength=None, positions=None):
    """Change the neurons' value vectors so that they promote another answer.

    >>> with edit(bb, facts, to="rostel"): ask(bb, prompts, "rostel")[0].rank

    to        the new answer
    answer    the old one; None: that of the facts' first prompt
    form      "normed": v − λ₁ ‖v‖/‖e_old‖ e_old + λ₂ ‖v‖/‖e_new‖ e_new with strength (λ₁, λ₂) = (1, 8), the
              paper's; "plain": v + λ (e_new − e_old) with strength λ = 2
    e is the row of the output embedding, of an answer of several tokens their mean.

    Raises SkillkitError for an unknown form, an answer that the vocabulary lacks, and a mask without `answer`.
    """
    mask, prompts = checked_mask(bb, facts), getattr(facts, "prompts", None)
    answer = answer or (facts.answers[0] if prompts else None)
    if answer is None:
        raise SkillkitError("a mask comes without the old answer; give answer=")
    prompt = prompts[0] if prompts else None
    old, new = (_embedding(bb, answer_tokens(bb, word, prompt)) for word in (answer, to))
    if form == "normed":
        away, towards = _strength((1, 8) if strength is None else strength, 2)
        step = towards * new / new.norm() - away * old / old.norm()
        change = lambda vectors: vectors.norm(dim=0) * step
    elif form == "plain":
        [strength] = _strength(2 if strength is None else strength, 1)
        step = strength * (new - old)
        change = lambda vectors: step.expand_as(vectors)
    else:
        raise SkillkitError(f"an edit has the form 'normed' or 'plain', not {quoted(form)}")
    return NewVectors(bb, mask, change, positions)


def _strength(given, count):
    numbers = listed(given)
    if len(numbers) != count:
        raise SkillkitError(f"this form of an edit takes {count} strengths, not {quoted(given)}")
    finite(**{f"strength {at}": number for at, number in enumerate(numbers, 1)})
    return numbers


class NewVectors(Hooks):
    """Context in which the chosen neurons have other value vectors.

    >>> with NewVectors(bb, mask, lambda old: -old): bb.run(inputs)       # old: [hidden, chosen neurons]

    `change` gives what is added to the vectors of one layer, in the same shape. Inside another such context it
    sees the vectors as that one has made them, unless that one acts at other positions.
    """

    def __init__(self, bb, mask, change, positions=None):
        super().__init__(bb, _layers(mask), lambda layer, neurons: None)
        self.chosen = {layer: mask[layer].nonzero()[:, 0] for layer in self.layers}
        self.change, self.place, self.positions = change, positions, answer_positions(bb, positions)

    def _hooks(self):
        self.added, adding = {layer: self.change(self._vectors(layer)) for layer in self.layers}, []
        for layer in self.layers:
            hook = weakly(self._add, layer)
            hook.opened_by, hook.vectors = type(self).__name__, weakref.ref(self)
            adding.append((self.bb.value_matrices[layer].register_forward_hook, hook))
        return [*super()._hooks(), *adding]

    def _vectors(self, layer):
        """The chosen vectors as the contexts around this one leave them, [hidden, chosen]."""
        vectors = self.bb.value_weight(layer).clone()
        for hook in self.bb.value_matrices[layer]._forward_hooks.values():
            outer = getattr(hook, "vectors", lambda: None)()
            if outer is not None and (outer.place is None or outer.place is self.place):
                vectors[:, outer.chosen[layer]] += outer.added[layer]
        return vectors[:, self.chosen[layer]]

    def _add(self, layer, module, args, out):
        positions = of_layer(self.positions, layer)
        active = take(args[0], positions)[..., self.chosen[layer].to(out.device)]
        return put(out, take(out, positions) + active @ self.added[layer].T.to(active), positions)


def answer_tokens(bb, answer, prompt=None):
    """Token ids of an answer as it stands in a prompt (None: after other words).

    >>> bb.tokenizer.decode(answer_tokens(bb, "hilvek", "the capital of velmora is [MASK]."))
    'hilvek'
    """
    questions = encode_cloze(bb, one_mask(prompt or _BARE[bb.family]), answer, repeat_mask=True)
    return [token for question in questions for token in question.targets]


_BARE = {"masked": "it is [MASK].", "seq2seq": "it is [MASK].", "causal": "it is [MASK]"}


def _layers(mask):
    return mask.any(1).nonzero()[:, 0].tolist()


def _scaled(chosen, factor, activations):
    return torch.where(chosen.to(activations.device), factor * activations, activations)


def _embedding(bb, tokens):
    """Output embedding of tokens, [hidden, 1]."""
    table = bb.model.get_output_embeddings().weight
    if table.shape[1] != len(bb.value_weight(0)):  # ELECTRA
        raise SkillkitError(
            f"{bb.name} has embeddings of another width than its hidden states; erase to='zero'"
        )
    return table[list(tokens)].mean(0)[:, None]
