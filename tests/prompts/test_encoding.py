import warnings

import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.prompts.encoding import NARROW, WIDTH_STEP, encode, pair_separator
from tests.tiny import TINY_MODELS, tiny_backbone
from tests.toys import toy_task

BACKBONES = {name: tiny_backbone(name, layers=1) for name in TINY_MODELS}
TASK, PAIRS = toy_task(50), toy_task(20, pair=True)


def rows_of(encoded, batches):
    """{row: its tokens} as they came out of the batches."""
    return {
        int(row): ids[mask.bool()].tolist()
        for batch in batches
        for row, ids, mask in zip(batch.index, batch.ids, batch.mask, strict=True)
    }


@pytest.mark.parametrize("shuffle_seed", [None, 0, (3, 1)])
def test_batches_hold_every_row_once_with_its_label(shuffle_seed):
    encoded = encode(BACKBONES["bert"], TASK, TASK["train"], room=9)
    batches = list(encoded.batches(8, shuffle_seed))
    assert rows_of(encoded, batches) == dict(enumerate(encoded.ids))
    assert all((batch.labels == torch.tensor(TASK["train"]["label"])[batch.index]).all() for batch in batches)
    assert {batch.ids.shape[1] % WIDTH_STEP for batch in batches} == {0}


@pytest.mark.parametrize("hidden_size", [NARROW - 1, NARROW])
def test_wide_models_are_padded_to_the_longest_text_and_no_further(hidden_size, monkeypatch):
    monkeypatch.setattr(BACKBONES["bert"], "hidden_size", hidden_size)
    encoded = encode(BACKBONES["bert"], TASK, TASK["train"], room=9)
    widths = {batch.ids.shape[1] - int(batch.mask.sum(1).max()) for batch in encoded.batches(8)}
    assert (widths == {0}) is (hidden_size == NARROW)


def test_order_depends_on_the_seed_alone():
    encoded = encode(BACKBONES["bert"], TASK, TASK["train"], room=9)
    orders = [[list(rows) for rows in encoded.plan(8, seed)] for seed in ((0, 0), (0, 0), (0, 1))]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("size", [0, -1, 2.5, "8"])
def test_a_batch_holds_a_row_at_least(size):
    encoded = encode(BACKBONES["bert"], TASK, TASK["train"], room=9)
    with pytest.raises(
        SkillkitError, match=f"^batch_size cannot be {size!r}; give a whole number of at least 1$"
    ):
        list(encoded.batches(size))


def test_batches_are_of_similar_length():
    encoded = encode(BACKBONES["bert"], TASK, TASK["train"], room=9)
    spreads = [
        max(map(len, rows)) - min(map(len, rows))
        for rows in [[encoded.ids[r] for r in p] for p in encoded.plan(8, 0)]
    ]
    lengths = list(map(len, encoded.ids))
    assert max(spreads) < (max(lengths) - min(lengths)) / 2


def test_splitting_a_batch_keeps_its_rows():
    batch = encode(BACKBONES["bert"], TASK, TASK["train"], room=9).batch(range(10))
    parts = batch.split(3)
    assert [len(part) for part in parts] == [4, 4, 2]
    assert torch.equal(torch.cat([part.ids for part in parts]), batch.ids)


@pytest.mark.parametrize("model", TINY_MODELS)
def test_long_texts_lose_their_end_and_are_counted_once(model):
    bb = BACKBONES[model]
    texts = ["good " * 300, "so", "bad " * 200]
    with pytest.warns(UserWarning, match="^2 of 3 texts were longer than 40 tokens") as caught:
        encoded = encode(bb, None, {"text": texts}, room=5, max_tokens=40)
    assert len(caught) == 1
    assert [len(ids) for ids in encoded.ids][::2] == [40, 40]
    ends = bb.tokenizer("so")["input_ids"]
    assert encoded.ids[1] == ends
    if bb.family != "causal":
        assert encoded.ids[0][-1] == ends[-1]


@pytest.mark.parametrize("model", ["bert", "roberta", "gpt2"])
def test_truncation_leaves_room_for_the_prompt(model):
    bb = BACKBONES[model]
    with pytest.warns(UserWarning, match="lost their end"):
        encoded = encode(bb, None, {"text": ["good " * 500]}, room=17)
    assert len(encoded.ids[0]) == bb.max_positions - 17 == encoded.batch([0]).ids.shape[1]


def test_a_prompt_without_room_for_text_is_refused():
    with pytest.raises(SkillkitError, match="a prompt of 125 positions leaves 3 tokens.*128.*shorter prompt"):
        encode(BACKBONES["bert"], TASK, TASK["train"], room=125)


def test_nothing_is_said_when_everything_fits():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode(BACKBONES["roberta"], TASK, TASK["train"], room=9)


@pytest.mark.parametrize("model", ["bert", "roberta", "xlm-roberta", "t5", "llama"])
def test_pairs_get_the_pair_encoding_of_the_tokenizer(model):
    bb = BACKBONES[model]
    encoded = encode(bb, PAIRS, PAIRS["train"], room=9)
    own = bb.tokenizer(PAIRS["train"]["text"][3], PAIRS["train"]["text_pair"][3])["input_ids"]
    assert encoded.ids[3] == own and pair_separator(bb.tokenizer)


def test_pairs_without_a_separator_of_their_own_get_one():
    bb = BACKBONES["gpt2"]
    assert pair_separator(bb.tokenizer) == ""
    ids = encode(bb, PAIRS, PAIRS["train"], room=9).ids[3]
    assert ids.count(bb.tokenizer.eos_token_id) == 1
    assert bb.tokenizer.decode(ids).split("<|endoftext|>") == [
        PAIRS["train"][3][c] for c in ("text", "text_pair")
    ]


def test_segment_ids_are_for_bert_and_can_be_left_out():
    with_segments = encode(BACKBONES["bert"], PAIRS, PAIRS["train"], room=9).batch([0, 1]).token_types
    assert set(with_segments.flatten().tolist()) == {0, 1}
    assert encode(BACKBONES["bert"], PAIRS, PAIRS["train"], room=9, segments=False).token_types is None
    assert encode(BACKBONES["roberta"], PAIRS, PAIRS["train"], room=9).token_types is None


def test_special_tokens_are_not_text():
    batch = encode(BACKBONES["roberta"], PAIRS, PAIRS["train"], room=9).batch([0])
    special = [
        BACKBONES["roberta"].tokenizer.convert_tokens_to_ids(token) for token in ("<s>", "</s>", "<pad>")
    ]
    assert not torch.isin(batch.ids[batch.text], torch.tensor(special)).any()
    assert batch.text.sum() == batch.mask.sum() - 4


def test_template_keeps_its_words_and_its_mask_when_a_text_is_cut():
    bb = BACKBONES["bert"]
    template = "{text} overall it was [MASK] because {text_pair} ."
    texts = {"text": ["good " * 100, "so"], "text_pair": ["a movie", "the film"]}
    with pytest.warns(UserWarning, match="1 of 2 texts"):
        encoded = encode(bb, None, texts, room=5, template=template, max_tokens=24)
    words = bb.tokenizer.convert_ids_to_tokens(encoded.ids[0])
    assert len(words) == 24 and words[:2] == ["[CLS]", "good"]
    assert words[-9:] == ["overall", "it", "was", "[MASK]", "because", "a", "movie", ".", "[SEP]"]
    batch = encoded.batch([0, 1])
    assert (batch.ids[[0, 1], batch.mask_slot] == bb.tokenizer.mask_token_id).all()


def test_template_longer_than_the_model_is_an_error():
    with pytest.raises(SkillkitError, match="template alone"):
        encode(
            BACKBONES["bert"],
            None,
            {"text": ["so"]},
            room=5,
            template="{text} " + "good " * 50,
            max_tokens=20,
        )


def test_mask_in_a_template_needs_a_masked_model():
    with pytest.raises(SkillkitError, match="no.*leave"):
        encode(BACKBONES["gpt2"], None, {"text": ["so"]}, room=5, template="{text} it was [MASK]")


def test_braces_in_a_text_are_only_braces():
    bb = BACKBONES["roberta"]
    ids = encode(bb, None, {"text": ["a {text_pair} {0}"]}, room=5, template="so {text} .").ids[0]
    assert bb.tokenizer.decode(ids, skip_special_tokens=True) == "so a {text_pair} {0} ."
