import pytest
import torch
import transformers

from skillkit.core.errors import SkillkitError
from skillkit.core.store import cached
from skillkit.models.backbone import from_model
from skillkit.prompts.evaluation import evaluate
from skillkit.prompts.soft_prompt import SoftPrompt, random_prompt
from skillkit.transfer.projector import Projector, _Job, train_projector
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


def test_projection_equals_the_plain_network(pair):
    source, target, tasks, prompts, _ = pair
    projector = train_projector(source, target, tasks, prompts, **QUICK)
    hidden = target.hidden_size
    plain = torch.nn.Sequential(torch.nn.Flatten(0), torch.nn.Linear(4 * 32, 768), torch.nn.LeakyReLU(),
                                torch.nn.Linear(768, 4 * hidden), torch.nn.Unflatten(0, (4, hidden)),
                                torch.nn.LayerNorm(hidden))  # fmt: skip
    names = {"first": "1", "second": "3", "norm": "5"}
    renamed = {
        name.replace(part := name.split(".")[0], names[part]): w for name, w in projector.weights.items()
    }
    plain.load_state_dict(renamed)
    found = projector.project(prompts["a"], target)
    torch.testing.assert_close(found.weight, plain(prompts["a"].weight).detach())
    assert found.layout == "encoder" and found.metadata["projected_from"] == source.name
    assert 0 <= evaluate(target, tasks["a"], found).accuracy <= 1


def test_distance_loss_brings_each_prompt_to_its_own_target(pair):
    source, target, tasks, prompts, own = pair
    # Reachable targets: what a LayerNorm can give.
    own = {name: SoftPrompt(torch.nn.functional.layer_norm(one.weight, (32,)), one.layout, one.metadata)
           for name, one in own.items()}  # fmt: skip
    given = dict(max_steps=150, evaluate_every=150, learning_rate=3e-3, progress=False)
    found = train_projector(source, target, tasks, prompts, targets=own, loss="distance", **given)
    control = train_projector(
        source, target, tasks, prompts, targets=own, loss="distance", constant=True, **given
    )
    for name, one in own.items():
        assert (found.project(prompts[name], target).weight - one.weight).square().mean() < 0.05
        assert (control.project(prompts[name], target).weight - one.weight).square().mean() > 0.3


@pytest.mark.parametrize("wide_source", [True, False])
def test_widths_may_differ(pair, wide_source):
    narrow, _, tasks, prompts, _ = pair
    tokenizer = tiny_tokenizer("gpt2")
    sizes = dict(vocab_size=len(tokenizer), n_positions=128, n_embd=48, n_layer=2, n_head=4)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))
    wide = from_model(model, tokenizer, "tiny/wide")
    others = {name: random_prompt(wide, 4, seed) for seed, name in enumerate("ab")}
    source, target, given, own = (
        (wide, narrow, others, prompts) if wide_source else (narrow, wide, prompts, others)
    )
    found = train_projector(source, target, tasks, given, targets=own, loss="both", **QUICK)
    assert found.metadata["source_shape"][1] != found.metadata["target_shape"][1] == target.hidden_size
    assert found.project(given["a"], target).weight.shape == (4, target.hidden_size)


@pytest.mark.parametrize("batch_size", [4, 32])
def test_every_task_has_its_turns(pair, monkeypatch, batch_size):
    source, target, tasks, prompts, _ = pair
    turns = []
    monkeypatch.setattr(
        _Job, "loss", lambda job, batch, name, turn: turns.append(name) or job.prompt(name, turn).sum()
    )
    tasks = tasks | {"b": toy_task(6)}
    train_projector(source, target, tasks, prompts, max_steps=12, batch_size=batch_size, progress=False)
    assert turns == ["a", "b"] * 6


def test_task_loss_falls_and_leaves_the_backbones_alone(pair):
    source, target, tasks, prompts, _ = pair
    before = target.model.get_input_embeddings().weight.clone()
    found = train_projector(source, target, tasks, prompts, max_steps=40, evaluate_every=10, learning_rate=3e-3,
                            progress=False)  # fmt: skip
    losses = [point["loss"] for point in found.metadata["history"]]
    assert losses[-1] < losses[0]
    assert torch.equal(before, target.model.get_input_embeddings().weight)


def test_the_control_ignores_its_input(pair):
    source, target, tasks, prompts, own = pair
    control = train_projector(
        source, target, tasks, prompts, targets=own, loss="both", constant=True, **QUICK
    )
    outputs = [control.project(one, target).weight for one in prompts.values()]
    assert torch.equal(*outputs)
    free = train_projector(source, target, tasks, prompts, targets=own, loss="both", **QUICK)
    assert not torch.equal(*(free.project(one, target).weight for one in prompts.values()))


def test_several_prompts_of_a_task_take_turns(pair):
    source, target, tasks, prompts, _ = pair
    several = {name: [one, random_prompt(source, 4, 50)] for name, one in prompts.items()}
    one = train_projector(source, target, tasks, prompts, **QUICK | dict(max_steps=8, batch_size=4))
    more = train_projector(source, target, tasks, several, **QUICK | dict(max_steps=8, batch_size=4))
    assert not torch.equal(one.weights["first.weight"], more.weights["first.weight"])


def test_saved_stored_and_the_same_again(pair, tmp_path, monkeypatch):
    source, target, tasks, prompts, _ = pair
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path / "store"))
    first = cached(train_projector, source, target, tasks, prompts, constant=True, **QUICK)
    again = train_projector(source, target, tasks, prompts, constant=True, **QUICK)
    first.save(tmp_path / "projector")
    loaded = Projector.load(tmp_path / "projector")
    for one in (again, loaded):
        assert torch.equal(
            one.project(prompts["a"], target).weight, first.project(prompts["b"], target).weight
        )


def test_bad_input(pair):
    source, target, tasks, prompts, own = pair
    with pytest.raises(SkillkitError, match="not 'cosine'"):
        train_projector(source, target, tasks, prompts, loss="cosine")
    with pytest.raises(SkillkitError, match="no source prompt for b"):
        train_projector(source, target, tasks, {"a": prompts["a"]})
    with pytest.raises(SkillkitError, match="no target prompt for a"):
        train_projector(source, target, tasks, prompts, loss="both")
    with pytest.raises(SkillkitError, match="not for seq2seq models"):
        train_projector(source, target, tasks, prompts, targets=prompts, loss="both")
    with pytest.raises(SkillkitError, match="3 and 4 vectors"):
        train_projector(source, target, tasks, prompts | {"b": random_prompt(source, 3)})
    foreign = SoftPrompt(
        prompts["a"].weight, "mask-first", {"backbone": "other", "backbone_fingerprint": "x"}
    )
    with pytest.raises(SkillkitError, match="tuned for other"):
        train_projector(source, target, tasks, prompts | {"a": foreign})
    projector = train_projector(source, target, tasks, prompts, **QUICK)
    with pytest.raises(SkillkitError, match="train one for that pair"):
        projector.project(prompts["a"], source)
    with pytest.raises(SkillkitError, match="train one for that pair"):
        projector.project(foreign, target)
    with pytest.raises(SkillkitError, match=r"takes prompts of shape \[4, 32\]"):
        projector.project(random_prompt(source, 3), target)
