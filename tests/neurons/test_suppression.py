from functools import partial

import pytest
import torch

from skillkit.core import SkillkitError
from skillkit.models import hooked
from skillkit.neurons import probe, random_neurons, skill_neurons, suppress
from skillkit.neurons.suppression import KINDS, noise
from skillkit.prompts import evaluate, predict, prepare, random_prompt
from tests.helpers import refused
from tests.plain_probing import attach_row
from tests.planted import MODELS, planted
from tests.tiny import families, tiny_backbone
from tests.toys import some_mask, toy_task

TASK = toy_task(14)


def read(bb, prompt, batch_size=None):
    return evaluate(bb, TASK, prompt, batch_size=batch_size).logits


@torch.no_grad()
def plain_logits(bb, prompt, change, place):
    """Logits of every row alone, without padding, changed at one place: change(layer, row, values, position, input)."""
    reading, words, logits = prepare(bb, TASK, prompt, TASK["test"]), TASK.label_ids(bb), []
    for row in range(len(reading)):
        attached = attach_row(reading, row)
        length = attached.text.shape[1]
        text = attached.text[0].nonzero().flatten().tolist()
        spots = {"prompt": attached.slots[0].tolist(), "text": text, None: range(length)}[place]

        def hook(module, args, layer, row=row, spots=spots, attached=attached):
            neurons = args[0].clone()
            for spot in ([] if place == "text" else [0]) if layer in bb.decoder_layers else spots:
                neurons[0, spot] = change(layer, row, neurons[0, spot], spot, attached)
            return (neurons,)

        handles = [
            matrix.register_forward_pre_hook(partial(hook, layer=layer))
            for layer, matrix in enumerate(bb.value_matrices)
        ]
        logits.append(bb.answer_logits(attached.inputs, attached.answer, words)[0])
        for handle in handles:
            handle.remove()
    return torch.stack(logits)


@pytest.mark.parametrize("place", [None, "prompt", "text"])
@families("gpt2", "roberta")
def test_every_kind_equals_the_plain_loop(model, place):
    bb = tiny_backbone(model)
    bb.model.double()
    prompt, mask = random_prompt(bb, 3), some_mask(bb)
    fill = torch.randn(mask.shape, generator=torch.Generator().manual_seed(1)).double()
    found = probe(bb, TASK, prompt, text=True)

    def mean(layer, row, values, spot, attached):
        (side, number), slots = found.side_of(layer), attached.slots[0].tolist()
        if layer in bb.decoder_layers or spot in slots:
            return side.mean[number, 0 if layer in bb.decoder_layers else slots.index(spot)]
        return found.text_fill[layer] if attached.text[0, spot] else values

    changes = {
        "zero": lambda layer, row, values, *_: 0 * values,
        "mean": mean,
        "constant": lambda layer, row, values, *_: fill[layer],
        "gaussian": lambda layer, row, values, *_: values + 0.7 * noise(5, layer, [row], 48)[0],
    }
    bare = read(bb, prompt)
    for kind, become in changes.items():
        change = lambda *at, become=become: torch.where(mask[at[0]], become(*at), at[2])
        with suppress(bb, mask, kind, 0.7, found if kind == "mean" else fill, place, seed=5):
            few, many = read(bb, prompt, batch_size=5), read(bb, prompt, batch_size=32)
        torch.testing.assert_close(few, plain_logits(bb, prompt, change, place), atol=1e-4, rtol=1e-4)
        exact = 1e-5 if model == "gpt_neo" else 1e-6  # GPT-Neo's attention is float32 even in a float64 model
        torch.testing.assert_close(few, many, atol=exact, rtol=0)
        assert not torch.allclose(few, bare, atol=1e-3)


def test_noise_is_one_draw_per_example_and_neuron():
    draws = noise(0, 1, range(50), 400)
    assert torch.equal(draws[[7], :9], noise(0, 1, [7], 9))
    assert abs(draws.mean()) < 0.02 and abs(draws.std() - 1) < 0.02
    for other in (noise(1, 1, range(50), 400), noise(0, 2, range(50), 400), draws.roll(1, 0)):
        assert abs(torch.corrcoef(torch.stack([draws.flatten(), other.flatten()]))[0, 1]) < 0.03


@pytest.mark.parametrize("model", MODELS)
def test_restores_bit_for_bit_also_after_an_exception(model):
    bb = tiny_backbone(model)
    prompt = random_prompt(bb, 3)
    before, fingerprint = read(bb, prompt), bb.fingerprint
    bare = predict(bb, TASK, prompt, ["good film"])
    with pytest.raises(KeyError), suppress(bb, some_mask(bb)):
        assert predict(bb, TASK, prompt, ["good film"]) != bare
        raise KeyError
    assert torch.equal(read(bb, prompt), before) and bb.fingerprint == fingerprint and not hooked(bb)


def test_nesting_windows_positions_by_number_and_slots_of_a_fill():
    bb = tiny_backbone("roberta")
    prompt, mask, other = random_prompt(bb, 3), some_mask(bb), some_mask(bb, seed=1)
    window, found = mask.clone(), probe(bb, TASK, prompt, text=True)
    window[[0, 2]] = False
    with suppress(bb, mask), suppress(bb, other):
        both = read(bb, prompt)
    pairs = [
        (dict(mask=window), dict(layers=range(1, 2))),
        (dict(positions=slice(0, 4)), dict(positions="prompt")),  # the answer and the prompt
        (dict(kind="constant", fill=found.fill), dict(kind="constant", fill=found.baseline)),
        (dict(kind="constant", fill=found.fill), dict(kind="constant", fill=found)),
        (dict(kind="constant", fill=found.fill), dict(kind="constant", fill=found.fill.numpy())),
        (dict(kind="mean", fill=found), dict(kind="mean", fill=[found, found])),
    ]
    logits = []
    for options in (dict(mask=mask | other), *(one for pair in pairs for one in pair)):
        with suppress(bb, **dict(mask=mask) | options):
            logits.append(read(bb, prompt))
    for one, same in zip([both, *logits[1::2]], [logits[0], *logits[2::2]], strict=True):
        torch.testing.assert_close(one, same)


@families("gpt2", slow=MODELS)
def test_planted_neurons_alone_carry_the_label(model):
    bb, task, prompt, planted_mask = planted(model)
    found = probe(bb, task, prompt)
    top = skill_neurons(found, planted_mask.sum() / planted_mask.numel(), per_layer=False)
    assert torch.equal(top, planted_mask)
    assert {place[::2] for place in found.best(6)} == {tuple(at) for at in planted_mask.nonzero().tolist()}
    assert evaluate(bb, task, prompt).accuracy == 1
    for kind in KINDS:
        options = {"kind": kind, "fill": found if kind == "mean" else found.fill, "alpha": 30.0}
        with suppress(bb, planted_mask, **options):
            silenced = evaluate(bb, task, prompt)
        assert silenced.interval[0] < 0.5 < silenced.interval[1]
        for seed in range(5):
            with suppress(bb, random_neurons(planted_mask, seed), **options):
                assert evaluate(bb, task, prompt).accuracy >= 0.95


def test_bad_input():
    bb, t5 = tiny_backbone("roberta"), tiny_backbone("t5")
    mask, lower, fill, decoder = some_mask(bb), some_mask(bb), torch.zeros(3, 48), some_mask(t5)
    lower[1:], decoder[:3] = False, False
    for match, given, options in (
        ("empty", mask & False, {}), (r"not torch.bool \[1, 1\]", [[True]], {}), (r"\[3, 48\]", mask[:, :47], {}),
        (r"\[3, 48\]", mask.float(), {}),
        ("no neuron in the layers", lower, {"layers": [1, 2]}), ("not all in", mask, {"layers": [3]}),
        ("no layer", mask, {"layers": []}), ("zero, mean, constant, gaussian", mask, {"kind": "noise"}),
        ("alpha", mask, {"kind": "gaussian", "alpha": 0}), ("alpha", mask, {"kind": "gaussian", "alpha": torch.nan}),
        ("needs fill", mask, {"kind": "constant"}), ("shape", mask, {"kind": "constant", "fill": fill[:2]}),
        (r"shape \[\]", mask, {"kind": "constant", "fill": 0.5}),
        ("use probe.fill", mask, {"kind": "constant", "fill": [fill]}),
        ("NaN", mask, {"kind": "constant", "fill": fill * torch.nan}),
        ("kind='constant'", mask, {"kind": "mean", "fill": fill}), ("kind='constant'", mask, {"kind": "mean"}),
        ("'prompt', 'text'", mask, {"positions": "there"}),
    ):  # fmt: skip
        refused(match, suppress, bb, given, **options)
    refused("read text", suppress, t5, decoder, positions="text")


def test_an_intervention_that_changes_nothing_is_an_error():
    bb, t5 = tiny_backbone("roberta"), tiny_backbone("t5")
    with pytest.raises(SkillkitError, match="no forward pass"), suppress(bb, some_mask(bb)):
        pass
    with pytest.raises(SkillkitError, match="no prompt in"), suppress(t5, some_mask(t5), positions="prompt"):
        evaluate(t5, TASK, None)
    context = suppress(bb, some_mask(bb), positions="text")
    with pytest.raises(SkillkitError, match="evaluate and predict"), context:
        bb.run(bb.tokenizer("good", return_tensors="pt"))


@families("gpt2", "roberta")
def test_a_neuron_at_its_own_best_slot_equals_the_plain_loop(model):
    bb, prompt, mask = (
        tiny_backbone(model),
        random_prompt(tiny_backbone(model), 3),
        some_mask(tiny_backbone(model)),
    )
    found = probe(bb, TASK, prompt, text=False)

    def change(layer, row, values, spot, attached):
        slots = attached.slots[0].tolist()
        own = torch.ones(len(values), dtype=torch.bool)
        if layer not in bb.decoder_layers:
            own = found.slot[layer, : len(values)] == (slots.index(spot) if spot in slots else -1)
        return torch.where(mask[layer] & own, 0, values)

    with suppress(bb, mask, positions=found):
        several = read(bb, prompt, batch_size=5)
    torch.testing.assert_close(several, plain_logits(bb, prompt, change, None), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(several, read(bb, prompt), atol=1e-4)
    with pytest.raises(SkillkitError, match="own slot is for evaluate"), suppress(bb, mask, positions=found):
        bb.run(bb.tokenizer("good", return_tensors="pt"))
    other = tiny_backbone("bert" if model != "bert" else "roberta")
    refused("was made on", suppress, other, some_mask(other), positions=found)


def test_noise_with_a_mean_and_drawn_once():
    bb = tiny_backbone("roberta")
    prompt, mask = random_prompt(bb, 3), some_mask(bb)
    draws = torch.stack([noise(5, layer, [0], 48)[0] for layer in range(3)])
    change = lambda layer, row, values, *_: torch.where(mask[layer], values + 2 + 0.7 * draws[layer], values)
    with suppress(bb, mask, "gaussian", 0.7, shift=2, draw="once", seed=5):
        found = read(bb, prompt, batch_size=5)
    torch.testing.assert_close(found, plain_logits(bb, prompt, change, None), atol=1e-4, rtol=1e-4)
    with suppress(bb, mask, "gaussian", 0, shift=2):
        assert not torch.allclose(read(bb, prompt), found, atol=1e-3)
    refused("draw 'example' or 'once'", suppress, bb, mask, "gaussian", draw="twice")
