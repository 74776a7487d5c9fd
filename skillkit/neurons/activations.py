"""Activations of single neurons, example by example.

>>> seen = activations(bb, task, prompt, [(3, 0, 17)], split="test")     # layer 3, slot 0, neuron 17
>>> seen.values[:, 0], seen.labels                                       # [n], [n]
>>> seen.extremes(task["test"], k=3)                                     # texts with the highest and lowest
"""

from dataclasses import dataclass

import datasets
import pandas as pd
import torch

from skillkit.core.errors import SkillkitError, listed
from skillkit.core.store import artifact
from skillkit.prompts import POOLED, prepare


@dataclass(frozen=True, eq=False)
class Activations:
    """Activations of some neurons on every example of a split; made by `activations`.

    >>> seen.values[seen.labels == 1].mean(0)        # mean activation in class 1, of each neuron
    >>> seen.values[:, 0].topk(5).indices            # the rows with the highest activations of the first neuron

    values [n, neurons], labels [n]; both in the order of the rows. places: (layer, slot, neuron) of each.
    """

    values: torch.Tensor
    labels: torch.Tensor
    places: tuple

    def __repr__(self):
        n, count = self.values.shape
        return f"Activations({count} neurons on {n} examples, {self.labels.bincount().tolist()} by class)"

    def votes(self, probe):
        """Whether each neuron says class 1, by its baseline and direction in a probe: bool [n, neurons].

        >>> (seen.votes(probe) == seen.labels[:, None]).float().mean(0)        # accuracy of every neuron
        """
        baselines = torch.stack([probe.baseline_at(*place) for place in self.places]).to(self.values)
        up = torch.stack([probe.direction[layer, neuron] > 0 for layer, _, neuron in self.places])
        return (self.values > baselines) == up

    def extremes(self, rows, column=0, k=5):
        """The k texts with the highest activations of a neuron, and the k with the lowest: DataFrame.

        >>> seen.extremes(task["test"], k=3)[["excited", "activation", "label", "text"]]

        rows: those that were read, in their order. Raises SkillkitError when there are more or fewer.
        """
        rows = datasets.Dataset.from_pandas(rows) if isinstance(rows, pd.DataFrame) else rows
        if len(rows) != len(self.values):
            raise SkillkitError(f"{len(self.values)} rows were read, not {len(rows)}; give those")
        order = self.values[:, column].argsort(stable=True, descending=True).tolist()
        k = min(k, len(order) // 2)
        chosen = order[:k] + order[-k:] if k else order
        ends = ["most"] * k + ["least"] * (len(chosen) - k)
        table = {"excited": ends, "activation": self.values[chosen, column].tolist()}
        texts = [name for name in ("label", "text", "text_pair") if name in rows.column_names]
        return pd.DataFrame(table | {name: [rows[at][name] for at in chosen] for name in texts})


@artifact("activations", version=1, ignore=("batch_size",))
def activations(
    bb, task, prompt, places, split="validation", examples=None, seed=0, batch_size=None
) -> Activations:
    """Activations of chosen neurons, example by example, a column for each neuron.

    >>> places = probe.best(10)
    >>> activations(bb, task, prompt, places, split="test").values.shape         # [rows, places]
    torch.Size([..., 10])

    places: (layer, slot, neuron) each; a slot is a number, as in `Probe.slot`, or "text mean", "text max";
    (layer, neuron) stands for all slots. Any number of classes will do. Raises SkillkitError for a place that is not
    there.
    """
    places = listed(places)
    if odd := [place for place in places if not isinstance(place, tuple | list) or len(place) not in (2, 3)]:
        raise SkillkitError(f"a place is (layer, slot, neuron) or (layer, neuron), not {odd[0]}")
    reading = prepare(bb, task, prompt, task.sample(split, examples, seed))
    slots = lambda layer: range(1 if layer in bb.decoder_layers else len(reading.slot_names))
    every = lambda layer, *rest: (
        [(layer, *rest)] if len(rest) == 2 else [(layer, at, *rest) for at in slots(layer)]
    )
    places = tuple(one for place in places for one in every(*place))
    columns = _by_layer(bb, places, len(reading.slot_names))
    text = any(slot in POOLED for _, slot, _ in places)
    values = torch.zeros(len(reading), len(places))

    def visit(layer, seen, batch):
        numbers, views, neurons = zip(*columns[layer], strict=True)
        values[batch.index[:, None], torch.tensor(numbers)] = seen[:, views, neurons].float().cpu()

    reading.stream(columns, visit, text=text, batch_size=batch_size)
    return Activations(values, reading.labels, places)


def _by_layer(bb, places, slots):
    """{layer: [(column, view, neuron)]}, or SkillkitError for a place that is not there."""
    columns = {}
    for number, (layer, slot, neuron) in enumerate(places):
        if not (0 <= layer < bb.num_layers and 0 <= neuron < bb.widths[layer]):
            raise SkillkitError(f"no neuron {neuron} in layer {layer} of {bb.name}; widths: {bb.widths}")
        mine = 1 if layer in bb.decoder_layers else slots
        pooled = slot in POOLED and layer in bb.encoder_layers
        if not pooled and slot not in range(mine):
            raise SkillkitError(f"layer {layer} has no slot {slot!r} here; its slots are 0 … {mine - 1}")
        view = POOLED.index(slot) - len(POOLED) if pooled else slot
        columns.setdefault(layer, []).append((number, view, neuron))
    return columns
