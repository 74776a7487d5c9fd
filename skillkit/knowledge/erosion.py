"""How many neurons hold a fact? Switch off more and more of them, the best ones first.

>>> erosion(bb, facts, counts=(1, 10), steps=2).groupby(["neurons", "count"])["probability"].mean()
"""

import torch

from skillkit.core.progress import progress as progress_bar
from skillkit.core.serialization import Table
from skillkit.core.store import artifact
from skillkit.knowledge.attribution import attribute, former_options
from skillkit.knowledge.fact_eval import Recall
from skillkit.knowledge.fact_suppression import with_controls
from skillkit.knowledge.interventions import suppress


@artifact("erosion", version=1, ignore=("progress", "memory"), resolve=former_options)
def erosion(
    bb, facts, counts=(1, 2, 5, 10, 20, 50, 100), draws=1, positions=None, seed=0, progress=False, **options
) -> Table:
    """Probability of facts as the neurons with the highest mean scores over their prompts are switched off.

    >>> erosion(bb, facts, counts=(1, 10), steps=2, rule="right")

    counts   how many neurons; none (0) is measured too
    draws    sets of random neurons, as many in every layer, for comparison
    options  of `attribute`

    DataFrame with a row for each fact, count and set of neurons: fact, relation, neurons ("fact" or "random"),
    draw, count, probability (mean over its prompts).
    """
    recall, rows = Recall(bb, facts), []
    before = recall.read(recall.keys)
    for fact in progress_bar(facts, "erosion", disable=not progress):
        told = {"fact": fact.key, "relation": fact.relation}
        untouched = {"count": 0, "probability": float(before[fact.key].probability.mean())}
        rows += [told | {"neurons": name, "draw": 0} | untouched for name in ("fact", "random")]
        made = attribute(bb, fact.prompts, fact.object, repeat_mask=True, **options)
        order = sum(one.scores for one in made).flatten().argsort(descending=True)
        for count in counts:
            mask = torch.zeros(len(order), dtype=torch.bool).index_fill(0, order[:count], True)
            mask = mask.view(bb.num_layers, bb.num_neurons)
            for name, draw, chosen in with_controls(bb, mask, draws, seed):
                with suppress(bb, chosen, positions):
                    after = recall.read([fact.key])[fact.key].probability.mean()
                of = {"neurons": name, "draw": draw, "count": count, "probability": float(after)}
                rows.append(told | of)
    return Table(rows)
