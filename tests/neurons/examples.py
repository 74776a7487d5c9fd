"""What the examples of the docstrings in `skillkit/neurons` work with: `module.name = what it is`."""

OWN = """
activations.places = [(3, 0, 17), (5, 1, 4)]
activations.seen = sk.neurons.activations(bb, task, prompt, places, split="test")
controls.probe = sk.probe
suppression_curve.curve = sk.suppression_curve(bb, task, prompt, probe, rates=(0, 0.1), draws=2)
suppression_curve.curves = [curve, curve, curve]
similarity.skills_gadgets = sk.skill_neurons(other_probe, 0.05)
similarity.probes = {"movies": probe, "gadgets": other_probe, "news": probe, "questions": other_probe}
similarity.masks = {"movies": skills, "gadgets": skills_gadgets}
similarity.alike = square(0.5)
medians.rows = task["train"]
medians.sample = rows.select(range(10))
medians.stream = lambda rows, visit: sk.prompts.prepare(bb, task, prompt, rows).stream([5], visit)
probe.side = probe.sides['layer']
probing.chosen = sk.probe(bb, task, prompt)
probing.report = sk.probe(bb, task, prompt, split="test", carry=chosen)
pruning_curve.curve = sk.neurons.pruning_curve(bb, task, prompt, probe, probe.fill, (0.1,), draws=1)
"""
