"""What the examples of the docstrings in `skillkit/plots` work with, by module."""

OWN = {
    "intervals": """
table = pd.DataFrame(dict(kind=["a", "b"], neurons="skill neurons", change=0.5, low=0.4, high=0.6, published=0.45))
shares = pd.DataFrame(dict(layer=[0, 1], language="english", share=[0.4, 0.6]))
""",
    "crossings": """
tables = {"ON": square(0.7)}
""",
    "lines": """
curve_of_seed_0 = sk.suppression_curve(bb, task, prompt, probe, rates=(0, 0.1), draws=2)
curve_of_seed_1 = curve_of_seed_0
curve_of_seed_2 = curve_of_seed_0
curves = [curve_of_seed_0]
summary = lambda curves: sk.neurons.suppression_curve.summary(curves).replace("world/movies", "movies")
""",
    "distributions": """
seen = sk.neurons.activations.neuron_activations(bb, task, prompt, [(5, 0, 17)], split="test")
labels = seen.labels
baseline = probe.baseline_at(5, 0, 17)
panels = {"layer 5, neuron 17": (seen.values[:, 0], baseline)}
scores = probe.predictivity
accuracy = pd.DataFrame([dict(task="movies", accuracy=0.9, low=0.8, high=1.0)])
""",
    "style": """
table = pd.DataFrame([dict(task="movies", method="prompt", accuracy=0.9, low=0.8, high=1.0, chance=0.5)])
""",
    "heatmaps": """
alike = square(0.5)
probes = {"movies": probe, "gadgets": other_probe, "news": probe, "questions": other_probe}
""",
    "side_by_side": """
a = square(0.5)
b = square(0.6)
accuracies = pd.DataFrame([dict(model="embedded/gpt2", task="movies", side="clean", accuracy=0.9)])
table = pd.DataFrame(sides_)
sides_ = [dict(top=at, overlap=at, layer=0, rate=at, accuracy=at, gap=at, drop=at) | rest_ for at in (0.1, 0.2)]
rest_ = dict(view="typos", side="clean", neurons="skill", low=0.0, high=1.0, chance=0.5, model="m", attack="typos")
""",
    "neurons": """
attribution = sk.attribute(bb, cloze, "hilvek", steps=2)
scores = attribution.scores
mask = sk.knowledge.knowledge_neurons.coarse_neurons(bb, scores, adaptive=0.2)
""",
    "tradeoffs": """
shrunk = sk.neurons.pruning_curve.shrinkage(bb, task, prompt, probe, probe.fill, (0.1,), 1, further_steps=None)
tables = [shrunk.table]
table = sk.neurons.pruning_curve.summary(tables)
speeds = compare({1.0: bb, 0.1: bb}, [1], 8, 2, progress=False).rename(columns={"model": "share"})
compare = sk.neurons.timing.compare
backbones = {"all": bb, "again": bb}
summary = sk.neurons.pruning_curve.summary
""",
}
