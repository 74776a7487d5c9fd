"""What the examples of the docstrings in `skillkit/prompts` work with, by module."""

OWN = {
    "adapters": """
tuned = sk.tune_bitfit(bb, task, max_steps=2, max_train_examples=40, progress=False)
answer = torch.tensor([0, 0])
""",
    "evaluation": """
result = sk.evaluate(bb, task, prompt)
""",
    "peft_io": """
copy = import_module("copy").deepcopy
PeftModel = import_module("peft").PeftModel
""",
    "layouts": """
layout = sk.prompts.layouts.find_layout(bb)
attached = layout.attach(bb, prompt.weight, batch)
""",
    "dataset": """
reading = sk.prompts.dataset.prepare(bb, task, prompt, task["validation"])
layout = prompt.on(bb)
attached = layout.attach(bb, prompt.weight, batch)
vocabulary = task.label_ids(bb)
total = torch.zeros(5, 512)
""",
    "training": """
job = sk.prompts.tuning._Tuning("prompt", bb, task, prompt.on(bb), recipe, 0, 40, "float32", weight)
recipe = sk.prompts.recipes.choose_recipe("skill-neuron", bb, max_steps=2, batch_size=16)
weight = torch.zeros(4, 128, requires_grad=True)
fitted = sk.prompts.training.fit(job, {"weight": weight}, show=False)
""",
}
