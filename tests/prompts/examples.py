"""What the examples of the docstrings in `skillkit/prompts` work with: `module.name = what it is`."""

OWN = """
adapters.tuned = sk.tune_bitfit(bb, task, max_steps=2, max_train_examples=40, progress=False)
adapters.answer = torch.tensor([0, 0])
evaluation.result = sk.evaluate(bb, task, prompt)
peft_io.copy = import_module("copy").deepcopy
peft_io.PeftModel = import_module("peft").PeftModel
layouts.layout = sk.prompts.layouts.find_layout(bb)
layouts.attached = layout.attach(bb, prompt.weight, batch)
dataset.attached = layout.attach(bb, prompt.weight, batch)
dataset.reading = sk.prompts.dataset.prepare(bb, task, prompt, task["validation"])
dataset.layout = prompt.on(bb)
dataset.vocabulary = task.label_ids(bb)
dataset.total = torch.zeros(5, 512)
training.job = sk.prompts.tuning._Tuning("prompt", bb, task, prompt.on(bb), recipe, 0, 40, "float32", weight)
training.recipe = sk.prompts.recipes.choose_recipe("skill-neuron", bb, max_steps=2, batch_size=16)
training.weight = torch.zeros(4, 128, requires_grad=True)
training.fitted = sk.prompts.training.fit(job, {"weight": weight}, show=False)
"""
