"""What the examples of the docstrings in `skillkit/robustness` work with, by module."""

OWN = {
    "contrasts": """
found = sk.robustness.contrasts.contrast(bb, view, prompt, train_examples=40, examples=20)
chosen = found.chosen
other = found.adversarial
contrasts = [found, found]
contrast_of_seed_0 = found
contrast_of_seed_1 = found
""",
    "counterparts": """
columns = dict(text="review", label="stars", labels={"0": "negative", "1": "positive"})
""",
    "repair": """
tune_prompt = sk.tune_prompt
""",
    "measures": """
prompt_of_seed_0 = prompt
prompt_of_seed_1 = other_prompt
prompts = [prompt, other_prompt]
compared = sk.robustness.measures.compare(bb, view, prompts)
contrast = import_module("types").SimpleNamespace(chosen=chosen)
chosen = sk.probe(bb, view.clean, prompt)
weaker_view = sk.adversarial_view(task, "typos", 0.25)
clean_values = [1.0, 0.0, 1.0]
adversarial_values = [0.0, 0.0, 1.0]
table = pd.DataFrame(dict(gap=[0.1, 0.2, 0.3, 0.4, 0.5], drop=[0.0, 0.1, 0.3, 0.2, 0.4]))
attacks = table
""",
}
