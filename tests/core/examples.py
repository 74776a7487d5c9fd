"""What the examples of the docstrings in `skillkit/core` work with, by module."""

OWN = {
    "files": """
folder = import_module("pathlib").Path(".")
page = "<!doctype html>"
""",
    "progress": """
train = float
""",
    "significance": """
hits = np.array([5, 3])
fires = np.array([5, 6])
p_values = np.array([0.001, 0.2])
np = import_module("numpy")
""",
    "tables": """
forgetting = sk.knowledge.fact_suppression.forgetting
""",
    "serialization": """
folder = import_module("pathlib").Path("dir")
function = sk.skill_neurons
tune_prompt = sk.tune_prompt
torch = import_module("torch")
""",
}
