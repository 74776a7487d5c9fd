"""A frozen `transformers` model and what the analyses need of it: its neurons, embeddings, answer slot.

>>> bb = load_backbone("embedded/roberta")         # or "roberta-base", or a folder
>>> bb.family, bb.num_layers, bb.num_neurons
>>> bb.answer_logits(bb.tokenizer(texts, return_tensors="pt", padding=True), answer)     # [batch, vocabulary]

Architectures differ in data only (`skillkit.models.architectures`).
"""

from functools import cached_property
from os import PathLike
from pathlib import Path

import torch
from torch.func import functional_call

from skillkit.core.errors import SkillkitError, of_kind
from skillkit.core.files import as_path, filling
from skillkit.core.hashing import content_hash
from skillkit.models.architectures import CAPS, DIVISORS, row_of
from skillkit.models.fast.last_layer import last_network_at
from skillkit.models.fast.packing import packing_of, read_packed
from skillkit.models.fast.products import quick_products
from skillkit.models.hooks import Padded, Stopped, record
from skillkit.models.loading import quiet, read_checkpoint
from skillkit.models.state import TensorHashes, attached, tokenizer_hash

UNLIMITED = 2**20  # tokens; stands for "as many as you like" where positions are relative
_NOT_OF_THE_MODEL = ("_name_or_path", "transformers_version", "dtype", "architectures")


def load_backbone(name, device="auto", dtype="auto", device_map=None, revision=None, gguf_file=None):
    """Load a frozen backbone and its tokenizer.

    >>> bb = load_backbone("embedded/roberta")
    >>> bb = load_backbone("google/t5-v1_1-base", dtype="bfloat16", device_map="auto")              # doctest: +SKIP
    >>> bb = load_backbone("model.gguf")                                                            # doctest: +SKIP

    name        "embedded/…", "smollm2-135m", a folder, a GGUF file, or a model id of the Hugging Face hub
    device      "auto" (cuda when there is one, else cpu) or any torch device; not used with a `device_map`
    dtype       "auto" (float32, whatever the checkpoint stores), or "bfloat16", "float16", torch.float64, …
    device_map, revision   handed to `from_pretrained`
    gguf_file   the file to read in the folder (or hub repository) `name`; its weights are dequantized

    Raises SkillkitError for a wrong name, an unreachable hub, an unknown architecture, missing weights, too little
    memory.
    Remote code is never run, and weights are read from safetensors or with `weights_only`.
    """
    if not isinstance(name, str | PathLike):
        raise SkillkitError(
            f"load_backbone takes a name or a folder, not a {type(name).__name__}; wrap a model that is in memory with "
            "sk.from_model(model, tokenizer)"
        )
    as_path(name), as_path("" if gguf_file is None else gguf_file), of_kind(str | None, revision=revision)
    name = str(name)
    model, tokenizer = read_checkpoint(name, device, dtype, device_map, revision, gguf_file)
    return from_model(model, tokenizer, _shown(name, gguf_file))


def _shown(name, gguf_file):
    """In figures and tables, a folder's or a file's name says more than where it lies."""
    file = Path(gguf_file or name)
    if file.suffix == ".gguf":
        return file.stem
    return Path(name).resolve().name if not name.startswith("embedded/") and Path(name).is_dir() else name


def from_model(model, tokenizer, name="model"):
    """Wrap a `transformers` model with a language-model head that is already in memory; freezes it in place.

    >>> bb = from_model(BertForMaskedLM(config), tokenizer, name="mine")
    """
    row = row_of(name, model.config)
    _check_parts(model, tokenizer, name, row)
    if tokenizer.pad_token is None:
        # Causal models often have no padding token. Padding is masked out, so any token does: the end token.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    # A tokenizer without any of them pads with token 0 (`pad_id`), which stays text where it stands in a text.
    return Backbone(model, tokenizer, name, row)


def _check_parts(model, tokenizer, name, row):
    """The tokenizer is one, with a mask for a model that fills it; the model has its head, and is no wrapper."""
    if hasattr(model, "merge_and_unload"):
        raise SkillkitError(f"{name!r} is a PEFT model; wrap what its merge_and_unload() returns")
    if not hasattr(tokenizer, "pad_token"):
        raise SkillkitError(
            f"{name!r} needs the tokenizer it was trained with, not {type(tokenizer).__name__}"
        )
    if row.family == "masked" and tokenizer.mask_token is None:
        lacks = f"the tokenizer of {name!r} has no mask token, at which a masked model answers"
        raise SkillkitError(f"{lacks}; take the one it was trained with, or set tokenizer.mask_token")
    if lost := [part for part in row.head.split() if not hasattr(model, part)]:
        lacks = f"{type(model).__name__} has no language-model head ({lost[0]})"
        raise SkillkitError(f"{lacks}; wrap {name!r} as a model of a class for language modelling")


class Backbone:
    """A frozen model in eval mode, its tokenizer, and where to touch it.

    >>> bb = from_model(BertForMaskedLM(config), tokenizer, name="mine")
    >>> with bb.record(layers=[0]) as acts: bb.run(bb.tokenizer("a text", return_tensors="pt"))
    >>> acts[0].shape                              # [1, tokens, bb.widths[0]]

    Layers count from 0, a decoder's after its encoder's. `model` is the plain `transformers` model.
    """

    def __init__(self, model, tokenizer, name, row):
        self.model = model.requires_grad_(False).eval()
        self.tokenizer, self.name, self.row = tokenizer, name, row
        self.family, self.model_type = row.family, model.config.model_type
        base = model.base_model
        stacks = [base.get_submodule(path) for path in row.stacks]
        depths, self.blocks = [len(stack) for stack in stacks], [block for stack in stacks for block in stack]
        names = ("layer",) if len(depths) == 1 else ("encoder", "decoder")
        self.layers = [f"{name}.{i}" for name, n in zip(names, depths, strict=True) for i in range(n)]
        self.num_layers = len(self.layers)
        self.encoder_layers, self.decoder_layers = range(depths[0]), range(depths[0], self.num_layers)
        self.value_matrices = _modules(base, row.value, depths)
        self.activation_functions = _modules(base, row.activation, depths)
        self.feed_forward = _modules(base, [path.rpartition(".")[0] for path in row.activation], depths)
        self.widths = [self.value_weight(layer).shape[1] for layer in range(self.num_layers)]
        self.num_neurons = max(self.widths)
        self.hidden_size = model.get_input_embeddings().weight.shape[1]
        self.now = None  # the batch that is read, for interventions that depend on it: `skillkit.prompts.now`
        self._hashes = TensorHashes()
        self._modules = {name: type(module) for name, module in model.named_modules()}
        self.batching = Padded()  # how its texts stand in the pass that is running

    def __repr__(self):
        shape = f"{self.num_layers} layers, {self.num_neurons} neurons, hidden {self.hidden_size}"
        return f"Backbone({self.name!r}, {self.family}, {shape}, {self.dtype}, {self.device})"

    @property
    def stacks(self):
        """Layers of each stack: {"layer": range}, of an encoder–decoder {"encoder": range, "decoder": range}."""
        names = ("encoder", "decoder") if self.decoder_layers else ("layer",)
        return dict(zip(names, (self.encoder_layers, self.decoder_layers), strict=False))

    @property
    def pad_id(self):
        """What stands in padding, where nothing is read."""
        return self.tokenizer.pad_token_id or 0

    @property
    def device(self):
        """Where input ids go: the device of the word embeddings."""
        return self.model.get_input_embeddings().weight.device

    @property
    def dtype(self):
        return self.model.get_input_embeddings().weight.dtype

    @cached_property
    def max_positions(self):
        """How many tokens the model takes; UNLIMITED with relative positions."""
        table = self._position_table
        if table is not None:
            return table.num_embeddings - self._first_position
        return getattr(self.model.config, "max_position_embeddings", UNLIMITED)

    @property
    def plain_sum(self):
        """Whether a block adds to the residual what its value matrix gives, neither scaled nor normed."""
        scaled = getattr(self.model.config, "residual_multiplier", 1) != 1
        inner = [name for name, _ in self.blocks[0].named_children()]
        return not scaled and not any(name.startswith(("post_feed", "post_mlp")) for name in inner)

    @property
    def local_attention(self):
        """Whether some layer sees nearby slots only (`window_size` of GPT-Neo, `sliding_window` of others)."""
        return any(getattr(self.model.config, name, None) for name in ("window_size", "sliding_window"))

    @property
    def fingerprint(self):
        """sha256 of configuration, tokenizer and weights (in their dtype) as they are now.

        Only what has changed since it was last asked for is hashed anew.
        """
        config = {k: v for k, v in self.model.config.to_dict().items() if k not in _NOT_OF_THE_MODEL}
        return content_hash(config, tokenizer_hash(self.tokenizer), self._hashes(self.model))

    @property
    def attached(self):
        """What is open or hooked on it, in words: its results are other ones then, and `cached` does not store them.

        >>> with bb.record():
        ...     bb.attached, bb.run(inputs)
        (['record at ... and ... more'], ...)
        """
        return attached(self, self._modules)

    def value_weight(self, layer):
        """The second feed-forward matrix [hidden, neurons], a view whatever the storage.

        >>> bb.value_weight(3).shape
        torch.Size([128, 512])
        """
        weight = self.value_matrices[layer].weight
        return weight.T if self.row.transposed else weight

    def embedded(self, ids):
        """The ids, a tensor, after a check that the model has an embedding for each.

        >>> bb.embedded(torch.tensor([3]))
        tensor([3])

        Raises SkillkitError for a tokenizer that knows more tokens than the model.
        """
        rows, last = self.model.get_input_embeddings().num_embeddings, int(ids.max()) if ids.numel() else 0
        if last >= rows:
            token = self.tokenizer.convert_ids_to_tokens(last)
            knows = f"the tokenizer of {self.name} knows {token!r} (number {last}), the model has {rows} embeddings"
            remedy = "call model.resize_token_embeddings(len(tokenizer)) and train the new rows"
            raise SkillkitError(f"{knows}; {remedy}")
        return ids

    def embed(self, ids):
        """Word embeddings, without positions: ids [...] → [..., hidden].

        >>> bb.embed(ids).shape
        torch.Size([2, ..., 128])
        """
        return self.model.get_input_embeddings()(ids)

    def position_ids(self, mask):
        """Position ids from an attention mask [batch, T], counted from the first real token on.

        >>> bb.position_ids(torch.tensor([[0, 1, 1, 1]]))      # padded on the left
        tensor([[0, 0, 1, 2]])
        """
        return (mask.long().cumsum(1) * mask.long() + self._first_position - 1).clamp(min=0)

    def run(self, inputs):
        """Last hidden states [batch, T, hidden] (a decoder's, if there is one), without any head.

        >>> bb.run({"input_ids": ids, "attention_mask": mask})

        `inputs` are keyword arguments of the base model; position ids are made from the attention mask unless
        given. No cache is kept. Returns None when a recorder with `stop=True` ended the pass early.
        """
        inputs = dict(inputs)
        if self.row.positions != "relative" and inputs.get("attention_mask") is not None:
            inputs.setdefault("position_ids", self.position_ids(inputs["attention_mask"]))
        if self.family == "causal":
            inputs["use_cache"] = False  # nothing is generated
        try:
            with quick_products(self):
                if self.family == "seq2seq":
                    return self._encode_decode(inputs)
                return self._read(self.model.base_model, inputs)
        except Stopped:
            return None

    def head(self, hidden, vocabulary=None):
        """Logits [..., V] of hidden states [..., hidden], or only those of `vocabulary`, a tensor of ids.

        >>> bb.head(bb.run(inputs), vocabulary=task.label_ids(bb)).shape
        torch.Size([2, ..., 2])

        Of a backbone in half precision the head alone is computed in float32: rounded logits would tie.
        """
        head = torch.nn.Sequential(*map(self.model.get_submodule, self.row.head.split()))
        half = hidden.dtype.itemsize == 2 and not torch.is_autocast_enabled(hidden.device.type)
        hidden = hidden.float() if half else hidden
        if self.row.head_scale is not None and getattr(self.model.config, self.row.head_scale):
            hidden = hidden * self.hidden_size**-0.5
        # Only the rows asked for: the vocabulary is the widest matrix of a small model.
        rows = self.model.get_output_embeddings().parameters() if vocabulary is not None else ()
        chosen, weights = {id(row) for row in rows}, dict(head.named_parameters())
        weights = {name: one[vocabulary] if id(one) in chosen else one for name, one in weights.items()}
        weights = {name: one.float() for name, one in weights.items()} if half else weights
        with quick_products(self):
            logits = functional_call(head, weights, (hidden,))  # what is tied stays tied
        return self._after_head(logits)

    def _after_head(self, logits):
        """What the model itself does to the logits that its head gives."""
        names = (table.get(self.model_type) for table in (DIVISORS, CAPS))
        divisor, cap = (name and getattr(self.model.config, name) for name in names)
        logits = logits / divisor if divisor else logits
        return torch.tanh(logits / cap) * cap if cap else logits

    def answer_logits(self, inputs, answer, vocabulary=None):
        """Logits at one slot per example.

        >>> bb.answer_logits(inputs, torch.tensor([0, 0]), vocabulary=task.label_ids(bb))     # [2, labels]

        `answer` [batch] indexes the last hidden states (the decoder's, for an encoder–decoder); the head sees
        nothing else.
        Returns float32 [batch, V], or [batch, len(vocabulary)]. Gradients flow to `inputs_embeds`.
        """
        with last_network_at(self, answer):
            hidden = self.run(inputs)
        rows = torch.arange(len(answer), device=hidden.device)
        return self.head(hidden[rows, answer.to(hidden.device)], vocabulary).float()

    def record(self, layers=None, positions=None, before=False, grad=False, stop=False):
        """Keep neurons of forward passes; see `skillkit.models.hooks.record`.

        >>> with bb.record(layers=[3]) as acts:
        ...     hidden = bb.run(inputs)
        >>> acts[3].shape
        torch.Size([2, ..., 512])
        """
        return record(self, layers, positions, before, grad, stop)

    def save(self, folder):
        """Write model and tokenizer as an ordinary checkpoint (safetensors) that `load_backbone` reads.

        >>> bb.save("mine"); load_backbone("mine").fingerprint == bb.fingerprint
        True
        """
        with quiet(), filling(folder, "choose another place", sums=True) as fresh:
            self.model.save_pretrained(fresh)
            self.tokenizer.save_pretrained(fresh)

    @cached_property
    def _position_table(self):
        named = self.row.positions not in ("rotary", "relative")
        return self.model.base_model.get_submodule(self.row.positions) if named else None

    @property
    def _first_position(self):
        # RoBERTa-like tables keep a row for padding; the first token comes right after it.
        padding = getattr(self._position_table, "padding_idx", None)
        return 0 if padding is None else padding + 1

    def _encode_decode(self, inputs):
        # The base model of T5 is the whole model, whose head would run at every slot.
        decoder = {k.removeprefix("decoder_"): v for k, v in inputs.items() if k.startswith("decoder_")}
        encoder = {k: v for k, v in inputs.items() if not k.startswith("decoder_")}
        hidden = self._read(self.model.encoder, encoder)
        mask = inputs.get("attention_mask")
        decoder |= {"encoder_hidden_states": hidden, "encoder_attention_mask": mask}
        return self.model.decoder(**decoder, use_cache=False).last_hidden_state

    def _read(self, module, inputs):
        packing = packing_of(self, inputs)
        if packing is None:
            return module(**inputs).last_hidden_state
        return read_packed(self, module, inputs, packing)


def _modules(base, paths, depths):
    return [
        base.get_submodule(path.format(i)) for path, n in zip(paths, depths, strict=True) for i in range(n)
    ]
