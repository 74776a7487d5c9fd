import dataclasses
import weakref

import datasets
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from skillkit.core.errors import SkillkitError
from skillkit.core.store import cached
from skillkit.neurons.probe import Probe
from skillkit.neurons.probing import permuted_labels, probe
from skillkit.prompts.soft_prompt import SoftPrompt, random_prompt
from skillkit.prompts.tuning import tune_bitfit
from tests.plain_probing import plain_probe
from tests.tiny import TINY_MODELS, tiny_backbone
from tests.toys import toy_task

TASK = toy_task(40)
CASES = [(model, None) for model in TINY_MODELS] + [
    ("roberta", "zero-position"),
    ("bert", "zero-position"),
    ("bert", "prefix"),
    ("roberta", "prefix"),
]


def precise(model, seed=0):
    """A tiny backbone in double precision: no neuron ties with its baseline by rounding."""
    bb = tiny_backbone(model, seed)
    bb.model.double()
    return bb


def with_split(task, split, **columns):
    return dataclasses.replace(task, splits=task.splits | {split: datasets.Dataset.from_dict(columns)})


@pytest.mark.parametrize(("model", "layout"), CASES)
def test_equals_the_plain_loop(model, layout):
    bb, task = precise(model), toy_task(24)
    prompt = random_prompt(bb, 3, layout=layout)
    found, plain = probe(bb, task, prompt, batch_size=7), plain_probe(bb, task, prompt, "validation")
    assert set(found.sides) == set(plain)
    for name, side in found.sides.items():
        # GPT-Neo attends in single precision whatever its weights are.
        torch.testing.assert_close(side.baseline, plain[name]["baseline"], atol=1e-6, rtol=0)
        torch.testing.assert_close(side.means, plain[name]["means"], atol=1e-6, rtol=0)
        torch.testing.assert_close(side.accuracy, plain[name]["accuracy"], atol=1e-6, rtol=0)
    stacks = [plain[name]["accuracy"] for name in ("layer", "encoder", "decoder") if name in plain]
    best = torch.cat([torch.maximum(one, 1 - one).amax(1) for one in stacks])
    torch.testing.assert_close(found.predictivity, best, atol=1e-6, rtol=0)


def test_pairs_equal_the_plain_loop():
    bb, task = precise("bert"), toy_task(20, pair=True)
    prompt = random_prompt(bb, 2)
    found, plain = probe(bb, task, prompt), plain_probe(bb, task, prompt, "validation")
    torch.testing.assert_close(found.accuracy, plain["layer"]["accuracy"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("model", TINY_MODELS)
def test_padding_and_batch_size_change_nothing(model):
    bb = precise(model)
    prompt = random_prompt(bb, 4)
    one, many = (probe(bb, TASK, prompt, batch_size=size, permutations=2) for size in (1, 32))
    for name in one.sides:
        assert torch.equal(one.sides[name].fired, many.sides[name].fired)
        torch.testing.assert_close(one.sides[name].baseline, many.sides[name].baseline)
    assert torch.equal(one.null, many.null)


@pytest.mark.parametrize("model", ["roberta", "t5", "gpt2"])
def test_only_what_is_asked_for(model):
    bb = precise(model)
    prompt = random_prompt(bb, 4)
    whole = probe(bb, TASK, prompt)
    part = probe(bb, TASK, prompt, layers=[2, 0], slots=[3, 1], text=False)
    first = next(iter(part.sides.values()))
    assert part.layers == (0, 2) and "text" not in part.sides and first.numbers == (3, 1)
    assert torch.equal(first.fired, next(iter(whole.sides.values())).fired[:, [0, 2]][:, :, [3, 1]])
    assert part.predictivity[1].isnan().all() and part.slot[1].eq(-1).all() and part.direction[1].eq(0).all()
    assert set(part.slot[0].tolist()) == {1, 3}
    for ask in (lambda: part.text_predictivity("mean"), lambda: part.text_fill):
        with pytest.raises(SkillkitError, match="text=True"):
            ask()
    with pytest.raises(SkillkitError, match="mean or max"):
        whole.text_predictivity("min")


def test_t5_covers_both_sides():
    bb = precise("t5")
    found = probe(bb, TASK, random_prompt(bb, 4))
    assert {name: tuple(part.shape) for name, part in found.accuracy.items()} == {
        "encoder": (3, 4, 48),
        "decoder": (2, 1, 48),
    }
    assert found.predictivity.shape == (5, 48) and not found.predictivity.isnan().any()
    assert (
        found.text_predictivity("max")[3:].isnan().all()
        and not found.text_predictivity("max")[:3].isnan().any()
    )
    only = probe(bb, TASK, random_prompt(bb, 4), layers=bb.decoder_layers)
    assert list(only.sides) == ["decoder"] and torch.equal(only.predictivity[3:], found.predictivity[3:])


class Peak(TorchDispatchMode):
    """Counts bytes of the tensors alive at once."""

    def __init__(self):
        super().__init__()
        self.bytes, self.highest, self.seen = 0, 0, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.count(tensor.untyped_storage())
        return out

    def count(self, storage):
        if storage._cdata in self.seen:
            return
        size, key = storage.nbytes(), storage._cdata
        self.seen.add(key)
        self.bytes += size
        self.highest = max(self.highest, self.bytes)
        weakref.finalize(storage, self.gone, key, size)

    def gone(self, key, size):
        self.seen.discard(key)
        self.bytes -= size


@pytest.mark.parametrize("baseline", ["mean", "median"])
def test_memory_does_not_grow_with_the_examples(baseline):
    bb = tiny_backbone("roberta")
    prompt, peaks = random_prompt(bb, 4), []
    for n in (80, 800):
        task = with_same_lengths(toy_task(n))
        with Peak() as peak:
            probe(bb, task, prompt, batch_size=8, baseline=baseline)
        peaks.append(peak.highest)
    one_example = 4 * bb.num_layers * 48 * 7  # bytes of its activations, at 5 slots and 2 pooled
    assert peaks[0] > 20 * one_example  # something was measured
    assert peaks[1] - peaks[0] < 0.05 * (800 - 80) * one_example


def with_same_lengths(task):
    """Every text as long as the longest, so that only the number of rows differs."""
    for name, rows in task.splits.items():
        texts = [" ".join((text.split() * 20)[:20]) for text in rows["text"]]
        task = with_split(task, name, text=texts, label=rows["label"])
    return task


def test_one_pass_over_train_and_one_over_the_split_serve_all_variants(monkeypatch):
    bb, read = tiny_backbone("roberta"), []
    run = bb.run
    monkeypatch.setattr(bb, "run", lambda inputs: [read.append(len(inputs["attention_mask"])), run(inputs)])
    probe(bb, toy_task(24), random_prompt(bb, 3), permutations=5)
    assert sum(read) == 2 * 24


def test_median_is_exact_for_few_rows_and_close_for_many():
    bb = precise("roberta")
    prompt = random_prompt(bb, 3)
    few, plain = (
        probe(bb, TASK, prompt, baseline="median"),
        plain_probe(bb, TASK, prompt, "validation", median=True),
    )
    torch.testing.assert_close(few.baseline, plain["layer"]["baseline"])
    torch.testing.assert_close(few.accuracy, plain["layer"]["accuracy"], atol=1e-6, rtol=0)
    many = toy_task(400)
    found, exact = (
        probe(bb, many, prompt, baseline="median"),
        plain_probe(bb, many, prompt, "validation", median=True),
    )
    spread = (plain["layer"]["means"][0] - plain["layer"]["means"][1]).abs().mean()
    off = (found.baseline - exact["layer"]["baseline"]).abs()
    assert off.mean() < 0.1 * spread
    torch.testing.assert_close(found.fill, probe(bb, many, prompt).fill)


def lopsided(task, split="validation"):
    labels = [int(row % 4 == 0) for row in range(len(task[split]))]
    return with_split(task, split, text=task[split]["text"], label=labels)


def test_balanced_accuracy_and_the_majority_share():
    bb, task = precise("roberta"), lopsided(TASK)
    prompt = random_prompt(bb, 3)
    plain, balanced = probe(bb, task, prompt), probe(bb, task, prompt, balanced=True)
    fired = plain.sides["layer"].fired.double()
    torch.testing.assert_close(plain.accuracy, ((30 - fired[0] + fired[1]) / 40).float())
    torch.testing.assert_close(balanced.accuracy, ((1 - fired[0] / 30 + fired[1] / 10) / 2).float())
    assert plain.majority == 0.75 and balanced.majority == 0.5


def test_a_dead_neuron_scores_the_majority_share():
    bb, task = precise("t5"), lopsided(TASK)  # ReLU
    first = bb.model.encoder.block[1].layer[1].DenseReluDense.wi
    first.weight[7] = 0
    found = probe(bb, task, random_prompt(bb, 3))
    assert found.predictivity[1, 7] == 0.75 and found.p_values[1, 7] == 1
    assert probe(bb, task, random_prompt(bb, 3), balanced=True).predictivity[1, 7] == 0.5


def test_reductions_over_slots():
    bb = precise("roberta")
    found = probe(bb, TASK, random_prompt(bb, 3))
    oriented = torch.maximum(found.accuracy, 1 - found.accuracy)
    for name, values in (("max", oriented.amax(1)), ("mean", oriented.mean(1)), ("min", oriented.amin(1))):
        torch.testing.assert_close(found.score(name), values)
    at = found.accuracy.gather(1, found.slot[:, None])[:, 0]
    torch.testing.assert_close(torch.where(found.direction > 0, at, 1 - at), found.predictivity)
    with pytest.raises(SkillkitError, match="max, mean or min"):
        found.score("median")


@pytest.mark.parametrize("model", ["roberta", "t5", "gpt2"])
def test_carried_figures_are_never_maximised_again(model):
    bb = precise(model)
    prompt = random_prompt(bb, 4)
    chosen = probe(bb, TASK, prompt)
    carried, again = (
        probe(bb, TASK, prompt, split="test", carry=chosen),
        probe(bb, TASK, prompt, split="test"),
    )
    for name in chosen.stacks:
        assert torch.equal(carried.sides[name].accuracy, again.sides[name].accuracy)
        assert torch.equal(carried.sides[name].baseline, chosen.sides[name].baseline)
    assert torch.equal(carried.slot, chosen.slot) and torch.equal(carried.direction, chosen.direction)
    side, new = next(iter(chosen.stacks.values())), next(iter(again.stacks.values()))
    at = new.accuracy.gather(1, side.slot()[:, None])[:, 0]
    expected = torch.where(side.direction > 0, at, 1 - at)
    torch.testing.assert_close(carried.predictivity[: len(side.layers)], expected)
    assert carried.predictivity.min() < 0.5 < again.predictivity.min() + 1e-6
    assert carried.predictivity.mean() < chosen.predictivity.mean()  # the winner's curse


def test_carrying_reads_no_training_rows_and_keeps_the_options():
    bb = precise("roberta")
    prompt = random_prompt(bb, 4)
    chosen = probe(bb, TASK, prompt, layers=[1], slots=[0, 2], text=False, balanced=True, baseline="median")
    test_only = dataclasses.replace(TASK, splits={"test": TASK["test"]})
    carried = probe(bb, test_only, prompt, split="test", carry=chosen)
    for name in ("layers", "slots", "text", "balanced", "baseline", "train_counts"):
        assert carried.metadata[name] == chosen.metadata[name]


def test_permutation_null():
    bb = precise("roberta")
    prompt = random_prompt(bb, 3)
    found = probe(bb, TASK, prompt, permutations=30, seed=1)
    assert found.null.shape == (30, 3, 48)
    assert torch.equal(found.null, probe(bb, TASK, prompt, permutations=30, seed=1).null)
    texts, labels = TASK["validation"]["text"], torch.tensor(TASK["validation"]["label"])
    for null, shuffled in zip(found.null[:3], permuted_labels(labels, 30, seed=1), strict=False):
        assert not torch.equal(shuffled, labels)
        relabelled = with_split(TASK, "validation", text=texts, label=shuffled.tolist())
        assert torch.equal(probe(bb, relabelled, prompt).predictivity, null)


def test_more_classes_go_through_subtasks():
    bb, texts = precise("roberta"), TASK["train"]["text"]
    splits = {
        name: datasets.Dataset.from_dict({"text": texts, "label": [row % 3 for row in range(40)]})
        for name in ("train", "validation", "test")
    }
    words = dict.fromkeys(("masked", "causal", "seq2seq"), ("bad", "fun", "good"))
    three = dataclasses.replace(
        TASK, labels=("negative", "neutral", "positive"), verbalizer=words, splits=splits
    )
    with pytest.raises(SkillkitError, match=r"task\.subtasks"):
        probe(bb, three, random_prompt(bb, 3))
    names = {sub.name: probe(bb, sub, random_prompt(bb, 3)).n for sub in three.subtasks()}
    assert names == {"toy-pn": 26, "toy-neu": 26}


@pytest.mark.parametrize("model", ["roberta", "t5", "gpt2"])
def test_without_a_prompt(model):
    bb = precise(model)
    found = probe(bb, TASK, None)
    slots = {name: side.slots for name, side in found.stacks.items()}
    assert (
        slots
        == {
            "roberta": {"layer": ("mask",)},
            "gpt2": {"layer": ("last",)},
            "t5": {"encoder": ("last",), "decoder": ("answer",)},
        }[model]
    )
    assert found.predictivity.min() >= 0.5


def test_prefix_of_a_causal_model_is_read_where_the_text_has_been_seen():
    bb = precise("gpt2")
    found = probe(bb, TASK, random_prompt(bb, 3, layout="prefix"))
    assert found.sides["layer"].slots == ("last",)
    assert found.sides["layer"].fired.float().var() > 0


def test_biases_are_there_while_a_tuned_model_is_probed():
    bb = tiny_backbone("roberta")
    tuned = tune_bitfit(bb, toy_task(16), max_steps=3, learning_rate=0.5, progress=False)
    bare, biased = probe(bb, TASK, None), probe(bb, TASK, tuned)
    assert not torch.allclose(bare.baseline, biased.baseline)
    assert torch.equal(probe(bb, TASK, None).baseline, bare.baseline)


def test_reduced_precision_is_read_in_single():
    bb = tiny_backbone("roberta")
    bb.model.bfloat16()
    found = probe(bb, TASK, random_prompt(bb, 3))
    assert found.baseline.dtype == torch.float32 and found.predictivity.max() > 0.5


def test_fill_is_the_mean_over_the_slots():
    bb = precise("t5")
    found = probe(bb, lopsided(TASK, "train"), random_prompt(bb, 3))
    plain = plain_probe(bb, lopsided(TASK, "train"), random_prompt(bb, 3), "validation")
    torch.testing.assert_close(found.fill[:3], plain["encoder"]["baseline"].mean(1))
    torch.testing.assert_close(found.fill[3:], plain["decoder"]["baseline"][:, 0])
    torch.testing.assert_close(found.text_fill[:3], plain["text"]["baseline"][:, 0])
    torch.testing.assert_close(found.text_fill[3:], found.fill[3:])


def test_few_rows_are_balanced_and_seeded():
    bb, task = precise("roberta"), lopsided(TASK, "train")
    found = probe(bb, task, random_prompt(bb, 3), train_examples=8, examples=10)
    assert found.metadata["train_counts"] == [4, 4] and found.metadata["counts"] == [5, 5]


def test_saved_loaded_cached(tmp_path, monkeypatch):
    bb = tiny_backbone("t5")
    prompt = random_prompt(bb, 3)
    found = probe(bb, TASK, prompt, permutations=2)
    found.save(tmp_path / "probe")
    back = Probe.load(tmp_path / "probe")
    assert back.fingerprint == found.fingerprint and back.metadata == found.metadata
    for name in ("predictivity", "p_values", "fill", "slot", "direction", "null"):
        assert torch.equal(getattr(back, name), getattr(found, name))
    carried = probe(bb, TASK, prompt, split="test", carry=back)
    carried.save(tmp_path / "carried")
    assert torch.equal(Probe.load(tmp_path / "carried").predictivity, carried.predictivity)
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path / "store"))
    made, loaded = (cached(probe, bb, TASK, prompt, carry=back) for _ in range(2))
    assert torch.equal(made.predictivity, loaded.predictivity)
    assert len(list((tmp_path / "store" / "probe").iterdir())) == 1


def test_bad_input():
    bb = tiny_backbone("roberta")
    prompt = random_prompt(bb, 3)
    one_class = with_split(TASK, "validation", text=["fun", "nice"], label=[1, 1])
    with pytest.raises(SkillkitError, match="both classes"):
        probe(bb, one_class, prompt)
    with pytest.raises(SkillkitError, match="both classes"):
        probe(bb, with_split(TASK, "train", text=["fun"], label=[0]), prompt)
    with pytest.raises(SkillkitError, match="both classes"):
        probe(bb, with_split(TASK, "test", text=["fun", "so"], label=[-1, -1]), prompt, split="test")
    with pytest.raises(SkillkitError, match="no split 'dev'"):
        probe(bb, TASK, prompt, split="dev")
    with pytest.raises(SkillkitError, match="mean or median"):
        probe(bb, TASK, prompt, baseline="zero")
    for slots in ([4], [-1], []):
        with pytest.raises(SkillkitError, match="0 … 3"):
            probe(bb, TASK, prompt, slots=slots)
    with pytest.raises(SkillkitError, match="layers"):
        probe(bb, TASK, prompt, layers=[3])


def test_numbers_that_are_none():
    bb = tiny_backbone("roberta")
    broken = SoftPrompt(torch.full((3, bb.hidden_size), torch.nan), "mask-first")
    with pytest.raises(SkillkitError, match=r"layer\.0 of tiny/roberta .* NaN"):
        probe(bb, TASK, broken)
    assert not any(module._forward_pre_hooks for module in bb.value_matrices) and bb.now is None


def test_a_carried_probe_must_fit():
    bb, other = tiny_backbone("roberta"), tiny_backbone("roberta", seed=1)
    prompt = random_prompt(bb, 3)
    found = probe(bb, TASK, prompt)
    with pytest.raises(SkillkitError, match="another prompt"):
        probe(bb, TASK, random_prompt(bb, 3, seed=1), split="test", carry=found)
    with pytest.raises(SkillkitError, match="another prompt"):
        probe(bb, TASK, random_prompt(bb, 3, layout="zero-position"), split="test", carry=found)
    with pytest.raises(SkillkitError, match="weights are not those"):
        probe(other, TASK, prompt, split="test", carry=found)
