import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.models.precision import precision, training_dtype
from tests.tiny import tiny_backbone


def test_dtype_names():
    bb = tiny_backbone("bert", layers=1)
    assert training_dtype(bb, "float32") == training_dtype(bb, torch.float32) == torch.float32
    assert training_dtype(bb) in (torch.float32, torch.bfloat16)
    with pytest.raises(SkillkitError, match="float16 is not supported"):
        training_dtype(bb, "float16")


@pytest.mark.parametrize("fails", [False, True])
def test_precision_puts_the_attention_back(fails):
    bb = tiny_backbone("bert", layers=1)
    before = bb.model.config._attn_implementation
    try:
        with precision(bb, torch.bfloat16):
            assert bb.model.config._attn_implementation == "eager" != before
            inputs = bb.tokenizer("the movie", return_tensors="pt")
            assert (
                bb.model.bert.encoder.layer[0].attention.self.query(bb.embed(inputs["input_ids"])).dtype
                == torch.bfloat16
            )
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert bb.model.config._attn_implementation == before and not torch.is_autocast_enabled("cpu")
