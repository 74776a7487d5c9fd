"""What the examples of the docstrings in `skillkit/small_world` work with: `module.name = what it is`."""

OWN = """
attacks.random = import_module("random")
objectives.random = import_module("random")
grammar.random = import_module("random")
objectives.tokenizer = sk.load_backbone("embedded/roberta").tokenizer
objectives.model = sk.load_backbone("embedded/roberta").model
objectives.docs = list(import_module("itertools").islice(sk.small_world.corpus.documents("examples"), 4))
"""
