"""What the comparisons have in common: other tiny backbones, and how close two results are."""

import numpy as np
import torch

from skillkit.models import from_model
from tests.tiny import randomise, tiny_backbone


def agree(ours, theirs, within):
    """The largest difference is at most a share `within` of their largest value, and theirs are not all alike."""
    ours, theirs = (torch.tensor(np.asarray(one), dtype=torch.float64) for one in (ours, theirs))
    assert ours.shape == theirs.shape and theirs.unique().numel() > 1
    apart = float((ours - theirs).abs().max() / theirs.abs().max())
    print(f"apart {apart:.1e}, {list(theirs.shape)}")  # pytest -rP shows it
    assert apart <= within


def backbone(model_type, layers=3, **sizes):
    """A random backbone like those of `tests.tiny`, with other sizes in its configuration."""
    like = tiny_backbone(model_type, layers=layers)
    config = type(like.model.config)(**(like.model.config.to_dict() | sizes))
    model = type(like.model)(config)
    randomise(model, torch.Generator().manual_seed(0))
    return from_model(model, like.tokenizer, f"tiny/{model_type}")


@torch.no_grad()
def numbered(bb, tokens):
    """The backbone with words at the token numbers that stand in their code: {number: word}."""
    table, bias = bb.model.get_input_embeddings().weight, bb.model.get_output_embeddings().bias
    for number, word in tokens.items():
        own = bb.tokenizer.convert_tokens_to_ids(word)
        table[number], bias[number] = table[own], bias[own]
    return bb
