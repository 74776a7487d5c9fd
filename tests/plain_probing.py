"""Probing as the formula says it, slowly: one unpadded example at a time, every activation kept.

>>> plain_probe(bb, task, prompt, "validation")["layer"]["accuracy"]      # [layers, slots, neurons]
"""

import torch

from skillkit.neurons import probe
from skillkit.prompts import prepare, random_prompt
from skillkit.prompts.encoding import Batch
from tests.tiny import tiny_backbone


def probed(model, task, length=3, layout=None, **options):
    """(backbone, prompt, its probe) in double precision: no neuron ties with its baseline by rounding."""
    bb = tiny_backbone(model)
    bb.model.double()
    prompt = random_prompt(bb, length, layout=layout)
    return bb, prompt, probe(bb, task, prompt, **options)


def plain_probe(bb, task, prompt, split, median=False):
    """{side: {"baseline", "accuracy", "means"}} from activations of every example, by loops."""
    train, evaluated = (plain_activations(bb, task, prompt, task[name]) for name in ("train", split))
    labels = {name: task[name]["label"] for name in ("train", split)}
    found = {}
    for side in train[0]:
        seen = torch.stack([example[side] for example in train])  # [examples, layers, slots, neurons]
        means = [seen[[at for at, y in enumerate(labels["train"]) if y == c]].mean(0) for c in (0, 1)]
        baseline = seen.median(0).values if median else seen.mean(0)
        right = torch.zeros_like(baseline)
        for example, label in zip(evaluated, labels[split], strict=True):
            right += (example[side] > baseline) == bool(label)
        accuracy = (right / len(evaluated)).float()
        found[side] = {"baseline": baseline, "accuracy": accuracy, "means": torch.stack(means)}
    return found


def plain_activations(bb, task, prompt, rows):
    """Of each row {side: [layers, slots, neurons]}, "text" being the mean and the maximum over the text."""
    reading = prepare(bb, task, prompt, rows)
    return [_one(bb, reading, row) for row in range(len(reading))]


def attach_row(reading, row):
    """One row in the model's input, without any padding."""
    encoded = reading.encoded
    ids = torch.tensor([encoded.ids[row]], dtype=torch.long)
    batch = Batch(
        ids=ids,
        mask=torch.ones_like(ids),
        text=~torch.isin(ids, encoded.special),
        labels=encoded.labels[[row]],
        index=torch.tensor([row]),
        token_types=encoded.token_types and torch.tensor([encoded.token_types[row]]),
        mask_slot=encoded.mask_slot and torch.tensor([encoded.mask_slot[row]]),
    )
    return reading.layout.attach(reading.bb, reading.weight, batch)


@torch.no_grad()
def _one(bb, reading, row):
    attached, seen, handles = attach_row(reading, row), {}, []
    for layer, matrix in enumerate(bb.value_matrices):
        keep = lambda module, args, layer=layer: seen.update({layer: args[0][0]})
        handles.append(matrix.register_forward_pre_hook(keep))
    bb.run(attached.inputs)
    for handle in handles:
        handle.remove()
    encoder = [seen[layer] for layer in bb.encoder_layers]
    sides = {"layer": torch.stack([neurons[attached.slots[0]] for neurons in encoder])}
    if bb.decoder_layers:
        sides = {"encoder": sides["layer"], "decoder": torch.stack([seen[at] for at in bb.decoder_layers])}
    text = [neurons[attached.text[0]] for neurons in encoder]
    pooled = [torch.stack([neurons.mean(0), neurons.max(0).values]) for neurons in text if len(neurons)]
    return sides | ({"text": torch.stack(pooled)} if pooled else {})
