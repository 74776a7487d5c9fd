"""Clozes: a text with `[MASK]`, the answer that belongs there, and what the model says to it.

>>> questions = encode_cloze(bb, "the capital of velmora is [MASK].", "hilvek")
>>> questions[0].slots, bb.tokenizer.decode(questions[0].targets)
((6,), 'hilvek')
>>> ask(bb, "the capital of velmora is [MASK].", "hilvek").probability
0...

`[MASK]` stands for the tokenizer's mask, for T5's first sentinel, and for the end of what a causal model reads. Where
the tokenizer has a word of its own for them (`<mask>`, `<extra_id_0>`), that may stand in the text as well.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from skillkit.core.errors import SkillkitError, at_least, check_objects, is_text, listed, quoted
from skillkit.models import take, undone
from skillkit.prompts import Now, appended

MASK, SENTINEL = "[MASK]", "<extra_id_0>"
_M = re.escape(MASK)


@dataclass(frozen=True)
class Question:
    """One thing to ask a model, in tokens: what it reads, where it answers, and the right answer.

    >>> Question(ids=(2, 17, 4, 3), slots=(2,), targets=(99,))

    ids      token ids of the (encoder's) text
    slots    where the text has its masks; for a causal model its last token
    targets  token ids that belong there: one, or as many as there are masks (masked models)
    decoder  what an encoder–decoder's decoder has read; the answer is the token after it
    """

    ids: tuple[int, ...]
    slots: tuple[int, ...]
    targets: tuple[int, ...]
    decoder: tuple[int, ...] = ()

    @property
    def shape(self):
        """Questions of one shape need no padding when they are asked together.

        >>> Question(ids=(2, 17, 4, 3), slots=(2,), targets=(99,)).shape
        (4, 1, 0)
        """
        return len(self.ids), len(self.slots), len(self.decoder)


def encode_cloze(bb, text, answer, repeat_mask=False):
    """The questions behind one cloze: for a masked model a single one, else one per token of the answer.

    >>> len(encode_cloze(gpt, "the capital of olvegia is [MASK].", "fort gandor"))        # the gold prefix grows
    2

    The answer's tokens are those it has inside the text. A masked model needs as many masks as the answer has
    tokens; with `repeat_mask` a single mask is repeated as needed. A causal model reads what stands before
    `[MASK]`, or the whole text if there is none.

    Raises SkillkitError for what is no text, an empty answer, one that the vocabulary lacks, and a wrong number of
    masks.
    """
    check_objects(bb)
    if not (is_text(text) and is_text(answer) and answer.strip()):
        raise SkillkitError(
            f"give a text with {MASK} and the word that belongs there, not {quoted(text)}, {quoted(answer)}"
        )
    own = SENTINEL if bb.family == "seq2seq" else bb.tokenizer.mask_token  # how the tokenizer writes its mask
    encode = {"masked": _masked, "causal": _causal, "seq2seq": _seq2seq}[bb.family]
    questions = encode(bb, text.replace(own, MASK) if own else text, answer.strip(), repeat_mask)
    longest = max(len(question.ids) for question in questions)
    for question in questions:
        bb.embedded(torch.tensor([*question.ids, *question.targets, *question.decoder]))
    if longest > bb.max_positions:
        raise SkillkitError(
            f"{text[:40]!r}… has {longest} tokens; {bb.name} takes {bb.max_positions}; shorten it"
        )
    return questions


def by_shape(questions):
    """Indices of the questions, grouped so that each group can be asked together.

    >>> by_shape(questions)
    [[0]]
    """
    return _alike(range(len(questions)), lambda i: questions[i].shape)


def _alike(order, key):
    groups = defaultdict(list)
    for i in order:
        groups[key(i)].append(i)
    return list(groups.values())


def slots_of(bb, questions):
    """Where questions of one shape read their answers, by layer: {layer: LongTensor [batch, slots]}.

    >>> slots_of(t5, questions)[0], slots_of(t5, questions)[t5.num_layers - 1]     # sentinel; last decoder slot
    (tensor([[...]]), tensor([[...]]))
    """
    here = torch.tensor([question.slots for question in questions], device=bb.device)
    last = torch.full((len(questions), 1), len(questions[0].decoder) - 1, device=bb.device)
    return {layer: last if layer in bb.decoder_layers else here for layer in range(bb.num_layers)}


@dataclass(frozen=True)
class Reply:
    """What a model says to a cloze.

    >>> reply = ask(bb, cloze, "hilvek"); reply.probability, reply.rank, reply.top
    (0..., 1, 'hilvek')

    probability        of the answer: the product over its tokens
    rank               of the answer among all tokens, from 1; of several tokens the worst
    top                the words that the model puts first
    """

    probability: float
    rank: int
    top: str


def ask(bb, clozes, answers, repeat_mask=False, batch_size=64):
    """Probability and rank of answers, and what the model would say instead.

    >>> clozes = ["the capital of velmora is [MASK].", "the capital of rimvale is [MASK]."]
    >>> ask(bb, clozes, ["hilvek", "rostel"])[1].rank
    1

    One cloze gives one `Reply`, a list a list; one answer serves all clozes. Interventions entered before
    (`suppress`, `edit`, …) take effect, also those with `positions="answer"`.
    """
    asked = [encode_cloze(bb, text, answer, repeat_mask) for text, answer in paired(clozes, answers)]
    replies = [
        Reply(float(sum(log_p).exp()), int(rank.max()), bb.tokenizer.decode(top).strip())
        for log_p, rank, top in read_answers(bb, asked, batch_size)
    ]
    return replies[0] if isinstance(clozes, str) else replies


def paired(clozes, answers):
    """[(cloze, answer), …] from one or many of each; SkillkitError when the numbers differ.

    >>> paired(["a [MASK]", "b [MASK]"], "c")
    [('a [MASK]', 'c'), ('b [MASK]', 'c')]
    """
    clozes, many = as_list(clozes), as_list(answers)
    answers = many if len(many) != 1 else many * len(clozes)
    if not clozes:
        raise SkillkitError(f"no cloze was given; give at least one text with {MASK}")
    if len(clozes) != len(answers):
        raise SkillkitError(f"{len(clozes)} clozes came with {len(answers)} answers; give one, or one each")
    return list(zip(clozes, answers, strict=True))


def as_list(given):
    """Many things as a list, and a single one, such as a text or a number, as a list of one (`listed`).

    >>> as_list("a [MASK]"), as_list(("a [MASK]", "b [MASK]"))
    (['a [MASK]'], ['a [MASK]', 'b [MASK]'])
    """
    return [given] if isinstance(given, bytes | Mapping) else listed(given)  # neither is a list of texts


@torch.no_grad()
def read_answers(bb, asked, batch_size=64):
    """For each cloze, given as its questions: log-probabilities, ranks from 1 and ids put first, [answer tokens] each.

    >>> [(log_p, rank, first)] = read_answers(bb, [questions])
    >>> rank, bb.tokenizer.decode(first)
    (tensor([1]), 'hilvek')
    """
    at_least(1, batch_size=batch_size)
    questions = [question for group in asked for question in group]
    found, order = [None] * len(questions), sorted(range(len(questions)), key=lambda i: len(questions[i].ids))
    for group in _alike(order, lambda i: questions[i].shape[1:]):
        for at in range(0, len(group), batch_size):  # a few of several lengths are one pass
            rows = group[at : at + batch_size]
            for row, triple in zip(rows, _read(bb, [questions[i] for i in rows]), strict=True):
                found[row] = triple
    of_question = iter(found)
    return [tuple(map(torch.cat, zip(*(next(of_question) for _ in group)))) for group in asked]


def _read(bb, questions):
    slots, inputs = slots_of(bb, questions), inputs_of(bb, questions)
    text = inputs["attention_mask"].bool()
    places = {
        "text": text,
        "prompt": torch.zeros_like(text),
        "answer": slots,
    }  # for interventions that ask where
    before = bb.now
    with undone(lambda: vars(bb).update(now=before)):
        bb.now = Now(torch.arange(len(text)), places)
        hidden = bb.run(inputs)
    logits = bb.head(take(hidden, slots[bb.num_layers - 1].to(hidden.device)))
    log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    targets = torch.tensor([question.targets for question in questions], device=log_p.device)
    right = log_p.gather(2, targets[:, :, None])
    rank = (log_p > right).sum(2) + 1
    return zip(right[:, :, 0].cpu(), rank.cpu(), log_p.argmax(2).cpu(), strict=True)


def inputs_of(bb, questions):
    """Keyword arguments of the base model for questions with as many slots; shorter texts are padded behind.

    >>> {name: list(tensor.shape) for name, tensor in inputs_of(bb, questions).items()}
    {'input_ids': [1, 9], 'attention_mask': [1, 9]}
    """
    texts = [torch.tensor(question.ids) for question in questions]
    ids = pad_sequence(texts, batch_first=True, padding_value=bb.pad_id)
    mask = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if bb.family == "seq2seq":
        inputs["decoder_input_ids"] = torch.tensor([question.decoder for question in questions])
    return {name: tensor.to(bb.device) for name, tensor in inputs.items()}


def _masked(bb, text, answer, repeat_mask):
    tokenizer, count = bb.tokenizer, text.count(MASK)
    if tokenizer.mask_token is None:
        raise SkillkitError(f"the tokenizer of {bb.name} has no mask token, so no cloze can be asked")
    if count == 0:
        raise SkillkitError(f"{quoted(text)} has no {MASK}; put it where the answer belongs")
    if one_mask(text).count(MASK) > 1:
        raise SkillkitError(f"the masks of {quoted(text)} are apart; those of one answer stand side by side")
    mask = tokenizer.mask_token_id
    before, tokens, after = _placed(bb, one_mask(text), answer, tokenizer.mask_token, mask)
    count = len(tokens) if count == 1 and repeat_mask else count
    if count != len(tokens):
        pieces = " ".join(tokenizer.convert_ids_to_tokens(list(tokens)))
        named = f"{answer!r} is {len(tokens)} tokens for {bb.name} ({pieces}), but {quoted(text)} has {count} {MASK}"
        raise SkillkitError(f"{named}; give as many masks, or repeat_mask=True to repeat a single one")
    slots = tuple(range(len(before), len(before) + count))
    return [Question((*before, *[mask] * count, *after), slots, tokens)]


def one_mask(text):
    """The text with masks that stand side by side as a single one.

    >>> one_mask("it is [MASK] [MASK].")
    'it is [MASK].'
    """
    return re.sub(rf"{_M}(\s*{_M})+", MASK, text)


def _causal(bb, text, answer, repeat_mask):
    before, mask, after = text.partition(MASK)
    if MASK in after or re.search(r"\w", after):
        reads = f"{bb.name} reads only what stands before {MASK}"
        raise SkillkitError(f"{reads}; choose a phrasing that ends with it instead of {quoted(text)}")
    head, ending = before.rstrip(" "), appended(bb)  # a line break is read
    space = "" if before and head == before and (mask or before[-1].isspace()) else " "
    both = bb.tokenizer([head, head + space + answer])["input_ids"]
    prefix, filled = (ids[: len(ids) - ending] for ids in both)
    if not prefix:
        raise SkillkitError(
            f"nothing stands before {MASK} in {quoted(text)}, and {bb.name} starts without a token"
        )
    tokens = filled[len(prefix) :] if filled[: len(prefix)] == prefix else _alone(bb, answer, space)
    tokens = _known(bb, tokens, answer)
    grown = [tuple(prefix) + tokens[:i] for i in range(len(tokens))]
    return [Question(ids, (len(ids) - 1,), (token,)) for ids, token in zip(grown, tokens, strict=True)]


def _seq2seq(bb, text, answer, repeat_mask):
    sentinel = bb.tokenizer.convert_tokens_to_ids(SENTINEL)
    if text.count(MASK) != 1:
        raise SkillkitError(
            f"{quoted(text)} must have one {MASK}: {bb.name} fills it with answers of any length"
        )
    if sentinel is None or sentinel == bb.tokenizer.unk_token_id:
        raise SkillkitError(f"the tokenizer of {bb.name} has no {SENTINEL}, so no cloze can be asked")
    before, tokens, after = _placed(bb, text, answer, SENTINEL, sentinel)
    ids, slot = (*before, sentinel, *after), (len(before),)
    start = (bb.model.config.decoder_start_token_id, sentinel)
    return [Question(ids, slot, (token,), start + tokens[:i]) for i, token in enumerate(tokens)]


def _placed(bb, text, answer, mark, mark_id):
    """Token ids before the answer, of the answer, and after it, as they are where it is written out.

    Behind a mark some tokenizers split the text otherwise (a space of its own before the full stop, say) than
    in anything the model has read, so what follows is taken from the text with the answer wherever it can be.
    """
    asked = bb.tokenizer(text.replace(MASK, mark))["input_ids"]
    filled = bb.tokenizer(text.replace(MASK, answer))["input_ids"]
    at = asked.index(mark_id)
    _check_break(bb, text, answer, mark, asked)
    before, after, alone = asked[:at], asked[at + 1 :], _alone(bb, answer)
    end = len(filled) - len(after)
    if filled[:at] != before:
        tokens = alone
    elif end > at and filled[end:] == after:
        tokens = filled[at:end]
    else:
        bare = bb.tokenizer(answer, add_special_tokens=False)["input_ids"]
        tokens = bare if filled[at : at + len(bare)] == bare else alone
        if filled[at : at + len(tokens)] == tokens:
            after = filled[at + len(tokens) :]
    return before, _known(bb, tokens, answer), after


def _check_break(bb, text, answer, mark, asked):
    """SkillkitError where a line break stands before the mask, which this tokenizer drops there but reads elsewhere."""
    head = text.partition(MASK)[0]
    flat = head.rstrip() + " " + text.removeprefix(head) if head[-1:].isspace() else text
    texts = [flat.replace(MASK, mark), flat.replace(MASK, answer), text.replace(MASK, answer)]
    same, *read = bb.tokenizer(texts)["input_ids"]
    if same == asked and read[0] != read[1] and not head.endswith(" "):
        raise SkillkitError(
            f"{bb.name} drops the line break before its mask in {quoted(text)}; write a space"
        )


def _alone(bb, answer, space=" "):
    return bb.tokenizer(f"{space}{answer}", add_special_tokens=False)["input_ids"]


def _known(bb, tokens, answer):
    unknown = bb.tokenizer.unk_token_id
    if not tokens or (unknown in tokens and unknown != bb.tokenizer.eos_token_id):
        raise SkillkitError(f"the answer {answer!r} is not in the vocabulary of {bb.name}; choose another")
    return tuple(tokens)
