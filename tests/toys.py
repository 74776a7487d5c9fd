"""A toy task for tiny backbones, whose classes differ by one word, with texts of every length."""

import random

import datasets
import torch

from skillkit.tasks.task import Task

WORDS = {"bad": ("bad", "awful", "terrible", "boring"), "good": ("good", "great", "nice", "fun")}


def toy_task(n=40, pair=False, template=None, seed=0):
    """Two classes, label words bad and good; `n` rows a split, of 2 to 20 words."""
    draw = random.Random(seed)
    splits = {
        name: datasets.Dataset.from_dict(_rows(draw, n, pair)) for name in ("train", "validation", "test")
    }
    words = dict.fromkeys(("masked", "causal", "seq2seq"), ("bad", "good"))
    return Task("toy", "sentiment", ("negative", "positive"), words, splits, template=template)


def _rows(draw, n, pair):
    labels = [row % 2 for row in range(n)]
    columns = {"text": [_text(draw, label) for label in labels], "label": labels}
    return columns | {"text_pair": [_text(draw, label) for label in labels]} if pair else columns


def _text(draw, label):
    filler = ["the", "movie", "was", "really", "very", "story", "and", "so", "it", "overall"]
    words = [draw.choice(filler) for _ in range(draw.randint(1, 19))]
    words.insert(draw.randrange(len(words) + 1), draw.choice(WORDS[("bad", "good")[label]]))
    return " ".join(words)


def some_mask(bb, share=0.3, seed=0):
    """Neurons of every layer, more of the later ones."""
    draw = torch.rand(bb.num_layers, bb.num_neurons, generator=torch.Generator().manual_seed(seed))
    return draw < share * torch.linspace(0.5, 1.5, bb.num_layers)[:, None]
