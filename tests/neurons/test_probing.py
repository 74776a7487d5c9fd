import dataclasses
import weakref
from functools import partial
from itertools import product

import datasets
import pytest
import torch

from skillkit.core import cached
from skillkit.neurons import Probe, probe
from skillkit.neurons.probing import permuted_labels
from skillkit.prompts import SoftPrompt, random_prompt, tune_bitfit
from skillkit.prompts.dataset import Reading
from tests.helpers import refused
from tests.plain_probing import plain_probe, probed
from tests.tiny import TINY_MODELS, slowly, tiny_backbone
from tests.toys import toy_task

TASK = toy_task(40)
THREE_FAMILIES = pytest.mark.parametrize("model", ["roberta", "t5", "gpt2"])
CASES = [("roberta", None, False), ("t5", None, False), ("gpt2", None, False), ("bert", None, True)]
CASES += [slowly(model, None, False) for model in TINY_MODELS if model not in ("roberta", "t5", "gpt2")]
CASES += [slowly(*case, False) for case in product(("bert", "roberta"), ("zero-position", "prefix"))]


def with_split(task, split, **columns):
    return dataclasses.replace(task, splits=task.splits | {split: datasets.Dataset.from_dict(columns)})


def lopsided(task, split="validation"):
    labels = [int(row % 4 == 0) for row in range(len(task[split]))]
    return with_split(task, split, text=task[split]["text"], label=labels)


@pytest.mark.parametrize(("model", "layout", "pair"), CASES)
def test_equals_the_plain_loop_whatever_the_batches(model, layout, pair):
    task = toy_task(24, pair=pair)
    bb, prompt, found = probed(model, task, layout=layout, batch_size=7)
    plain = plain_probe(bb, task, prompt, "validation")
    assert set(found.sides) == set(plain)
    equal = partial(torch.testing.assert_close, atol=1e-6, rtol=0)  # GPT-Neo attends in single precision
    for name, side in found.sides.items():
        for part, expected in plain[name].items():
            equal(getattr(side, part), expected)
    stacks = [plain[name]["accuracy"] for name in found.stacks]
    equal(found.predictivity, torch.cat([torch.maximum(one, 1 - one).amax(1) for one in stacks]))
    one, many = (probe(bb, task, prompt, batch_size=size, permutations=2) for size in (1, 32))
    assert torch.equal(one.null, many.null)
    assert all(torch.equal(one.sides[name].fired, many.sides[name].fired) for name in one.sides)


@THREE_FAMILIES
def test_only_some_layers_and_slots(model):
    bb, prompt, whole = probed(model, TASK, 4)
    part = probe(bb, TASK, prompt, layers=[2, 0], slots=[3, 1], text=False)
    [(name, side)] = part.sides.items()
    assert part.layers == (0, 2) and side.numbers == (3, 1)
    assert torch.equal(side.fired, whole.sides[name].fired[:, [0, 2]][:, :, [3, 1]])
    assert part.predictivity[1].isnan().all() and part.slot[1].eq(-1).all() and part.direction[1].eq(0).all()
    assert set(part.slot[0].tolist()) == {1, 3}
    for ask in (lambda: part.text_predictivity("mean"), lambda: part.text_fill):
        refused("text=True", ask)
    refused("mean or max", whole.text_predictivity, "min")


def test_t5_has_two_stacks_and_the_text_of_its_encoder():
    bb, prompt, found = probed("t5", TASK, 4)
    shapes = {name: tuple(part.shape) for name, part in found.accuracy.items()}
    assert shapes == {"encoder": (3, 4, 48), "decoder": (2, 1, 48)}
    assert found.predictivity.shape == (5, 48) and not found.predictivity.isnan().any()
    of_text = found.text_predictivity("max")
    assert of_text[3:].isnan().all() and not of_text[:3].isnan().any()
    only = probe(bb, TASK, prompt, layers=bb.decoder_layers)
    assert list(only.sides) == ["decoder"] and torch.equal(only.predictivity[3:], found.predictivity[3:])
    assert "3 × 4 + 2 × 1 × 48 neurons" in repr(found) and "\n" not in repr(found)


def test_activations_are_let_go_batch_by_batch(monkeypatch):
    alive, counts, stream = weakref.WeakSet(), [], Reading.stream

    def watched(reading, layers, visit, *args):
        def look(layer, values, batch):
            alive.add(values.untyped_storage())
            counts.append(len(alive))
            visit(layer, values, batch)

        stream(reading, layers, look, *args)

    monkeypatch.setattr(Reading, "stream", watched)
    probed("roberta", toy_task(100), batch_size=4)
    assert len(counts) >= 2 * 3 * 100 // 4 and max(counts) <= 3


def test_one_pass_over_train_and_one_over_the_split_serve_all_variants(monkeypatch):
    bb, read = tiny_backbone("roberta"), []
    run = bb.run
    monkeypatch.setattr(bb, "run", lambda inputs: [read.append(len(inputs["attention_mask"])), run(inputs)])
    probe(bb, toy_task(24), random_prompt(bb, 3), permutations=5)
    assert sum(read) == 2 * 24


@pytest.mark.parametrize("n", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_median_is_exact_for_few_rows_and_close_for_many(n):
    task = toy_task(n)
    bb, prompt, found = probed("roberta", task, baseline="median")
    plain = plain_probe(bb, task, prompt, "validation", median=True)["layer"]
    spread = (plain["means"][0] - plain["means"][1]).abs().mean()
    assert (found.baseline - plain["baseline"]).abs().mean() < (1e-6 if n == 40 else 0.1 * spread)
    if n == 40:
        torch.testing.assert_close(found.accuracy, plain["accuracy"])
    torch.testing.assert_close(found.fill, probe(bb, task, prompt).fill)


def test_balanced_accuracy_and_the_majority_share():
    (bb, prompt, plain), task = probed("roberta", lopsided(TASK)), lopsided(TASK)
    balanced = probe(bb, task, prompt, balanced=True)
    fired = plain.sides["layer"].fired.double()
    torch.testing.assert_close(plain.accuracy, ((30 - fired[0] + fired[1]) / 40).float())
    torch.testing.assert_close(balanced.accuracy, ((1 - fired[0] / 30 + fired[1] / 10) / 2).float())
    assert plain.majority == 0.75 and balanced.majority == 0.5
    bb = tiny_backbone("t5")  # a neuron that is dead (ReLU) scores the majority share
    bb.model.encoder.block[1].layer[1].DenseReluDense.wi.weight[7] = 0
    dead, even = (probe(bb, task, random_prompt(bb, 3), balanced=balanced) for balanced in (False, True))
    assert (dead.predictivity[1, 7], dead.p_values[1, 7], even.predictivity[1, 7]) == (0.75, 1, 0.5)


def test_reductions_over_slots():
    *_, found = probed("roberta", TASK)
    oriented = torch.maximum(found.accuracy, 1 - found.accuracy)
    for name, values in (("max", oriented.amax(1)), ("mean", oriented.mean(1)), ("min", oriented.amin(1))):
        torch.testing.assert_close(found.score(name), values)
    at = found.accuracy.gather(1, found.slot[:, None])[:, 0]
    torch.testing.assert_close(torch.where(found.direction > 0, at, 1 - at), found.predictivity)
    refused("max, mean or min", found.score, "median")


@THREE_FAMILIES
def test_carried_figures_are_never_maximised_again(model):
    bb, prompt, chosen = probed(model, TASK, 4)
    again, carried = (probe(bb, TASK, prompt, split="test", carry=carry) for carry in (None, chosen))
    for name, side in chosen.stacks.items():
        assert torch.equal(carried.sides[name].accuracy, again.sides[name].accuracy)
        assert torch.equal(carried.sides[name].baseline, side.baseline)
        at = again.sides[name].accuracy.gather(1, side.slot()[:, None])[:, 0]
        expected = torch.where(side.direction > 0, at, 1 - at)
        torch.testing.assert_close(carried.predictivity[list(side.layers)], expected)
    assert torch.equal(carried.slot, chosen.slot) and torch.equal(carried.direction, chosen.direction)
    assert carried.predictivity.min() < 0.5 < again.predictivity.min() + 1e-6
    assert carried.predictivity.mean() < chosen.predictivity.mean()  # the winner's curse
    # No training rows are read, and the options stay.
    options = dict(layers=[1], slots=[0, 2], text=False, balanced=True, baseline="median")
    bb, prompt, chosen = probed(model, TASK, 4, **options)
    test_only = dataclasses.replace(TASK, splits={"test": TASK["test"]})
    carried = probe(bb, test_only, prompt, split="test", carry=chosen)
    for name in ("layers", "slots", "text", "balanced", "baseline", "train_counts"):
        assert carried.metadata[name] == chosen.metadata[name]


def test_permutation_null():
    bb, prompt, found = probed("roberta", TASK, permutations=30, seed=1)
    assert found.null.shape == (30, 3, 48)
    assert torch.equal(found.null, probe(bb, TASK, prompt, permutations=30, seed=1).null)
    texts, labels = TASK["validation"]["text"], torch.tensor(TASK["validation"]["label"])
    for null, shuffled in zip(found.null[:3], permuted_labels(labels, 30, seed=1), strict=False):
        assert not torch.equal(shuffled, labels)
        relabelled = with_split(TASK, "validation", text=texts, label=shuffled.tolist())
        assert torch.equal(probe(bb, relabelled, prompt).predictivity, null)


def test_more_classes_go_through_subtasks():
    words = dict.fromkeys(("masked", "causal", "seq2seq"), ("bad", "fun", "good"))
    three = dataclasses.replace(TASK, labels=("negative", "neutral", "positive"), verbalizer=words)
    for name in TASK.splits:
        three = with_split(three, name, text=TASK[name]["text"], label=[row % 3 for row in range(40)])
    refused(r"task\.subtasks", probed, "roberta", three)
    assert [probed("roberta", sub)[-1].n for sub in three.subtasks()] == [26, 26]


@THREE_FAMILIES
def test_without_a_prompt_at_the_slots(model):
    bb, slots = tiny_backbone(model), {"gpt2": ["last"], "t5": ["last", "answer"]}.get(model, ["mask"])
    # A prefix of a causal model is read where the text has been seen.
    for prompt in [None, random_prompt(bb, 3, layout="prefix")] if model == "gpt2" else [None]:
        found = probe(bb, TASK, prompt)
        assert [name for side in found.stacks.values() for name in side.slots] == slots
        assert found.predictivity.min() >= 0.5 and found.side_of(0)[0].fired.float().var() > 0


def test_biases_are_there_while_a_tuned_model_is_probed():
    bb = tiny_backbone("roberta")
    tuned = tune_bitfit(bb, toy_task(16), max_steps=3, learning_rate=0.5, progress=False)
    bare, biased = probe(bb, TASK, None), probe(bb, TASK, tuned)
    assert not torch.allclose(bare.baseline, biased.baseline)
    assert torch.equal(probe(bb, TASK, None).baseline, bare.baseline)
    bb.model.bfloat16()  # read in single precision
    assert probe(bb, TASK, None).baseline.dtype == torch.float32


@pytest.mark.slow
def test_fill_is_the_mean_over_the_slots():
    task = lopsided(TASK, "train")
    bb, prompt, found = probed("t5", task)
    plain = plain_probe(bb, task, prompt, "validation")
    torch.testing.assert_close(found.fill[:3], plain["encoder"]["baseline"].mean(1))
    torch.testing.assert_close(found.fill[3:], plain["decoder"]["baseline"][:, 0])
    torch.testing.assert_close(found.text_fill[:3], plain["text"]["baseline"][:, 0])
    torch.testing.assert_close(found.text_fill[3:], found.fill[3:])
    few = probe(bb, task, prompt, train_examples=8, examples=10)  # balanced and seeded
    assert few.metadata["train_counts"] == [4, 4] and few.metadata["counts"] == [5, 5]


def test_saved_loaded_cached(tmp_path, monkeypatch):
    bb, prompt, found = probed("t5", TASK, permutations=2)
    found.save(tmp_path / "probe")
    back = Probe.load(tmp_path / "probe")
    assert back.fingerprint == found.fingerprint and back.metadata == found.metadata
    for name in ("predictivity", "p_values", "fill", "slot", "direction", "null"):
        assert torch.equal(getattr(back, name), getattr(found, name))
    carried = probe(bb, TASK, prompt, split="test", carry=back)
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path / "store"))
    for kept in (cached(probe, bb, TASK, prompt, split="test", carry=back) for _ in range(2)):
        assert torch.equal(kept.predictivity, carried.predictivity)
    assert len(list((tmp_path / "store" / "probe").iterdir())) == 1


def test_bad_input():
    bb, other = tiny_backbone("roberta"), tiny_backbone("roberta", seed=1)
    prompt, found = random_prompt(bb, 3), probe(bb, TASK, random_prompt(bb, 3))
    carried = dict(split="test", carry=found)
    one_class = with_split(TASK, "validation", text=["fun", "nice"], label=[1, 1])
    for match, args, options in (
        ("both classes", (bb, one_class, prompt), {}),
        ("both classes", (bb, with_split(TASK, "train", text=["fun"], label=[0]), prompt), {}),
        ("no split 'dev'", (bb, TASK, prompt), {"split": "dev"}),
        ("mean or median", (bb, TASK, prompt), {"baseline": "zero"}),
        *[("0 … 3", (bb, TASK, prompt), {"slots": slots}) for slots in ([4], [-1], [])],
        ("layers", (bb, TASK, prompt), {"layers": [3]}),
        ("another prompt", (bb, TASK, random_prompt(bb, 3, seed=1)), carried),
        ("another prompt", (bb, TASK, random_prompt(bb, 3, layout="zero-position")), carried),
        ("weights are not those", (other, TASK, prompt), carried),
    ):
        refused(match, probe, *args, **options)


def test_numbers_that_are_none():
    bb = tiny_backbone("roberta")
    broken = SoftPrompt(torch.full((3, bb.hidden_size), torch.nan), "mask-first")
    refused(r"layer\.0 of tiny/roberta .* NaN", probe, bb, TASK, broken)
    assert not any(module._forward_pre_hooks for module in bb.value_matrices) and bb.now is None
