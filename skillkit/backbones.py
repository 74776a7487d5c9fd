"""A frozen `transformers` model and the few facts the analyses need: its neurons, its embeddings, its answer slot.

>>> bb = load_backbone("embedded/roberta")         # or "roberta-base", or a folder
>>> bb.family, bb.num_layers, bb.num_neurons
>>> bb.answer_logits(bb.tokenizer(texts, return_tensors="pt", padding=True), answer)     # [batch, vocabulary]

Architectures differ in data only: a row of NEURON_TABLE says where things are.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch.func import functional_call
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
)

from skillkit.errors import SkillkitError
from skillkit.neurons import Stopped, record

EMBEDDED = Path(__file__).parent / "embedded"
AUTO_CLASS = {"masked": AutoModelForMaskedLM, "causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}
UNLIMITED = 2**20  # tokens; stands for "as many as you like" where positions are relative


@dataclass(frozen=True)
class NeuronRow:
    """Where one architecture keeps its neurons; `{}` stands for the layer, paths start at `model.base_model`.

    >>> NEURON_TABLE["mine"] = NeuronRow("causal", value=("h.{}.mlp.out",), activation=("h.{}.mlp.act",),
    ...                                  head="lm_head", positions="rotary")

    family      "masked", "causal" or "seq2seq"; chooses the Auto class and where the answer is read
    value       the second feed-forward matrix, whose input the neurons are; one path per stack (encoder, decoder)
    activation  the activation function, whose input is the pre-activation (in gated networks the gate's)
    head        the language-model head, from the model itself: hidden states → logits
    positions   path of the position-embedding table; "rotary" (position ids, no table); "relative" (neither)
    transposed  the weight is stored [neurons, hidden], as by GPT-2's Conv1D, not [hidden, neurons]
    head_scale  name of a config flag: when true, hidden states are divided by √hidden before the head
    """

    family: str
    value: tuple[str, ...]
    activation: tuple[str, ...]
    head: str
    positions: str
    transposed: bool = False
    head_scale: str | None = None


def _bert_like(head):
    return NeuronRow(
        "masked",
        value=("encoder.layer.{}.output.dense",),
        activation=("encoder.layer.{}.intermediate.intermediate_act_fn",),
        head=head,
        positions="embeddings.position_embeddings",
    )


def _gpt_like(transposed):
    return NeuronRow(
        "causal",
        value=("h.{}.mlp.c_proj",),
        activation=("h.{}.mlp.act",),
        head="lm_head",
        positions="wpe",
        transposed=transposed,
    )


NEURON_TABLE = {
    "bert": _bert_like(head="cls"),
    "roberta": _bert_like(head="lm_head"),
    "xlm-roberta": _bert_like(head="lm_head"),
    "xlm-roberta-xl": _bert_like(head="lm_head"),
    "gpt2": _gpt_like(transposed=True),
    "gpt_neo": _gpt_like(transposed=False),
    "llama": NeuronRow(
        "causal",
        value=("layers.{}.mlp.down_proj",),
        activation=("layers.{}.mlp.act_fn",),
        head="lm_head",
        positions="rotary",
    ),
    "t5": NeuronRow(
        "seq2seq",
        value=("encoder.block.{}.layer.1.DenseReluDense.wo", "decoder.block.{}.layer.2.DenseReluDense.wo"),
        activation=("encoder.block.{}.layer.1.DenseReluDense.act", "decoder.block.{}.layer.2.DenseReluDense.act"),
        head="lm_head",
        positions="relative",
        head_scale="scale_decoder_outputs",
    ),
}


class Backbone:
    """A frozen model in eval mode, its tokenizer, and where to touch it.

    >>> bb = from_model(BertForMaskedLM(config), tokenizer, name="mine")
    >>> with bb.record(layers=[0]) as acts: bb.run(bb.tokenizer("a text", return_tensors="pt"))
    >>> acts[0].shape                              # [1, tokens, bb.widths[0]]

    Layers count from 0, a decoder's after its encoder's. `model` is the plain `transformers` model.
    """

    def __init__(self, model, tokenizer, name, row):
        self.model, self.tokenizer, self.name, self.row = model.requires_grad_(False).eval(), tokenizer, name, row
        self.family, self.model_type = row.family, model.config.model_type
        base = model.base_model
        depths = [len(base.get_submodule(path.split(".{}")[0])) for path in row.value]
        stacks = ("layer",) if len(depths) == 1 else ("encoder", "decoder")
        self.layers = [f"{stack}.{i}" for stack, depth in zip(stacks, depths, strict=True) for i in range(depth)]
        self.num_layers = len(self.layers)
        self.encoder_layers, self.decoder_layers = range(depths[0]), range(depths[0], self.num_layers)
        self.value_matrices = _modules(base, row.value, depths)
        self.activation_functions = _modules(base, row.activation, depths)
        self.widths = [self.value_weight(layer).shape[1] for layer in range(self.num_layers)]
        self.num_neurons = max(self.widths)
        self.hidden_size = model.get_input_embeddings().weight.shape[1]

    def __repr__(self):
        shape = f"{self.num_layers} layers, {self.num_neurons} neurons, hidden {self.hidden_size}"
        return f"Backbone({self.name!r}, {self.family}, {shape}, {self.dtype}, {self.device})"

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

    @cached_property
    def fingerprint(self):
        """sha256 of configuration, vocabulary and weights (in their dtype); computed once."""
        config = {k: v for k, v in self.model.config.to_dict().items() if k not in _NOT_OF_THE_MODEL}
        sha = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        sha.update(json.dumps(sorted(self.tokenizer.get_vocab().items())).encode())
        for name, tensor in self.model.named_parameters():
            sha.update(name.encode())
            sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return sha.hexdigest()

    def value_weight(self, layer):
        """The second feed-forward matrix [hidden, neurons], a view whatever the storage: column n is neuron n's value."""
        weight = self.value_matrices[layer].weight
        return weight.T if self.row.transposed else weight

    def embed(self, ids):
        """Word embeddings, without positions: ids [...] → [..., hidden]."""
        return self.model.get_input_embeddings()(ids)

    def position_ids(self, mask):
        """Position ids from an attention mask [batch, T]: the first real token is first, on whatever side the padding is."""
        return (mask.long().cumsum(1) * mask.long() + self._first_position - 1).clamp(min=0)

    def run(self, inputs):
        """Last hidden states [batch, T, hidden] (a decoder's, if there is one), without any head.

        >>> bb.run({"input_ids": ids, "attention_mask": mask})

        `inputs` are keyword arguments of the base model; position ids are made from the attention mask unless given.
        No cache is kept. Returns None when a recorder with `stop=True` ended the pass early.
        """
        inputs = dict(inputs)
        if self.row.positions != "relative" and inputs.get("attention_mask") is not None:
            inputs.setdefault("position_ids", self.position_ids(inputs["attention_mask"]))
        try:
            return self._FORWARD[self.family](self, inputs)
        except Stopped:
            return None

    def head(self, hidden, vocabulary=None):
        """Logits [..., V] of hidden states [..., hidden], or only those of `vocabulary`, a LongTensor of ids."""
        head, flag = self.model.get_submodule(self.row.head), self.row.head_scale
        if flag is not None and getattr(self.model.config, flag):
            hidden = hidden * self.hidden_size**-0.5
        if vocabulary is None:
            return head(hidden)
        # Only the rows asked for: the vocabulary is the widest matrix of a small model.
        output = self.model.get_output_embeddings()
        path = next(name for name, module in head.named_modules() if module is output)
        rows = {name: tensor[vocabulary] for name, tensor in output.named_parameters(path)}
        return functional_call(head, rows, (hidden,))

    def answer_logits(self, inputs, answer, vocabulary=None):
        """Logits at one slot per example.

        >>> bb.answer_logits(inputs, answer=torch.tensor([0, 0]), vocabulary=task.label_ids(bb))     # [2, labels]

        `answer` [batch] indexes the last hidden states (the decoder's, for an encoder–decoder); the head sees nothing
        else. Returns float32 [batch, V], or [batch, len(vocabulary)]. Gradients flow to `inputs_embeds`.
        """
        hidden = self.run(inputs)
        rows = torch.arange(len(answer), device=hidden.device)
        return self.head(hidden[rows, answer.to(hidden.device)], vocabulary).float()

    def record(self, layers=None, positions=None, before=False, grad=False, stop=False):
        """Keep neurons of forward passes; see `skillkit.neurons.record`."""
        return record(self, layers, positions, before, grad, stop)

    def save(self, folder):
        """Write model and tokenizer as an ordinary checkpoint (safetensors) that `load_backbone` reads."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @cached_property
    def _position_table(self):
        named = self.row.positions not in ("rotary", "relative")
        return self.model.base_model.get_submodule(self.row.positions) if named else None

    @property
    def _first_position(self):
        # RoBERTa-like tables keep a row for padding; the first token comes right after it.
        padding = getattr(self._position_table, "padding_idx", None)
        return 0 if padding is None else padding + 1

    def _encode(self, inputs):
        return self.model.base_model(**inputs).last_hidden_state

    def _continue(self, inputs):
        # A cache would only cost memory here: nothing is generated.
        return self.model.base_model(**inputs, use_cache=False).last_hidden_state

    def _encode_decode(self, inputs):
        # The base model of T5 is the whole model, whose head would run at every slot.
        decoder = {k.removeprefix("decoder_"): v for k, v in inputs.items() if k.startswith("decoder_")}
        encoder = {k: v for k, v in inputs.items() if not k.startswith("decoder_")}
        hidden = self.model.encoder(**encoder).last_hidden_state
        mask = inputs.get("attention_mask")
        return self.model.decoder(
            **decoder, encoder_hidden_states=hidden, encoder_attention_mask=mask, use_cache=False
        ).last_hidden_state

    _FORWARD = {"masked": _encode, "causal": _continue, "seq2seq": _encode_decode}


_NOT_OF_THE_MODEL = ("_name_or_path", "transformers_version", "dtype", "architectures")


def load_backbone(name, device="auto", dtype="auto", device_map=None, revision=None):
    """Load a frozen backbone and its tokenizer.

    >>> bb = load_backbone("embedded/roberta")
    >>> bb = load_backbone("google/t5-v1_1-base", dtype="bfloat16", device_map="auto", revision="main")

    name        "embedded/…", a folder, or a model id of the Hugging Face hub
    device      "auto" (cuda when there is one, else cpu) or any torch device; not used with a `device_map`
    dtype       "auto" (float32, whatever the checkpoint stores), or "bfloat16", "float16", torch.float64, …
    device_map, revision   handed to `from_pretrained`

    Raises SkillkitError for a wrong name, an unreachable hub, an unknown architecture, missing weights. Remote code
    is never run, and weights are read from safetensors or with `weights_only`.
    """
    source, dtype = _source(name), _dtype(dtype)
    options = {"revision": revision} if revision else {}
    row, config = _recognised(name, _read(AutoConfig, name, source, options))
    tokenizer = _read(AutoTokenizer, name, source, options)
    model, info = _read(
        AUTO_CLASS[row.family],
        name,
        source,
        {**options, "config": config, "dtype": dtype, "device_map": device_map, "output_loading_info": True},
    )
    lost = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if lost:
        raise SkillkitError(
            f"the checkpoint {name!r} lacks {len(lost)} weights that {type(model).__name__} needs, such as {lost[0]}; "
            "use one that was saved with its language-model head"
        )
    if device_map is None:
        model.to(_device(device))
    return from_model(model, tokenizer, name)


def from_model(model, tokenizer, name="model"):
    """Wrap a `transformers` model with a language-model head that is already in memory; freezes it in place.

    >>> bb = from_model(RobertaForMaskedLM(config), tokenizer, name="mine")
    """
    row, _ = _recognised(name, model.config)
    if tokenizer.pad_token is None:
        # Causal models often come without one. Padding is masked, so any token will do; the end token is always there.
        tokenizer.pad_token = tokenizer.eos_token
    return Backbone(model, tokenizer, name, row)


def list_backbones():
    """Names that `load_backbone` takes, with one line each; any other folder or hub id of a known architecture works too.

    >>> list_backbones()["roberta-base"]
    """
    embedded = {f"embedded/{folder.parent.name}": _one_line(folder) for folder in sorted(EMBEDDED.glob("*/config.json"))}
    return embedded | _ON_THE_HUB


_ON_THE_HUB = {
    "bert-base-cased": "masked, 12 layers × 3072 neurons, English (hub)",
    "roberta-base": "masked, 12 layers × 3072 neurons, English (hub)",
    "xlm-roberta-base": "masked, 12 layers × 3072 neurons, 100 languages (hub)",
    "gpt2": "causal, 12 layers × 3072 neurons, English (hub)",
    "EleutherAI/gpt-neo-125m": "causal, 12 layers × 3072 neurons, English (hub)",
    "t5-base": "seq2seq, 12 + 12 layers × 3072 neurons, English (hub)",
    "google/t5-v1_1-base": "seq2seq, gated, 12 + 12 layers × 2048 neurons, English (hub)",
}


def _one_line(config_file):
    config = AutoConfig.from_pretrained(config_file.parent)
    return f"{NEURON_TABLE[config.model_type].family}, {config.num_hidden_layers} layers, small world (embedded)"


def _modules(base, paths, depths):
    return [base.get_submodule(path.format(i)) for path, n in zip(paths, depths, strict=True) for i in range(n)]


def _source(name):
    """What `from_pretrained` is given: a folder that exists, or a hub id."""
    folder = EMBEDDED.parent / name if str(name).startswith("embedded/") else Path(name).expanduser()
    if (folder / "config.json").is_file():
        return str(folder)
    if str(name).startswith("embedded/"):
        known = [key for key in list_backbones() if key.startswith("embedded/")]
        raise SkillkitError(f"no backbone {name!r} is shipped; there are {', '.join(known) or 'none'}")
    if folder.is_dir():
        raise SkillkitError(f"the folder {name} has no config.json; give the folder that `save_pretrained` wrote")
    if folder.is_absolute() or str(name).startswith((".", "~")) or str(name).count("/") > 1:
        raise SkillkitError(f"there is no folder {name}; give a folder with config.json, or a hub id like roberta-base")
    return str(name)


def _read(auto_class, name, source, options):
    try:
        return auto_class.from_pretrained(source, trust_remote_code=False, **options)
    except Exception as error:
        raise SkillkitError(_problem(name, source, error)) from error


def _problem(name, source, error):
    text, cause = " ".join(str(error).split()), type(error.__cause__).__name__
    if isinstance(error, ValueError) and "model type" in text:
        return f"the architecture of {name!r} is not known to the installed transformers: {text[:160]}"
    if Path(source).is_dir():
        return f"the checkpoint in {name} cannot be read ({text[:200]}); save it again with `save_pretrained`"
    if "connect" in text or "offline" in text.lower() or cause in ("LocalEntryNotFoundError", "OfflineModeIsEnabled"):
        return f"{name!r} is not on this machine and the hub cannot be reached; go online, or give a folder"
    return f"the hub has no usable model {name!r} ({text[:200]}); see skillkit.list_backbones() for names that work"


def _recognised(name, config):
    row = NEURON_TABLE.get(config.model_type)
    if row is None:
        raise SkillkitError(
            f"{name!r} has the unknown architecture {config.model_type!r}; add a row "
            f"NEURON_TABLE[{config.model_type!r}] to skillkit/backbones.py (known: {', '.join(NEURON_TABLE)})"
        )
    return row, config


def _dtype(dtype):
    # By itself `from_pretrained` would keep a checkpoint's half precision: too coarse to compare activations.
    found = torch.float32 if dtype == "auto" else getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise SkillkitError(f"dtype {dtype!r} is not a floating-point type; try 'auto', 'float32' or 'bfloat16'")
    return found


def _device(device):
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise SkillkitError(f"device {device!r} cannot be used here; try 'cpu' or 'auto'") from error
