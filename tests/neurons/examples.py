"""What the examples of the docstrings in `skillkit/neurons` work with, by module."""

OWN = {
    "activations": """
places = [(3, 0, 17), (5, 1, 4)]
seen = sk.neurons.activations(bb, task, prompt, places, split="test")
""",
    "controls": """
probe = sk.probe
""",
    "suppression_curve": """
curve = sk.suppression_curve(bb, task, prompt, probe, rates=(0, 0.1), draws=2)
curves = [curve, curve, curve]
curve_of_seed_0 = curve
curve_of_seed_1 = curve
curve_of_seed_2 = curve
""",
    "similarity": """
probe_movies = probe
probe_gadgets = other_probe
probe_a = probe
probe_b = other_probe
skills_movies = skills
skills_gadgets = sk.skill_neurons(other_probe, 0.05)
probes = {"movies": probe, "gadgets": other_probe, "news": probe, "questions": other_probe}
masks = {"movies": skills_movies, "gadgets": skills_gadgets}
alike = square(0.5)
""",
    "medians": """
rows = task["train"]
sample = rows.select(range(10))
stream = lambda rows, visit: sk.prompts.prepare(bb, task, prompt, rows).stream([5], visit)
""",
    "probe": """
side = probe.sides["layer"]
""",
    "probing": """
chosen = sk.probe(bb, task, prompt)
report = sk.probe(bb, task, prompt, split="test", carry=chosen)
""",
    "pruning": """
small = sk.prune(bb, skills, fill=probe)
""",
    "pruning_curve": """
probe_of_seed_0 = probe
probe_of_seed_1 = probe
curve = sk.neurons.pruning_curve(bb, task, prompt, probe, fill=probe.fill, shares=(0.1,), draws=1)
curve_of_seed_0 = curve
curve_of_seed_1 = curve
""",
    "skill_neurons": """
probe_of_seed_0 = probe
probe_of_seed_1 = probe
""",
    "timing": """
small = sk.prune(bb, skills, fill=probe)
""",
}
