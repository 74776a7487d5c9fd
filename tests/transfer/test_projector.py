from dataclasses import replace

import pytest
import torch
import transformers

from skillkit.core import cached
from skillkit.core.store import find
from skillkit.models import from_model
from skillkit.prompts import SoftPrompt, evaluate, random_prompt
from skillkit.transfer import train_projector
from skillkit.transfer.projector import Projector
from tests.helpers import refused
from tests.tiny import tiny_backbone, tiny_tokenizer
from tests.toys import toy_task

QUICK = dict(max_steps=2, evaluate_every=1, progress=False)


@pytest.fixture(scope="module")
def pair():
    source, target = tiny_backbone("roberta"), tiny_backbone("t5")
    tasks = {name: toy_task(16, seed=seed) for seed, name in enumerate("ab")}
    prompts = {name: random_prompt(source, 4, seed) for seed, name in enumerate("ab")}
    own = {name: random_prompt(target, 4, seed + 5) for seed, name in enumerate("ab")}
    return source, target, tasks, prompts, own


def train(pair, **options):
    return train_projector(*pair, **QUICK | options)


def test_projection_equals_the_plain_network(pair):
    source, target, tasks, prompts, _ = pair
    projector, hidden = train(pair), target.hidden_size
    plain = torch.nn.Sequential(torch.nn.Flatten(0), torch.nn.Linear(4 * 32, 768), torch.nn.LeakyReLU(),
                                torch.nn.Linear(768, 4 * hidden), torch.nn.Unflatten(0, (4, hidden)),
                                torch.nn.LayerNorm(hidden))  # fmt: skip
    places = zip(plain.state_dict(), projector.weights.values(), strict=True)
    plain.load_state_dict(dict(places))
    found = projector.project(prompts["a"], target)
    torch.testing.assert_close(found.weight, plain(prompts["a"].weight).detach())
    assert found.layout == "encoder" and found.metadata["projected_from"] == source.name
    assert 0 <= evaluate(target, tasks["a"], found).accuracy <= 1
    assert repr(projector) == f"Projector({source.name} → {target.name}, task loss on a, b)"


@pytest.mark.parametrize(("depth", "flatten"), [(1, True), (3, True), (2, False)])
def test_depth_and_flattening(pair, depth, flatten, tmp_path):
    source, target, tasks, prompts, _ = pair
    projector, length = train(pair, depth=depth, flatten=flatten), 4 if flatten else 1
    sizes = [length * 32, *[768] * (depth - 1), length * target.hidden_size]
    parts = [torch.nn.Flatten(0)] * flatten
    for at in range(depth):
        parts += [torch.nn.LeakyReLU()] * (at > 0) + [torch.nn.Linear(*sizes[at : at + 2])]
    parts += [torch.nn.Unflatten(0, (4, target.hidden_size))] * flatten + [
        torch.nn.LayerNorm(target.hidden_size)
    ]
    plain = torch.nn.Sequential(*parts)
    plain.load_state_dict(dict(zip(plain.state_dict(), projector.weights.values(), strict=True)))
    projector.save(tmp_path)
    found = Projector.load(tmp_path).project(prompts["a"], target)
    torch.testing.assert_close(found.weight, plain(prompts["a"].weight).detach())
    refused("depth cannot be 0", train, pair, depth=0)


def test_what_shape_a_projector_has_is_part_of_its_name_in_the_store(pair, store):
    source, target, tasks, prompts, _ = pair
    cached(train_projector, source, target, tasks, prompts, **QUICK)
    cached(train_projector, source, target, tasks, prompts, depth=2, log=None, **QUICK)
    assert len(find("projector")) == 1
    cached(train_projector, source, target, tasks, prompts, depth=1, **QUICK)
    assert len(find("projector")) == 2


def test_one_task_and_its_prompts(pair):
    source, target, tasks, prompts, own = pair
    task = tasks["a"]
    for given in (prompts["a"], [prompts["a"]], {task.name: prompts["a"]}):
        found = train((source, target, task, given, own["a"]), loss="both")
        assert found.metadata["tasks"] == [task.name]


@pytest.mark.slow
def test_distance_loss_brings_each_prompt_to_its_own_target(pair):
    source, target, tasks, prompts, own = pair
    # Reachable targets: what a LayerNorm can give.
    own = {name: SoftPrompt(torch.nn.functional.layer_norm(one.weight, (32,)), one.layout, one.metadata)
           for name, one in own.items()}  # fmt: skip
    given = dict(loss="distance", max_steps=150, evaluate_every=150, learning_rate=3e-3)
    found, control = (train((*pair[:4], own), constant=constant, **given) for constant in (False, True))
    for name, one in own.items():
        assert (found.project(prompts[name], target).weight - one.weight).square().mean() < 0.05
        assert (control.project(prompts[name], target).weight - one.weight).square().mean() > 0.3


@pytest.mark.parametrize("wide_source", [True, False])
def test_widths_may_differ(pair, wide_source):
    narrow, _, tasks, prompts, _ = pair
    tokenizer = tiny_tokenizer("gpt2")
    sizes = dict(vocab_size=len(tokenizer), n_positions=128, n_embd=48, n_layer=2, n_head=4)
    wide = from_model(transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)), tokenizer, "tiny/wide")
    others = {name: random_prompt(wide, 4, seed) for seed, name in enumerate("ab")}
    order = slice(None, None, -1 if wide_source else 1)
    (source, target), (given, own) = (narrow, wide)[order], (prompts, others)[order]
    given = {
        name: replace(one, weight=one.weight.bfloat16()) for name, one in given.items()
    }  # computed in float32
    found = train((source, target, tasks, given, own), loss="both")
    assert found.project(given["a"], target).weight.shape == (4, target.hidden_size)


@pytest.mark.slow
def test_task_loss_falls_and_leaves_the_backbones_alone(pair):
    before = pair[1].model.get_input_embeddings().weight.clone()
    found = train(pair, max_steps=40, evaluate_every=10, learning_rate=3e-3)
    losses = [point["loss"] for point in found.metadata["history"]]
    assert losses[-1] < losses[0]
    assert torch.equal(before, pair[1].model.get_input_embeddings().weight)


def test_several_prompts_of_a_task_take_turns(pair):
    several = {name: [one, random_prompt(pair[0], 4, 50)] for name, one in pair[3].items()}
    one, more = (train((*pair[:3], given), max_steps=8, batch_size=4) for given in (pair[3], several))
    assert not torch.equal(one.weights["first.weight"], more.weights["first.weight"])


def test_saved_stored_and_the_same_again(pair, tmp_path, monkeypatch):
    target, prompts = pair[1], pair[3]
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path / "store"))
    first, again = cached(train_projector, *pair, constant=True, **QUICK), train(pair, constant=True)
    first.save(tmp_path / "projector")
    listed = [replace(task, name=name) for name, task in pair[2].items()]
    assert train((*pair[:2], listed, *pair[3:])).metadata["tasks"] == list(pair[2])
    weight = first.project(prompts["b"], target).weight  # of every prompt the same
    for one in (again, Projector.load(tmp_path / "projector")):
        assert torch.equal(one.project(prompts["a"], target).weight, weight)


def test_bad_input(pair):
    source, target, tasks, prompts, own = pair
    foreign = replace(prompts["a"], metadata={"backbone": "other", "backbone_fingerprint": "x"})
    for given, options, message in [
        (prompts, {"loss": "cosine"}, "not 'cosine'"),
        ({"a": prompts["a"]}, {}, "no source prompt for b"),
        (prompts, {"loss": "both"}, "no target prompt for a"),
        (prompts, {"loss": "both", "targets": prompts}, "not for seq2seq models"),
        (prompts | {"b": random_prompt(source, 3)}, {}, "3 and 4 vectors"),
        (prompts | {"a": foreign}, {}, "tuned for other"),
    ]:
        refused(message, train_projector, source, target, tasks, given, **options)
    projector = train(pair)
    for prompt, bb, message in [
        (prompts["a"], source, "train one for that pair"),
        (foreign, target, "train one for that pair"),
        (random_prompt(source, 3), target, r"takes prompts of shape \[4, 32\]"),
        ([prompts["a"]], target, "must be a SoftPrompt, not a list"),
    ]:
        refused(message, projector.project, prompt, bb)
