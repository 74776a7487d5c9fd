"""A backbone in which chosen neurons alone carry a label: what every method must find.

>>> bb, task, prompt, mask = planted()
>>> evaluate(bb, task, prompt).accuracy, int(mask.sum())
(1.0, 6)
"""

import dataclasses
import random

import datasets
import torch

from skillkit.activations import neuron_activations
from skillkit.prompts import random_prompt
from tests.tiny import WORDS, tiny_backbone
from tests.toys import toy_task

CARRIERS = (3, 11, 19, 27, 35, 43)
ANSWER = ("no", "yes")


def planted(n=60, seed=0):
    """(backbone, task, prompt, mask of the planted neurons), on a tiny GPT-2.

    Dimension 0 of the residual stream is kept free: no embedding, no attention and no other neuron writes
    there. In the last layer, CARRIERS read one random direction of the stream and write into dimension 0,
    which is all that tells the two label words apart. Labels are what the model then says, of texts about
    which it is sure, so that neurons other than these can only be right by chance.
    """
    bb, layer = tiny_backbone("gpt2", seed), 2
    with torch.no_grad():
        _keep_free(bb.model.transformer)
        _plant(bb.model.transformer.h[layer].mlp, torch.Generator().manual_seed(seed))
        _read(bb)
    prompt = random_prompt(bb, 3, seed)
    task = _labelled(bb, prompt, n, seed)
    mask = torch.zeros(bb.num_layers, bb.num_neurons, dtype=torch.bool)
    mask[layer, list(CARRIERS)] = True
    return bb, task, prompt, mask


def _keep_free(model):
    model.wte.weight[:, 0] = model.wpe.weight[:, 0] = 0
    for block in model.h:
        for matrix in (block.attn.c_proj, block.mlp.c_proj):
            matrix.weight[:, 0] = matrix.bias[0] = 0


def _plant(mlp, generator):
    direction = torch.randn(len(mlp.c_fc.weight), generator=generator)
    for number, neuron in enumerate(CARRIERS):
        mlp.c_fc.weight[:, neuron] = direction * (1 + 0.2 * number) / 3
        mlp.c_fc.bias[neuron] = 0
    # Far above what the final layer norm subtracts as the mean of all dimensions.
    mlp.c_proj.weight[list(CARRIERS), 0] = 100.0


def _read(bb):
    """Label words that differ in dimension 0 only, in a head of its own, so that inputs stay as they are."""
    bb.model.lm_head.weight = torch.nn.Parameter(bb.model.lm_head.weight.clone(), requires_grad=False)
    no, yes = (bb.tokenizer.convert_tokens_to_ids(f"Ġ{word}") for word in ANSWER)
    bb.model.lm_head.weight[yes] = bb.model.lm_head.weight[no]
    bb.model.lm_head.weight[no, 0], bb.model.lm_head.weight[yes, 0] = -1.0, 1.0
    norm = bb.model.transformer.ln_f
    norm.weight[0], norm.bias[0] = 1.0, 0.0


def _labelled(bb, prompt, n, seed):
    """Texts of random words; those with the lowest and the highest sums of planted neurons, half and half."""
    draw = random.Random(seed)
    usable = [word for word in WORDS if word not in ANSWER and word.isalpha()]
    texts = [" ".join(draw.choices(usable, k=draw.randint(2, 12))) for _ in range(6 * n)]
    task = dataclasses.replace(toy_task(4), verbalizer=dict.fromkeys(("masked", "causal", "seq2seq"), ANSWER))
    sums = _sums(bb, task, prompt, texts)
    order = sums.argsort()
    low, high = order[: 3 * n // 2], order[-3 * n // 2 :]
    # The bias puts the border between the two labels into the gap.
    bb.model.transformer.h[2].mlp.c_proj.bias[0] -= 100.0 * (sums[low].max() + sums[high].min()) / 2
    splits = {}
    for at, name in enumerate(("train", "validation", "test")):
        rows = [int(row) for pair in zip(low[at::3], high[at::3], strict=True) for row in pair]
        columns = {"text": [texts[row] for row in rows], "label": [0, 1] * (len(rows) // 2)}
        splits[name] = datasets.Dataset.from_dict(columns)
    return dataclasses.replace(task, name="planted", splits=splits)


def _sums(bb, task, prompt, texts):
    """Sum of the planted neurons at the answer slot, of every text."""
    rows = datasets.Dataset.from_dict({"text": texts, "label": [0] * len(texts)})
    places = [(2, prompt.length - 1, neuron) for neuron in CARRIERS]
    seen = neuron_activations(bb, dataclasses.replace(task, splits={"all": rows}), prompt, places, "all")
    return seen.values.sum(1)
