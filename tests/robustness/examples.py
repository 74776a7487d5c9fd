"""What the examples of the docstrings in `skillkit/robustness` work with: `module.name = what it is`."""

OWN = """
adversarial_pair.answers = sk.robustness.answers
neuron_overlap.probes = sk.robustness.paired_probes(bb, view, prompt, train_examples=40, examples=20)
neuron_overlap.several = [probes, probes]
neuron_overlap.similarity = sk.neurons.similarity
measures.prompts = [prompt, other_prompt]
measures.compared = view.accuracies(sk.robustness.answers(bb, view, prompts))
measures.probes = import_module("types").SimpleNamespace(chosen=chosen)
measures.chosen = sk.probe(bb, view.clean, prompt)
measures.weaker_view = sk.adversarial_view(task, "typos", 0.25)
measures.clean_values = [1.0, 0.0, 1.0]
measures.adversarial_values = [0.0, 0.0, 1.0]
"""
