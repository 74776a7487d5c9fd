import dataclasses
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skillkit.core import cached
from skillkit.core.hashing import content_hash
from skillkit.core.store import find
from skillkit.models import from_model
from skillkit.prompts import (
    SoftPrompt,
    evaluate,
    find_layout,
    layout_key,
    predict,
    random_prompt,
    tune_adapter,
    tune_bitfit,
    tune_model,
    tune_prompt,
)
from skillkit.prompts.layouts import encode_for
from skillkit.prompts.recipes import choose_recipe
from tests.helpers import refused
from tests.prompts.test_layouts import CASES
from tests.tiny import TINY_MODELS, slowly, tiny_backbone
from tests.toys import toy_task

TASK, BERT = toy_task(40), tiny_backbone("bert", layers=1)
QUICK = {"length": 4, "max_steps": 12, "evaluate_every": 4, "progress": False}
# The fast ones are of their families.
SLOW = ("roberta", "xlm-roberta", "xlm-roberta-xl", "gpt_neo", "t5-gated", "llama")


def tune(bb, task=TASK, **options):
    return tune_prompt(bb, task, **QUICK | options)


def of_models(cases):
    """Cases (model, …) as parameters, those of SLOW models marked."""
    return [slowly(*case) if case[0] in SLOW else pytest.param(*case) for case in cases]


@pytest.mark.parametrize(("model", "layout"), of_models(CASES))
def test_tuning_lowers_the_loss_and_touches_nothing_else(model, layout):
    bb = tiny_backbone(model, layers=2)
    before = {name: tensor.clone() for name, tensor in bb.model.state_dict().items()}
    prompt = tune(bb, layout=layout, max_steps=24, evaluate_every=8)
    losses = [entry["loss"] for entry in prompt.metadata["history"]]
    assert losses[-1] < losses[0] and prompt.layout == layout
    assert prompt.weight.shape == (4, bb.hidden_size) and not prompt.weight.requires_grad
    assert all(torch.equal(bb.model.state_dict()[name], tensor) for name, tensor in before.items())
    assert not any(parameter.grad is not None for parameter in bb.model.parameters())


def test_metadata_says_what_was_done():
    metadata = tune(BERT, dtype="float32", max_train_examples=24).metadata
    expected = {
        "backbone": "tiny/bert", "backbone_fingerprint": BERT.fingerprint, "family": "masked", "task": "toy",
        "label_words": ["bad", "good"], "train_examples": 24, "seed": 0, "dtype": "float32", "steps": 12,
        "init": "random", "kind": "prompt", "length": 4, "layout": "mask-first", "max_tokens": None,
    }  # fmt: skip
    assert metadata.items() >= expected.items()
    assert [entry["step"] for entry in metadata["history"]] == [4, 8, 12]
    assert metadata["validation_score"] == max(entry["score"] for entry in metadata["history"])
    assert metadata["recipe"]["max_steps"] == 12 and metadata["seconds"] > 0


@pytest.mark.parametrize("metric", ["accuracy", "matthews"])
def test_kept_prompt_has_the_validation_score_it_says_by_the_metric_of_the_task(metric):
    bb, task = tiny_backbone("gpt2", layers=2), dataclasses.replace(TASK, metric=metric)
    prompt = tune(bb, task, dtype="float32", max_steps=24)
    found = getattr(evaluate(bb, task, prompt, split="validation"), metric)
    assert found == pytest.approx(prompt.metadata["validation_score"])


def test_seed_decides_everything():
    first, again, other = (tune(BERT, seed=seed).weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("model", "dtype"), [("bert", "float32"), slowly("t5", "float32"), slowly("gpt2", "bfloat16")]
)
def test_interrupted_tuning_continues_to_the_same_prompt(model, dtype, tmp_path, monkeypatch):
    bb = tiny_backbone(model, layers=2)
    whole = tune(bb, dtype=dtype)
    answer_logits, left = type(bb).answer_logits, [1] * 9
    with monkeypatch.context() as patched, pytest.raises(IndexError):
        patched.setattr(type(bb), "answer_logits", lambda *args: left.pop() * answer_logits(*args))
        tune(bb, dtype=dtype, checkpoint=tmp_path)
    assert (tmp_path / "checkpoint.pt").exists()
    again = tune(bb, dtype=dtype, checkpoint=tmp_path)
    torch.testing.assert_close(again.weight, whole.weight, atol=1e-6, rtol=1e-5)
    assert [entry["step"] for entry in again.metadata["history"]] == [4, 8, 12]
    refused("another run .seed is 0 there, 1 here", tune, bb, dtype=dtype, checkpoint=tmp_path, seed=1)


@pytest.mark.parametrize("model", of_models((model,) for model in TINY_MODELS))
def test_bfloat16_tunes_nearly_the_same_prompt(model):
    bb = tiny_backbone(model, layers=2)
    options = {"max_steps": 4, "learning_rate": 1e-3, "batch_size": 32}
    low, full = (tune(bb, dtype=dtype, **options) for dtype in ("bfloat16", "float32"))
    moves = [prompt.weight - random_prompt(bb, 4, layout=prompt.layout).weight for prompt in (low, full)]
    assert torch.cosine_similarity(*(move.flatten() for move in moves), dim=0) > 0.9


@pytest.mark.parametrize("loss", ["label-words", "vocabulary"])
def test_first_loss_is_the_cross_entropy_it_says(loss):
    """Over the label words alone, or over all words; a rate of nearly 0 leaves the initial prompt."""
    bb = tiny_backbone("bert", layers=2)
    prompt = tune(bb, loss=loss, max_steps=1, learning_rate=1e-12, batch_size=40, dtype="float32")
    layout, words = find_layout(bb, prompt.layout), TASK.label_ids(bb)
    batch = encode_for(bb, TASK, TASK["train"], layout, 4).batch(range(40))
    attached = layout.attach(bb, random_prompt(bb, 4).weight, batch)
    logits, labels = bb.answer_logits(attached.inputs, attached.answer), batch.labels
    logits, target = (logits, words[labels]) if loss == "vocabulary" else (logits[:, words], labels)
    expected = torch.nn.functional.cross_entropy(logits, target).item()
    assert prompt.metadata["history"][0]["loss"] == pytest.approx(expected, rel=1e-4)


def test_tuned_prompts_and_adapters_are_artifacts(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    bb, options = BERT, {"max_steps": 4, "evaluate_every": 2, "progress": False}
    for tune_it in (tune_prompt, tune_bitfit, tune_adapter):
        first = cached(tune_it, bb, TASK, **options)
        with monkeypatch.context() as patched:
            patched.setattr(type(bb), "answer_logits", None)  # a second training would fail
            again = [cached(tune_it, bb, TASK, **options | {"batch_size": size}) for size in (None, 16)]
        for one in again:  # what a recipe says anyway changes nothing
            assert one.fingerprint == first.fingerprint and one.metadata == first.metadata
        assert cached(tune_it, bb, TASK, **options | {"learning_rate": 0.5}).fingerprint != first.fingerprint


@pytest.mark.parametrize("tune_it", [tune_prompt, tune_bitfit, tune_adapter, tune_model])
def test_steps_of_a_learning_curve_are_not_in_the_key_and_are_there_when_asked_for(
    tune_it, tmp_path, monkeypatch
):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    options = {"max_steps": 4, "evaluate_every": 2, "progress": False}
    recipe = choose_recipe("embedded", BERT, curve_at=(1,))
    steps = lambda **given: [
        point["step"] for point in cached(tune_it, BERT, TASK, **options, **given).metadata["history"]
    ]
    first = cached(tune_it, BERT, TASK, **options)
    assert (
        steps(curve_at=[0, 1]) == steps() == steps(curve_at=[1]) == [0, 1, 2, 4]
    )  # made once more, then kept
    assert cached(tune_it, BERT, TASK, **options).fingerprint == first.fingerprint
    assert steps(curve_at=[0, 3]) == [0, 2, 3, 4] and len(list(tmp_path.glob("[!.]*/*"))) == 1
    assert steps(recipe=recipe) == [1, 2, 4] and len(find(tune_it.artifact.name)) == 1 + (
        tune_it != tune_prompt
    )


def test_published_recipes_run():
    bb = tiny_backbone("roberta", layers=1)
    assert tune(bb, recipe="skill-neuron", max_steps=2).layout == "mask-first"
    assert tune(bb, recipe="prompt-transferability", max_steps=2).layout == "zero-position"
    t5 = tiny_backbone("t5", layers=1)
    assert tune(t5, recipe="prompt-transferability", max_steps=2).layout == "encoder"


def test_what_cannot_be_tuned_is_an_error():
    wrongs = {"leaves 0 tokens.*shorter prompt": {"length": 200}, "no field 'lr'": {"lr": 1},
              "^length cannot be -1": {"length": -1}}  # fmt: skip
    for message, wrong in wrongs.items():
        refused(message, tune, BERT, **wrong)
    refused("^bottleneck cannot be 0", tune_adapter, BERT, TASK, bottleneck=0)


@pytest.mark.parametrize("tune_it", [tune_prompt, tune_bitfit, tune_adapter, tune_model])
@pytest.mark.parametrize("name", ["batch_size", "max_train_examples", "validation_examples"])
def test_numbers_that_are_too_small_are_errors_before_texts_are_read(tune_it, name, monkeypatch):
    monkeypatch.setattr("skillkit.prompts.training.encode_for", None)
    refused(f"^{name} cannot be 0; give a whole number of at least", tune_it, BERT, TASK, **{name: 0})


@pytest.mark.parametrize("tune", [tune_prompt, tune_bitfit, tune_adapter, tune_model])
def test_seeds_from_numpy_are_plain_numbers(tune, tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    bb = tiny_backbone("bert", layers=1)
    plain, other = (
        cached(tune, bb, TASK, seed=seed, max_steps=2, progress=False) for seed in (1, np.int64(1))
    )
    assert plain.fingerprint == other.fingerprint and len(list(tmp_path.glob("[!.]*/*"))) == 1
    assert random_prompt(bb, 2, seed=np.int64(1)).fingerprint == random_prompt(bb, 2, seed=1).fingerprint


@pytest.mark.parametrize(("call", "message"), [
    (lambda bb, p: evaluate(bb, "world/movies", p), r"task is 'world/movies', a str; give sk.load_task\("),
    (lambda bb, p: evaluate("embedded/bert", TASK, p), r"bb is 'embedded/bert', a str; give sk.load_backbone\("),
    (lambda bb, p: cached(tune_prompt, "embedded/bert", TASK), "bb is 'embedded/bert'"),
    (lambda bb, p: tune_bitfit(bb, "world/movies"), "task is 'world/movies'"),
    (lambda bb, p: tune_adapter("embedded/bert", TASK), "bb is 'embedded/bert'"),
    (lambda bb, p: predict(bb, TASK, "runs/prompt", ["so"]), r"prompt is 'runs/prompt'.*sk.SoftPrompt.load\("),
    (lambda bb, p: evaluate(bb, TASK, [p, p]), "prompt is no such object, a list"),
])  # fmt: skip
def test_names_and_folders_instead_of_objects(call, message):
    bb = tiny_backbone("bert", layers=1)
    refused(message, call, bb, random_prompt(bb, 2))


def test_a_prompt_on_another_backbone_than_its_own_warns():
    bb, other = tiny_backbone("bert", layers=1), tiny_backbone("bert", layers=1, seed=1)
    other.name = "tiny/other"
    prompt = tune(bb, max_steps=1)
    with pytest.warns(UserWarning, match="tuned on tiny/bert, not on tiny/other.*other=True"):
        evaluate(other, TASK, prompt)
    same = from_model(bb.model, bb.tokenizer, "renamed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(bb, TASK, prompt), evaluate(same, TASK, prompt), evaluate(other, TASK, random_prompt(bb, 2))
        evaluate(other, TASK, dataclasses.replace(prompt, other=True))
        evaluate(from_model(other.model, bb.tokenizer, "tiny/bert, pruned"), TASK, prompt)


def test_zero_position_has_another_key_than_before():
    assert layout_key(tiny_backbone("bert"), None, "zero-position") == {"layout": "zero-position 2"}
    assert not layout_key(tiny_backbone("gpt2"), None, "zero-position") and not layout_key(
        tiny_backbone("bert"), None
    )
    weight = torch.zeros(2, 4)
    assert SoftPrompt(weight, "zero-position").fingerprint != content_hash(
        ["zero-position", [2, 4], {}], weight
    )
    assert SoftPrompt(weight, "mask-first").fingerprint == content_hash(["mask-first", [2, 4], {}], weight)


def test_the_last_evaluated_prompts_are_kept(tmp_path):
    whole = tune(BERT, dtype="float32", checkpoint=tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-12", "step-8"]
    last = SoftPrompt.load(tmp_path / "step-12")
    assert last.metadata["steps"] == 12 and evaluate(BERT, TASK, last).n
    best = whole.metadata["best_step"]
    if best > 4:
        assert torch.equal(SoftPrompt.load(tmp_path / f"step-{best}").weight, whole.weight)
    assert "keep" not in whole.metadata["recipe"]
    refused("give checkpoint=", tune, BERT, keep=1)


def test_folders_of_the_user_beside_a_checkpoint_stay(tmp_path):
    for step in (4, 8, 12):
        (tmp_path / f"step-{step}").mkdir()
        (tmp_path / f"step-{step}/notes.txt").write_text("mine")
    refused("not made by skillkit", tune, BERT, dtype="float32", checkpoint=tmp_path, keep=1)
    assert [path.read_text() for path in tmp_path.glob("step-*/*")] == ["mine"] * 3


def test_what_only_watches_a_run_is_no_part_of_its_name_in_the_store(store, tmp_path):
    seen = []
    log = SimpleNamespace(add_scalar=lambda *figures: seen.append(figures))
    options = dict(length=2, max_steps=2, progress=False)
    first = cached(tune_prompt, BERT, TASK, checkpoint=tmp_path / "run", log=log, keep=1, **options)
    assert seen and torch.equal(cached(tune_prompt, BERT, TASK, **options).weight, first.weight)
    assert len(find("prompt")) == 1
    options |= dict(max_steps=4, checkpoint=tmp_path / "run", extend=True)
    longer = cached(tune_prompt, BERT, TASK, **options)
    assert longer.metadata["extended_at"] == [2] and longer.metadata["steps"] == 4
