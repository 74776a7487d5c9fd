"""What a backbone is at this moment: its tokenizer and weights as they are now, and what is attached to it.

>>> handle = bb.model.register_forward_hook(lambda module, args, output: None)
>>> bb.attached, handle.remove()
(['a forward hook (<lambda>) at the model'], None)
"""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import xxhash

from skillkit.core.hashing import content_hash

# Settings of a tokenizer beside what it serialises that decide which ids a text becomes.
_SETTINGS = ("model_max_length", "truncation_side", "model_input_names", "split_special_tokens")
# What it holds that is no setting.
_OTHER = {"name_or_path", "vocab_file", "merges_file", "verbose", "chat_template", "response_template"}
_HOOKS = {
    "_forward_pre_hooks": "forward pre-hook", "_forward_hooks": "forward hook",
    "_backward_pre_hooks": "backward pre-hook", "_backward_hooks": "backward hook",
}  # fmt: skip
_LIBRARIES = ("transformers.", "accelerate.")  # what these put into a model belongs to it


def tokenizer_hash(tokenizer):
    """Hash of all that decides which ids a text becomes: words, merges, normalisation, added tokens, settings.

    >>> tokenizer_hash(bb.tokenizer) == tokenizer_hash(load_backbone("embedded/gpt2").tokenizer)
    False

    Truncation and padding, which every call sets anew, are left out. Of a tokenizer in Python all plain attributes
    count, and the content of its vocabulary files.
    """
    settings = [getattr(tokenizer, name, None) for name in _SETTINGS]
    settings.append(sorted(tokenizer.special_tokens_map.items()))
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        return content_hash(settings, fast.to_str().partition('"added_tokens":')[2])
    held = {name: value for name, value in vars(tokenizer).items() if name not in _OTHER}
    own = {name: value for name, value in held.items() if isinstance(value, bool | int | float | str)}
    added = {number: repr(token) for number, token in tokenizer.added_tokens_decoder.items()}
    files = []
    with TemporaryDirectory() as folder, suppress(NotImplementedError):
        tokenizer.save_vocabulary(folder)
        files = [part for file in sorted(Path(folder).iterdir()) for part in (file.name, file.read_bytes())]
    words = sorted(tokenizer.get_vocab().items())
    return content_hash(settings, type(tokenizer).__name__, own, added, words, *files)


def changes(tensor):
    """A value that changes with the content of a tensor, at the speed of memory (30 times that of sha256).

    >>> changes(torch.zeros(2, 2)) == changes(torch.eye(2))
    False

    Version counters would be quicker still, but `weight.data[0] = 0` and NumPy views pass them by. On a GPU it is
    made of sums of bits over rows and over columns, so that little has to be copied.
    """
    tensor = tensor.detach()
    if tensor.device.type != "cpu" and tensor.ndim > 1 and tensor.element_size() in _BITS:
        bits = tensor.contiguous().view(_BITS[tensor.element_size()]).flatten(1)
        tensor = torch.cat([bits.sum(0, dtype=torch.int64), bits.sum(1, dtype=torch.int64)])
    return xxhash.xxh3_128_digest(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class TensorHashes:
    """Hashes of a model's parameters and buffers as they are now; only what has changed is hashed anew.

    >>> hashes = TensorHashes(); hashes(bb.model) == hashes(bb.model)
    True
    """

    def __init__(self):
        self.known = {}

    def __call__(self, model):
        stored = model.state_dict().keys()  # other buffers are made of the configuration
        buffers = [named for named in model.named_buffers() if named[0] in stored]
        return [[name, self.of(name, tensor)] for name, tensor in [*model.named_parameters(), *buffers]]

    def of(self, name, tensor):
        """sha256 of one tensor with its dtype and shape."""
        about = [str(tensor.dtype), list(tensor.shape)]
        state = (*map(str, about), changes(tensor))
        if self.known.get(name, ("", ""))[0] != state:
            self.known[name] = state, content_hash(about, tensor)
        return self.known[name][1]


def attached(bb, plain):
    """What makes a backbone other than its weights say, each in a few words: hooks, open contexts, modules in the place
    of others (`plain` {name: class} as they were), training mode, autocast.

    >>> attached(bb, {name: type(module) for name, module in bb.model.named_modules()})
    []

    Hooks of transformers and accelerate belong to the model.
    """
    found = {}
    for name, module in bb.model.named_modules():
        for what in _on(module, plain.get(name)):
            found.setdefault(what, []).append(name or "the model")
    if torch.is_autocast_enabled(bb.device.type):
        found["autocast"] = [bb.device.type]
    if torch.nn.modules.module._has_any_global_hook():
        found["a hook on all modules"] = ["torch.nn"]
    more = lambda names: f" and {len(names) - 1} more" if len(names) > 1 else ""
    return [f"{what} at {names[0]}{more(names)}" for what, names in found.items()]


def _on(module, plain):
    """What is on one module that its class does not have."""
    for place, kind in _HOOKS.items():
        for hook in (getattr(module, place) or {}).values():
            inner = getattr(hook, "func", hook)  # of a `partial`
            if not (getattr(inner, "__module__", "") or "").startswith(_LIBRARIES):
                by = getattr(hook, "opened_by", None)
                yield by or f"a {kind} ({getattr(inner, '__qualname__', type(inner).__name__)})"
    if "forward" in vars(module) and not hasattr(module, "_hf_hook"):
        yield "another `forward`"
    if type(module) is not plain:
        yield f"a {type(module).__name__}"
    if module.training:
        yield "training mode"
