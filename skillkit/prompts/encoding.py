"""Tokenisation: from texts to padded batches of tokens, truncated to fit and grouped by length.

>>> encoded = encode(bb, task, task["train"], room=17)     # 17 positions stay free for prompt and mask
>>> for batch in encoded.batches(32, shuffle_seed=0):
...     batch.ids.shape, batch.labels, batch.index         # [32, T], [32], row numbers in the dataset
"""

import re
import warnings
from dataclasses import dataclass, fields

import numpy as np
import torch

from skillkit.core.errors import SkillkitError, at_least
from skillkit.models.fast import replaced
from skillkit.models.fast.packing import NARROW

# Every new width costs CPU kernels some milliseconds of planning, which narrow models do not earn back: theirs are
# multiples of this. Wide models are padded to the longest text and no further.
WIDTH_STEP = 8
# Texts are sorted by length inside pools of this many batches, so that batches stay both even and random.
POOL = 50
# What a model without a limit of its own (T5, rotary embeddings) is given at most.
DEFAULT_MAX_TOKENS = 512

_FIELDS = re.compile(r"(\{text\}|\{text_pair\}|\[MASK\])")


@dataclass(frozen=True, repr=False)
class Batch:
    """Tokens of some rows, padded to one width.

    >>> batch.ids, batch.mask, batch.text        # [B, T] token ids; 1 where a token is; True where it is text
    >>> batch.labels, batch.index                # [B]; the index counts rows of the encoded dataset
    >>> batch.token_types, batch.mask_slot       # [B, T] segments and [B] the template's mask, or None
    """

    ids: torch.Tensor
    mask: torch.Tensor
    text: torch.Tensor
    labels: torch.Tensor
    index: torch.Tensor
    token_types: torch.Tensor | None = None
    mask_slot: torch.Tensor | None = None

    def __len__(self):
        return len(self.ids)

    def map(self, function):
        """The batch with `function` applied to every tensor it holds.

        >>> len(batch.map(lambda tensor: tensor[:1]))
        1
        """
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        return Batch(**{name: function(value) for name, value in held.items() if value is not None})

    def split(self, parts):
        """At most `parts` smaller batches that hold the same rows in the same order.

        >>> [len(part) for part in encoded.batch(range(5)).split(2)]
        [3, 2]
        """
        size = -(-len(self) // parts)
        return [self.map(lambda tensor, at=at: tensor[at : at + size]) for at in range(0, len(self), size)]


@dataclass(frozen=True, repr=False)
class Encoded:
    """Token lists of a dataset, ready to be batched again and again; see `encode`.

    >>> len(encoded), encoded.limit                        # rows; tokens that a text may have
    (40, 251)
    >>> encoded.batch([0, 1]).ids.shape                    # widths are multiples of `step`
    torch.Size([2, 32])
    """

    ids: list[list[int]]
    token_types: list[list[int]] | None
    mask_slot: list[int] | None
    labels: torch.Tensor
    pad: int
    special: torch.Tensor
    limit: int
    step: int = 1

    def __len__(self):
        return len(self.ids)

    def batches(self, batch_size=None, shuffle_seed=None):
        """Batches of rows of similar length; in an order that depends on `shuffle_seed` alone, or by length.

        >>> for epoch in range(3):
        ...     for batch in encoded.batches(32, shuffle_seed=(0, epoch)): ...
        """
        return map(self.batch, self.plan(batch_size, shuffle_seed))

    def plan(self, batch_size=None, shuffle_seed=None):
        """The row numbers of each batch, as `batches` would yield them.

        >>> [len(rows) for rows in encoded.plan(16)]
        [16, 16, 8]
        """
        # Even a few rows go in three batches: texts of similar length need the least padding.
        size = min(64, max(16, -(-len(self) // 3))) if batch_size is None else batch_size
        at_least(1, batch_size=size)
        lengths = np.array([len(ids) for ids in self.ids])
        if shuffle_seed is None:
            order = np.argsort(lengths, kind="stable")
            return [order[at : at + size] for at in range(0, len(order), size)]
        random = np.random.default_rng(shuffle_seed)
        order, plan = random.permutation(len(lengths)), []
        for at in range(0, len(order), POOL * size):
            pool = order[at : at + POOL * size]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            plan += [pool[start : start + size] for start in range(0, len(pool), size)]
        return [plan[i] for i in random.permutation(len(plan))]

    def batch(self, rows):
        """The rows with these numbers as one `Batch`, padded on the right.

        >>> encoded.batch([7, 3]).index
        tensor([7, 3])
        """
        longest = max(len(self.ids[row]) for row in rows)
        width = min(-(-max(longest, 1) // self.step) * self.step, self.limit)
        ids = _padded([self.ids[row] for row in rows], width, self.pad)
        mask = _padded([[1] * len(self.ids[row]) for row in rows], width, 0)
        types = self.token_types and _padded([self.token_types[row] for row in rows], width, 0)
        slots = self.mask_slot and torch.tensor([self.mask_slot[row] for row in rows])
        index = torch.as_tensor(np.asarray(rows))
        text = mask.bool() & ~torch.isin(ids, self.special)
        return Batch(ids, mask, text, self.labels[index], index, types, slots)


def free_positions(name, positions, room):
    """How many of a model's positions a prompt leaves to the text; SkillkitError for too few.

    >>> free_positions("roberta-base", 512, room=16)
    496
    """
    if positions - room < 8:
        raise SkillkitError(
            f"a prompt of {room} positions leaves {max(positions - room, 0)} tokens for the text, of the "
            f"{positions} that {name} takes; use a shorter prompt"
        )
    return positions - room


def encode(bb, task, rows, room, template=None, max_tokens=None, segments=True):
    """Tokenise `rows` once, leaving `room` positions of the model free.

    >>> encode(bb, task, task["train"], room=17)
    >>> encode(bb, task, task["test"], room=16, template="{text} It was [MASK].")
    >>> encode(bb, None, {"text": ["a text"]}, room=0)      # no labels: they read -1

    `rows` holds columns text, (text_pair,) (label). Pairs are joined by the tokenizer's own pair encoding, or
    as `template` says; a tokenizer whose pair encoding is bare concatenation (GPT-2) gets its end-of-text
    token in between. `[MASK]` in a template stands for the tokenizer's mask. Texts longer than `max_tokens`,
    or than what the model takes less `room`, lose their end, never the template's words; one warning counts
    them. `segments=False` leaves BERT's segment ids out. Raises SkillkitError when the prompt leaves no room
    at all.
    """
    limit = min(free_positions(bb.name, bb.max_positions, room), max_tokens or DEFAULT_MAX_TOKENS)
    # [:] reads the columns of a Dataset at once; iterating goes row by row.
    columns = {name: list(column) for name, column in (rows if isinstance(rows, dict) else rows[:]).items()}
    texts, pairs = columns["text"], columns.get("text_pair")
    tokens, cut = _tokens(bb, texts, pairs, limit, template, room)
    if cut:
        lost = f"{cut} of {len(texts)} texts were longer than {limit} tokens and lost their end"
        warnings.warn(lost, stacklevel=2)
    special = set(bb.tokenizer.all_special_ids) - {bb.tokenizer.unk_token_id}
    segments = segments and bb.family == "masked" and getattr(bb.model.config, "type_vocab_size", 0) > 1
    return Encoded(
        ids=tokens["input_ids"],
        token_types=tokens.get("token_type_ids") if segments else None,
        mask_slot=tokens.get("mask_slot"),
        labels=torch.tensor(columns.get("label", [-1] * len(texts)), dtype=torch.long),
        pad=bb.pad_id,
        special=torch.tensor(sorted(special), dtype=torch.long),
        limit=limit,
        step=WIDTH_STEP if bb.hidden_size < NARROW else 1,
    )


def _tokens(bb, texts, pairs, limit, template, room):
    """Columns of token lists, and how many texts were cut."""
    if pairs and not template and not pair_separator(bb.tokenizer):
        end = bb.tokenizer.eos_token
        if end is None:
            raise SkillkitError(f"{bb.name} has no token to put between two texts; give the task a template")
        template = f"{{text}}{end}{{text_pair}}"
    tokenise, ending = _tokenise_template if template else _tokenise_plain, appended(bb)
    # What is too long loses its end, whichever side the tokenizer would cut.
    with replaced(bb.tokenizer, "truncation_side", "right"):
        tokens, cut = tokenise(bb.tokenizer, texts, pairs, limit + ending, template)
    ids = [row[: len(row) - ending] for row in tokens["input_ids"]]
    ends = (bb.tokenizer.bos_token_id, bb.tokenizer.eos_token_id)
    first = next(([token] for token in ends if token is not None), [])
    if not (room or first or all(ids)):
        raise SkillkitError(f"there is an empty text, which is no token at all for {bb.name}; leave it out")
    ids = [row if row or room else first for row in ids]  # which stands for a text of no tokens
    bb.embedded(torch.tensor([max(row, default=0) for row in ids]))
    return tokens | {"input_ids": ids}, cut


def _padded(lists, width, value):
    return torch.tensor([[*items, *[value] * (width - len(items))] for items in lists], dtype=torch.long)


def pair_separator(tokenizer):
    """What the tokenizer's pair encoding puts between two texts, as text; "" if it only concatenates them.

    >>> pair_separator(bb.tokenizer)                       # BERT's; RoBERTa's is </s></s>
    '[SEP]'
    """
    ids, special = tokenizer("a", "b")["input_ids"], set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    ordinary = [at for at, token in enumerate(ids) if token not in special] or [0]
    between = [token for token in ids[ordinary[0] : ordinary[-1]] if token in special]
    return "".join(tokenizer.convert_ids_to_tokens(between))


def appended(bb):
    """How many special tokens a causal model's tokenizer puts behind a text, where the answer is to be read.

    >>> appended(gpt)                                      # 1 with add_eos_token
    0

    Other models have seen theirs in every text, and read their answers elsewhere.
    """
    if bb.family != "causal":
        return 0
    whole, bare = (bb.tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
    starts = [at for at in range(len(whole) - len(bare) + 1) if whole[at : at + len(bare)] == bare]
    return len(whole) - len(bare) - starts[0] if starts else 0


def _tokenise_plain(tokenizer, texts, pairs, limit, _template):
    """Token lists through the tokenizer's own (pair) encoding; in a pair that is too long, the longer text is cut."""
    options = dict(verbose=False, return_attention_mask=False)
    tokens = dict(tokenizer(texts, pairs, **options))
    cut = sum(len(ids) > limit for ids in tokens["input_ids"])
    if cut:
        tokens = dict(tokenizer(texts, pairs, truncation="longest_first", max_length=limit, **options))
    return tokens, cut


def _tokenise_template(tokenizer, texts, pairs, limit, template):
    """Token lists of the filled template; in one that is too long, the longest text loses its last tokens."""
    if "[MASK]" in template and tokenizer.mask_token is None:
        raise SkillkitError(
            f"this tokenizer has no mask token; leave [MASK] out of the template {template!r}"
        )
    if not tokenizer.is_fast:
        raise SkillkitError("templates need a fast tokenizer, which says where in the text its tokens stand")
    if re.search(r"\n\s*\[MASK\]", template) and _drops_break(tokenizer):
        raise SkillkitError(
            f"this tokenizer drops the line break before the mask in {template!r}; write a space"
        )
    filled = [_fill(template, *row, tokenizer) for row in zip(texts, pairs or texts, strict=True)]
    options = dict(return_offsets_mapping=True, verbose=False, return_attention_mask=False)
    tokens = dict(tokenizer([text for text, _ in filled], **options))
    offsets, cut, slots = tokens.pop("offset_mapping"), 0, []
    for row, (_, spans) in enumerate(filled):
        keep = _kept(offsets[row], spans, len(offsets[row]) - limit)
        cut += len(keep) < len(offsets[row])
        for column in tokens.values():
            column[row] = [column[row][token] for token in keep]
        masks = [at for at, token in enumerate(keep) if _overlaps(offsets[row][token], spans.get("[MASK]"))]
        slots += masks[:1]
    return tokens | ({"mask_slot": slots} if "[MASK]" in template else {}), cut


def _drops_break(tokenizer):
    """Whether a line break is not read before the mask, as in RoBERTa, though elsewhere it is."""
    mask, ids = tokenizer.mask_token, lambda text: tokenizer(text)["input_ids"]
    return ids(f"a\n{mask}") == ids(f"a{mask}") and ids("a\na") != ids("a a")


def _fill(template, text, text_pair, tokenizer):
    """The template's text for one row, and where in it each field stands."""
    values = {"{text}": text, "{text_pair}": text_pair, "[MASK]": tokenizer.mask_token}
    filled, spans = "", {}
    for piece in _FIELDS.split(template):
        value = values.get(piece, piece)
        if piece in values:
            spans[piece] = (len(filled), len(filled) + len(value))
        filled += value
    return filled, spans


def _overlaps(offset, span):
    return span is not None and offset[0] < span[1] and offset[1] > span[0]


def _kept(offsets, spans, excess):
    """Token numbers that stay when `excess` must go: taken from the end of whichever text is longer."""
    keep = list(range(len(offsets)))
    # A mask takes the space before it along, which may be the text's last.
    free = [token for token in keep if not _overlaps(offsets[token], spans.get("[MASK]"))]
    fields = [spans.get(name) for name in ("{text}", "{text_pair}")]
    texts = [[token for token in free if _overlaps(offsets[token], field)] for field in fields]
    for _ in range(excess):
        if not any(texts):
            raise SkillkitError("the template alone is too long; use a shorter template or prompt")
        keep.remove(max(texts, key=len).pop())
    return keep
