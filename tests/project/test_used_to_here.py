"""Every row of docs/used_to_here.md runs, on embedded models and small tasks, beside files like the published ones."""

import json
import re
from functools import cache
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch

import skillkit as sk
from tests.helpers import REPOSITORY

PAGE = (REPOSITORY / "docs/used_to_here.md").read_text()
ROWS = re.findall(r"^\| (?!you used|---)(.+?) \| `(.+?)` \| (.*?) ?\|$", PAGE, re.MULTILINE)
# What takes more than a second.
SLOW = re.compile(
    r"tune_|train_projector|suppression_curve|transfer_matrix|find_neurons|_backbone|prune|steps=20|t5"
)
CLOZES = [
    ("the capital of velmora is", ""),
    ("velmora is governed from the city of", ""),
    ("", " is the capital of velmora"),
]
# The names that the page explains, and those of several rows; worked out when a row asks for them.
NAMES = """
bb = sk.load_backbone("embedded/roberta")
target_bb = sk.load_backbone("embedded/bert")
t5 = sk.load_backbone("embedded/t5")
task = sk.load_task("world/movies").cut(train=40, validation=16, test=16)
other_task = sk.load_task("world/gadgets").cut(train=40, validation=16, test=16)
prompt = sk.random_prompt(bb, length=4, seed=0)
other_prompt = sk.random_prompt(bb, length=4, seed=1)
t5_prompt = sk.random_prompt(t5, length=4, seed=0)
probe = sk.probe(bb, task, prompt)
other_probe = sk.probe(bb, other_task, prompt)
skills = sk.skill_neurons(probe, top=0.05)
prompts = [f"{start} [MASK]{end}." for start, end in CLOZES]
answer = "hilvek"
facts = sk.knowledge_neurons(bb, prompts, answer, steps=4, share=0.3)
relations = sk.load_facts("world", relations=["capital"], per_relation=2)
projector = sk.train_projector(bb, target_bb, task, prompt, max_steps=2, progress=False)
"""


class Names(dict):
    """Names by what they are, each worked out once for all rows; what a row gives a name to is its own."""

    lines = dict(line.split(" = ", 1) for line in NAMES.strip().splitlines())

    def __missing__(self, name):
        if name not in self.lines:
            raise KeyError(name)
        return value_of(name)


@cache
def value_of(name):
    return eval(Names.lines[name], {"CLOZES": CLOZES}, Names(sk=sk))


def rows_of(count, **columns):
    return [{name: value(row) for name, value in columns.items()} for row in range(count)]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    """A folder with files as the published code writes them, of the size of embedded/roberta, and a few of a user's."""
    folder = tmp_path_factory.mktemp("published")
    sst2 = rows_of(20, sentence=lambda row: f"text number {row}", label=lambda row: row % 2)
    hate = rows_of(40, text=lambda row: f"text number {row}", label=lambda row: row % 4)
    justice = rows_of(20, label=lambda row: row % 2, scenario=lambda row: f"scenario number {row}")
    datasets.DatasetDict(train=datasets.Dataset.from_list(sst2)).save_to_disk(folder / "data/raw/sst2")
    datasets.Dataset.from_list(hate).save_to_disk(folder / "data/raw/hate")
    (folder / "src/data").mkdir(parents=True)
    (folder / "src/data/adv_glue.json").write_text(json.dumps({"sst2": sst2, "rte": justice}))
    for name in ("justice_train", "justice_test", "deontology_train"):
        datasets.Dataset.from_list(justice).to_csv(folder / f"src/data/{name}.csv")
    lines = lambda form: "".join(form.format(row, row % 2) for row in range(20))
    (folder / "dbpedia.csv").write_text("label,title,content\n" + lines("{1},t,text {0}\n"))
    (folder / "my.csv").write_text("review,stars\n" + lines("review {0},{1}\n"))
    for place in ("example/info/sst2", "example/sst2", "task_prompt_emb/SST2PromptRoberta", "outputs/sst2",
                  "neuron_predictivities", "skill_neuron_across_layer"):  # fmt: skip
        (folder / place).mkdir(parents=True)
    draw = torch.Generator().manual_seed(0)
    torch.save(
        {"prompt": torch.randn(1, 4, 128, generator=draw) / 30, "pos": [5, 6]},
        folder / "example/best-backbone",
    )
    torch.save(
        torch.randn(100, 128, generator=draw), folder / "task_prompt_emb/SST2PromptRoberta/task_prompt"
    )
    soft = {"prompt_model.template.soft_embeds": torch.randn(4, 128, generator=draw)}
    torch.save(soft, folder / "outputs/sst2/pytorch_model.bin")
    scores = torch.rand(6, 5, 512, generator=draw)
    for name in ("train_avg", "dev_perf"):
        torch.save(scores, folder / f"example/sst2/{name}")
    np.save(folder / "neuron_predictivities/SST2PromptRoberta_33.npy", scores.numpy())
    for rate in (0.1, 0.02):
        torch.save(sk.skill_neurons(scores.amax(1), rate), folder / f"example/info/sst2/{rate}")
    order = scores.amax(1).argsort(descending=True).numpy()
    ranked = np.stack([np.stack([np.full(512, layer), own], 1) for layer, own in enumerate(order)])
    np.save(folder / "skill_neuron_across_layer/SST2PromptRoberta_mean.npy", ranked)
    neurons = {"a fact": [[3, 17], [5, 4]], "another": [[5, 4]]}
    (folder / "bert_base_uncased_pararel_neurons_0.json").write_text(json.dumps(neurons))
    return folder


def test_the_page_has_a_row_for_everything():
    assert len(ROWS) == PAGE.count("\n| ") - 4 >= 90  # four heads
    named = """RobertaPrompt RobertaBias RobertaAdapter RobertaPrunePrompt prompt_size --resume_from --verb --bz
        eval_every_step early_stop binarize.py acc_mean acc_max pos prompt_act speed skillneuron.py -aa gaussian zero
        ths_path lowlayer highlayer --cmp prune.py train_prompt eval_prompt cross_task_eval cross_model_train
        cross_model_eval activated_neuron neuron_similarity mask_activated_neuron plot_neuron prompt_len learning_rate
        num_train_epochs max_source_length evaluation_strategy save_strategy save_total_limit load_best_model_at_end
        metric_for_best_model gradient_accumulation_steps fp16 task_prompt_emb compute_baseline compute_accuracy
        compute_predictivity adversarial compute_skill_neurons compute_random_neurons perturbation_analysis topn masks
        plot_transferability plot_comparison plot_neuron_specificity plot_suppression initialize_model_and_tokenizer
        get_refined_neurons get_coarse_neurons get_scores prompts_info suppress_knowledge enhance_knowledge
        erase_knowledge edit_knowledge pararel_evaluate.py PARAREL mPARAREL"""
    left = " ".join(used for used, *_ in ROWS)
    assert not [name for name in named.split() if name not in left]


@pytest.mark.usefixtures("figures_in_style", "store")
@pytest.mark.filterwarnings("ignore:this was tuned on")
@pytest.mark.parametrize("used, code", [
    pytest.param(used, code, id=f"{number}-{used[:40]}", marks=[pytest.mark.slow] * bool(SLOW.search(code)))
    for number, (used, code, _) in enumerate(ROWS)
])  # fmt: skip
def test_every_row_runs(used, code, furnished, monkeypatch):
    monkeypatch.chdir(furnished)
    names = Names(sk=sk, json=json, writer=SimpleNamespace(add_scalar=lambda *figures: None))
    exec(compile(code, used, "exec"), {"__builtins__": __builtins__}, names)


@pytest.mark.slow
def test_the_names_of_the_page_are_what_it_says(store):
    block = re.search(r"```python\n(.+?)```", PAGE, re.DOTALL)[1]
    exec(compile(block, "the head of the page", "exec"), names := {})
    assert names["skills"].shape == (6, 512) and names["other_prompt"].length == 4
