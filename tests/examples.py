"""What the examples of the docstrings take for granted: one line per name, worked out when an example asks for it.

Besides, an example knows what its module knows, and every public name of the package.
"""

import functools
import inspect
import pkgutil
from importlib import import_module

import skillkit
from tests.helpers import REPOSITORY
from tests.unit.test_summaries import cell, swept

SHARED = """
sk = skillkit
torch = import_module("torch")
pd = import_module("pandas")
bb = sk.load_backbone("embedded/bert")
gpt = sk.load_backbone("embedded/gpt2")
t5 = sk.load_backbone("embedded/t5")
task = sk.load_task("world/movies").cut(train=40, validation=16, test=16)
other_task = sk.load_task("world/gadgets").cut(train=40, validation=16, test=16)
prompt = sk.tune_prompt(bb, task, length=4, max_steps=2, max_train_examples=40, progress=False)
other_prompt = sk.random_prompt(bb, length=4, seed=1)
probe = sk.probe(bb, task, prompt, permutations=2)
other_probe = sk.probe(bb, other_task, other_prompt, text=False)
mask = sk.skill_neurons(probe, 0.05)
skills = sk.skill_neurons(probe, 0.05)
view = sk.adversarial_view(task, "typos", 0.5)
types = {"movies": "sentiment", "gadgets": "sentiment", "news": "topic", "questions": "topic"}
cloze = "the capital of velmora is [MASK]."
questions = sk.clozes.encode_cloze(bb, cloze, "hilvek")
facts = sk.facts.load_facts("world", relations=["capital"], language=["english"], per_relation=3)
found = sk.recall.find_neurons(bb, facts, steps=2, minimum_prompts=1, share=0.3)
transfer = import_module("types").SimpleNamespace(absolute=square(0.8), relative=square(0.9))
encoded = sk.batches.encode(bb, task, task["train"], room=5)
batch = next(iter(encoded.batches(2)))
inputs = bb.tokenizer(["a text", "another text"], return_tensors="pt", padding=True)
run = sk.notebook.Run("01_prompt_tuning", sk.params.NOTEBOOKS["01_prompt_tuning"]())
"""

# By module, where a name is not the shared one.
OWN = {
    "companion": """
known = sk.companion.capitals(bb)
""",
    "activations": """
places = [(3, 0, 17), (5, 1, 4)]
seen = sk.activations.neuron_activations(bb, task, prompt, places, split="test")
""",
    "adapters": """
tuned = sk.tune_bitfit(bb, task, max_steps=2, max_train_examples=40, progress=False)
answer = torch.tensor([0, 0])
""",
    "attacks": """
random = import_module("random")
""",
    "attribution": """
found = sk.attribute(bb, cloze, "hilvek", steps=2)
clozes = [cloze, cloze]
""",
    "backbones": """
texts = ["a text", "another text"]
answer = torch.tensor([0, 0])
ids = inputs["input_ids"]
mask = inputs["attention_mask"]
config = transformers.BertConfig(hidden_size=8, num_attention_heads=2, intermediate_size=16, num_hidden_layers=1)
BertForMaskedLM = transformers.BertForMaskedLM
RobertaForMaskedLM = transformers.BertForMaskedLM
tokenizer = bb.tokenizer
transformers = import_module("transformers")
""",
    "bars": """
table = pd.DataFrame(dict(kind=["a", "b"], neurons="skill neurons", change=0.5, low=0.4, high=0.6, published=0.45))
shares = pd.DataFrame(dict(layer=[0, 1], language="english", share=[0.4, 0.6]))
""",
    "checkpoints": """
model = bb.model
""",
    "contrasts": """
found = sk.contrasts.contrast(bb, view, prompt, train_examples=40, examples=20)
chosen = found.chosen
other = found.adversarial
contrasts = [found, found]
contrast_of_seed_0 = found
contrast_of_seed_1 = found
""",
    "controls": """
probe = sk.probe
""",
    "counterparts": """
columns = dict(text="review", label="stars", labels={"0": "negative", "1": "positive"})
""",
    "crossings": """
tables = {"ON": square(0.7)}
""",
    "curves": """
curve = sk.suppression_curve(bb, task, prompt, probe, rates=(0, 0.1), draws=2)
curves = [curve, curve, curve]
curve_of_seed_0 = curve
curve_of_seed_1 = curve
curve_of_seed_2 = curve
""",
    "declines": """
curve_of_seed_0 = sk.suppression_curve(bb, task, prompt, probe, rates=(0, 0.1), draws=2)
curve_of_seed_1 = curve_of_seed_0
curve_of_seed_2 = curve_of_seed_0
curves = [curve_of_seed_0]
summary = lambda curves: sk.curves.summary(curves).replace("world/movies", "movies")
""",
    "distributions": """
seen = sk.activations.neuron_activations(bb, task, prompt, [(5, 0, 17)], split="test")
labels = seen.labels
baseline = probe.baseline_at(5, 0, 17)
panels = {"layer 5, neuron 17": (seen.values[:, 0], baseline)}
scores = probe.predictivity
accuracy = pd.DataFrame([dict(task="movies", accuracy=0.9, low=0.8, high=1.0)])
""",
    "driver": """
units = []
team = import_module("types").SimpleNamespace(threads=1)
""",
    "editing": """
table = sk.editing.editing(bb, facts, found)
""",
    "evaluation": """
result = sk.evaluate(bb, task, prompt)
""",
    "exchange": """
copy = import_module("copy").deepcopy
PeftModel = import_module("peft").PeftModel
""",
    "facts": """
facts = sk.facts.load_facts("world", language="english")
fact = facts[0]
""",
    "figures": """
table = pd.DataFrame([dict(task="movies", method="prompt", accuracy=0.9, low=0.8, high=1.0, chance=0.5)])
""",
    "files": """
folder = import_module("pathlib").Path(".")
page = "<!doctype html>"
""",
    "firing": """
firing = sk.activated_neurons(bb, prompt)
prompt_a = prompt
prompt_b = other_prompt
prompt_of_seed_0 = prompt
prompt_of_seed_1 = other_prompt
firing_a = firing
firing_b = sk.activated_neurons(bb, other_prompt)
untrained = firing_b
types = dict(movies="sentiment", gadgets="sentiment", random="none")
""",
    "forecasts": """
tables = {"E_concat": square(0.5), "C_average": square(0.7)}
prompts = {name: [sk.random_prompt(bb, 2, seed)] for seed, name in enumerate(types)}
""",
    "forgetting": """
table = sk.forgetting.forgetting(bb, facts, found, draws=1)
firing = pd.DataFrame(dict(fact=["a", "b", "c"], group="neither", activation=[0.1, 0.2, 0.3]))
mask = found[facts[0].key].mask
""",
    "grids": """
PromptTuning = sk.params.NOTEBOOKS["01_prompt_tuning"]
cells = [sk.grids.Cell(name, {"seeds": 0}, PromptTuning(seeds=[0])) for name in ("01_prompt_tuning", "02_probing")]
""",
    "headstarts": """
source = prompt
prompts = {name: [sk.random_prompt(bb, 4, seed)] for seed, name in enumerate(types)}
tables = {"cosine_mean": square(0.5), "ON": square(0.5)}
prompt_of_seed_0 = prompt
seeds = [0]
starts = {"random prompt": "random", "nearest": [prompt]}
curves = pd.DataFrame(dict(start="nearest", seed=0, step=[0, 4], score=[0.5, 0.9]))
final = 0.9
""",
    "integrals": """
questions = sk.clozes.encode_cloze(bb, cloze, "hilvek")
""",
    "interventions": """
facts = sk.knowledge_neurons(bb, prompts, "hilvek", steps=2, coarse=dict(adaptive=0.2), share=0)
other_facts = sk.random_neurons(facts.mask, seed=0)
prompts = [cloze, "velmora is governed from the city of [MASK]."]
ask = sk.clozes.ask
""",
    "kernels": """
sys = import_module("sys")
""",
    "knowledge": """
prompts = [cloze, "velmora is governed from the city of [MASK].", "[MASK] is the capital of velmora."]
attribution = sk.attribute(bb, cloze, "hilvek", steps=2)
found = {f"capital-00/{language}": facts for language in ("english", "second")}
facts = sk.knowledge_neurons(bb, prompts, "hilvek", steps=2)
list_of_knowledge_neurons = [facts]
scores = attribution.scores
""",
    "languages": """
facts = sk.facts.load_facts("world", relations=["capital", "language"], per_relation=2)
found = sk.recall.find_neurons(bb, facts, steps=2, minimum_prompts=1, share=0.3)
summary = sk.forgetting.summary
""",
    "layouts": """
layout = sk.layouts.find_layout(bb)
attached = layout.attach(bb, prompt.weight, batch)
""",
    "likeness": """
probe_movies = probe
probe_gadgets = other_probe
probe_a = probe
probe_b = other_probe
skills_movies = skills
skills_gadgets = sk.skill_neurons(other_probe, 0.05)
probes = {"movies": probe, "gadgets": other_probe, "news": probe, "questions": other_probe}
masks = {"movies": skills_movies, "gadgets": skills_gadgets}
alike = square(0.5)
""",
    "maps": """
alike = square(0.5)
probes = {"movies": probe, "gadgets": other_probe, "news": probe, "questions": other_probe}
""",
    "matrices": """
transformers = import_module("transformers")
config = transformers.BertConfig(hidden_size=8, num_attention_heads=2, intermediate_size=16, num_hidden_layers=1)
BertForMaskedLM = transformers.BertForMaskedLM
model = BertForMaskedLM(config)
weight = torch.randn(3072, 768)
bias = torch.randn(3072)
""",
    "attention": """
transformers = import_module("transformers")
config = transformers.BertConfig(hidden_size=8, num_attention_heads=2, intermediate_size=16, num_hidden_layers=1)
model = import_module("skillkit.matrices").quicken(transformers.BertForMaskedLM(config).requires_grad_(False))
attention = model.bert.encoder.layer[0].attention.self
query = torch.randn(2, 2, 1, 4)
text = torch.randn(2, 5, 8)
""",
    "medians": """
rows = task["train"]
sample = rows.select(range(10))
stream = lambda rows, visit: sk.reading.prepare(bb, task, prompt, rows).stream([5], visit)
""",
    "nearness": """
prompt_movies = prompt
prompt_hotels = other_prompt
prompt_a = prompt
prompt_b = other_prompt
untrained = [other_prompt]
prompts = {"movies": [prompt], "hotels": [other_prompt]}
""",
    "networks": """
bb = sk.load_backbone("embedded/bert")
transformers = import_module("transformers")
config = transformers.BertConfig(num_hidden_layers=2, intermediate_size=16, pruned={"widths": [16, 3]})
BertForMaskedLM = transformers.BertForMaskedLM
row = bb.row
network = sk.networks.networks(bb.model.base_model, bb.row)[0]
""",
    "neurons": """
neurons = torch.randn(2, 6, 512)
where = torch.tensor([[3], [5]])
""",
    "notebook": """
fig = import_module("matplotlib.pyplot").figure()
history = pd.DataFrame({"step": [0]})
accuracies = history
backbone = "embedded/roberta"
""",
    "objectives": """
tokenizer = sk.load_backbone("embedded/roberta").tokenizer
model = sk.load_backbone("embedded/roberta").model
random = import_module("random")
docs = list(import_module("itertools").islice(sk.corpus.documents("examples"), 4))
""",
    "precision": """
weight = prompt.weight.clone().requires_grad_()
loss_of = lambda batch: weight.sum()
""",
    "probes": """
side = probe.sides["layer"]
""",
    "probing": """
chosen = sk.probe(bb, task, prompt)
report = sk.probe(bb, task, prompt, split="test", carry=chosen)
""",
    "progress": """
train = float
""",
    "projector": """
source_bb = bb
target_bb = gpt
source_prompt = prompt
tasks = {"movies": task}
prompts = {"movies": prompt}
projector = sk.train_projector(bb, gpt, tasks, prompts, max_steps=2)
""",
    "pruning": """
small = sk.prune(bb, skills, fill=probe)
""",
    "reading": """
reading = sk.reading.prepare(bb, task, prompt, task["validation"])
layout = prompt.on(bb)
attached = layout.attach(bb, prompt.weight, batch)
vocabulary = task.label_ids(bb)
total = torch.zeros(5, 512)
""",
    "recall": """
recall = sk.recall.Recall(bb, facts)
key = facts[0].key
one = recall.read([key])[key]
suppress = sk.interventions.suppress
""",
    "repair": """
tune_prompt = sk.tune_prompt
""",
    "repetitions": """
measures = summaries.measures("runs/seeds")
summaries = sk.summaries
rows = sk.repetitions.with_settings(measures).query("kind == 'accuracy: accuracy'")
""",
    "replay": """
stack = sk.replay.stacks(bb, questions)[0]
""",
    "replicas": """
tables = {"cosine_mean": table}
tasks = dict(zip(table, ["SST2", "MNLI"] * 2))
seeds = dict(zip(table, [33, 33, 34, 34]))
table = square(0.5).set_axis(labels_, axis=0).set_axis(labels_, axis=1)
labels_ = [f"{task}, seed {number}" for number in (33, 34) for task in ("SST2", "MNLI")]
""",
    "sites": """
units = sk.sites.load_run("runs/embedded")[1]
site = import_module("pathlib").Path("dir")
page = "<!doctype html>"
""",
    "robustness": """
prompt_of_seed_0 = prompt
prompt_of_seed_1 = other_prompt
prompts = [prompt, other_prompt]
compared = sk.robustness.compare(bb, view, prompts)
contrast = import_module("types").SimpleNamespace(chosen=chosen)
chosen = sk.probe(bb, view.clean, prompt)
weaker_view = sk.adversarial_view(task, "typos", 0.25)
clean_values = [1.0, 0.0, 1.0]
adversarial_values = [0.0, 0.0, 1.0]
table = pd.DataFrame(dict(gap=[0.1, 0.2, 0.3, 0.4, 0.5], drop=[0.0, 0.1, 0.3, 0.2, 0.4]))
attacks = table
""",
    "sentences": """
fact = facts[0]
sentences = sk.sentences.told(facts)
corpus = sentences
neurons = found[fact.key]
""",
    "shrinkage": """
probe_of_seed_0 = probe
probe_of_seed_1 = probe
table_of_seed_0 = found.table
table_of_seed_1 = found.table
table_of_seed_2 = found.table
found = sk.shrinkage.shrinkage(bb, task, prompt, probe, fill=probe.fill, shares=(0.1,), further_steps=2)
""",
    "side_by_side": """
a = square(0.5)
b = square(0.6)
accuracies = pd.DataFrame([dict(model="embedded/gpt2", task="movies", side="clean", accuracy=0.9)])
table = pd.DataFrame(sides_)
sides_ = [dict(top=at, overlap=at, layer=0, rate=at, accuracy=at, gap=at, drop=at) | rest_ for at in (0.1, 0.2)]
rest_ = dict(view="typos", side="clean", neurons="skill", low=0.0, high=1.0, chance=0.5, model="m", attack="typos")
""",
    "significance": """
hits = np.array([5, 3])
fires = np.array([5, 6])
p_values = np.array([0.001, 0.2])
np = import_module("numpy")
""",
    "skills": """
probe_of_seed_0 = probe
probe_of_seed_1 = probe
""",
    "speed": """
small = sk.prune(bb, skills, fill=probe)
""",
    "splits": """
source = sk.sources.read("my.csv")
about = sk.registry.describe("my.csv", dict(text="review", label="stars"))[0]
""",
    "strips": """
attribution = sk.attribute(bb, cloze, "hilvek", steps=2)
scores = attribution.scores
mask = sk.knowledge.coarse_neurons(bb, scores, adaptive=0.2)
""",
    "tables": """
forgetting = sk.forgetting.forgetting
""",
    "texts": """
random = import_module("random")
""",
    "tradeoffs": """
tables = [sk.shrinkage.shrinkage(bb, task, prompt, probe, probe.fill, (0.1,), draws=1, further_steps=None).table]
table = sk.shrinkage.summary(tables)
speeds = compare({1.0: bb, 0.1: bb}, [1], 8, 2, progress=False).rename(columns={"model": "share"})
compare = sk.speed.compare
backbones = {"all": bb, "again": bb}
summary = sk.shrinkage.summary
""",
    "training": """
recipe = sk.recipes.choose_recipe("skill-neuron", bb, max_steps=2, batch_size=16)
weight = torch.zeros(2, requires_grad=True)
loss_of = lambda batch: (weight - 1).square().sum()
score_of = lambda: 0.5
fitted = sk.training.fit({"weight": weight}, loss_of, score_of, encoded, recipe)
""",
    "transfer": """
tasks = {"movies": task, "hotels": other_task}
prompts = {"movies": [prompt], "hotels": [other_prompt]}
transfer = sk.transfer_matrix(bb, tasks, prompts)
tune_prompt = import_module("functools").partial(sk.tune_prompt, length=4, max_steps=2)
""",
    "translations": """
target_bb = gpt
tasks = {"movies": task, "gadgets": other_task}
prompts = {"movies": prompt, "gadgets": other_prompt}
own = {name: sk.random_prompt(gpt, length=4) for name in tasks}
projector = sk.train_projector(bb, gpt, {"movies": task}, prompts, max_steps=2)
control = sk.train_projector(bb, gpt, {"movies": task}, prompts, max_steps=2, constant=True)
projectors = {"task loss": projector, "constant prompt": control}
table = sk.translations.translations(gpt, projectors, tasks, prompts, own)
""",
    "trees": """
folder = import_module("pathlib").Path("dir")
function = sk.skill_neurons
tune_prompt = sk.tune_prompt
torch = import_module("torch")
""",
    "units": """
PromptTuning = sk.params.NOTEBOOKS["01_prompt_tuning"]
""",
}


def furnish(folder):
    """Make a folder look like the repository, with a study, a sweep, and a table of the reader's own."""
    for name in ("params", "notebooks"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "dir").mkdir()
    rows = "".join(
        f"a {word} film,{label}\n" for label, word in enumerate(["bad", "good"]) for _ in range(20)
    )
    (folder / "my.csv").write_text(f"review,stars\n{rows}")
    swept(folder / "runs" / "seeds")
    study = folder / "runs" / "embedded"
    cell(study, "movies", 0, "done")
    (study / "cells" / "movies-0").rename(study / "01_prompt_tuning")
    (study / "01_prompt_tuning" / "small.ipynb").rename(study / "01_prompt_tuning" / "01_prompt_tuning.ipynb")
    (study / "study.json").write_text(
        '{"name": "embedded", "notebooks": ["01_prompt_tuning"], "file": "params/embedded.yaml"}'
    )


def square(value):
    """A table of sources × targets, higher within types."""
    import pandas as pd

    types = {"movies": "sentiment", "gadgets": "sentiment", "news": "topic", "questions": "topic"}
    rows = [[value + 0.1 * (one == other) for other in types.values()] for one in types.values()]
    return pd.DataFrame(rows, index=list(types), columns=list(types))


def _lines(text):
    return dict(line.split(" = ", 1) for line in text.strip().splitlines())


class Names(dict):
    """The names that the examples of a module may use."""

    def __init__(self, module):
        self.own = _lines(OWN.get(module.__name__.rsplit(".", 1)[-1], ""))
        known = {name: value for name, value in vars(module).items() if name not in self.own}
        super().__init__(known)

    def copy(self):
        """What doctest asks for; a plain dict would forget how names come about."""
        return self

    def __missing__(self, name):
        if name in self.own:
            self[name] = eval(self.own[name], _Helpers(self))
        else:
            self[name] = _shared()[name]
        return self[name]


class _Shared(dict):
    """Names of all modules, and below them what the package itself defines."""

    def __missing__(self, name):
        lines = _lines(SHARED)
        self[name] = eval(lines[name], self) if name in lines else _public()[name]
        return self[name]


class _Helpers(dict):
    """Names as the lines above may use them: this module's helpers, the module's own lines, the shared ones."""

    def __init__(self, names):
        super().__init__(square=square, import_module=import_module)
        self.names = names

    def __missing__(self, name):
        return self.names[name] if name in self.names.own else _shared()[name]


@functools.cache
def _shared():
    return _Shared(skillkit=skillkit, square=square, import_module=import_module)


@functools.cache
def _public():
    """What the modules of the package define, by name."""
    modules = [import_module(f"skillkit.{one.name}") for one in pkgutil.iter_modules(skillkit.__path__)]
    return {
        name: value for module in modules for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not inspect.ismodule(value) and name[0] != "_"
    } | {module.__name__.rsplit(".", 1)[-1]: module for module in modules}  # fmt: skip
