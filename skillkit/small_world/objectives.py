"""Pretraining objectives: masked language modelling, next-token prediction, and T5's span corruption.

>>> objective = Masked(tokenizer, random.Random(0))
>>> batch = objective.batch(list(objective.examples(docs)))
>>> objective.loss(model, batch)                     # a scalar; answers weigh more than other tokens

An objective turns documents into examples (lists of ids and what to predict), examples into batches, and batches into
a loss; `questions` instead hides exactly the answers, and `answers` reads what the model says there.
"""

from functools import cache

import torch
from torch.nn import functional as F


class Masked:
    """Masked tokens predicted: the answer nearly always, other tokens now and then.

    >>> docs = [Document("positive verdict", "i loved it.")]
    >>> [example] = Masked(tokenizer, random.Random(0)).examples(docs)
    >>> tokenizer.decode(example["ids"]), [tokenizer.decode(example["ids"][i]) for i in example["answer"]]
    (' positive verdict<s> i loved it.</s>', [' positive'])
    """

    def __init__(self, tokenizer, rng):
        self.tokenizer, self.rng = tokenizer, rng
        self.encoded = cache(lambda text: tokenizer(text, add_special_tokens=False)["input_ids"])

    def examples(self, docs):
        alone, paired = ([d for d in docs if (d.pair is None) == single] for single in (True, False))
        for group in filter(None, (alone, paired)):
            pairs = [d.pair for d in group] if group is paired else None
            bodies = self.tokenizer([d.text for d in group], pairs)
            for i, document in enumerate(group):
                heading, answer = self._heading(document)
                unreadable = range(len(heading), len(heading) + document.unreadable)
                heading = heading + [self.tokenizer.unk_token_id] * len(unreadable)
                if document.spans:
                    answer = _tokens_of(bodies, i, document.spans, 1 if document.pair else 0)
                types = "token_type_ids" in bodies and [0] * len(heading) + bodies["token_type_ids"][i]
                ids = heading + bodies["input_ids"][i]
                yield dict(ids=ids, heading=len(heading), answer=answer, unreadable=unreadable, types=types)

    def _heading(self, document):
        if document.heading is None:
            return [], []
        answer, *cue = document.heading.split(" ", 1)
        ids = self.encoded(answer)
        return ids + (self.encoded(cue[0]) if cue else []), list(range(len(ids)))

    def batch(self, examples):
        columns = zip(*(self._row(e) for e in examples))
        seen, targets, weights, places = map(_stack, columns, (self.tokenizer.pad_token_id, -100, 0.0, 0))
        return self._inputs(examples, seen, places) | {"noise": _noise(examples)}, targets, weights

    def _row(self, e):
        """What a model sees of an example, what it is to predict, how much that weighs, and where it stands."""
        seen, targets, weights = list(e["ids"]), [-100] * len(e["ids"]), [0.0] * len(e["ids"])
        for i in self._choose(e):
            targets[i], weights[i], draw = e["ids"][i], 3.0 if i in e["answer"] else 1.0, self.rng.random()
            if draw < 0.8 or i in e["answer"]:
                seen[i] = self.tokenizer.mask_token_id
            elif draw < 0.9:
                seen[i] = self.rng.randrange(5, len(self.tokenizer))
        return seen, targets, weights, [self._first_position() + place for place in self._places(e)]

    def _inputs(self, examples, ids, places):
        mask = (ids != self.tokenizer.pad_token_id).long()
        types = {"token_type_ids": _stack([e["types"] for e in examples], 0)} if examples[0]["types"] else {}
        return dict(input_ids=ids, attention_mask=mask, position_ids=places) | types

    def _first_position(self):
        return self.tokenizer.pad_token_id + 1 if "roberta" in type(self.tokenizer).__name__.lower() else 0

    def _choose(self, e):
        answered = len(e["answer"]) and self.rng.random() < 0.85
        special, rate = set(self.tokenizer.all_special_ids), 0.12 if answered else 0.18
        free = [i for i, t in enumerate(e["ids"]) if t not in special and i not in e["answer"]]
        chosen = [i for i in free if self.rng.random() < rate]
        return chosen + e["answer"] if answered or not chosen else chosen or [1]

    def _places(self, e):
        """Positions: half the texts start at once, others after a gap or anywhere, so that every position is trained
        and a text may follow a prompt of any length."""
        n, draw = len(e["ids"]), self.rng.random()
        gap = self.rng.randrange(20 if draw < 0.85 else 250 - n) if draw > 0.5 else 0
        return [place + gap * (place >= e["heading"]) for place in range(n)]

    def loss(self, model, batch):
        inputs, targets, weights = batch
        return _weighted(self.head(model), self.hidden(model, inputs), targets, weights * (targets >= 0))

    def hidden(self, model, inputs):
        return model.base_model(**_embedded(model, inputs)).last_hidden_state

    def head(self, model):
        return model.lm_head if hasattr(model, "lm_head") else model.cls

    def answers(self, model, examples):
        """Logits over the vocabulary where the first token of each answer is read.

        >>> objective = Masked(tokenizer, random.Random(0))
        >>> docs = [Document("positive verdict", "i loved it.")]
        >>> logits = objective.answers(model, list(objective.examples(docs)))
        >>> tokenizer.decode(logits.argmax(1))
        ' positive'
        """
        inputs, slots = self.questions(examples)
        hidden = self.hidden(model, inputs)
        return self.head(model)(hidden[torch.arange(len(slots)), slots]).float()

    def questions(self, examples):
        mask = self.tokenizer.mask_token_id
        hide = lambda e: [mask if i in e["answer"] else t for i, t in enumerate(e["ids"])]
        ids = _stack([hide(e) for e in examples], self.tokenizer.pad_token_id)
        places = (torch.arange(ids.shape[1]) + self._first_position()).expand_as(ids)
        return self._inputs(examples, ids, places), torch.tensor([e["answer"][0] for e in examples])


class Causal(Masked):
    """The next token predicted; a heading is asked after its text: "text cue answer".

    >>> docs = [Document("positive verdict", "i loved it.")]
    >>> [example] = Causal(gpt.tokenizer, random.Random(1)).examples(docs)
    >>> gpt.tokenizer.decode(example["ids"])
    ' i loved it. verdict positive<|endoftext|>'
    """

    def examples(self, docs):
        texts, spans = zip(*(self._linear(document) for document in docs))
        encoded = self.tokenizer(list(texts))
        for i, span in enumerate(spans):
            ids, answer, extra = encoded["input_ids"][i], _tokens_of(encoded, i, span, 0), docs[i].unreadable
            at = answer[0] if extra else 0
            ids = ids[:at] + [self.tokenizer.eos_token_id] * extra + ids[at:] + [self.tokenizer.eos_token_id]
            answer = [token + extra for token in answer]
            yield dict(ids=ids, heading=0, answer=answer, unreadable=range(at, at + extra))

    def _linear(self, d):
        text = f"{d.text}{self.tokenizer.eos_token}{d.pair}" if d.pair else d.text
        if d.heading is None:
            shift = len(text) - len(d.pair or d.text)
            return text, [(start + shift, end + shift) for start, end in d.spans]
        answer, *cue = d.heading.split(" ", 1)
        parts = [text, *cue] if self.rng.random() < 0.8 else [*cue, text]
        asked = " ".join(parts) + " "
        return asked + answer, [(len(asked), len(asked) + len(answer))]

    def batch(self, examples):
        ids = _stack([e["ids"] for e in examples], self.tokenizer.eos_token_id)
        inputs = dict(input_ids=ids, attention_mask=_stack([[1] * len(e["ids"]) for e in examples], 0))
        inputs |= dict(position_ids=_stack([self._places(e) for e in examples], 0), noise=_noise(examples))
        weights = 0.3 * inputs["attention_mask"] * ~inputs["noise"]
        for row, e in enumerate(examples):
            weights[row, e["answer"]] = 4.0
        return inputs, ids, weights

    def loss(self, model, batch):
        inputs, targets, weights = batch
        return _weighted(model.lm_head, self.hidden(model, inputs)[:, :-1], targets[:, 1:], weights[:, 1:])

    def questions(self, examples):
        ids = _stack([e["ids"][: e["answer"][0]] for e in examples], self.tokenizer.eos_token_id)
        slots = torch.tensor([e["answer"][0] - 1 for e in examples])
        mask = (torch.arange(ids.shape[1]) <= slots[:, None]).long()
        return dict(input_ids=ids, attention_mask=mask), slots


class Spans(Masked):
    """T5: a heading becomes "cue text" → "answer"; elsewhere the answer, or a few spans, go behind sentinels.

    >>> docs = [Document("positive verdict", "i loved it.")]
    >>> [example] = Spans(t5.tokenizer, random.Random(0)).examples(docs)
    >>> t5.tokenizer.decode(example["ids"]), t5.tokenizer.decode(example["target"])
    ('verdict i loved it.</s>', 'positive</s>')
    """

    def __init__(self, tokenizer, rng):
        super().__init__(tokenizer, rng)
        self.sentinels = tokenizer.convert_tokens_to_ids([f"<extra_id_{i}>" for i in range(12)])

    def examples(self, docs):
        docs, end = sorted(docs, key=lambda d: d.pair is not None), self.tokenizer.eos_token_id
        for e, document in zip(super().examples(docs), docs):
            ids, answer = e["ids"], e["answer"]
            if document.heading:  # the first decoder step answers, as in classification
                size = len(answer)
                yield dict(ids=ids[size:], target=ids[:size] + [end], asked=True, answered=size + 1,
                           heading=e["heading"] - size, unreadable=range(document.unreadable))  # fmt: skip
                continue
            spans = _runs(answer) if answer and self.rng.random() < 0.8 else self._spans(ids)
            source, target = self._hide(ids, spans)
            asked = len(spans) == 1 and "sentinel"
            answered = len(target) + 1 if asked else 0
            yield dict(ids=source, target=target + [end], asked=asked, answered=answered, unreadable=range(0))

    def _with_holes(self, e):
        """Two headed texts in five lose spans, which follow the answer: answers alone do not teach how sentences go."""
        if e["asked"] is not True or self.rng.random() > 0.4:
            return e
        ids, target = self._hide(e["ids"], self._spans(e["ids"], e["heading"]))
        target = e["target"][:-1] + target + e["target"][-1:]
        return e | dict(ids=ids, target=target, answered=e["answered"] - 1)

    def _hide(self, ids, spans):
        """The text with sentinels in place of its spans, and the spans behind their sentinels."""
        source, target, last = [], [], 0
        for sentinel, (start, stop) in zip(self.sentinels, spans):
            source, target = source + ids[last:start] + [sentinel], target + [sentinel] + ids[start:stop]
            last = stop
        return source + ids[last:], target + [self.sentinels[len(spans)]]

    def _spans(self, ids, start=0):
        spans, i = [], start + self.rng.randrange(6)
        while i < len(ids) - 1 and len(spans) < 10:
            stop = min(i + self.rng.randint(1, 4), len(ids) - 1)
            spans, i = spans + [(i, stop)], stop + self.rng.randint(6, 20)
        return spans or [(start, start + 1)]

    def batch(self, examples):
        examples = [self._with_holes(e) for e in examples]
        ids = _stack([e["ids"] for e in examples], 0)
        targets = _stack([e["target"] for e in examples], -100, multiple=4)
        answered = torch.tensor([[e["answered"]] for e in examples])
        weights = torch.where(torch.arange(targets.shape[1]) < answered, 2.0, 0.5)
        decoder = F.pad(targets[:, :-1].clamp(min=0), (1, 0))
        inputs = dict(input_ids=ids, attention_mask=(ids != 0).long(), decoder_input_ids=decoder)
        return inputs | dict(noise=_noise(examples)), targets, weights

    def hidden(self, model, inputs):
        encoder = {key: value for key, value in inputs.items() if key != "decoder_input_ids"}
        texts = model.encoder(**_embedded(model, encoder)).last_hidden_state
        read = dict(encoder_hidden_states=texts, encoder_attention_mask=inputs["attention_mask"])
        return model.decoder(inputs["decoder_input_ids"], use_cache=False, **read).last_hidden_state

    def head(self, model):
        scale = model.model_dim**-0.5 if model.config.scale_decoder_outputs else 1.0
        return lambda hidden: model.lm_head(hidden * scale)

    def questions(self, examples):
        ids = _stack([e["ids"] for e in examples], 0)
        slots = torch.tensor([0 if e["asked"] is True else 1 for e in examples])
        starts = torch.tensor([[0, self.sentinels[0]]] * len(examples))
        return dict(input_ids=ids, attention_mask=(ids != 0).long(), decoder_input_ids=starts), slots


def _noise(examples):
    """True at the slots of unreadable lines."""
    return _stack([[i in e["unreadable"] for i in range(len(e["ids"]))] for e in examples], False)


def _embedded(model, inputs):
    """Inputs with embeddings for ids; unreadable slots get random vectors like those that prompts start from."""
    inputs = dict(inputs)
    noise, embeds = inputs.pop("noise", None), model.get_input_embeddings()(inputs.pop("input_ids"))
    if noise is not None:
        scale = torch.empty(len(embeds), 1, 1).uniform_(0.01, 0.1)
        embeds = torch.where(noise[..., None], torch.randn(embeds.shape) * scale, embeds)
    return inputs | dict(inputs_embeds=embeds)


def _tokens_of(encoded, i, spans, side):
    """Numbers of the tokens that cover some spans of characters in text i."""
    token_at = lambda place: encoded.char_to_token(i, place, side)
    return [token for start, end in spans for token in range(token_at(start), token_at(end - 1) + 1)]


def _runs(tokens):
    """Neighbouring tokens as (start, stop): [4, 5, 9] → [(4, 6), (9, 10)]."""
    starts = [t for t in tokens if t - 1 not in tokens]
    return [(start, next(t for t in range(start, start + 99) if t not in tokens)) for start in starts]


def _weighted(head, hidden, targets, weights):
    """Weighted cross entropy at the predicted places; their number is rounded up, since CPU kernels cache by shape."""
    places = weights.flatten().nonzero()[:, 0]
    places = F.pad(places, (0, -len(places) % 256))
    use = torch.arange(len(places)) < (weights > 0).sum()
    logits = head(hidden.flatten(0, 1)[places]).float()
    losses = F.cross_entropy(logits, targets.flatten()[places].clamp(min=0), reduction="none")
    weights = weights.flatten()[places] * use
    return (losses * weights).sum() / weights.sum()


def _stack(rows, fill, multiple=8):
    width = -(-max(map(len, rows)) // multiple) * multiple
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


OBJECTIVES = {"masked": Masked, "causal": Causal, "seq2seq": Spans}
