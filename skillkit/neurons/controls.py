"""Controls of probing: what would be found without the tuned prompt, or without pretraining.

>>> probes = {name: probe(where, task, given) for name, (where, given) in controls(bb, prompt).items()}
>>> {name: found.predictivity.max() for name, found in probes.items()}
"""

import copy

import torch

from skillkit.core.errors import SkillkitError, of_kind
from skillkit.models import from_model
from skillkit.prompts import SoftPrompt, random_prompt


def controls(bb, prompt, seed=0):
    """Controls of probing: random prompt, no prompt, random backbone: {name: (backbone, prompt)}.

    >>> list(controls(bb, prompt))
    ['prompt', 'random prompt', 'no prompt', 'random backbone']

    A neuron that is predictive with a random prompt, or with none, was there from pretraining; one that is
    predictive in a randomly initialised backbone reads the surface of the text (Wang et al. 2022, section 6).
    That backbone gets the random prompt: the tuned one means nothing to it.
    """
    of_kind(SoftPrompt, prompt=prompt)
    untrained = random_prompt(bb, prompt.length, seed, prompt.layout)
    return {
        "prompt": (bb, prompt),
        "random prompt": (bb, untrained),
        "no prompt": (bb, None),
        "random backbone": (random_backbone(bb, seed), untrained),
    }


def random_backbone(bb, seed=0):
    """A randomly initialised backbone: the same architecture and tokenizer, as before pretraining.

    >>> random_backbone(bb, seed=0).fingerprint == bb.fingerprint
    False

    Raises SkillkitError for a pruned backbone, whose configuration does not give its shape.
    """
    with torch.random.fork_rng():
        torch.manual_seed(int(seed))
        model = type(bb.model)(copy.deepcopy(bb.model.config))
    fresh = from_model(model.to(bb.device, bb.dtype), bb.tokenizer, f"{bb.name}, random {seed}")
    if fresh.widths != bb.widths:
        raise SkillkitError(f"{bb.name} is pruned; take the backbone that it came from")
    return fresh
