"""A backbone in which two facts are planted, and a small relation set around them."""

import pytest

from skillkit.knowledge import find_neurons
from skillkit.knowledge.relations import Fact
from tests.planted_facts import planted_facts

COARSE = {"adaptive": 0.2}


@pytest.fixture(scope="session")
def study():
    """(backbone, facts, neurons): two planted capitals, and two facts that the model does not know."""
    bb, planted = planted_facts("gpt2")
    facts = [Fact("capital", x, x, fact.answer, tuple(fact.prompts), "en") for x, fact in planted.items()]
    for name, answer, verb in (("film", "good", "watch"), ("food", "bad", "liked")):
        prompts = f"the {name} is [MASK].", f"i {verb} the {name} , it is [MASK]."
        facts.append(Fact("taste", name, name, answer, prompts, "en"))
    return bb, facts, find_neurons(bb, facts, coarse=COARSE, share=0.5)


@pytest.fixture(scope="session")
def pairs():
    """{country: the planted (layer, neuron) pairs of its capital}."""
    return {"france": [(1, 3), (1, 11), (2, 27)], "germany": [(1, 5), (2, 19), (2, 40)]}
