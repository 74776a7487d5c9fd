import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.models import precision, training_dtype
from tests.tiny import tiny_backbone


def test_dtype_names():
    bb = tiny_backbone("bert", layers=1)
    assert training_dtype(bb, "float32") == training_dtype(bb, torch.float32) == torch.float32
    assert training_dtype(bb) in (torch.float32, torch.bfloat16)
    with pytest.raises(SkillkitError, match="float16 is not supported"):
        training_dtype(bb, "float16")


def test_precision_puts_the_attention_back():
    bb = tiny_backbone("bert", layers=1)
    before, query = bb.model.config._attn_implementation, bb.blocks[0].attention.self.query
    with pytest.raises(ZeroDivisionError), precision(bb, torch.bfloat16):
        assert bb.model.config._attn_implementation == "eager" != before
        assert query(bb.embed(torch.tensor([[1, 2]]))).dtype == torch.bfloat16
        _ = 1 / 0
    assert bb.model.config._attn_implementation == before and not torch.is_autocast_enabled("cpu")
