"""Adapters, BitFit and fine-tuning: baselines that change the model itself, with bottlenecks or trained weights.

>>> tuned = sk.tune_adapter(bb, task, max_steps=2); tuned.save("dir")
>>> with sk.Tuned.load("dir").apply(bb): ...       # outside, the backbone is what it was, bit for bit
"""

from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from skillkit.core.errors import SkillkitError, at_least, of_kind
from skillkit.core.hashing import content_hash
from skillkit.core.serialization import read_tensors, write_tensors
from skillkit.models import any_batching, placed, undone
from skillkit.prompts.layouts import KEYS, find_layout
from skillkit.prompts.soft_prompt import Trained, origin, told


@dataclass(frozen=True, eq=False, repr=False)
class Tuned(Trained):
    """Trained biases (BitFit), weights (fine-tuning) or adapters, applied to a backbone for the length of a block.

    >>> tuned.kind, tuned.metadata["validation_score"]
    ('bitfit', ...)
    >>> evaluate(bb, task, tuned)                  # applies it by itself
    Evaluation(accuracy ...)

    `state` {name: tensor}: parameters by their name in the model, or adapter matrices by layer.
    """

    kind: str
    state: dict
    layout: str
    metadata: dict = field(default_factory=dict)
    other: bool = False

    @property
    def fingerprint(self):
        names = sorted(self.state)
        about = [self.kind, KEYS.get(self.layout, self.layout), self.options, names]
        return content_hash(about, *(self.state[name] for name in names))

    def on(self, bb):
        """The layout to read answers with, after a check that this backbone has the places to change.

        >>> tuned.on(bb).name
        'mask-first'
        """
        self.check_origin(bb)
        sizes = [len(tensor) for name, tensor in self.state.items() if name.endswith("down.bias")]
        places = new_adapters(bb, sizes[0], seed=0) if sizes else dict(bb.model.named_parameters())
        shapes = {name: tensor.shape for name, tensor in places.items()}
        lost = [f"no such {name}" for name, one in self.state.items() if shapes.get(name) != one.shape]
        made_for = self.metadata.get("model_type", bb.model_type)
        if made_for != bb.model_type:
            lost = [f"another architecture ({bb.model_type}, not {made_for})"]
        if lost:
            raise SkillkitError(f"this {self.kind} was trained on another model; {bb.name} has {lost[0]}")
        return find_layout(bb, self.layout)

    def apply(self, bb):
        """Context in which the backbone carries this change.

        >>> with tuned.apply(bb): bb.answer_logits(inputs, answer)
        """
        self.on(bb)
        return (adapting if self.kind == "adapter" else biased)(bb, self.state)

    def save(self, folder):
        """Write tuned.safetensors and tuned.json into `folder`.

        >>> tuned.save("dir"); Tuned.load("dir").kind
        'bitfit'
        """
        plain = {"kind": self.kind, "layout": self.layout, "metadata": self.metadata}
        write_tensors(folder, "tuned", self.state, plain)

    @classmethod
    def load(cls, folder, other=False):
        """Read what `save` wrote; SkillkitError when it is missing or damaged.

        >>> tuned.save("dir"); Tuned.load("dir").fingerprint == tuned.fingerprint
        True
        """
        state, plain = read_tensors(folder, "tuned", "kind", "layout", "metadata", finite=True)
        of_kind(str, kind=plain["kind"])
        layout, metadata = told(plain)
        return cls(plain["kind"], state, layout, metadata, other)

    def __repr__(self):
        size = f"{sum(tensor.numel() for tensor in self.state.values())} trained numbers"
        return f"Tuned({', '.join([self.kind, size, self.layout, *origin(self.metadata)])})"


def bias_names(bb):
    """Names of the model's bias parameters; SkillkitError when it has none, as T5 and Llama.

    >>> bias_names(bb)[0]
    'bert.embeddings.LayerNorm.bias'
    """
    names = [name for name, _ in bb.model.named_parameters() if name.split(".")[-1] == "bias"]
    if not names:
        name = f"{bb.name} ({bb.model_type})"
        raise SkillkitError(f"{name} has no bias terms for BitFit to train; use tune_adapter or tune_prompt")
    return names


@contextmanager
def biased(bb, state):
    """Context in which a backbone has copies of these tensors as its parameters of those names, which are yielded.

    >>> with biased(bb, {"cls.predictions.bias": torch.zeros(len(bb.tokenizer))}) as parameters: ...

    Inside, they may be trained; on exit the very storages from before are put back.
    """
    parameters = {name: bb.model.get_parameter(name) for name in state}
    originals = {name: parameter.data for name, parameter in parameters.items()}

    def put_back():
        for name, parameter in parameters.items():
            parameter.requires_grad_(False)
            parameter.grad, parameter.data = None, originals[name]

    with undone(put_back):
        for name, parameter in parameters.items():
            parameter.data = state[name].detach().to(parameter, copy=True)
            parameter.requires_grad_()
        yield parameters


def new_adapters(bb, bottleneck, seed):
    """Initial adapter matrices for every layer: small random ones down, zeros up, together the identity.

    >>> state = new_adapters(bb, 16, seed=0)
    >>> state["layer.5.down.weight"].shape, bool(state["layer.5.up.weight"].any())
    (torch.Size([16, 128]), False)
    """
    at_least(1, bottleneck=bottleneck), at_least(0, seed=seed)
    random = torch.Generator().manual_seed(int(seed))
    state = {}
    width = bb.value_weight(0).shape[0]
    for layer in bb.layers:
        down = torch.randn(bottleneck, width, generator=random) / width**0.5
        state |= {f"{layer}.down.weight": down, f"{layer}.down.bias": torch.zeros(bottleneck)}
        state |= {
            f"{layer}.up.weight": torch.zeros(width, bottleneck),
            f"{layer}.up.bias": torch.zeros(width),
        }
    return {name: tensor.to(bb.device) for name, tensor in state.items()}


@contextmanager
def adapting(bb, state):
    """Context in which a backbone has adapters behind its feed-forward networks, before the residual sum.

    >>> with adapting(bb, new_adapters(bb, 16, seed=0)): ...      # changes nothing yet
    """
    pairs = zip(bb.layers, bb.value_matrices, strict=True)
    with placed(*((module.register_forward_hook, _adapter(state, layer)) for layer, module in pairs)):
        yield state


def _adapter(state, layer):
    @any_batching
    def hook(module, args, output):
        parts = ("down.weight", "down.bias", "up.weight", "up.bias")
        down, lift, up, shift = (state[f"{layer}.{part}"].to(output) for part in parts)
        linear = torch.nn.functional.linear
        return output + linear(torch.relu(linear(output, down, lift)), up, shift)

    return hook
