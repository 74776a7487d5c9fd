"""Every row of the table against plain `transformers`, and configurations that no row tells the truth about."""

import pytest
import torch
import transformers

from skillkit.models.architectures import NEURON_TABLE
from skillkit.models.backbone import from_model
from tests.helpers import refused
from tests.tiny import tiny_tokenizer
from tests.toys import toy_task

_SMALL = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, initializer_range=0.5
)
_CAUSAL = _SMALL | dict(num_key_value_heads=2, pad_token_id=0)
_T5 = dict(
    d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0, initializer_factor=3.0
)
_SCALED = dict(logits_scaling=8.0, residual_multiplier=0.2, embedding_multiplier=3.0)
CONFIGS = {
    "camembert": ("Camembert", "roberta", _SMALL | dict(pad_token_id=1, type_vocab_size=1)),
    "electra": ("Electra", "bert", _SMALL | dict(embedding_size=16)),
    "qwen2": ("Qwen2", "gpt2", _CAUSAL),
    "qwen3": ("Qwen3", "gpt2", _CAUSAL | dict(head_dim=8)),
    "mistral": ("Mistral", "gpt2", _CAUSAL | dict(sliding_window=3)),
    "gemma": ("Gemma", "gpt2", _CAUSAL | dict(head_dim=8)),
    "gemma2": ("Gemma2", "gpt2", _CAUSAL | dict(head_dim=8, final_logit_softcapping=2.0)),
    "olmo": ("Olmo", "gpt2", _CAUSAL | dict(clip_qkv=2.0)),
    "smollm3": ("SmolLM3", "gpt2", _CAUSAL),
    "granite": ("Granite", "gpt2", _CAUSAL | _SCALED),
    "mt5": ("MT5", "t5", _T5),
    "umt5": ("UMT5", "t5", _T5),
    "umt5, untied": ("UMT5", "t5", _T5 | dict(tie_word_embeddings=False)),
}
_AUTO = {"masked": "MaskedLM", "causal": "CausalLM", "seq2seq": "Seq2SeqLM"}


def small(name, **changes):
    kind, tokenizer, options = CONFIGS[name]
    tokenizer = tiny_tokenizer(tokenizer)
    config = getattr(transformers, f"{kind}Config")(vocab_size=len(tokenizer), **options | changes)
    torch.manual_seed(0)
    auto = getattr(transformers, f"AutoModelFor{_AUTO[NEURON_TABLE[config.model_type].family]}")
    return from_model(auto.from_config(config).eval(), tokenizer, name)


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_logits_of_label_words_are_those_of_plain_transformers(name):
    bb, words = small(name), toy_task().label_ids
    inputs = dict(bb.tokenizer("the movie was good and i liked it", return_tensors="pt"))
    start = {"decoder_input_ids": torch.zeros(1, 1, dtype=torch.long)} if bb.family == "seq2seq" else {}
    own = bb.model(**inputs, **start).logits[:, -1, words(bb)]
    last = torch.tensor([0 if start else inputs["input_ids"].shape[1] - 1])
    ours = bb.answer_logits(inputs | start, last, words(bb))
    torch.testing.assert_close(ours, own, atol=1e-4, rtol=1e-4)
    assert own.std() > 1e-3 and bb.plain_sum == (name not in ("gemma2", "granite"))
    whole = bb.head(bb.run(inputs | start))[:, -1, words(bb)]
    torch.testing.assert_close(whole, own, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "changes", "message"), [
    ("camembert", {"is_decoder": True}, "is a decoder"),
    ("camembert", {"position_embedding_type": "relative_key"}, "has relative_key positions"),
    ("qwen2", {"final_logit_softcapping": 3.0}, r"final_logit_softcapping=3.0"),
    ("mistral", {"logits_scaling": 2.0}, "after the head .logits_scaling"),
    ("olmo", {"logit_scale": 0.1}, "after the head"),
    ("gemma", {"lm_head_multiplier": 0.1}, "after the head"),
])  # fmt: skip
def test_what_no_row_says_is_refused(name, changes, message):
    refused(message, small, name, **changes)
    small(name, **{key: False if value is True else None for key, value in changes.items()})
