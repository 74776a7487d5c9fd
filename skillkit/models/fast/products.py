"""Products of frozen float32 matrices through oneDNN, on processors where it is faster than MKL.

>>> with quick_products(bb): hidden = bb.run(inputs)               # the same up to rounding

PyTorch gives float32 products to MKL, which uses AVX-512 on Intel's processors alone; oneDNN, which PyTorch has too
and uses for bfloat16, does so on all. On an AMD Zen 5 jobs take 1.5 to 2 times as long without this; with AVX2 only
(a Zen 3) the two are equally fast, and on Intel's MKL is.
"""

from contextlib import nullcontext

import torch
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from skillkit.models.fast import enabled

# Multiply–adds of a product: smaller ones lose more to the longer way into oneDNN than they gain.
WORTH = 2**21


def onednn_is_faster():
    """Whether the processor has AVX-512 and is not Intel's.

    >>> onednn_is_faster()                             # True on an AMD Zen 4 or 5
    """
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # not in older versions of torch
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return (
        wide
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and "Intel" not in capabilities.get("cpu_name", "Intel")
    )


ABLE = onednn_is_faster()


def quick_products(bb):
    """Context in which a backbone's frozen matrices multiply through oneDNN where that is faster.

    >>> with quick_products(bb): logits = bb.head(bb.run(inputs))

    For float32 on a CPU, outside of autocast, with gradients to what is multiplied and to biases.
    """
    fit = ABLE and enabled() and bb.device.type == "cpu" and bb.dtype == torch.float32
    return Products() if fit else nullcontext()


class Products(TorchFunctionMode):
    """The mode itself: calls of `linear` (of GPT-2's layers: `addmm`) go another way, all others their own.

    >>> with Products(): torch.nn.functional.linear(torch.ones(4096, 768), weight)              # doctest: +SKIP
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        product = () if kwargs else _product(func, args)
        if product and _worth_while(*product[:2]):
            return _Product.apply(*product)
        return func(*args, **(kwargs or {}))


def _product(func, args):
    """(x [..., in], weight [out, in], bias) of a call that is such a product, else nothing."""
    if func is torch.nn.functional.linear:
        return (*args, None)[:3]
    return (args[1], args[2].T, args[0]) if func is torch.addmm else ()


def _worth_while(x, weight):
    return (
        x.dtype == weight.dtype == torch.float32
        and x.shape[:-1].numel() * weight.numel() >= WORTH
        and not weight.requires_grad
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()  # a compiler chooses for itself
    )


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(weight)
        return _multiply(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, slope):
        (weight,) = ctx.saved_tensors
        of_input, _, of_bias = ctx.needs_input_grad
        back = _multiply(slope, weight.T) if of_input else None
        return back, None, slope.flatten(0, -2).sum(0) if of_bias else None


def _multiply(x, weight, bias=None):
    # What PyTorch's compiler replaces linear layers by. The public way, `linear` of `x.to_mkldnn()`, copies what goes
    # in and what comes out.
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
