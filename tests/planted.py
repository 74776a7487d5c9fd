"""A backbone in which chosen neurons alone carry a label: what every method must find.

>>> bb, task, prompt, mask = planted("t5")
>>> evaluate(bb, task, prompt).accuracy, int(mask.sum())
(1.0, 6)
"""

import dataclasses
import random

import datasets
import torch

from skillkit.models.hooks import record
from skillkit.prompts import prepare, random_prompt
from skillkit.tasks.verbalizer import token_ids
from tests.tiny import WORDS, tiny_backbone
from tests.toys import toy_task

MODELS = ("gpt2", "roberta", "t5")
CARRIERS = (3, 11, 19, 27, 35, 43)
SIGNS = torch.tensor([1.0, -1.0] * 3)
ANSWER = ("no", "yes")
FREE = [0, 1]  # dimensions of the residual stream
RANK = 8  # in the seven directions in which texts differ most, all neurons read something
READERS = {  # the first feed-forward matrix of the last layer of `tiny_backbone`
    "gpt2": "h.2.mlp.c_fc",
    "roberta": "encoder.layer.2.intermediate.dense",
    "t5": "decoder.block.1.layer.2.DenseReluDense.wi",
}


def planted(model="gpt2", n=60, seed=0):
    """(backbone, task, prompt, mask of the planted neurons), on a tiny backbone, one of MODELS.

    Two dimensions of the residual stream are kept free: no embedding, no attention and no other neuron writes
    there. In the last layer, CARRIERS read one direction of the stream, every other one its opposite,
    and write into these dimensions, whose difference is all that tells the two label words apart. Labels are
    what the model then says, of texts about which it is about equally sure, so that other neurons, which read
    other directions, are right less often.
    """
    bb = tiny_backbone(model, seed)
    prompt = random_prompt(bb, 3, seed)
    texts = _texts(12 * n, seed)
    with torch.no_grad():
        _keep_free(bb)
        found = _plant(bb, prompt, texts)
        _let_them_answer(bb)
    mask = torch.zeros(bb.num_layers, bb.num_neurons, dtype=torch.bool)
    mask[-1, list(CARRIERS)] = True
    return bb, _labelled(texts, found, 3 * n // 2), prompt, mask


def _texts(count, seed):
    draw = random.Random(seed)
    usable = [word for word in WORDS if word not in ANSWER and word.isalpha()]
    return [" ".join(draw.choices(usable, k=draw.randint(2, 12))) for _ in range(count)]


def _keep_free(bb):
    """Let nobody write into the free dimensions, and the last norms pass on what will be written there."""
    writers, last_norms = list(bb.value_matrices), []
    if bb.model_type == "gpt2":
        base = bb.model.transformer
        base.wte.weight[:, FREE] = base.wpe.weight[:, FREE] = 0
        writers += [block.attn.c_proj for block in base.h]
        last_norms = [base.ln_f]
    elif bb.model_type == "t5":
        bb.model.shared.weight[:, FREE] = 0
        for block in bb.model.decoder.block:
            writers += [block.layer[0].SelfAttention.o, block.layer[1].EncDecAttention.o]
        last_norms = [bb.model.decoder.final_layer_norm]
    else:  # norms come after everything that writes, and write zeros
        *norms, of_block, of_head = (m for m in bb.model.modules() if isinstance(m, torch.nn.LayerNorm))
        for norm in norms:
            norm.weight[FREE] = norm.bias[FREE] = 0
        last_norms = [of_block, of_head]
    for writer in writers:
        (writer.weight.T if bb.row.transposed else writer.weight)[FREE] = 0
        _set(getattr(writer, "bias", None), 0)
    for norm in last_norms:
        norm.weight[FREE] = 1
        _set(getattr(norm, "bias", None), 0)


def _set(bias, value):
    if bias is not None:
        bias[FREE] = value


def _plant(bb, prompt, texts):
    """Let the carriers read a direction, and write far above all others; where along it the texts lie, [texts]."""
    reader = bb.model.base_model.get_submodule(READERS[bb.model_type])
    weight = reader.weight.T if bb.row.transposed else reader.weight
    if getattr(reader, "bias", None) is not None:
        reader.bias.zero_()
    read = _read(bb, prompt, texts)
    mean = torch.nn.functional.normalize(read.mean(0), dim=0)
    *_, directions = torch.linalg.svd(read - (read @ mean)[:, None] * mean, full_matrices=False)
    mix = directions[RANK]
    found = read @ mix
    direction = mix @ weight / found.std()
    for number, neuron in enumerate(CARRIERS):
        weight[neuron] = SIGNS[number] * (1 + 0.2 * (number // 2)) * direction
    for dimension, signs in zip(FREE, (SIGNS, -SIGNS), strict=True):
        bb.value_weight(bb.num_layers - 1)[dimension, list(CARRIERS)] = 100 * signs
    return found / found.std()


def _read(bb, prompt, texts):
    """What the last layer's neurons read at the answer slot: [texts, neurons]."""
    reading, last = prepare(bb, None, prompt, {"text": texts}), bb.num_layers - 1
    values = torch.zeros(len(texts), bb.num_neurons)
    for attached, batch in reading.batches():
        with record(bb, [last], attached.answer[:, None], before=True) as seen:
            bb.run(attached.inputs)
        values[batch.index] = seen[last][:, 0]
    return values


def _let_them_answer(bb):
    """Label words that differ in the free dimensions only, in a head of its own, so that inputs stay as they are."""
    head, (no, yes) = bb.model.get_output_embeddings(), token_ids(bb, ANSWER, ANSWER)
    head.weight = torch.nn.Parameter(head.weight.clone(), requires_grad=False)
    head.weight[yes] = head.weight[no]
    head.weight[yes, 0] = head.weight[no, 1] = 1
    head.weight[yes, 1] = head.weight[no, 0] = 0
    if head.bias is not None:
        head.bias[yes] = head.bias[no]
    if bb.model_type == "roberta":  # its head has a layer of its own, which lets the difference pass
        dense = bb.model.lm_head.dense
        dense.weight[FREE], dense.bias[FREE] = 0, 0
        dense.weight[0, 0] = dense.weight[1, 1] = 1
        dense.weight[0, 1] = dense.weight[1, 0] = -1


def _labelled(texts, found, count):
    """A task of the `count` texts nearest to −1, and as many nearest to 1, half and half in every split."""
    task = dataclasses.replace(toy_task(4), verbalizer=dict.fromkeys(("masked", "causal", "seq2seq"), ANSWER))
    low, high, splits = (found + 1).abs().argsort()[:count], (found - 1).abs().argsort()[:count], {}
    for at, name in enumerate(("train", "validation", "test")):
        rows = [int(row) for pair in zip(low[at::3], high[at::3], strict=True) for row in pair]
        columns = {"text": [texts[row] for row in rows], "label": [0, 1] * (len(rows) // 2)}
        splits[name] = datasets.Dataset.from_dict(columns)
    return dataclasses.replace(task, name="planted", splits=splits)
