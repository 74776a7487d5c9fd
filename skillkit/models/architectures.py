"""Where each architecture keeps its neurons: data, one row per `model_type`.

>>> NEURON_TABLE["gpt2"].value
('h.{}.mlp.c_proj',)

A model whose type is not here needs a new row, and nothing else.
"""

import re
from dataclasses import dataclass, replace

from skillkit.core.errors import SkillkitError


@dataclass(frozen=True)
class NeuronRow:
    """Where one architecture keeps its neurons; `{}` stands for the layer, paths start at `model.base_model`.

    >>> NeuronRow("causal", value=("h.{}.mlp.out",), activation=("h.{}.mlp.act",), head="lm_head",
    ...           positions="rotary").width
    'intermediate_size'

    family      "masked", "causal" or "seq2seq"; chooses the Auto class and where the answer is read
    value       the second feed-forward matrix, whose input the neurons are; one path per stack
    activation  the activation function, whose input is the pre-activation (in gated networks the gate's); the
                module that holds it must be the one that is given the hidden states
    head        the language-model head, from the model itself: hidden states → logits; blanks part modules that
                follow each other
    positions   path of the position-embedding table; "rotary" (position ids, no table); "relative" (neither)
    transposed  the weight is stored [neurons, hidden], as by GPT-2's Conv1D, not [hidden, neurons]
    width       the configuration's name for the number of neurons in a layer
    head_scale  name of a config flag: when true, hidden states are divided by √hidden before the head
    block_norm  the norm over the sum of residual and network, where it comes last in a block (post-norm)
    final_norm  the norm between the last block and the last hidden states; one path per stack
    attention   self-attention that goes both ways and whose `query`, `key` and `value` read a block's input as
                it is; with it the last block need not be computed at all tokens (`skillkit.models.fast.attention`)
    """

    family: str
    value: tuple[str, ...]
    activation: tuple[str, ...]
    head: str
    positions: str
    transposed: bool = False
    width: str = "intermediate_size"
    head_scale: str | None = None
    block_norm: str | None = None
    final_norm: tuple[str, ...] = ()
    attention: str | None = None

    @property
    def stacks(self):
        """Paths of the lists that hold the blocks, one per stack.

        >>> NEURON_TABLE["gpt2"].stacks
        ('h',)
        """
        return tuple(path.partition(".{}")[0] for path in self.value)


_BERT = NeuronRow(
    "masked",
    value=("encoder.layer.{}.output.dense",),
    activation=("encoder.layer.{}.intermediate.intermediate_act_fn",),
    head="cls", positions="embeddings.position_embeddings",
    block_norm="encoder.layer.{}.output.LayerNorm", attention="encoder.layer.{}.attention.self",
)  # fmt: skip
_ROBERTA = replace(_BERT, head="lm_head")
_GPT_NEO = NeuronRow(
    "causal", value=("h.{}.mlp.c_proj",), activation=("h.{}.mlp.act",), head="lm_head", positions="wpe",
    final_norm=("ln_f",),
)  # fmt: skip
_LLAMA = NeuronRow(
    "causal", value=("layers.{}.mlp.down_proj",), activation=("layers.{}.mlp.act_fn",), head="lm_head",
    positions="rotary", final_norm=("norm",),
)  # fmt: skip
_T5 = NeuronRow(
    "seq2seq",
    value=("encoder.block.{}.layer.1.DenseReluDense.wo", "decoder.block.{}.layer.2.DenseReluDense.wo"),
    activation=("encoder.block.{}.layer.1.DenseReluDense.act", "decoder.block.{}.layer.2.DenseReluDense.act"),
    head="lm_head", positions="relative", width="d_ff", head_scale="scale_decoder_outputs",
    final_norm=("encoder.final_layer_norm", "decoder.final_layer_norm"),
)  # fmt: skip
_LIKE_LLAMA = ["llama", "qwen2", "qwen3", "mistral", "gemma", "olmo", "smollm3", "gemma2", "granite"]

NEURON_TABLE = {
    "bert": _BERT,
    **dict.fromkeys(["roberta", "xlm-roberta", "camembert"], _ROBERTA),
    "xlm-roberta-xl": replace(_ROBERTA, block_norm=None, attention=None, final_norm=("encoder.LayerNorm",)),
    "electra": replace(_BERT, head="generator_predictions generator_lm_head", attention=None),
    "gpt2": replace(_GPT_NEO, transposed=True, width="n_inner"),
    "gpt_neo": _GPT_NEO,
    **dict.fromkeys(_LIKE_LLAMA, _LLAMA),
    "t5": _T5,
    "mt5": replace(_T5, head_scale=None),
    "umt5": replace(_T5, head_scale="tie_word_embeddings"),
}
# Names in configurations of what is done to logits after the head, and what `Backbone.head` does as the model does.
DIVISORS, CAPS = {"granite": "logits_scaling"}, {"gemma2": "final_logit_softcapping"}
_BEHIND_HEAD = re.compile(
    r"(?!attn|attention).*logits?_(soft_?cap|scal|multipl)|lm_head_(scal|multipl)|output_multipl"
)


def row_of(name, config):
    """The row for a configuration, or SkillkitError saying which row to add; `name` is for the message.

    >>> row_of("mine", bb.model.config).family
    'masked'
    """
    row = NEURON_TABLE.get(config.model_type)
    if row is None:
        kind = config.model_type
        add = f"add the row NEURON_TABLE[{kind!r}] in skillkit/models/architectures.py"
        there = ", ".join(NEURON_TABLE)
        raise SkillkitError(f"{name!r} has the unknown architecture {kind!r}; {add} (rows there: {there})")
    if row.family == "masked" and getattr(config, "is_decoder", False):
        blind = "no token sees what comes after it, so a mask cannot be filled"
        raise SkillkitError(
            f"{name!r} is a decoder (is_decoder in its configuration): {blind}; take a checkpoint without"
        )
    relative = getattr(config, "position_embedding_type", None) or "absolute"
    if (
        relative != "absolute" and row.family == "masked"
    ):  # `transformers` 5 drops their weights, and says nothing
        raise SkillkitError(
            f"{name!r} has {relative} positions, which are not computed; take one with absolute ones"
        )
    known = DIVISORS.get(config.model_type), CAPS.get(config.model_type)
    for key, value in config.to_dict().items():
        plain = key in known or value in (None, False, 1) or "init" in key
        if not plain and _BEHIND_HEAD.match(key):
            does = f"changes its logits after the head ({key}={value!r}), which skillkit does not do"
            needs = "it needs an entry in DIVISORS or CAPS in skillkit/models/architectures.py"
            raise SkillkitError(f"{name!r} {does}; {needs}")
    return row
