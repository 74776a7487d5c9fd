import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, RobertaConfig, RobertaForMaskedLM

from skillkit.core import SkillkitError
from skillkit.core.files import SUMS
from skillkit.models import from_model, load_backbone
from skillkit.neurons import magnitude, probe, prune, skill_neurons, suppress
from skillkit.neurons.pruning import pruned_layers
from skillkit.prompts import evaluate, random_prompt
from tests.helpers import refused
from tests.tiny import HIDDEN, NEURONS, every_family, tiny_backbone, tiny_tokenizer
from tests.toys import some_mask, toy_task

TASK = toy_task(14)


def even_mask(bb, count=9):
    mask = torch.zeros(bb.num_layers, bb.num_neurons, dtype=torch.bool)
    mask[:, 3 : 3 + count] = True
    return mask


def some_fill(bb, seed=1):
    return torch.randn(bb.num_layers, bb.num_neurons, generator=torch.Generator().manual_seed(seed))


def double(model):
    bb = tiny_backbone(model)
    bb.model.double()
    return bb


def logits(bb, prompt):
    return evaluate(bb, TASK, prompt, batch_size=5).logits


def same(one, other, prompt, **tolerance):
    torch.testing.assert_close(logits(one, prompt), logits(other, prompt), **tolerance)


@every_family
@pytest.mark.parametrize("constants", [True, False])
def test_equals_the_full_model_with_the_dropped_neurons_clamped(model, constants):
    bb = double(model)
    prompt, mask, fill = random_prompt(bb, 3), some_mask(bb), some_fill(bb) if constants else None
    whole, layers = bb.fingerprint, range(1, bb.num_layers)
    small = prune(bb, mask, fill, layers)
    with suppress(bb, ~mask, "constant" if constants else "zero", fill=fill, layers=layers):
        same(small, bb, prompt, atol=1e-6, rtol=1e-6)
        clamped = logits(bb, prompt)
    assert not torch.allclose(clamped, logits(bb, prompt), atol=1e-3)
    assert small.widths == [NEURONS, *mask[1:].sum(1).tolist()] and len(set(small.widths)) > 2
    assert small.num_neurons == NEURONS and small.family == bb.family and small.layers == bb.layers
    for name, weight in small.model.named_parameters():
        assert weight.untyped_storage().nbytes() == weight.nbytes, name  # no view of what was cut off
    names = [{name for name, _ in one.model.named_parameters()} for one in (small, bb)]
    assert names[0] == names[1] or (constants and model.startswith("t5"))
    assert bb.fingerprint == whole and bb.widths == [NEURONS] * bb.num_layers


@every_family
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saved_and_loaded_it_is_the_same(model, dtype, tmp_path, capfd):
    bb = tiny_backbone(model)
    small = prune(bb, some_mask(bb), some_fill(bb), range(1, bb.num_layers))
    small.model.to(dtype)
    small.save(tmp_path)
    again = load_backbone(tmp_path, device="cpu", dtype=dtype)
    assert capfd.readouterr().err == "" and type(again.model).__name__ == type(bb.model).__name__
    assert again.widths == small.widths and again.fingerprint == small.fingerprint
    if dtype == torch.float32:
        same(again, small, random_prompt(bb, 3))
    assert not any(weight.requires_grad for weight in again.model.parameters())
    assert list(tmp_path.glob("*.safetensors")) and not list(tmp_path.glob("*.bin"))


@pytest.mark.parametrize("model", ["t5", "t5-gated"])
def test_a_bias_is_added_where_there_is_none(model, tmp_path):
    bb = tiny_backbone(model)
    small, bare = (prune(bb, some_mask(bb), fill, [1, 3]) for fill in (some_fill(bb), None))
    assert small.model.config.pruned == {"biases": [1, 3], "widths": small.widths}
    assert small.model.num_parameters() == bare.model.num_parameters() + 2 * HIDDEN
    twice = prune(small, even_mask(small, 5), some_fill(small, 2), [1, 2])
    assert twice.model.config.pruned["biases"] == [1, 2, 3]
    small.save(tmp_path)
    assert load_backbone(tmp_path).value_matrices[3].bias.equal(small.value_matrices[3].bias)
    config = json.loads((tmp_path / "config.json").read_text())
    config["pruned"]["biases"] = [1]
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "checksums.json").unlink()
    refused(r"such as decoder.block.0.*wo.bias", load_backbone, tmp_path)


@pytest.mark.parametrize("model", ["roberta", "gpt2", "t5-gated", "llama"])
def test_pruning_twice_equals_pruning_once(model):
    bb = double(model)
    outer, fill = some_mask(bb, 0.6), some_fill(bb)
    inner = outer & some_mask(bb, 0.5, seed=7)
    first = prune(bb, outer, fill)
    mask, rest = torch.zeros(2, first.num_layers, first.num_neurons)
    for layer, width in enumerate(first.widths):
        mask[layer, :width], rest[layer, :width] = inner[layer][outer[layer]], fill[layer][outer[layer]]
    twice, once = prune(first, mask.bool(), rest), prune(bb, inner, fill)
    same(twice, once, random_prompt(bb, 3), atol=1e-6, rtol=1e-6)
    assert twice.widths == once.widths


@pytest.mark.parametrize("model", ["bert", "llama", "t5-gated"])  # not in GPT-2
def test_a_layer_may_lose_all_its_neurons(model, tmp_path):
    bb = double(model)
    prompt, mask, fill = random_prompt(bb, 3), some_mask(bb), some_fill(bb)
    mask[1] = False
    small = prune(bb, mask, fill)
    with suppress(bb, ~mask, "constant", fill=fill):
        same(small, bb, prompt, atol=1e-6, rtol=1e-6)
    small.save(tmp_path)
    again = load_backbone(tmp_path, dtype=torch.float64)
    assert again.fingerprint == small.fingerprint and again.widths[1] == 0


@every_family
def test_a_uniform_width_is_a_plain_checkpoint(model, tmp_path):
    bb, fill = tiny_backbone(model), None
    if model.startswith("t5"):
        with pytest.raises(SkillkitError, match="no output bias.*width='ragged', or fill=None"):
            prune(bb, even_mask(bb), some_fill(bb), width="uniform")
    else:
        fill = some_fill(bb)
    small = prune(bb, even_mask(bb), fill, width="uniform")
    small.save(tmp_path)
    plain, info = type(bb.model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert "pruned" not in json.loads((tmp_path / "config.json").read_text())
    again = from_model(plain, bb.tokenizer)
    assert again.widths == [9] * bb.num_layers and load_backbone(tmp_path).fingerprint == small.fingerprint
    same(again, small, random_prompt(bb, 3))


@pytest.mark.slow
def test_a_ragged_folder_is_loaded_strictly_and_by_load_backbone_alone(tmp_path):
    bb = tiny_backbone("bert")
    prune(bb, some_mask(bb), some_fill(bb)).save(tmp_path)
    with pytest.raises(RuntimeError, match="mismatch"):
        AutoModelForMaskedLM.from_pretrained(tmp_path)
    weights, config = load_file(tmp_path / "model.safetensors"), (tmp_path / "config.json").read_text()

    def changed(weights=weights, **pruned):
        save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
        entries = json.loads(config)
        entries["pruned"] |= pruned
        (tmp_path / "config.json").write_text(json.dumps(entries))
        (tmp_path / SUMS).unlink(missing_ok=True)  # a stranger's folder has none
        return load_backbone(tmp_path)

    assert changed().widths == json.loads(config)["pruned"]["widths"]
    name = "bert.encoder.layer.1.output.dense.bias"
    for match, wrong in (
        (f"lacks 1 weights.*{name}", {"weights": {key: one for key, one in weights.items() if key != name}}),
        ("lacks .* weights that fit", {"widths": [5, 5, 5]}),
        (r"\[5, 5\], but the model has 3 layers", {"widths": [5, 5]}),
        (f"at most {NEURONS} neurons", {"widths": [5, 5, 500]}),
    ):
        refused(match, changed, **wrong)


def test_fill_may_be_a_probe_a_matrix_or_slots_and_kept_neurons_do_not_count():
    bb = tiny_backbone("roberta")
    found, mask = probe(bb, TASK, random_prompt(bb, 3)), some_mask(bb)
    slots = torch.stack([found.fill - 1, found.fill + 1], 1)
    fills = (found, found.fill, found.fill.masked_fill(mask, 1e6), slots)
    biases = [prune(bb, mask, fill).value_matrices[1].bias for fill in fills]
    assert torch.equal(biases[0], biases[1]) and torch.equal(biases[0], biases[2])
    torch.testing.assert_close(biases[3], biases[0])


@every_family
def test_magnitude_is_the_length_of_the_weights_that_a_neuron_has(model):
    bb = double(model)
    mask = torch.ones(bb.num_layers, NEURONS, dtype=torch.bool)
    mask[1, 7] = False
    small = prune(bb, mask, None)
    whole, rest = (sum(weight.square().sum() for weight in one.model.parameters() if weight.ndim == 2)
                   for one in (bb, small))  # fmt: skip
    torch.testing.assert_close(magnitude(bb)[1, 7].double(), (whole - rest).sqrt(), rtol=1e-5, atol=0)
    assert torch.equal((~magnitude(small).isnan()).sum(1), torch.tensor(small.widths))


def test_layers_and_parameters_of_the_published_model():
    # Wang et al. 2022: 2 % of the neurons in layers 3 to 11 leave 66.6 % of RoBERTa-base.
    with torch.device("meta"):
        model = RobertaForMaskedLM(RobertaConfig(max_position_embeddings=514, type_vocab_size=1))
        bb = from_model(model, tiny_tokenizer("roberta"))
    assert pruned_layers(bb) == list(range(3, 12))
    assert pruned_layers(tiny_backbone("t5", layers=4)) == [1, 2, 3, 4, 5, 6]
    small = prune(bb, skill_neurons(torch.rand(12, 3072), top=0.02), None, layers=pruned_layers(bb))
    assert bb.model.num_parameters() == 124_697_433 and small.model.num_parameters() == 83_046_270
    assert small.widths == [3072] * 3 + [61] * 9


def test_bad_input_is_refused_before_anything_is_copied(monkeypatch):
    bb, other, gpt = tiny_backbone("roberta"), tiny_backbone("roberta", seed=1), tiny_backbone("gpt2")
    mask, fill, even, empty = some_mask(bb), some_fill(bb), even_mask(bb), even_mask(gpt)
    small, narrow = prune(bb, even, fill), prune(bb, even, None, [1])
    foreign = probe(other, TASK, random_prompt(bb, 3))
    empty[1] = False
    with pytest.raises(SkillkitError, match="outside of the with block"), suppress(bb, mask):
        prune(bb, mask, None)
    monkeypatch.setattr("skillkit.neurons.pruning._copy", None)
    for match, args, options in (
        (r"not torch.bool \[2, 48\]", (bb, mask[:2], fill), {}),
        ("the mask is empty", (bb, mask & False, fill), {}),
        (r"fill has shape \[3, 47\]", (bb, mask, fill[:, :-1]), {}),
        ("fill is NaN", (bb, mask, fill.masked_fill(~mask, torch.nan)), {}),
        ("'ragged' or 'uniform'", (bb, mask, fill), {"width": "narrow"}),
        ("one count in every layer, not", (bb, mask, fill), {"width": "uniform"}),
        (r"one count in every layer, not \[48, 9, 9\]", (bb, even, fill, [1, 2]), {"width": "uniform"}),
        ("not all in 0 … 2", (bb, mask, fill, [1, 3]), {}), ("no layer was chosen", (bb, mask, fill, []), {}),
        ("this probe was made on", (bb, mask, foreign), {}),
        (r"not torch.bool \[3, 48\]", (small, mask, fill), {}),  # numbers of the unpruned one
        (r"its widths are \[48, 9, 48\]", (narrow, mask | True, None), {}),
        ("layer.1 would keep no neuron, which gpt2 cannot compute with", (gpt, empty, None), {}),
    ):  # fmt: skip
        refused(match, prune, *args, **options)
