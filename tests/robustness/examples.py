"""What the examples of the docstrings in `skillkit/robustness` work with, by module."""

OWN = {
    "adversarial_pair": """
answers = sk.robustness.answers
""",
    "neuron_overlap": """
probes = sk.robustness.paired_probes(bb, view, prompt, train_examples=40, examples=20)
several = [probes, probes]
similarity = sk.neurons.similarity
""",
    "measures": """
prompt_of_seed_0 = prompt
prompt_of_seed_1 = other_prompt
prompts = [prompt, other_prompt]
compared = view.accuracies(sk.robustness.answers(bb, view, prompts))
probes = import_module("types").SimpleNamespace(chosen=chosen)
chosen = sk.probe(bb, view.clean, prompt)
weaker_view = sk.adversarial_view(task, "typos", 0.25)
clean_values = [1.0, 0.0, 1.0]
adversarial_values = [0.0, 0.0, 1.0]
""",
}
