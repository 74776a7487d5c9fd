"""A tiny random Llama as a GGUF file, and the same model in memory.

>>> bb = write_gguf("model.gguf"); load_backbone("model.gguf").answer_logits(...)
"""

import json

import numpy as np
import pytest
import torch
import transformers

from skillkit.models.backbone import from_model
from tests.tiny import HIDDEN, NEURONS, POSITIONS, randomise, tiny_tokenizer

HEADS, KEY_HEADS, LAYERS = 4, 2, 3
_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def write_gguf(path, architecture="llama", seed=0, change=None):
    """Write the file, and return its backbone; `change` may do something to the writer before its end."""
    gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")
    tokenizer = tiny_tokenizer("gpt2")
    config = transformers.LlamaConfig(
        hidden_size=HIDDEN, intermediate_size=NEURONS, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS, max_position_embeddings=POSITIONS, vocab_size=len(tokenizer),
        tie_word_embeddings=True, rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    randomise(model, torch.Generator().manual_seed(seed))
    writer = gguf.GGUFWriter(path, architecture)
    _describe(writer, config, tokenizer)
    for name, weight in model.base_model.named_parameters():
        writer.add_tensor(_renamed(name), _stored(name, weight.detach().numpy()))
    if change:
        change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return from_model(model, tokenizer, "tiny/gguf")


def _describe(writer, config, tokenizer):
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(NEURONS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokenizer))
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    writer.add_token_types([3] + [1] * (len(tokenizer) - 1))  # the first one is special
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_chat_template("{{ messages }}")


def _renamed(name):
    parts = name.split(".")
    if parts[0] == "layers":
        return f"blk.{parts[1]}.{_NAMES['.'.join(parts[2:-1])]}.weight"
    return {"embed_tokens": "token_embd", "norm": "output_norm"}[parts[0]] + ".weight"


def _stored(name, weight):
    """llama.cpp turns neighbours where transformers turns halves: rows of queries and keys stand in another order."""
    heads = {"q_proj": HEADS, "k_proj": KEY_HEADS}.get(name.split(".")[-2])
    if heads is None:
        return weight
    split = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(weight.shape))
