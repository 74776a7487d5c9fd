"""Small ensembles: how far the best neuron comes alone, and a majority vote of the best k, beside the whole model.

>>> ensembles(bb, task, prompt, probe, sizes=(1, 5, 25), split="test")
  neurons  accuracy  low  high  n
0  1  …
3  model  …

The probe, made on other rows, says which neurons vote, at which slot, and what their activation speaks for.
"""

import pandas as pd
import torch

from skillkit.core.errors import SkillkitError, listed, of_kind
from skillkit.core.stats import share_interval
from skillkit.core.store import artifact
from skillkit.neurons.activations import activations
from skillkit.neurons.probe import Probe
from skillkit.prompts import evaluate


@artifact("ensembles", version=2, ignore=("batch_size",))
def ensembles(bb, task, prompt, probe, sizes=(1, 3, 5, 11, 25), split="test", batch_size=None):
    """Accuracy of the majority vote of the k most predictive neurons: DataFrame, a row per k, then the model.

    >>> ensembles(bb, task, prompt, probe).iloc[0].accuracy

    A neuron votes by whether it exceeds its training baseline; the best neuron breaks a tie. low and high
    bound the 95 % (Wilson) interval. Raises SkillkitError for a probe of another backbone or prompt, and for
    sizes below 1.
    """
    of_kind(Probe, probe=probe)
    sizes = listed(sizes)
    if min(sizes) < 1:
        raise SkillkitError(f"an ensemble has at least one neuron, not {min(sizes)}")
    places = probe.made_on(bb, prompt).best(max(sizes))
    seen = activations(bb, task, prompt, places, split, batch_size=batch_size)
    votes = torch.where(seen.votes(probe), 1, -1)
    right = {}
    for size in sizes:
        balance = votes[:, :size].sum(1)
        says = torch.where(balance == 0, votes[:, 0], balance) > 0
        right[size] = int((says == seen.labels.bool()).sum())
    right["model"], n = (
        int(evaluate(bb, task, prompt, split, batch_size=batch_size).correct.sum()),
        len(votes),
    )
    rows = [(size, count / n, *share_interval(count, n), n) for size, count in right.items()]
    return pd.DataFrame(rows, columns=["neurons", "accuracy", "low", "high", "n"])
