"""A backbone that knows two facts by neurons that we chose: what attribution must find.

>>> bb, facts = planted_facts("gpt2")
>>> facts["france"].answer, facts["france"].pairs
('paris', [(1, 3), (1, 11), (2, 27)])
"""

from dataclasses import dataclass

import torch

from skillkit.knowledge.clozes import encode_cloze, inputs_of, slots_of
from skillkit.models.hooks import take
from tests.tiny import tiny_backbone

PHRASINGS = (
    "the capital of {} is [MASK].",
    "it is true , the capital of {} is [MASK].",
    "where is the capital of {} ? it is [MASK].",
    "who watch the capital of {} ? overall it was [MASK].",
)
SUBJECTS = ("france", "germany", "england", "sport", "science")
# A layer, counted from the end, and the number of a neuron in it. Where every block ends in a norm (BERT), what
# an earlier one wrote would overwrite the stream and change what a later one reads: there all are in the last.
PLANTED = {
    "france": ("paris", [(-2, 3), (-2, 11), (-1, 27)]),
    "germany": ("berlin", [(-2, 5), (-1, 19), (-1, 40)]),
}
FIRST_MATRIX = {
    "gpt2": "h.{}.mlp.c_fc",
    "bert": "encoder.layer.{}.intermediate.dense",
    "t5": "decoder.block.{}.layer.2.DenseReluDense.wi",
}


@dataclass(frozen=True)
class PlantedFact:
    """A fact, and the (layer, neuron) pairs that hold it."""

    prompts: list
    answer: str
    pairs: list


def planted_facts(model_type):
    """(backbone, {subject: PlantedFact}) for "gpt2", "bert" or "t5" (in its decoder).

    Every other neuron is nearly silent. A planted one fires for its own subject in every phrasing, and for no
    other subject: its key solves the linear equations that say so. Its value vector is the answer's embedding.
    """
    bb = tiny_backbone(model_type)
    with torch.no_grad():
        for layer in range(bb.num_layers):
            bb.value_weight(layer).mul_(0.005)
        words = bb.model.get_output_embeddings().weight  # of one length, so that none is favoured
        words.mul_(3 / words.norm(dim=1, keepdim=True))
        _plain_reading(bb)
        for layer in (bb.num_layers - 2, bb.num_layers - 1):
            _plant(bb, layer)
    facts = {}
    for subject, (answer, _) in PLANTED.items():
        prompts = [form.format(subject) for form in PHRASINGS]
        facts[subject] = PlantedFact(prompts, answer, _places(bb, subject))
    return bb, facts


def _places(bb, subject):
    """Sorted (layer, neuron) pairs."""
    last = bb.num_layers - 1
    _, places = PLANTED[subject]
    return sorted((last if bb.model_type == "bert" else last + 1 + back, neuron) for back, neuron in places)


def _plain_reading(bb):
    """Norms that only normalise, and a head that reads the hidden state as it is."""
    for name, weight in bb.model.named_parameters():
        if "norm" in name.lower() or "ln_" in name:
            weight.fill_(float(name.endswith("weight")))
    if bb.model_type == "bert":
        transform = bb.model.cls.predictions.transform
        transform.dense.weight.copy_(torch.eye(bb.hidden_size))
        transform.dense.bias.zero_()
        transform.transform_act_fn = torch.nn.Identity()


def _plant(bb, layer):
    matrix = _first_matrix(bb, layer)
    keys = matrix.weight.T if bb.model_type == "gpt2" else matrix.weight  # [neurons, hidden]
    inputs = torch.stack([_input(bb, matrix, layer, form.format(s)) for s in SUBJECTS for form in PHRASINGS])
    for subject, (answer, _) in PLANTED.items():
        fires = torch.tensor([s == subject for s in SUBJECTS for _ in PHRASINGS]) * 8.0 - 4.0
        for neuron in (neuron for place, neuron in _places(bb, subject) if place == layer):
            keys[neuron] = torch.linalg.pinv(inputs) @ fires
            if matrix.bias is not None:
                matrix.bias[neuron] = 0
            bb.value_weight(layer)[:, neuron] = _direction(bb, answer)


def _direction(bb, answer):
    token = encode_cloze(bb, PHRASINGS[0].format("france"), answer)[0].targets[0]
    embedding = bb.model.get_output_embeddings().weight[token]
    return embedding / embedding.norm() * 1.6


def _input(bb, matrix, layer, prompt):
    """What the first matrix of a network reads at the slot of the answer."""
    question, seen = encode_cloze(bb, prompt, "paris")[:1], []
    handle = matrix.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    bb.run(inputs_of(bb, question))
    handle.remove()
    return take(seen[0], slots_of(bb, question)[layer])[0, 0]


def _first_matrix(bb, layer):
    path = FIRST_MATRIX[bb.model_type].format(layer - bb.decoder_layers.start if bb.decoder_layers else layer)
    return bb.model.base_model.get_submodule(path)
