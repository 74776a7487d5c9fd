"""What the examples of the docstrings in `skillkit/knowledge` work with, by module."""

OWN = {
    "companion": """
known = sk.knowledge.capitals(bb)
""",
    "control_fact": """
known = sk.knowledge.capitals(bb)
""",
    "attribution": """
found = sk.attribute(bb, cloze, "hilvek", steps=2)
clozes = [cloze, cloze]
""",
    "weight_editing": """
table = sk.knowledge.weight_editing.editing(bb, facts, found)
""",
    "relations": """
facts = sk.knowledge.relations.load_facts("world", language="english")
fact = facts[0]
""",
    "fact_suppression": """
table = sk.knowledge.fact_suppression.forgetting(bb, facts, found, draws=1)
firing = pd.DataFrame(dict(fact=["a", "b", "c"], group="neither", activation=[0.1, 0.2, 0.3]))
mask = found[facts[0].key].mask
""",
    "integrated_gradients": """
questions = sk.knowledge.clozes.encode_cloze(bb, cloze, "hilvek")
""",
    "interventions": """
facts = sk.knowledge_neurons(bb, prompts, "hilvek", steps=2, coarse=dict(adaptive=0.2), share=0)
other_facts = sk.random_neurons(facts.mask, seed=0)
prompts = [cloze, "velmora is governed from the city of [MASK]."]
ask = sk.knowledge.clozes.ask
""",
    "knowledge_neurons": """
prompts = [cloze, "velmora is governed from the city of [MASK].", "[MASK] is the capital of velmora."]
attribution = sk.attribute(bb, cloze, "hilvek", steps=2)
found = {f"capital-00/{language}": facts for language in ("english", "second")}
facts = sk.knowledge_neurons(bb, prompts, "hilvek", steps=2)
list_of_knowledge_neurons = [facts]
scores = attribution.scores
""",
    "languages": """
facts = sk.knowledge.relations.load_facts("world", relations=["capital", "language"], per_relation=2)
found = sk.knowledge.fact_eval.find_neurons(bb, facts, steps=2, minimum_prompts=1, share=0.3)
summary = sk.knowledge.fact_suppression.summary
""",
    "fact_eval": """
recall = sk.knowledge.fact_eval.Recall(bb, facts)
key = facts[0].key
one = recall.read([key])[key]
suppress = sk.knowledge.interventions.suppress
""",
    "upper_layers": """
part = sk.knowledge.upper_layers.upper_layers(bb, questions)[0]
""",
    "sentences": """
fact = facts[0]
sentences = sk.knowledge.sentences.told(facts)
corpus = sentences
neurons = found[fact.key]
""",
}
