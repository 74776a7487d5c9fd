"""Tiny random backbones of every architecture, with real tokenizers made in memory.

>>> bb = tiny_backbone("roberta")
>>> bb.run(bb.tokenizer("the movie was good", return_tensors="pt")).shape
torch.Size([1, 6, 32])
"""

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
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!:'-"
TINY_MODELS = (
    "bert",
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "gpt2",
    "gpt_neo",
    "t5",
    "t5-gated",
    "llama",
)
HIDDEN, NEURONS, HEADS, POSITIONS = 32, 48, 4, 128


def tiny_backbone(model_type, seed=0, layers=3):
    """A random backbone of one of TINY_MODELS: hidden 32, 48 neurons, 128 positions, `layers` layers.

    The decoder of the T5s has one layer less, so that mixing up the stacks shows. "t5-gated" has head weights
    of its own. Every parameter is random, biases and layer norms too: no test passes because of a zero.
    """
    tokenizer = tiny_tokenizer(model_type)
    model = _MODELS[model_type](layers, len(tokenizer), tokenizer)
    _randomise(model, torch.Generator().manual_seed(seed))
    return from_model(model, tokenizer, name=f"tiny/{model_type}")


def tiny_tokenizer(model_type):
    """WordPiece (BERT), byte-level BPE (RoBERTa, GPTs) or Unigram (XLM-R, T5, Llama); all know WORDS."""
    return _TOKENIZERS[model_type]()


def _randomise(model, generator):
    embeddings = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 1:
                weight.copy_(
                    0.3 * noise + ("norm" in name.lower() or "ln_" in name) * name.endswith("weight")
                )
            else:
                weight.copy_(noise * (0.5 if id(weight) in embeddings else 1.5 * HIDDEN**-0.5))


def _masked(config_class, model_class, **options):
    def make(layers, vocabulary, tokenizer):
        config = config_class(
            vocab_size=vocabulary,
            hidden_size=HIDDEN,
            num_hidden_layers=layers,
            num_attention_heads=HEADS,
            intermediate_size=NEURONS,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **options,
        )
        return model_class(config)

    return make


def _gpt2(layers, vocabulary, tokenizer):
    config = transformers.GPT2Config(
        vocab_size=vocabulary,
        n_embd=HIDDEN,
        n_layer=layers,
        n_head=HEADS,
        n_inner=NEURONS,
        n_positions=POSITIONS,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return transformers.GPT2LMHeadModel(config)


def _gpt_neo(layers, vocabulary, tokenizer):
    config = transformers.GPTNeoConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        num_layers=layers,
        num_heads=HEADS,
        intermediate_size=NEURONS,
        max_position_embeddings=POSITIONS,
        window_size=8,
        attention_types=[[[("global", "local")[i % 2]], 1] for i in range(layers)],
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return transformers.GPTNeoForCausalLM(config)


def _llama(layers, vocabulary, tokenizer):
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS // 2,
        intermediate_size=NEURONS,
        max_position_embeddings=POSITIONS,
        mlp_bias=True,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return transformers.LlamaForCausalLM(config)


def _t5(gated):
    def make(layers, vocabulary, tokenizer):
        config = transformers.T5Config(
            vocab_size=vocabulary,
            d_model=HIDDEN,
            d_kv=HIDDEN // HEADS,
            d_ff=NEURONS,
            num_layers=layers,
            num_decoder_layers=max(1, layers - 1),
            num_heads=HEADS,
            feed_forward_proj="gated-gelu" if gated else "relu",
            tie_word_embeddings=not gated,  # what T5 1.1 checkpoints say; it means "no scale before the head"
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
        )
        model = transformers.T5ForConditionalGeneration(config)
        if gated:
            model.lm_head.weight = torch.nn.Parameter(torch.empty(vocabulary, HIDDEN))
        return model

    return make


def _word_piece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *dict.fromkeys([*WORDS, *CHARACTERS]), *(f"##{c}" for c in CHARACTERS)]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ids = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ids
    )
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return _wrap(tokenizer, names, ["input_ids", "token_type_ids", "attention_mask"])


def _byte_level(special):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=1,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # Each word at the start of a text and after a space: both forms become one token.
    tokenizer.train_from_iterator([form for word in WORDS for form in (word, f" {word}")], trainer)
    return tokenizer


def _roberta_tokenizer():
    tokenizer = _byte_level(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = {
        "bos": "<s>",
        "pad": "<pad>",
        "eos": "</s>",
        "unk": "<unk>",
        "cls": "<s>",
        "sep": "</s>",
        "mask": "<mask>",
    }
    return _wrap(tokenizer, names)


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
    names = {
        "bos": "<s>",
        "pad": "<pad>",
        "eos": "</s>",
        "unk": "<unk>",
        "cls": "<s>",
        "sep": "</s>",
        "mask": "<mask>",
    }
    return _unigram(special, ("<s> $A </s>", "<s> $A </s> </s> $B </s>"), names)


def _t5_tokenizer():
    special = ["<pad>", "</s>", "<unk>", *(f"<extra_id_{i}>" for i in range(4))]
    names = {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}
    return _unigram(special, ("$A </s>", "$A </s> $B </s>"), names)


def _llama_tokenizer():
    names = {"unk": "<unk>", "bos": "<s>", "eos": "</s>"}
    return _unigram(["<unk>", "<s>", "</s>"], ("<s> $A", "<s> $A <s>:1 $B:1"), names)


def _wrap(tokenizer, names, inputs=("input_ids", "attention_mask")):
    names = {f"{name}_token": token for name, token in names.items()}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=list(inputs), **names
    )


_OFFSET = {"max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1}
_MODELS = {
    "bert": _masked(transformers.BertConfig, transformers.BertForMaskedLM, max_position_embeddings=POSITIONS),
    "roberta": _masked(transformers.RobertaConfig, transformers.RobertaForMaskedLM, **_OFFSET),
    "xlm-roberta": _masked(transformers.XLMRobertaConfig, transformers.XLMRobertaForMaskedLM, **_OFFSET),
    "xlm-roberta-xl": _masked(
        transformers.XLMRobertaXLConfig, transformers.XLMRobertaXLForMaskedLM, **_OFFSET
    ),
    "gpt2": _gpt2,
    "gpt_neo": _gpt_neo,
    "llama": _llama,
    "t5": _t5(gated=False),
    "t5-gated": _t5(gated=True),
}
_TOKENIZERS = {
    "bert": _word_piece,
    "roberta": _roberta_tokenizer,
    "xlm-roberta": _xlm_tokenizer,
    "xlm-roberta-xl": _xlm_tokenizer,
    "gpt2": _gpt_tokenizer,
    "gpt_neo": _gpt_tokenizer,
    "llama": _llama_tokenizer,
    "t5": _t5_tokenizer,
    "t5-gated": _t5_tokenizer,
}
