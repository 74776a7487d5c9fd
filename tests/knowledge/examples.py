"""What the examples of the docstrings in `skillkit/knowledge` work with, by module."""

OWN = {
    "control_fact": "known = sk.knowledge.capitals(bb)",
    "attribution": """
found = sk.attribute(bb, cloze, "hilvek", steps=2)
clozes = [cloze, cloze]
""",
    "weight_editing": """
table = sk.knowledge.edit_facts(bb, facts, found)
erased = sk.knowledge.erase_relations(bb, facts, found, draws=1)
""",
    "relations": """
facts = sk.load_facts("world", language="english")
fact = facts[0]
""",
    "fact_suppression": """
table = sk.knowledge.suppress_facts(bb, facts, found, draws=1)
mask = found[facts[0].key].mask
""",
    "interventions": """
facts = sk.knowledge_neurons(bb, prompts, "hilvek", steps=2, coarse=dict(adaptive=0.2), share=0)
other_facts = sk.random_neurons(facts.mask, seed=0)
prompts = [cloze, "velmora is governed from the city of [MASK]."]
""",
    "knowledge_neurons": """
prompts = [cloze, "velmora is governed from the city of [MASK].", "[MASK] is the capital of velmora."]
attribution = sk.attribute(bb, cloze, "hilvek", steps=2)
found = {f"capital-00/{language}": facts for language in ("english", "second")}
facts = sk.knowledge_neurons(bb, prompts, "hilvek", steps=2, coarse=dict(adaptive=0.2), share=0.5)
list_of_knowledge_neurons = [facts]
scores = attribution.scores
""",
    "fact_eval": """
questions = sk.knowledge.FactQuestions(bb, facts)
key = facts[0].key
one = questions.ask([key])[key]
suppress = sk.suppress
""",
    "upper_layers": "part = sk.knowledge.upper_layers.upper_stacks(bb, questions)[0]",
    "sentences": """
fact = facts[0]
sentences = [sentence for fact in facts for sentence in fact.sentences]
corpus = sentences
neurons = found[fact.key]
""",
}
OWN["counts"] = OWN["languages"] = """
facts = sk.load_facts("world", relations=["capital", "language"], per_relation=1)
found = sk.knowledge.find_neurons(bb, facts, steps=2, share=0.3)
"""
