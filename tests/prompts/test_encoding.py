import warnings

import pytest
import torch
import transformers
from tokenizers import processors

from skillkit.models import from_model
from skillkit.prompts import evaluate
from skillkit.prompts.encoding import NARROW, WIDTH_STEP, encode, pair_separator
from skillkit.tasks import Task
from tests.helpers import refused
from tests.tiny import TINY_MODELS, tiny_backbone
from tests.toys import toy_task

BACKBONES = {name: tiny_backbone(name, layers=1) for name in TINY_MODELS}
BERT = BACKBONES["bert"]
TASK, PAIRS = toy_task(50), toy_task(20, pair=True)
encoded = encode(BERT, TASK, TASK["train"], room=9)


@pytest.mark.parametrize("shuffle_seed", [None, 0, (3, 1)])
def test_batches_hold_every_row_once_with_its_label(shuffle_seed):
    batches, found = list(encoded.batches(8, shuffle_seed)), {}
    for batch in batches:
        tokens = [ids[mask.bool()].tolist() for ids, mask in zip(batch.ids, batch.mask, strict=True)]
        found |= dict(zip(batch.index.tolist(), tokens, strict=True))
        assert (batch.labels == torch.tensor(TASK["train"]["label"])[batch.index]).all()
    assert found == dict(enumerate(encoded.ids)) and sum(map(len, batches)) == 50
    assert {batch.ids.shape[1] % WIDTH_STEP for batch in batches} == {0}


@pytest.mark.parametrize("hidden_size", [NARROW - 1, NARROW])
def test_wide_models_are_padded_to_the_longest_text_and_no_further(hidden_size, monkeypatch):
    monkeypatch.setattr(BERT, "hidden_size", hidden_size)
    batches = encode(BERT, TASK, TASK["train"], room=9).batches(8)
    spare = {batch.ids.shape[1] - int(batch.mask.sum(1).max()) for batch in batches}
    assert (spare == {0}) == (hidden_size == NARROW)


def test_order_depends_on_the_seed_alone_and_batches_are_of_similar_length():
    orders = [[list(rows) for rows in encoded.plan(8, seed)] for seed in ((0, 0), (0, 0), (0, 1))]
    assert orders[0] == orders[1] != orders[2]
    lengths = list(map(len, encoded.ids))
    spread = lambda rows: max(lengths[row] for row in rows) - min(lengths[row] for row in rows)
    assert max(map(spread, orders[0])) < spread(range(50)) / 2


@pytest.mark.parametrize("model", TINY_MODELS)
def test_long_texts_lose_their_end_and_are_counted_once(model):
    bb = BACKBONES[model]
    texts = ["good " * 300, "so", "bad " * 200]
    with pytest.warns(UserWarning, match="^2 of 3 texts were longer than 40 tokens") as caught:
        cut = encode(bb, None, {"text": texts}, room=5, max_tokens=40)
    whole = bb.tokenizer("so")["input_ids"]
    assert len(caught) == 1 and cut.ids[1] == whole
    assert [len(ids) for ids in cut.ids][::2] == [40, 40]
    assert bb.family == "causal" or cut.ids[0][-1] == whole[-1]


@pytest.mark.parametrize("model", ["bert", "roberta", "gpt2"])
def test_truncation_leaves_room_for_the_prompt(model):
    bb = BACKBONES[model]
    with pytest.warns(UserWarning, match="lost their end"):
        cut = encode(bb, None, {"text": ["good " * 500]}, room=17)
    assert len(cut.ids[0]) == bb.max_positions - 17 == cut.batch([0]).ids.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode(bb, TASK, TASK["train"], room=9)  # nothing is said when everything fits
    refused(
        "of 125 positions leaves 3 tokens.*128.*shorter prompt", encode, bb, TASK, TASK["train"], room=125
    )


@pytest.mark.parametrize("model", ["bert", "roberta", "xlm-roberta", "t5", "llama"])
def test_pairs_get_the_pair_encoding_of_the_tokenizer(model):
    tokenizer, row = BACKBONES[model].tokenizer, PAIRS["train"][3]
    ids = encode(BACKBONES[model], PAIRS, PAIRS["train"], room=9).ids[3]
    assert ids == tokenizer(row["text"], row["text_pair"])["input_ids"] and pair_separator(tokenizer)


def test_pairs_without_a_separator_of_their_own_get_one():
    tokenizer, row = BACKBONES["gpt2"].tokenizer, PAIRS["train"][3]
    assert pair_separator(tokenizer) == ""
    ids = encode(BACKBONES["gpt2"], PAIRS, PAIRS["train"], room=9).ids[3]
    assert ids.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(ids).split("<|endoftext|>") == [row["text"], row["text_pair"]]


def test_segment_ids_are_for_bert_and_can_be_left_out():
    encoded = lambda model, **options: encode(BACKBONES[model], PAIRS, PAIRS["train"], room=9, **options)
    assert set(encoded("bert").batch([0, 1]).token_types.flatten().tolist()) == {0, 1}
    assert encoded("bert", segments=False).token_types is encoded("roberta").token_types is None
    # Special tokens are not text.
    batch = encoded("roberta").batch([0])
    special = BACKBONES["roberta"].tokenizer.convert_tokens_to_ids(["<s>", "</s>", "<pad>"])
    assert not torch.isin(batch.ids[batch.text], torch.tensor(special)).any()
    assert batch.text.sum() == batch.mask.sum() - 4


def test_template_keeps_its_words_and_its_mask_when_a_text_is_cut():
    template = "{text} overall it was [MASK] because {text_pair} ."
    texts = {"text": ["good " * 100, "so"], "text_pair": ["a movie", "the film"]}
    with pytest.warns(UserWarning, match="1 of 2 texts"):
        cut = encode(BERT, None, texts, room=5, template=template, max_tokens=24)
    words = BERT.tokenizer.convert_ids_to_tokens(cut.ids[0])
    assert len(words) == 24 and words[:2] == ["[CLS]", "good"]
    assert words[-9:] == ["overall", "it", "was", "[MASK]", "because", "a", "movie", ".", "[SEP]"]
    batch = cut.batch([0, 1])
    assert (batch.ids[[0, 1], batch.mask_slot] == BERT.tokenizer.mask_token_id).all()
    # XLM-R's mask takes the space before it along, here the last of the text.
    bb, texts = BACKBONES["xlm-roberta"], {"text": ["good " * 50]}
    with pytest.warns(UserWarning, match="1 of 1 texts"):
        cut = encode(bb, None, texts, room=5, template="{text}[MASK]", max_tokens=16)
    assert cut.ids[0][cut.mask_slot[0]] == bb.tokenizer.mask_token_id


@pytest.mark.parametrize(("model", "template", "message"), [
    ("bert", "{text} " + "good " * 50, "template alone"), ("gpt2", "{text} it was [MASK]", "no mask.*leave"),
    ("roberta", "{text} it was\n[MASK]", "drops the line break before the mask"),
])  # fmt: skip
def test_templates_that_cannot_be_filled(model, template, message):
    refused(message, encode, BACKBONES[model], None, {"text": ["so"]}, 5, template, max_tokens=20)


def test_braces_in_a_text_are_only_braces():
    bb = BACKBONES["roberta"]
    ids = encode(bb, None, {"text": ["a {text_pair} {0}"]}, room=5, template="so {text} .").ids[0]
    assert bb.tokenizer.decode(ids, skip_special_tokens=True) == "so a {text_pair} {0} ."


def causal(post_processor=None, **special):
    """A tiny GPT-2 whose tokenizer appends, or lacks, special tokens."""
    bb = tiny_backbone("gpt2", layers=1)
    if post_processor:
        end = "<|endoftext|>"
        pair, known = f"{post_processor} $B:1 {end}:1", [(end, bb.tokenizer.eos_token_id)]
        both = processors.TemplateProcessing(post_processor, pair, known)
        bb.tokenizer.backend_tokenizer.post_processor = both
    for name, token in special.items():
        setattr(bb.tokenizer, name, token)
    return from_model(bb.model, bb.tokenizer, "gpt")


@pytest.mark.parametrize("template", [None, "{text} it was"])
@pytest.mark.parametrize("room", [0, 4])
def test_appended_end_tokens_are_not_read(template, room):
    rows = {"text": ["the movie was good", "", "good " * 50]}
    with pytest.warns(UserWarning, match="1 of 3"):
        both = (encode(bb, None, rows, room, template, 16) for bb in (causal(), causal("$A <|endoftext|>")))
        plain, other = (one.ids for one in both)
    assert plain == other and bool(plain[1]) == bool(template or not room)


def test_tokenizers_without_pad_end_or_unknown_tokens():
    bb = causal(pad_token=None, eos_token=None, unk_token=None, bos_token=None)
    assert bb.tokenizer.pad_token is None and bb.pad_id == 0
    texts = {"text": ["the movie was good", "so"]}
    batch, plain = (encode(one, None, texts, 4).batch([0, 1]) for one in (bb, causal()))
    assert torch.equal(batch.ids[batch.mask.bool()], plain.ids[plain.mask.bool()])
    assert torch.equal(batch.text, plain.text)
    refused("no token to put between", encode, bb, None, texts | {"text_pair": ["a", "b"]}, 0)
    refused("empty text", encode, bb, None, {"text": [""]}, 0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_lose_their_end_whatever_the_tokenizer_would_cut(side, monkeypatch):
    monkeypatch.setattr(BERT.tokenizer, "truncation_side", side)
    with pytest.warns(UserWarning, match="lost their end"):
        ids = encode(BERT, None, {"text": ["good " + "bad " * 50]}, 5, max_tokens=8).ids[0]
    assert BERT.tokenizer.decode(ids).startswith("[CLS] good bad") and BERT.tokenizer.truncation_side == side


def test_tokens_that_the_model_has_no_embedding_for():
    bb = tiny_backbone("bert", layers=1)
    bb.tokenizer.add_tokens(["<pos>", "<neg>"])
    task = Task("mine", "custom", ("0", "1"), ["<neg>", "<pos>"], TASK.splits)
    for found in (lambda: encode(bb, None, {"text": ["a <pos> film"]}, 1), lambda: evaluate(bb, task)):
        refused("knows '<(neg|pos)>'.*resize_token_embeddings", found)


def test_a_template_needs_a_tokenizer_with_offsets():
    size = dict(vocab_size=384, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4)
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**size))
    bb = from_model(model, transformers.ByT5Tokenizer(), "bytes")
    assert len(encode(bb, None, {"text": ["a film"]}, 1).ids[0]) == 7
    refused("templates need a fast tokenizer", encode, bb, None, {"text": ["a film"]}, 1, "{text} it was")
