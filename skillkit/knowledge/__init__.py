"""Facts and their neurons: clozes, attribution, knowledge neurons, editing."""

from skillkit.knowledge.attribution import attribute
from skillkit.knowledge.clozes import ask
from skillkit.knowledge.control_fact import capitals
from skillkit.knowledge.counts import FactNeurons
from skillkit.knowledge.fact_eval import FactQuestions, find_neurons
from skillkit.knowledge.fact_suppression import suppress_facts, suppression_by_count
from skillkit.knowledge.interventions import edit, enhance, erase
from skillkit.knowledge.knowledge_neurons import KnowledgeNeurons, coarse_neurons, knowledge_neurons
from skillkit.knowledge.languages import suppress_across_languages
from skillkit.knowledge.relations import load_facts
from skillkit.knowledge.sentences import activations_by_mention, sentence_activations
from skillkit.knowledge.weight_editing import edit_facts, erase_relations

__all__ = [
    "FactNeurons", "FactQuestions", "KnowledgeNeurons", "activations_by_mention", "ask", "attribute", "capitals",
    "coarse_neurons", "edit", "edit_facts", "enhance", "erase", "erase_relations", "find_neurons",
    "knowledge_neurons", "load_facts", "sentence_activations", "suppress_across_languages", "suppress_facts",
    "suppression_by_count",
]  # fmt: skip
