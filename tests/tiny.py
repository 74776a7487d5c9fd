"""Tiny random backbones of every architecture, with real tokenizers made in memory.

>>> bb = tiny_backbone("roberta")
>>> bb.run(bb.tokenizer("the movie was good", return_tensors="pt")).shape
torch.Size([1, 6, 32])
"""

import copy
import functools

import pytest
import torch
import transformers
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from skillkit.models.backbone import from_model

_SOME_ENGLISH = """
the a an movie film story food place phone was is it not and but i you they we good bad great terrible
awful nice poor yes no maybe true false positive negative neutral moderate conflict acceptable
unacceptable very really never watch liked hated boring fun paris london berlin france england germany
capital of in city sport science politics music overall also because so if then 1 2 3 . , ? ! : who what
where does entailment contradiction
"""
WORDS = _SOME_ENGLISH.split()
_ROBERTA_NAMES = dict(bos="<s>", pad="<pad>", eos="</s>", unk="<unk>", cls="<s>", sep="</s>", mask="<mask>")
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!:'-"
HIDDEN, NEURONS, HEADS, POSITIONS = 32, 48, 4, 128


def tiny_backbone(model_type, seed=0, layers=3):
    """A random backbone of one of TINY_MODELS: hidden 32, 48 neurons, 128 positions, `layers` layers.

    The decoder of the T5s has one layer less, so that mixing up the stacks shows. "t5-gated" has head weights
    of its own. Every parameter is random, biases and layer norms too: no test passes because of a zero.
    """
    return from_model(*copy.deepcopy(_made(model_type, seed, layers)), name=f"tiny/{model_type}")


@functools.cache
def _made(model_type, seed, layers):
    tokenizer, (_, model_class, depth, options) = tiny_tokenizer(model_type), _MODELS[model_type]
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    if model_type.startswith("t5"):
        ids |= {"num_decoder_layers": max(1, layers - 1), "decoder_start_token_id": ids["pad_token_id"]}
    if model_type == "gpt_neo":
        ids["attention_types"] = [[[("global", "local")[i % 2]], 1] for i in range(layers)]
    config = model_class.config_class(vocab_size=len(tokenizer), **{depth: layers}, **ids, **options)
    model = model_class(config)
    if model_type == "t5-gated":
        model.lm_head.weight = torch.nn.Parameter(torch.empty(len(tokenizer), HIDDEN))
    randomise(model, torch.Generator().manual_seed(seed))
    return model, tokenizer


def tiny_tokenizer(model_type):
    """WordPiece (BERT), byte-level BPE (RoBERTa, GPTs) or Unigram (XLM-R, T5, Llama); all know WORDS."""
    make, *_ = _MODELS[model_type]
    return make()


def randomise(model, generator):
    """Fill all parameters, of sizes that let every part of the model matter."""
    embeddings = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 1:
                scale = ("norm" in name.lower() or "ln_" in name) and name.endswith("weight")
                weight.copy_(0.3 * noise + scale)
            else:
                weight.copy_(noise * (0.5 if id(weight) in embeddings else 1.5 * HIDDEN**-0.5))


def _word_piece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *dict.fromkeys([*WORDS, *CHARACTERS]), *(f"##{c}" for c in CHARACTERS)]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return _wrap(tokenizer, names, ["input_ids", "token_type_ids", "attention_mask"])


def _byte_level(special):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    options = dict(vocab_size=4000, min_frequency=1, special_tokens=special, show_progress=False)
    trainer = trainers.BpeTrainer(**options, initial_alphabet=letters)
    # Each word at the start of a text and after a space: both forms become one token.
    tokenizer.train_from_iterator([form for word in WORDS for form in (word, f" {word}")], trainer)
    return tokenizer


def _roberta_tokenizer():
    tokenizer = _byte_level(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return _wrap(tokenizer, _ROBERTA_NAMES)


def _gpt_tokenizer():
    end = "<|endoftext|>"
    return _wrap(_byte_level([end]), {"bos": end, "eos": end, "unk": end})


def _unigram(special, template, names):
    words = [(f"▁{word}", -5.0) for word in WORDS]
    letters = [(letter, -12.0) for letter in ("▁", *CHARACTERS)]
    pieces = [*((token, 0.0) for token in special), *words, *letters]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=special.index("<unk>")))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken(token, lstrip=token == "<mask>") for token in special])
    ids = [(token, tokenizer.token_to_id(token)) for token in special]
    tokenizer.post_processor = processors.TemplateProcessing(*template, ids)
    return _wrap(tokenizer, names)


def _xlm_tokenizer():
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    return _unigram(special, ("<s> $A </s>", "<s> $A </s> </s> $B </s>"), _ROBERTA_NAMES)


def _t5_tokenizer():
    special = ["<pad>", "</s>", "<unk>", *(f"<extra_id_{i}>" for i in range(4))]
    names = {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}
    return _unigram(special, ("$A </s>", "$A </s> $B </s>"), names)


def _llama_tokenizer():
    names = {"unk": "<unk>", "bos": "<s>", "eos": "</s>"}
    return _unigram(["<unk>", "<s>", "</s>"], ("<s> $A", "<s> $A <s>:1 $B:1"), names)


def _wrap(tokenizer, names, inputs=("input_ids", "attention_mask")):
    options = {f"{name}_token": token for name, token in names.items()} | {"model_input_names": list(inputs)}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)


_USUAL = dict(hidden_size=HIDDEN, num_attention_heads=HEADS, intermediate_size=NEURONS)
_BERT = _USUAL | dict(max_position_embeddings=POSITIONS)
_ROBERTA = _BERT | dict(max_position_embeddings=POSITIONS + 2, type_vocab_size=1)
_GPT2 = dict(n_embd=HIDDEN, n_head=HEADS, n_inner=NEURONS, n_positions=POSITIONS)
_GPT_NEO = _BERT | dict(num_heads=HEADS, window_size=8)
del _GPT_NEO["num_attention_heads"]  # whose name in this configuration is another
_LLAMA = _BERT | dict(num_key_value_heads=HEADS // 2, mlp_bias=True, tie_word_embeddings=True)
_T5 = dict(d_model=HIDDEN, d_kv=HIDDEN // HEADS, d_ff=NEURONS, num_heads=HEADS)
_T5_TIED = _T5 | dict(tie_word_embeddings=True)
# What T5 1.1 checkpoints say of tied embeddings; it means "no scale before the head".
_T5_GATED = _T5 | dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False)
_MODELS = {
    "bert": (_word_piece, transformers.BertForMaskedLM, "num_hidden_layers", _BERT),
    "roberta": (_roberta_tokenizer, transformers.RobertaForMaskedLM, "num_hidden_layers", _ROBERTA),
    "xlm-roberta": (_xlm_tokenizer, transformers.XLMRobertaForMaskedLM, "num_hidden_layers", _ROBERTA),
    "xlm-roberta-xl": (_xlm_tokenizer, transformers.XLMRobertaXLForMaskedLM, "num_hidden_layers", _ROBERTA),
    "gpt2": (_gpt_tokenizer, transformers.GPT2LMHeadModel, "n_layer", _GPT2),
    "gpt_neo": (_gpt_tokenizer, transformers.GPTNeoForCausalLM, "num_layers", _GPT_NEO),
    "t5": (_t5_tokenizer, transformers.T5ForConditionalGeneration, "num_layers", _T5_TIED),
    "t5-gated": (_t5_tokenizer, transformers.T5ForConditionalGeneration, "num_layers", _T5_GATED),
    "llama": (_llama_tokenizer, transformers.LlamaForCausalLM, "num_hidden_layers", _LLAMA),
}
TINY_MODELS = tuple(_MODELS)


def families(*quick, slow=TINY_MODELS):
    """Parametrise a test by `model`: these, and others that run in the whole suite only."""
    return pytest.mark.parametrize("model", [*quick, *map(slowly, (one for one in slow if one not in quick))])


def slowly(*values):
    """The values of a case that runs in the whole suite only."""
    return pytest.param(*values, marks=pytest.mark.slow)


every_family = families("roberta", "gpt2", "t5")
