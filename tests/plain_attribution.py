"""Attribution as the formula says it, slowly: one prompt, one layer, one α and one whole forward pass at a time.

>>> plain_attribution(bb, "the capital of france is [MASK] .", "paris", *rule_nodes("right", 20))
"""

import torch

from skillkit.knowledge.clozes import encode_cloze


def plain_attribution(bb, cloze, answer, alphas, weights, before=False):
    """(token scores [tokens, layers, neurons], completeness errors [questions, layers], P of the whole answer)."""
    questions = encode_cloze(bb, cloze, answer)
    answers = [plain_question(bb, question, alphas, weights, before) for question in questions]
    scores, errors, probability = zip(*answers, strict=True)
    return torch.cat(scores), torch.stack(errors), torch.stack(probability).prod()


def plain_question(bb, question, alphas, weights, before=False, layers=None):
    """The same for one question, in tokens: (scores [slots, layers, neurons], errors [layers], probability)."""
    scores = torch.zeros(len(question.slots), bb.num_layers, bb.num_neurons, dtype=bb.dtype)
    errors = torch.zeros(bb.num_layers, dtype=bb.dtype)
    for layer in layers or range(bb.num_layers):
        slots = [len(question.decoder) - 1] if layer in bb.decoder_layers else list(question.slots)
        neurons, whole = _run(bb, question, layer, slots, before)
        _, nothing = _run(bb, question, layer, slots, before, torch.zeros_like(neurons))
        for alpha, weight in zip(alphas, weights, strict=True):
            scaled = (alpha * neurons).requires_grad_()
            _, p = _run(bb, question, layer, slots, before, scaled)
            scores[:, layer, : neurons.shape[1]] += weight * neurons * torch.autograd.grad(p, scaled)[0]
        errors[layer] = scores[:, layer].sum() - (whole - nothing)
    return scores, errors, whole


def _run(bb, question, layer, slots, before, replacement=None):
    """The neurons of a layer at the slots, and the probability of the targets, with replaced neurons if given."""
    seen = []

    def hook(module, args):
        seen.append(args[0][0, slots].detach())
        if replacement is not None:
            changed = args[0].clone()
            changed[0, slots] = replacement
            return (changed,)

    modules = bb.activation_functions if before else bb.value_matrices
    handle = modules[layer].register_forward_pre_hook(hook)
    inputs = {"input_ids": torch.tensor([question.ids])}
    if question.decoder:
        inputs["decoder_input_ids"] = torch.tensor([question.decoder])
    try:
        logits = bb.model(**inputs).logits[0]
    finally:
        handle.remove()
    read = [len(question.decoder) - 1] if question.decoder else list(question.slots)
    return seen[0], logits[read].softmax(-1)[range(len(read)), list(question.targets)].prod()
