"""What the examples of the docstrings in `skillkit/knowledge` work with: `module.name = what it is`."""

OWN = """
control_fact.known = sk.knowledge.capitals(bb)
attribution.found = sk.attribute(bb, cloze, "hilvek", steps=2)
attribution.clozes = [cloze, cloze]
weight_editing.table = sk.knowledge.edit_facts(bb, facts, found)
weight_editing.erased = sk.knowledge.erase_relations(bb, facts, found, draws=1)
relations.facts = sk.load_facts("world", language="english")
relations.fact = facts[0]
sentences.fact = facts[0]
fact_suppression.table = sk.knowledge.suppress_facts(bb, facts, found, draws=1)
fact_suppression.mask = found[facts[0].key].mask
interventions.facts = sk.knowledge_neurons(bb, prompts, "hilvek", steps=2, coarse=dict(adaptive=0.2), share=0)
interventions.other_facts = sk.random_neurons(facts.mask, seed=0)
interventions.prompts = [cloze, "velmora is governed from the city of [MASK]."]
knowledge_neurons.prompts = [cloze, "velmora is governed from the city of [MASK].", "[MASK] is the capital of velmora."]
knowledge_neurons.attribution = sk.attribute(bb, cloze, "hilvek", steps=2)
knowledge_neurons.found = {f"capital-00/{language}": facts for language in ("english", "second")}
knowledge_neurons.facts = sk.knowledge_neurons(bb, prompts, "hilvek", steps=2, coarse=dict(adaptive=0.2), share=0.5)
knowledge_neurons.list_of_knowledge_neurons = [facts]
knowledge_neurons.scores = attribution.scores
fact_eval.questions = sk.knowledge.FactQuestions(bb, facts)
fact_eval.key = facts[0].key
fact_eval.one = questions.ask([key])[key]
fact_eval.suppress = sk.suppress
upper_layers.part = sk.knowledge.upper_layers.upper_stacks(bb, questions)[0]
sentences.sentences = [sentence for fact in facts for sentence in fact.sentences]
sentences.corpus = sentences
sentences.neurons = found[fact.key]
counts.facts = sk.load_facts("world", relations=["capital", "language"], per_relation=1)
languages.facts = sk.load_facts("world", relations=["capital", "language"], per_relation=1)
counts.found = sk.knowledge.find_neurons(bb, facts, steps=2, share=0.3)
languages.found = sk.knowledge.find_neurons(bb, facts, steps=2, share=0.3)
"""
