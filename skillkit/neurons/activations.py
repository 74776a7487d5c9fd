"""Single neurons, example by example; and what a prompt excites when there is no text at all.

>>> seen = neuron_activations(bb, task, prompt, [(3, 0, 17)], split="test")     # layer 3, slot 0, neuron 17
>>> seen.values[:, 0], seen.labels                                              # [n], [n]
>>> prompt_activations(bb, prompt)["layer"].shape                               # [layers, slots, neurons]
"""

from dataclasses import dataclass

import pandas as pd
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.store import artifact
from skillkit.neurons.probe import stacked, stacks
from skillkit.prompts import POOLED, prepare


@dataclass(frozen=True, eq=False)
class Activations:
    """Some neurons on every example of a split.

    >>> seen.values[seen.labels == 1].mean(0)        # mean activation in class 1, of each neuron
    >>> seen.values[:, 0].topk(5).indices            # the rows that excite the first neuron most

    values [n, neurons], labels [n]; both in the order of the rows. places: (layer, slot, neuron) of each.
    """

    values: torch.Tensor
    labels: torch.Tensor
    places: tuple

    def extremes(self, rows, column=0, k=5):
        """The k texts that excite a neuron most, and the k that excite it least: DataFrame.

        >>> seen.extremes(task["test"], k=3)[["excited", "activation", "label", "text"]]

        rows: those that were read, in their order. Raises SkillkitError when there are more or fewer.
        """
        if len(rows) != len(self.values):
            raise SkillkitError(f"{len(self.values)} rows were read, not {len(rows)}; give those")
        order = self.values[:, column].argsort(stable=True, descending=True).tolist()
        k = min(k, len(order) // 2)
        chosen = order[:k] + order[-k:] if k else order
        told = {"excited": ["most"] * k + ["least"] * (len(chosen) - k)}
        told["activation"] = self.values[chosen, column].tolist()
        texts = [name for name in ("label", "text", "text_pair") if name in rows.column_names]
        return pd.DataFrame(told | {name: [rows[at][name] for at in chosen] for name in texts})


@artifact("activations", version=1, ignore=("batch_size",))
def neuron_activations(
    bb, task, prompt, places, split="validation", examples=None, seed=0, batch_size=None
) -> Activations:
    """Activations of chosen neurons, one column each.

    >>> places = probe.best(10)
    >>> neuron_activations(bb, task, prompt, places, split="test").values.shape         # [rows, places]
    torch.Size([..., 10])

    places: (layer, slot, neuron) each; a slot is a number, as in `Probe.slot`, or "text mean", "text max".
    Any number of classes will do. Raises SkillkitError for a place that is not there.
    """
    places = tuple(tuple(place) for place in places)
    reading = prepare(bb, task, prompt, task.sample(split, examples, seed))
    columns = _by_layer(bb, places, reading.slot_names)
    text = any(slot in POOLED for _, slot, _ in places)
    values = torch.zeros(len(reading), len(places))

    def visit(layer, seen, batch):
        numbers, views, neurons = columns[layer]
        values[batch.index[:, None], torch.tensor(numbers)] = seen[:, views, neurons].float().cpu()

    reading.stream(columns, visit, text=text, batch_size=batch_size)
    return Activations(values, reading.labels, places)


def prompt_activations(bb, prompt, layers=None):
    """What the prompt alone excites: the neurons at its slots when the text is empty.

    >>> alone = prompt_activations(bb, prompt)
    >>> (alone["layer"] > 0).float().mean((1, 2))        # share of active neurons, by layer

    Returns {"layer": [layers, slots, neurons]}, of an encoder–decoder {"encoder": …, "decoder": …}; narrower
    layers are padded with NaN.
    """
    found = {}
    layers = range(bb.num_layers) if layers is None else layers
    reading = prepare(bb, None, prompt, {"text": [""]})
    reading.stream(layers, lambda layer, values, batch: found.update({layer: values[0].cpu()}))
    return {name: stacked([found[layer] for layer in mine]) for name, mine in stacks(bb, found).items()}


def _by_layer(bb, places, slot_names):
    """{layer: ([column], [view], [neuron])}, or SkillkitError for a place that is not there."""
    columns = {}
    for number, (layer, slot, neuron) in enumerate(places):
        if not (0 <= layer < bb.num_layers and 0 <= neuron < bb.widths[layer]):
            raise SkillkitError(
                f"{bb.name} has no neuron {neuron} in layer {layer}: there are {bb.num_layers} layers of "
                f"{bb.num_neurons} neurons"
            )
        slots = 1 if layer in bb.decoder_layers else len(slot_names)
        if slot in POOLED and layer in bb.encoder_layers:
            view = POOLED.index(slot) - len(POOLED)
        elif slot in range(slots):
            view = slot
        else:
            raise SkillkitError(f"layer {layer} has no slot {slot!r} here; its slots are 0 … {slots - 1}")
        for part, value in zip(columns.setdefault(layer, ([], [], [])), (number, view, neuron), strict=True):
            part.append(value)
    return columns
