"""The precision of training: bfloat16 where the hardware is fast at it, for the length of a block.

>>> with precision(bb, training_dtype(bb, "auto")): loss_of(batch).backward()
"""

from contextlib import contextmanager

import torch

from skillkit.core.errors import SkillkitError
from skillkit.models.hooks import undone


def training_dtype(bb, dtype="auto"):
    """The dtype to multiply in: for "auto", bfloat16 where the hardware is fast at it, else float32.

    >>> training_dtype(bb)                         # bfloat16 where the hardware is fast at it
    torch...float...

    Raises SkillkitError for anything but "auto", bfloat16 and float32, and for a float16 backbone, whose
    gradients would vanish (losses would have to be scaled).
    """
    if bb.dtype == torch.float16:
        raise SkillkitError(
            f"{bb.name} is in float16, which cannot be trained on; load it in float32 or bfloat16"
        )
    if dtype == "auto":
        return torch.bfloat16 if _fast_at_bfloat16(bb.device) else torch.float32
    name = str(dtype).removeprefix("torch.")
    if name not in ("bfloat16", "float32"):
        raise SkillkitError(f"training in {name} is not supported; choose 'auto', 'bfloat16' or 'float32'")
    return getattr(torch, name)


@contextmanager
def precision(bb, dtype):
    """Multiply in `dtype` inside the block; everything is as before outside of it.

    >>> with precision(bb, torch.bfloat16): loss_of(batch).backward()

    In bfloat16 on a CPU attention is the plain ("eager") one meanwhile: its backward pass is twice as fast.
    """
    low, attention = dtype == torch.bfloat16, bb.model.config._attn_implementation
    with undone(lambda: bb.model.set_attn_implementation(attention)):
        if low and bb.device.type == "cpu":
            bb.model.set_attn_implementation("eager")
        # The cache would keep the casts of weights that an optimiser has changed since (BitFit's biases).
        with torch.autocast(bb.device.type, torch.bfloat16, enabled=low, cache_enabled=False):
            yield


def _fast_at_bfloat16(device):
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = getattr(torch.cpu, "get_capabilities", dict)()  # not in older versions of torch
    return device.type == "cpu" and bool(able.get("avx512_bf16") or able.get("amx_bf16"))
