"""Old names of the control fact, until the chapters have moved to `known = knowledge.capitals(bb)`.

>>> still_known(bb, known)["known"]
1.0
"""

import random
import re
from dataclasses import replace

from skillkit.knowledge.clozes import MASK
from skillkit.knowledge.control_fact import Capitals, capitals
from skillkit.robustness import characters

__all__ = ["capitals", "misspelt", "still_known"]


def still_known(bb, facts):
    """`Capitals.still_known` of a list of facts.

    >>> still_known(bb, known)["known"]
    1.0
    """
    return Capitals(facts).still_known(bb)


def misspelt(facts, strength, seed=0):
    """The facts, asked with wrong letters around the `[MASK]`; see `perturbations.characters`.

    >>> misspelt(known, 1.0)[0].prompts[0]
    't… capital of ondria is [MASK].'
    """
    rng = random.Random(seed)
    wrong = lambda prompt: "".join(
        part if part == MASK else characters(rng, part, strength)
        for part in re.split(f"({re.escape(MASK)})", prompt)
    )
    return [replace(fact, prompts=tuple(map(wrong, fact.prompts))) for fact in facts]
