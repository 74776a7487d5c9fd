"""Facts and their neurons: clozes, attribution, knowledge neurons, editing."""

from skillkit.knowledge.attribution import attribute
from skillkit.knowledge.clozes import ask
from skillkit.knowledge.companion import misspelt, still_known
from skillkit.knowledge.control_fact import capitals
from skillkit.knowledge.erosion import erosion
from skillkit.knowledge.fact_eval import FactNeurons, find_neurons
from skillkit.knowledge.interventions import edit, enhance, erase
from skillkit.knowledge.knowledge_neurons import coarse_neurons, from_attributions, knowledge_neurons
from skillkit.knowledge.languages import across_languages, language_overlap
from skillkit.knowledge.relations import askable, load_facts, pick

__all__ = [
    "FactNeurons",
    "across_languages",
    "ask",
    "askable",
    "attribute",
    "capitals",
    "coarse_neurons",
    "edit",
    "enhance",
    "erase",
    "erosion",
    "find_neurons",
    "from_attributions",
    "knowledge_neurons",
    "language_overlap",
    "load_facts",
    "misspelt",
    "pick",
    "still_known",
]
