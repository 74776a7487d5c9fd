import json
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

import skillkit
from skillkit.core.errors import SkillkitError
from skillkit.models.backbone import from_model, load_backbone
from skillkit.neurons.probing import probe
from skillkit.neurons.pruning import magnitude, prune, upper_layers
from skillkit.neurons.skill_neurons import load_neurons, save_neurons, skill_neurons
from skillkit.neurons.suppression import suppress
from skillkit.neurons.timing import base_shaped
from skillkit.prompts.evaluation import evaluate, label_logits
from skillkit.prompts.soft_prompt import random_prompt
from skillkit.prompts.tuning import tune_prompt
from tests.helpers import shared_path
from tests.planted import planted
from tests.tiny import HIDDEN, NEURONS, TINY_MODELS, tiny_backbone, tiny_tokenizer
from tests.toys import toy_task

TASK = toy_task(14)
AUTO = {"masked": AutoModelForMaskedLM, "causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}
every_family = pytest.mark.parametrize("model", TINY_MODELS)


def some_mask(bb, share=0.3, seed=0):
    """Neurons of every layer, more of the later ones."""
    draw = torch.rand(bb.num_layers, bb.num_neurons, generator=torch.Generator().manual_seed(seed))
    return draw < share * torch.linspace(0.5, 1.5, bb.num_layers)[:, None]


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
    return label_logits(bb, TASK, prompt, TASK["test"], batch_size=5)


@every_family
def test_equals_the_full_model_with_the_dropped_neurons_clamped(model):
    bb = double(model)
    prompt, mask, fill = random_prompt(bb, 3), some_mask(bb), some_fill(bb)
    whole, layers = bb.fingerprint, range(1, bb.num_layers)
    small = prune(bb, mask, fill, layers)
    with suppress(bb, ~mask, "mean", fill=fill, layers=layers):
        clamped = logits(bb, prompt)
    torch.testing.assert_close(logits(small, prompt), clamped, atol=1e-6, rtol=1e-6)
    assert not torch.allclose(clamped, logits(bb, prompt), atol=1e-3)
    assert small.widths == [NEURONS, *mask[1:].sum(1).tolist()] and len(set(small.widths)) > 2
    assert small.num_neurons == NEURONS and small.family == bb.family and small.layers == bb.layers
    del bb.__dict__["fingerprint"]
    assert bb.fingerprint == whole and bb.widths == [NEURONS] * bb.num_layers


@every_family
def test_without_constants_it_equals_the_dropped_neurons_at_zero(model):
    bb = double(model)
    prompt, mask = random_prompt(bb, 3), some_mask(bb)
    small = prune(bb, mask, fill=None)
    with suppress(bb, ~mask, "zero"):
        torch.testing.assert_close(logits(small, prompt), logits(bb, prompt), atol=1e-6, rtol=1e-6)
    assert {name for name, _ in small.model.named_parameters()} == {
        name for name, _ in bb.model.named_parameters()
    }


def test_kept_neurons_are_not_folded():
    bb = double("roberta")
    mask, fill = some_mask(bb), some_fill(bb)
    changed = fill.masked_fill(mask, 1e6)
    assert prune(bb, mask, fill).fingerprint == prune(bb, mask, changed).fingerprint
    weight, bias = bb.value_matrices[1].weight, bb.value_matrices[1].bias
    loop = bias.clone()
    for neuron in (~mask[1]).nonzero().flatten().tolist():
        loop += weight[:, neuron] * fill[1, neuron]
    torch.testing.assert_close(prune(bb, mask, fill).value_matrices[1].bias.data, loop, atol=1e-9, rtol=0)


@every_family
def test_the_matrices_are_smaller(model):
    bb = tiny_backbone(model)
    mask = some_mask(bb)
    small = prune(bb, mask, fill=None, layers=[1])
    assert small.value_weight(1).shape == (HIDDEN, int(mask[1].sum()))
    assert torch.equal(small.value_weight(1), bb.value_weight(1)[:, mask[1]])
    gated, biased = model in ("llama", "t5-gated"), not model.startswith("t5")
    each = HIDDEN * (3 if gated else 2) + (1 + (model == "llama") if biased else 0)
    lost = bb.model.num_parameters() - small.model.num_parameters()
    assert lost == int((~mask[1]).sum()) * each
    for name, weight in small.model.named_parameters():
        assert weight.untyped_storage().nbytes() == weight.nbytes, name  # no view of what was cut off


@every_family
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_saved_and_loaded_it_is_the_same(model, dtype, tmp_path, capfd):
    bb = tiny_backbone(model)
    small = prune(bb, some_mask(bb), some_fill(bb), range(1, bb.num_layers))
    small.model.to(getattr(torch, dtype))
    small.save(tmp_path)
    again = load_backbone(tmp_path, device="cpu", dtype=dtype)
    assert capfd.readouterr().err == ""
    assert again.widths == small.widths and again.fingerprint == small.fingerprint
    assert type(again.model).__name__ == type(bb.model).__name__
    if dtype == "float32":
        prompt = random_prompt(bb, 3)
        torch.testing.assert_close(logits(again, prompt), logits(small, prompt))
    assert not any(weight.requires_grad for weight in again.model.parameters())
    assert list(tmp_path.glob("*.safetensors")) and not list(tmp_path.glob("*.bin"))


@pytest.mark.parametrize("model", ["t5", "t5-gated"])
def test_an_added_bias_is_told_and_loaded(model, tmp_path):
    bb = tiny_backbone(model)
    small = prune(bb, some_mask(bb), some_fill(bb), [1, 3])
    told = small.model.config.pruned
    assert told["biases"] == [1, 3] and told["widths"] == small.widths
    assert (
        small.model.num_parameters()
        == sum(weight.numel() for weight in prune(bb, some_mask(bb), None, [1, 3]).model.parameters())
        + 2 * HIDDEN
    )
    small.save(tmp_path)
    assert load_backbone(tmp_path).value_matrices[3].bias.equal(small.value_matrices[3].bias)
    config = json.loads((tmp_path / "config.json").read_text())
    config["pruned"]["biases"] = [1]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SkillkitError, match=r"does not tell of, such as decoder.block.0.*wo.bias"):
        load_backbone(tmp_path)


def test_a_layer_that_has_its_bias_already_needs_none(tmp_path):
    bb = double("t5")
    first, fill = some_mask(bb, 0.6), some_fill(bb)
    small = prune(bb, first, fill)
    twice = prune(small, even_mask(small, 5), some_fill(small, 2), [2])
    assert twice.model.config.pruned["biases"] == small.model.config.pruned["biases"] == list(range(5))
    twice.save(tmp_path)
    assert load_backbone(tmp_path, dtype=torch.float64).fingerprint == twice.fingerprint


@pytest.mark.parametrize("model", ["roberta", "gpt2", "t5-gated", "llama"])
def test_pruning_twice_equals_pruning_once(model):
    bb = double(model)
    prompt, outer, fill = random_prompt(bb, 3), some_mask(bb, 0.6), some_fill(bb)
    inner = outer & some_mask(bb, 0.5, seed=7)
    first = prune(bb, outer, fill)
    mask, rest = torch.zeros(2, first.num_layers, first.num_neurons)
    for layer, width in enumerate(first.widths):
        mask[layer, :width], rest[layer, :width] = inner[layer][outer[layer]], fill[layer][outer[layer]]
    twice, once = prune(first, mask.bool(), rest), prune(bb, inner, fill)
    torch.testing.assert_close(logits(twice, prompt), logits(once, prompt), atol=1e-6, rtol=1e-6)
    assert twice.widths == once.widths


@pytest.mark.parametrize("model", [name for name in TINY_MODELS if name != "gpt2"])
def test_a_layer_may_lose_all_its_neurons(model, tmp_path):
    bb = double(model)
    prompt, mask, fill = random_prompt(bb, 3), some_mask(bb), some_fill(bb)
    mask[1] = False
    small = prune(bb, mask, fill)
    with suppress(bb, ~mask, "mean", fill=fill):
        torch.testing.assert_close(logits(small, prompt), logits(bb, prompt), atol=1e-6, rtol=1e-6)
    assert small.widths[1] == 0
    small.save(tmp_path)
    assert load_backbone(tmp_path, dtype=torch.float64).fingerprint == small.fingerprint


@pytest.mark.parametrize("model", [name for name in TINY_MODELS if not name.startswith("t5")])
def test_a_uniform_width_is_a_plain_checkpoint(model, tmp_path):
    bb = tiny_backbone(model)
    small = prune(bb, even_mask(bb), some_fill(bb), width="uniform")
    small.save(tmp_path)
    plain, info = AUTO[bb.family].from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert "pruned" not in json.loads((tmp_path / "config.json").read_text())
    again, prompt = from_model(plain, bb.tokenizer), random_prompt(bb, 3)
    assert again.widths == [9] * bb.num_layers
    torch.testing.assert_close(logits(again, prompt), logits(small, prompt))
    assert load_backbone(tmp_path).fingerprint == small.fingerprint


@pytest.mark.parametrize("model", ["t5", "t5-gated"])
def test_a_uniform_t5_is_plain_without_constants_only(model, tmp_path):
    bb = tiny_backbone(model)
    with pytest.raises(SkillkitError, match="no output bias.*width='ragged', or fill=None"):
        prune(bb, even_mask(bb), some_fill(bb), width="uniform")
    small = prune(bb, even_mask(bb), None, width="uniform")
    small.save(tmp_path)
    plain, info = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    prompt = random_prompt(bb, 3)
    torch.testing.assert_close(logits(from_model(plain, bb.tokenizer), prompt), logits(small, prompt))


def test_a_ragged_folder_does_not_pass_for_a_plain_one(tmp_path):
    bb = tiny_backbone("roberta")
    prune(bb, even_mask(bb), some_fill(bb)).save(tmp_path)
    with pytest.raises(RuntimeError, match="size mismatch|mismatch"):
        AutoModelForMaskedLM.from_pretrained(tmp_path)


def test_a_pruned_folder_is_loaded_strictly(tmp_path):
    bb = tiny_backbone("bert")
    prune(bb, some_mask(bb), some_fill(bb)).save(tmp_path)
    weights, config = load_file(tmp_path / "model.safetensors"), (tmp_path / "config.json").read_text()

    def changed(weights=weights, **pruned):
        save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
        told = json.loads(config)
        told["pruned"] |= pruned
        (tmp_path / "config.json").write_text(json.dumps(told))
        return load_backbone(tmp_path)

    assert changed().widths == json.loads(config)["pruned"]["widths"]
    name = "bert.encoder.layer.1.output.dense.bias"
    with pytest.raises(SkillkitError, match=f"lacks 1 weights.*{name}"):
        changed({key: weight for key, weight in weights.items() if key != name})
    with pytest.raises(SkillkitError, match="lacks .* weights that fit"):
        changed(widths=[5, 5, 5])
    with pytest.raises(SkillkitError, match=r"pruned to widths \[5, 5\], but the model has 3 layers"):
        changed(widths=[5, 5])
    with pytest.raises(SkillkitError, match=f"at most {NEURONS} neurons"):
        changed(widths=[5, 5, 500])


def test_a_pruned_backbone_is_a_backbone_like_any_other():
    bb, task, prompt, mask = planted()
    found = probe(bb, task, prompt)
    small = prune(bb, skill_neurons(found, 0.25), found, layers=[2])
    assert evaluate(small, task, prompt).accuracy > 0.9
    chosen = probe(small, task, prompt)
    assert chosen.predictivity[2, small.widths[2] :].isnan().all()
    with suppress(small, skill_neurons(chosen, 0.1), layers=[0]):
        evaluate(small, task, prompt)


def test_the_planted_neurons_alone_carry_the_skill():
    bb, task, prompt, mask = planted()
    keep = torch.ones_like(mask)
    keep[2] = mask[2]
    assert evaluate(prune(bb, keep, probe(bb, task, prompt)), task, prompt).accuracy == 1.0
    keep[2] = ~mask[2]
    assert evaluate(prune(bb, keep, probe(bb, task, prompt)), task, prompt).accuracy < 0.7


@pytest.mark.parametrize("model", ["roberta", "t5", "gpt2"])
def test_it_can_be_tuned_further(model):
    bb = tiny_backbone(model)
    prompt = tune_prompt(bb, TASK, length=3, max_steps=3, dtype="float32", progress=False)
    small = prune(bb, even_mask(bb), some_fill(bb))
    further = tune_prompt(small, TASK, length=3, init=prompt, max_steps=20, evaluate_every=20, dtype="float32",
                          progress=False)  # fmt: skip
    assert not torch.equal(further.weight, prompt.weight)
    first, last = further.metadata["history"][0], further.metadata["history"][-1]
    assert last["loss"] < first["loss"] or last["score"] >= first["score"]
    assert further.metadata["backbone_fingerprint"] == small.fingerprint


def test_fill_may_be_a_probe_a_matrix_or_slots():
    bb = tiny_backbone("roberta")
    found, mask = probe(bb, TASK, random_prompt(bb, 3)), some_mask(bb)
    slots = torch.stack([found.fill - 1, found.fill + 1], 1)
    prints = {prune(bb, mask, fill).fingerprint for fill in (found, found.fill)}
    assert len(prints) == 1
    torch.testing.assert_close(
        prune(bb, mask, slots).value_matrices[1].bias, prune(bb, mask, found).value_matrices[1].bias
    )


def test_magnitude_is_the_length_of_a_neurons_weights():
    for model in ("bert", "gpt2", "t5-gated"):
        bb = tiny_backbone(model)
        lengths = magnitude(bb)
        single = torch.zeros(bb.num_layers, NEURONS, dtype=torch.bool)
        single[:, 7] = True
        alone = prune(bb, single, None)
        network = {
            "bert": "encoder.layer.1.intermediate.dense",
            "gpt2": "h.1.mlp.c_fc",
            "t5-gated": "encoder.block.1.layer.1.DenseReluDense.wi_",
        }[model]
        into = [weight for name, weight in alone.model.base_model.named_parameters() if network in name]
        into = [weight.flatten() for weight in into if weight.ndim == 2]
        assert len(into) == 1 + (model == "t5-gated")
        weights = torch.cat([*into, alone.value_weight(1).flatten()])
        torch.testing.assert_close(lengths[1, 7], weights.norm())
    small = prune(bb, some_mask(bb), None)
    assert torch.equal((~magnitude(small).isnan()).sum(1), torch.tensor(small.widths))
    assert skill_neurons(magnitude(small), 0.1).any()


def published_shape():
    with torch.device("meta"):
        return base_shaped(tiny_tokenizer("roberta"))


def test_upper_layers_are_those_of_the_paper():
    bb = published_shape()
    assert upper_layers(bb) == list(range(3, 12))
    assert upper_layers(tiny_backbone("t5", layers=4)) == [1, 2, 3, 4, 5, 6]


def test_parameters_of_the_published_model():
    # Wang et al. 2022: 2 % of the neurons in layers 3 to 11 leave 66.6 % of RoBERTa-base.
    bb = published_shape()
    keep = skill_neurons(torch.rand(12, 3072), top=0.02)
    small = prune(bb, keep, None, layers=upper_layers(bb))
    assert bb.model.num_parameters() == 124_697_433 and small.model.num_parameters() == 83_046_270
    assert small.widths == [3072] * 3 + [61] * 9


def refused(match, *args, **options):
    with (
        mock.patch("skillkit.neurons.pruning._copy", side_effect=AssertionError),
        pytest.raises(SkillkitError, match=match),
    ):
        prune(*args, **options)


def test_bad_input_is_told_before_anything_is_copied(tmp_path):
    bb, other = tiny_backbone("roberta"), tiny_backbone("roberta", seed=1)
    mask, fill = some_mask(bb), some_fill(bb)
    refused(r"bool tensor \[3, 48\], not torch.bool \[2, 48\]", bb, mask[:2], fill)
    refused(r"bool tensor \[3, 48\], not torch.float32", bb, mask.float(), fill)
    refused("the mask is empty", bb, mask & False, fill)
    refused(r"fill has shape \[3, 47\]", bb, mask, fill[:, :-1])
    refused("fill is NaN", bb, mask, fill.masked_fill(~mask, torch.nan))
    refused("'ragged' or 'uniform', not 'narrow'", bb, mask, fill, width="narrow")
    refused("one count in every layer, not", bb, mask, fill, width="uniform")
    refused(r"one count in every layer, not \[48, 9, 9\]", bb, even_mask(bb), fill, [1, 2], width="uniform")
    refused(r"not all in 0 … 2", bb, mask, fill, layers=[1, 3])
    refused("no layer was chosen", bb, mask, fill, layers=[])
    refused("this probe was made on", bb, mask, probe(other, TASK, random_prompt(bb, 3)))
    small = prune(bb, even_mask(bb), fill)
    refused(r"not torch.bool \[3, 48\]", small, mask, fill)  # numbers of the unpruned one
    save_neurons(mask, tmp_path, other)
    with pytest.raises(SkillkitError, match="whose weights are not those of"):
        load_neurons(tmp_path, bb)


def test_gpt2_cannot_lose_all_neurons_of_a_layer():
    bb = tiny_backbone("gpt2")
    mask = even_mask(bb)
    mask[1] = False
    refused("layer.1 would keep no neuron, which gpt2 cannot compute with", bb, mask, None)


def test_neurons_that_a_pruned_layer_lacks_are_refused():
    bb = tiny_backbone("roberta")
    small = prune(bb, even_mask(bb), None, [1])
    refused(r"does not have; its widths are \[48, 9, 48\]", small, torch.ones(3, 48, dtype=torch.bool), None)


def test_a_backbone_under_intervention_is_not_pruned():
    bb = tiny_backbone("roberta")
    with pytest.raises(SkillkitError, match="outside of the with block"), suppress(bb, some_mask(bb)):
        prune(bb, some_mask(bb), None)


@pytest.mark.parametrize("share, width", [(0.2, 307), (0.02, 30)])
def test_a_real_model(share, width, tmp_path):
    bb = load_backbone(shared_path("models/minilm-mlm"), device="cpu")
    inputs = dict(bb.tokenizer("paris is the capital of [MASK].", return_tensors="pt"))
    answer = (inputs["input_ids"] == bb.tokenizer.mask_token_id).int().argmax(1)
    with bb.record() as acts:
        bb.run(inputs)
    fill = torch.stack([acts[layer].mean((0, 1)) for layer in range(bb.num_layers)])
    mask = skill_neurons(magnitude(bb), share)
    small = prune(bb, mask, fill, width="uniform")
    with suppress(bb, ~mask, "mean", fill=fill):
        clamped = bb.answer_logits(inputs, answer)
    torch.testing.assert_close(small.answer_logits(inputs, answer), clamped, atol=1e-3, rtol=1e-3)
    assert small.widths == [width] * 6
    small.save(tmp_path)
    plain = from_model(AutoModelForMaskedLM.from_pretrained(tmp_path), bb.tokenizer)
    torch.testing.assert_close(plain.answer_logits(inputs, answer), small.answer_logits(inputs, answer))


def test_it_is_exported():
    assert skillkit.prune is prune
