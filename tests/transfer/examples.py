"""What the examples of the docstrings in `skillkit/transfer` work with: `module.name = what it is`."""

OWN = """
prompt_activations.acts = sk.activated_neurons(bb, prompt)
indicator_correlation.tables = {"E_concat": square(0.5), "C_average": square(0.7), "ON": square(0.6), "cosine_mean": table}
indicator_correlation.correlation = sk.transfer.indicator_correlation({"ON": square(0.5), "cosine_mean": square(0.7)}, square(0.8))
indicator_correlation.prompts = {name: [sk.random_prompt(bb, 2, seed)] for seed, name in enumerate(types)}
indicator_correlation.tasks = dict(zip(table, ["SST2", "MNLI"] * 2))
indicator_correlation.seeds = dict(zip(table, [33, 33, 34, 34]))
indicator_correlation.table = square(0.5).set_axis(labels_, axis=0).set_axis(labels_, axis=1)
indicator_correlation.labels_ = [f"{task}, seed {number}" for number in (33, 34) for task in ("SST2", "MNLI")]
warm_start.source = prompt
warm_start.seeds = [0]
warm_start.starts = {"random prompt": "random", "nearest": [prompt]}
warm_start.curves = sk.transfer.learning_curves(bb, task, starts, seeds, length=4, max_steps=4, evaluate_every=4)
indicators.untrained = other_prompt
indicators.prompts = {"movies": [prompt], "hotels": [other_prompt]}
zero_shot.prompts = {"movies": [prompt], "hotels": [other_prompt]}
projector.source_bb = bb
projector.target_bb = gpt
projection_eval.target_bb = gpt
projector.source_prompt = prompt
projector.tasks = {"movies": task}
projector.prompts = {"movies": prompt, "hotels": other_prompt}
projector.projector = sk.train_projector(bb, gpt, tasks, prompts, max_steps=2)
projector.control = sk.train_projector(bb, gpt, tasks, prompts, constant=True, max_steps=2)
zero_shot.tasks = {"movies": task, "hotels": other_task}
zero_shot.transfer = sk.transfer_matrix(bb, tasks, prompts)
zero_shot.tune_prompt = import_module("functools").partial(sk.tune_prompt, length=4, max_steps=2)
projection_eval.tasks = {"movies": task, "gadgets": other_task}
projection_eval.prompts = {"movies": prompt, "gadgets": other_prompt}
projection_eval.own = {name: sk.random_prompt(gpt, length=4) for name in tasks}
projection_eval.projector = sk.train_projector(bb, gpt, {"movies": task}, prompts, max_steps=2)
projection_eval.control = sk.train_projector(bb, gpt, {"movies": task}, prompts, max_steps=2, constant=True)
projection_eval.projectors = {"task loss": projector, "constant prompt": control}
projection_eval.found = sk.transfer.evaluate_projections(gpt, projectors, tasks, prompts, own)
"""  # noqa: E501
