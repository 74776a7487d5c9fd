"""What the examples of the docstrings in `skillkit/small_world` work with, by module."""

OWN = {
    "attacks": """
random = import_module("random")
""",
    "objectives": """
tokenizer = sk.load_backbone("embedded/roberta").tokenizer
model = sk.load_backbone("embedded/roberta").model
random = import_module("random")
docs = list(import_module("itertools").islice(sk.small_world.corpus.documents("examples"), 4))
""",
    "grammar": """
random = import_module("random")
""",
}
