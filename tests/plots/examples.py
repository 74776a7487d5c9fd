"""What the examples of the docstrings in `skillkit/plots` work with: `module.name = what it is`."""

OWN = """
pd = import_module("pandas")
table = pd.DataFrame(dict(task=["movies"], method=["prompt"], accuracy=[0.9], low=[0.85], high=[0.95], chance=[0.5]))
shares = pd.DataFrame(dict(layer=[0, 1], language="english", share=[0.4, 0.6]))
scores = import_module("numpy").random.default_rng(0).random((6, 40))
neurons.scores = square(0.5)
neurons.coarse_neurons = lambda bb, scores, adaptive: scores > 0.55
"""
