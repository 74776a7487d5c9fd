"""Random backbones in the shapes that people use, and texts of chosen lengths for them.

>>> bb, task = base("roberta"), task_of([8, 20, 56])
>>> bb.num_layers, base("smollm2").num_layers
(12, 30)
"""

import random

import datasets
import torch
import transformers

from skillkit.models.backbone import from_model
from skillkit.tasks.task import Task
from tests.tiny import WORDS, tiny_tokenizer

_ROBERTA = dict(max_position_embeddings=514, type_vocab_size=1)
_T5 = dict(d_model=768, d_ff=3072, num_layers=12, num_heads=12, d_kv=64, decoder_start_token_id=0)
_SMOLLM2 = dict(
    hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
    vocab_size=49152, max_position_embeddings=8192, tie_word_embeddings=True, rms_norm_eps=1e-5,
)  # fmt: skip
_MODELS = {  # class, what differs from its defaults, whose tokenizer, what it is called
    "roberta": (transformers.RobertaForMaskedLM, _ROBERTA, "roberta", "roberta base"),
    "bert": (transformers.BertForMaskedLM, {}, "bert", "bert base"),
    "gpt2": (transformers.GPT2LMHeadModel, {}, "gpt2", "gpt2 base"),
    "t5": (transformers.T5ForConditionalGeneration, _T5, "t5", "t5 base"),
    "smollm2": (transformers.LlamaForCausalLM, _SMOLLM2, "llama", "smollm2-135m"),
}


def base(kind):
    """A random backbone in the shape of RoBERTa-base, BERT-base, GPT-2, T5-base or SmolLM2, with a small tokenizer."""
    torch.manual_seed(0)
    model_class, options, tokenizer, _ = _MODELS[kind]
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = model_class(model_class.config_class(**options))
    return from_model(model, tiny_tokenizer(tokenizer), f"{kind} of random weights")


def called(kind):
    """The name of a shape in tables.

    >>> called("gpt2")
    'gpt2 base'
    """
    return _MODELS[kind][-1]


def lengths(count, low=8, high=56, seed=0):
    """So many numbers of tokens, spread evenly from low to high, in random order."""
    spread = [low + (high - low) * i // max(count - 1, 1) for i in range(count)]
    random.Random(seed).shuffle(spread)
    return spread


def task_of(tokens, seed=0):
    """A two-class task whose splits all hold texts of these numbers of tokens, with two special ones."""
    draw = random.Random(seed)
    splits = {}
    for name in ("train", "validation", "test"):
        texts = [" ".join(draw.choices(WORDS[:40], k=count - 2)) for count in tokens]
        labels = [row % 2 for row in range(len(tokens))]
        splits[name] = datasets.Dataset.from_dict({"text": texts, "label": labels})
    words = dict.fromkeys(("masked", "causal", "seq2seq"), ("bad", "good"))
    return Task("toy", "sentiment", ("negative", "positive"), words, splits)


def counted(bb, tokens):
    """Multiply–adds of a forward pass over texts of these numbers of tokens: (a block's, the last one's at one slot).

    Of the last block all slots give keys and values, and one of them the rest.
    """
    hidden, neurons = bb.hidden_size, bb.num_neurons
    matrices, slot = 4 * hidden**2 + 2 * hidden * neurons, 2 * hidden**2 + 2 * hidden * neurons
    whole = sum(count * (matrices + 2 * count * hidden) for count in tokens)
    last = sum(count * (2 * hidden**2 + 2 * hidden) + slot for count in tokens)
    return whole, last


def shuffled(reading, size):
    """(what is attached, its batch) in random order, as published code draws batches."""
    order = random.Random(0).sample(range(len(reading)), len(reading))
    for at in range(0, len(order), size):
        batch = reading.encoded.batch(order[at : at + size])
        yield reading.layout.attach(reading.bb, reading.weight, batch), batch
