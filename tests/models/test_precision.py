import pytest
import torch

from skillkit.models import precision, training_dtype
from skillkit.prompts import tune_adapter, tune_bitfit, tune_prompt
from tests.helpers import refused
from tests.tiny import tiny_backbone
from tests.toys import toy_task


def test_dtype_names():
    bb = tiny_backbone("bert", layers=1)
    assert training_dtype(bb, "float32") == training_dtype(bb, torch.float32) == torch.float32
    assert training_dtype(bb) in (torch.float32, torch.bfloat16)
    refused("float16 is not supported", training_dtype, bb, "float16")


def test_precision_puts_the_attention_back():
    bb = tiny_backbone("bert", layers=1)
    before, query = bb.model.config._attn_implementation, bb.blocks[0].attention.self.query
    with pytest.raises(ZeroDivisionError), precision(bb, torch.bfloat16):
        assert bb.model.config._attn_implementation == "eager" != before
        assert query(bb.embed(torch.tensor([[1, 2]]))).dtype == torch.bfloat16
        _ = 1 / 0
    assert bb.model.config._attn_implementation == before and not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("model", ["bert", "roberta", "gpt2", "t5", "t5-gated"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_the_head_of_a_backbone_in_half_precision_is_computed_in_float32(model, dtype):
    bb = tiny_backbone(model)
    bb.model.to(dtype)
    hidden, words = torch.randn(200, bb.hidden_size).to(dtype), torch.tensor([5, 9])
    halves, whole = bb.head(hidden, words), bb.head(hidden)
    full = tiny_backbone(model)
    full.model.load_state_dict({name: weight.float() for name, weight in bb.model.state_dict().items()})
    torch.testing.assert_close(halves, full.head(hidden.float(), words), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(whole[:, words], halves, atol=1e-5, rtol=1e-5)
    assert whole.dtype == torch.float32 and (halves[:, 0] == halves[:, 1]).sum() == 0


@pytest.mark.parametrize("tune", [tune_prompt, tune_bitfit, tune_adapter])
@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float32"])
def test_a_float16_backbone_is_not_trained_on(tune, dtype):
    bb = tiny_backbone("bert", layers=1)
    bb.model.to(torch.float16)
    refused("is in float16.*load it in float32", tune, bb, toy_task(), dtype=dtype)
