"""Frozen matrices multiplied by the faster of the two libraries that come with PyTorch, in full float32.

>>> quicken(model)                                # changes no weight, no name, no result beyond rounding

On a CPU with AVX-512, PyTorch gives float32 products to MKL, which is at its best on Intel's processors only;
oneDNN, which PyTorch uses for bfloat16, is up to twice as fast on others, and slower on Intel's where gradients go
back through a wide matrix. Products that attention can do without are not made at all (`models.fast.attention`).
"""

from collections.abc import Callable

import torch
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

from skillkit.models.fast.attention import QUICK_ATTENTION

# Multiply–adds of a product: smaller ones lose more to the longer way into oneDNN than they gain.
WORTH = 2**21


def quicken(model):
    """Let the linear layers of a model multiply through oneDNN where that is worth while.

    >>> quicken(BertForMaskedLM(config)).cls.predictions.decoder        # a QuickLinear

    That is on CPUs with AVX-512 that are not Intel's, in float32, for frozen weights and products of two million
    multiply–adds and more, outside of autocast; in any other case a layer does what it did. A ReLU without gradients
    makes no copy, and attention is that of `models.fast.attention`. State, hooks, copies and saving are as before.
    Returns the model.
    """
    for module in model.modules():
        module.__class__ = _QUICK.get(type(module), type(module))
    return model


def linear(x, weight, bias=None):
    """x [..., in] times weight [out, in], with gradients to x and the bias; see `quicken`.

    >>> linear(torch.randn(2, 9, 768), weight, bias).shape
    torch.Size([2, 9, 3072])
    """
    return _Product.apply(x, weight, bias)


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
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _worth_while(x, weight):
    return (
        _ABLE
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == weight.device.type == "cpu"
        and x.shape[:-1].numel() * weight.numel() >= WORTH
        and not weight.requires_grad
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()  # a compiler chooses for itself
    )


class QuickLinear(torch.nn.Linear):
    """A linear layer that `quicken` has changed.

    >>> type(quicken(torch.nn.Sequential(torch.nn.Linear(2, 3)))[0]).__name__
    'QuickLinear'
    """

    def forward(self, x):
        if _worth_while(x, self.weight):
            return linear(x, self.weight, self.bias)
        return super().forward(x)


class QuickConv1D(Conv1D):
    """The same for GPT-2's way to store a matrix, [in, out].

    >>> gpt.model.transformer.h[0].mlp.c_proj.__class__.__name__
    'QuickConv1D'
    """

    def forward(self, x):
        if _worth_while(x, self.weight):
            return linear(x, self.weight.T, self.bias)
        return super().forward(x)


class QuickReLU(torch.nn.ReLU):
    """A ReLU that `quicken` has changed: it writes over its input where nobody else wants that.

    >>> with torch.no_grad(): QuickReLU()(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, x):
        wanted = torch.is_grad_enabled() or self._forward_pre_hooks
        return super().forward(x) if wanted else x.relu_()


_QUICK = QUICK_ATTENTION | {
    torch.nn.Linear: QuickLinear,
    Conv1D: QuickConv1D,
    torch.nn.ReLU: QuickReLU,
}


def _faster_elsewhere():
    """Whether oneDNN is the faster library here; the operation is what PyTorch's own compiler replaces layers with."""
    told: Callable[[], dict] = getattr(torch.cpu, "get_capabilities", dict)  # not in older versions of torch
    maker = told().get("cpu_name", "")
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return wide and hasattr(torch.ops.mkldnn, "_linear_pointwise") and "Intel" not in maker


_ABLE = _faster_elsewhere()
