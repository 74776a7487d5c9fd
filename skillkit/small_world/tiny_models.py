"""Tokenizers and empty models of the embedded backbones, all made from the small world's own text.

>>> tokenizer = sk.load_backbone("embedded/roberta").tokenizer        # or roberta_tokenizer(seed=0), which trains it
>>> roberta(tokenizer).num_parameters()
1543347

RoBERTa and GPT-2 get byte-level BPE, BERT WordPiece, T5 SentencePiece. All models use ReLU, whose zeros make "this
neuron is active" well defined.
"""

import io
import itertools
import json

import sentencepiece
import transformers
from tokenizers import AddedToken, ByteLevelBPETokenizer

from skillkit.small_world.corpus import documents

VOCABULARY = 3000
_BERT_SHAPE = dict(
    hidden_size=128, num_hidden_layers=6, num_attention_heads=4, intermediate_size=512, max_position_embeddings=256,
    hidden_act="relu", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip


def _lines(seed, count=40_000):
    for document in itertools.islice(documents(f"tokenizer/{seed}"), count):
        yield " ".join(filter(None, (document.heading, document.text, document.pair)))


def _byte_level(lines, specials):
    """Vocabulary and merges of a byte-level BPE."""
    tokenizer = ByteLevelBPETokenizer(add_prefix_space=True)
    options = dict(min_frequency=3, show_progress=False, special_tokens=specials)
    tokenizer.train_from_iterator(lines, VOCABULARY, **options)
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    return dict(vocab=tokenizer.get_vocab(), merges=merges)


def roberta_tokenizer(seed):
    """Byte-level BPE with RoBERTa's special tokens.

    >>> roberta_tokenizer(seed=0).tokenize("the capital")             # doctest: +SKIP
    ['Ġthe', 'Ġcapital']
    """
    parts = _byte_level(_lines(seed), ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    parts["mask_token"] = AddedToken("<mask>", lstrip=True, special=True)
    return transformers.RobertaTokenizer(**parts, add_prefix_space=True, model_max_length=254)


def gpt2_tokenizer(seed):
    """Byte-level BPE whose one special token ends a text.

    >>> gpt2_tokenizer(seed=0).all_special_tokens                      # doctest: +SKIP
    ['<|endoftext|>']
    """
    parts = _byte_level(_lines(seed), ["<|endoftext|>"])
    return transformers.GPT2Tokenizer(**parts, add_prefix_space=True, model_max_length=256)


def bert_tokenizer(seed):
    """WordPiece with BERT's special tokens.

    >>> bert_tokenizer(seed=0).tokenize("The capital")                 # doctest: +SKIP
    ['the', 'capital']
    """
    empty = transformers.BertTokenizer()
    trained = empty.train_new_from_iterator(_lines(seed), VOCABULARY, show_progress=False)
    trained.model_max_length = 256
    return trained


def _spelled(lines):
    """The lines, some also with other marks after each word: SentencePiece learns only pieces met in several words."""
    for number, line in enumerate(lines):
        yield line
        if number % 8 == 0:
            yield from (" ".join(word.strip(".,?:") + mark for word in line.split()) for mark in ".?")


def t5_tokenizer(seed):
    """A SentencePiece unigram model, its pieces and scores in T5's order: pad, end, unknown, pieces, sentinels.

    >>> t5_tokenizer(seed=0).convert_ids_to_tokens([0, 1, 2])          # doctest: +SKIP
    ['<pad>', '</s>', '<unk>']
    """
    stored = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_spelled(_lines(seed)), model_writer=stored, vocab_size=2000, model_type="unigram",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2, num_threads=1,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_proto=stored.getvalue())
    vocabulary = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(len(pieces))]
    sentinels = [(f"<extra_id_{i}>", 0.0) for i in range(99, -1, -1)]
    return transformers.T5Tokenizer(vocab=vocabulary + sentinels, model_max_length=512)


def roberta(tokenizer):
    """An empty RoBERTa for this tokenizer.

    >>> roberta(sk.load_backbone("embedded/roberta").tokenizer).num_parameters()
    1543347
    """
    config = transformers.RobertaConfig(vocab_size=len(tokenizer), type_vocab_size=1, **_BERT_SHAPE, **_ends(tokenizer),
                                        pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    return transformers.RobertaForMaskedLM(config)


def bert(tokenizer):
    """An empty BERT for this tokenizer.

    >>> bert(sk.load_backbone("embedded/bert").tokenizer).config.intermediate_size
    512
    """
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), **_BERT_SHAPE, pad_token_id=tokenizer.pad_token_id
    )
    return transformers.BertForMaskedLM(config)


def gpt2(tokenizer):
    """An empty GPT-2 for this tokenizer.

    >>> gpt2(sk.load_backbone("embedded/gpt2").tokenizer).config.activation_function
    'relu'
    """
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_positions=256, n_embd=128, n_layer=6, n_head=4, n_inner=512,
        activation_function="relu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **_ends(tokenizer),
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def t5(tokenizer):
    """An empty T5 for this tokenizer: five layers that read, three that write.

    >>> config = t5(sk.load_backbone("embedded/t5").tokenizer).config
    >>> config.num_layers, config.num_decoder_layers
    (5, 3)
    """
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=128, d_kv=32, d_ff=512, num_layers=5, num_decoder_layers=3, num_heads=4,
        dropout_rate=0.0, feed_forward_proj="relu", decoder_start_token_id=0,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config)


def _ends(tokenizer):
    return dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
