"""Knowledge neurons: which neurons hold a fact.

>>> scores = attribute(bb, "The capital of France is [MASK].", "Paris", steps=20, rule="endpoints")
"""

from skillkit.attribution import Attribution, attribute

__all__ = ["Attribution", "attribute"]
