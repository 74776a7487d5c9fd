"""What the examples of the docstrings in `skillkit/transfer` work with, by module."""

OWN = {
    "prompt_activations": """
acts = sk.activated_neurons(bb, prompt)
prompt_of_seed_0 = prompt
prompt_of_seed_1 = other_prompt
""",
    "indicator_correlation": """
tables = {"E_concat": square(0.5), "C_average": square(0.7), "ON": square(0.6), "cosine_mean": table}
correlation = sk.transfer.indicator_correlation({"ON": square(0.5), "cosine_mean": square(0.7)}, square(0.8))
prompts = {name: [sk.random_prompt(bb, 2, seed)] for seed, name in enumerate(types)}
tasks = dict(zip(table, ["SST2", "MNLI"] * 2))
seeds = dict(zip(table, [33, 33, 34, 34]))
table = square(0.5).set_axis(labels_, axis=0).set_axis(labels_, axis=1)
labels_ = [f"{task}, seed {number}" for number in (33, 34) for task in ("SST2", "MNLI")]
""",
    "warm_start": """
source = prompt
prompt_of_seed_0 = prompt
seeds = [0]
starts = {"random prompt": "random", "nearest": [prompt]}
curves = sk.transfer.learning_curves(bb, task, starts, seeds, length=4, max_steps=4, evaluate_every=4)
""",
    "indicators": """
prompt_a = prompt
prompt_b = other_prompt
untrained = other_prompt
prompts = {"movies": [prompt], "hotels": [other_prompt]}
""",
    "projector": """
source_bb = bb
target_bb = gpt
source_prompt = prompt
tasks = {"movies": task}
prompts = {"movies": prompt, "hotels": other_prompt}
projector = sk.train_projector(bb, gpt, tasks, prompts, max_steps=2)
control = sk.train_projector(bb, gpt, tasks, prompts, constant=True, max_steps=2)
""",
    "zero_shot": """
tasks = {"movies": task, "hotels": other_task}
prompts = {"movies": [prompt], "hotels": [other_prompt]}
transfer = sk.transfer_matrix(bb, tasks, prompts)
tune_prompt = import_module("functools").partial(sk.tune_prompt, length=4, max_steps=2)
""",
    "projection_eval": """
target_bb = gpt
tasks = {"movies": task, "gadgets": other_task}
prompts = {"movies": prompt, "gadgets": other_prompt}
own = {name: sk.random_prompt(gpt, length=4) for name in tasks}
projector = sk.train_projector(bb, gpt, {"movies": task}, prompts, max_steps=2)
control = sk.train_projector(bb, gpt, {"movies": task}, prompts, max_steps=2, constant=True)
projectors = {"task loss": projector, "constant prompt": control}
found = sk.transfer.evaluate_projections(gpt, projectors, tasks, prompts, own)
""",
}
