"""Prompts, indicators and activated neurons against thunlp/Prompt-Transferability, version 1.0 (Su et al.)."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from skillkit.prompts import SoftPrompt
from skillkit.prompts.evaluation import label_logits
from skillkit.transfer import activated_neurons, indicators
from tests.peers.harness import agree, backbone, numbered
from tests.tiny import NEURONS
from tests.toys import toy_task

TASK = replace(toy_task(32), leading_space=False)  # as they take label words
LAYERS, ROWS = 12, 100  # they are in their code, like the numbers of the mask tokens
MASKS = {"Roberta": (50264, "<mask>"), "Bert": (103, "[MASK]")}
SIZES = {"max_len": 128, "prompt_len": ROWS, "prompt_num": ROWS}


@pytest.fixture
def theirs(clone):
    return clone("Prompt-Transferability", "Prompt-Transferability-1.0")


def read_by(kind, layers=3):
    """A backbone with the mask at the number that they give it, and their configuration of one."""
    number, mask = MASKS[kind]
    bb = numbered(backbone(kind.lower(), layers, vocab_size=50265), {number: mask})
    bb.model.config.prompt_num = ROWS
    return bb


def random_prompts(width, count=2):
    draw = torch.Generator().manual_seed(1)
    return [
        SoftPrompt(torch.randn(ROWS, width, generator=draw) / 3, "zero-position", {"max_tokens": 128})
        for _ in range(count)
    ]


def formatted(theirs, name, kind, rows):
    """What their formatter makes of rows."""
    formatter = getattr(theirs.part("formatter", name), name)
    config = SimpleNamespace(getint=lambda _, size: SIZES[size], get=lambda *_: f"Prompt{kind}")
    batch = formatter(config, "valid").process(rows, config, "valid")
    return batch["inputx"], batch["mask"]


@pytest.mark.parametrize("kind", MASKS)
@torch.no_grad()
def test_zero_position_layout(theirs, monkeypatch, kind):
    bb, (prompt, _) = read_by(kind), random_prompts(32)
    ours = label_logits(bb, TASK, prompt, TASK["test"])
    theirs.serves(bb)
    embeddings = getattr(theirs.part("model", f"modelling_{kind.lower()}"), f"{kind}Embeddings")(
        bb.model.config
    )
    embeddings.load_state_dict(bb.model.base_model.embeddings.state_dict(), strict=False)
    embeddings.prompt_embeddings.weight = torch.nn.Parameter(prompt.weight.clone())
    rows = [{"sent": row["text"], "label": row["label"]} for row in TASK["test"]]
    ids, mask = formatted(theirs, "SST2PromptRobertaFormatter", kind, rows)
    # What follows the embeddings is that of `transformers` in their code, too.
    monkeypatch.setattr(bb.model.base_model, "embeddings", embeddings)
    logits = bb.model(ids, mask).logits[:, 0, TASK.label_ids(bb)]
    agree(ours, logits, 1e-5)
    assert logits.std(0).min() > 0.01


def published_metrics(theirs):
    """The functions of their script, which goes through files of all tasks as it is loaded: here of small tensors."""
    theirs.patch.setattr(
        torch, "load", lambda path, **_: torch.ones(12, 1, 1, 2) if "neuron" in path else torch.ones(100, 2)
    )
    return SimpleNamespace(**theirs.script("caculate_metric_value_for_correlation.py"))


def test_similarities_of_prompts(theirs):
    metrics, (first, second) = published_metrics(theirs), random_prompts(32)
    published = {
        "E_concat": metrics.EuclideanDistances,
        "E_average": metrics.EuclideanDistances_per_token,
        "C_concat": metrics.CosineSimilarity,
        "C_average": metrics.CosineSimilarity_per_token,
    }
    ours = indicators(first, second, dead_rows=True)  # they count row 0, which their models do not read
    for name, metric in published.items():
        given = metric(first.weight.flatten(), second.weight.flatten())
        assert ours[name] == pytest.approx(given, rel=1e-4, abs=1e-6)
        assert abs(indicators(first, second)[name] - given) > 1e-5


@torch.no_grad()
def test_activated_neurons_and_their_overlap(theirs):
    bb, prompts = read_by("Roberta", LAYERS), random_prompts(32)
    theirs.serves(bb)
    model = theirs.part("model", "modelling_roberta").RobertaForMaskedLM.from_pretrained(
        "roberta-base", config=bb.model.config
    )
    ids, mask = formatted(theirs, "activate_neuronPromptRobertaFormatter", "Roberta", [{"label": 0}])
    given, kept = [], []
    for layer in model.roberta.encoder.layer:  # as their activate_neuron_Roberta.py does
        layer.intermediate.register_forward_hook(lambda _, args, output: kept.append(output))
    for prompt in prompts:
        kept.clear()
        model.roberta.embeddings.prompt_embeddings.weight.data = prompt.weight
        model(input_ids=ids, attention_mask=mask)
        given.append(torch.stack(kept)[:, :, :1])
    first, second = (activated_neurons(bb, prompt) for prompt in prompts)
    agree(first.after, given[0].view(LAYERS, NEURONS), 1e-5)
    overlap = published_metrics(theirs).ActivatedNeurons
    for layer in (0, 3, 6, 9, 12):
        layers = range(layer, layer + 3) if layer < LAYERS else None
        on = overlap(*(one.clone() for one in given), layer, "Roberta")
        assert first.overlap(second, layers)[0] == pytest.approx(on, abs=1e-6) and on < 0.999
