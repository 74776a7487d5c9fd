"""How far the best neuron comes alone, and small ensembles, beside the whole model.

>>> ensembles(bb, task, prompt, probe, sizes=(1, 5, 25), split="test")
  neurons  accuracy  low  high  n
0  1  …
3  model  …

The probe, made on other rows, says which neurons vote, at which slot, and what their firing speaks for.
"""

import pandas as pd
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.stats import share_interval
from skillkit.core.store import artifact
from skillkit.neurons.activations import neuron_activations
from skillkit.prompts import evaluate


@artifact("ensembles", version=1, ignore=("batch_size",))
def ensembles(bb, task, prompt, probe, sizes=(1, 3, 5, 11, 25), split="test", batch_size=None):
    """Accuracy of the majority vote of the k most predictive neurons: DataFrame, a row per k, then the model.

    >>> ensembles(bb, task, prompt, probe).iloc[0].accuracy

    A neuron votes by whether it exceeds its training baseline; the best neuron breaks a tie. low and high
    bound the 95 % (Wilson) interval. Raises SkillkitError for a probe of another backbone or prompt, and for
    sizes below 1.
    """
    if min(sizes) < 1:
        raise SkillkitError(f"an ensemble has at least one neuron, not {min(sizes)}")
    places = probe.made_on(bb, prompt).best(max(sizes))
    seen = neuron_activations(bb, task, prompt, places, split, batch_size=batch_size)
    votes = torch.stack(
        [_votes(probe, place, column) for place, column in zip(places, seen.values.T, strict=True)]
    )
    rows = []
    for size in sizes:
        balance = votes[:size].sum(0)
        said = torch.where(balance == 0, votes[0], balance) > 0
        rows.append(_row(size, int((said == seen.labels.bool()).sum()), len(seen.labels)))
    whole = evaluate(bb, task, prompt, split, batch_size=batch_size)
    return pd.DataFrame([*rows, _row("model", int(whole.correct.sum()), whole.n)])


def _votes(probe, place, values):
    """+1 for class 1 and −1 for class 0, of one neuron on every example."""
    layer, slot, neuron = place
    baseline = probe.baseline_at(layer, slot, neuron)
    return torch.where(values > baseline, 1, -1) * int(probe.direction[layer, neuron])


def _row(neurons, right, n):
    low, high = share_interval(right, n)
    return {"neurons": neurons, "accuracy": right / n, "low": low, "high": high, "n": n}
