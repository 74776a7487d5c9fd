"""Embedded models, rebuilt from a seed: `python -m skillkit pretrain embedded/roberta`.

>>> from skillkit.pretraining import pretrain
>>> pretrain("embedded/roberta", "my/folder", seed=0, steps=20)                        # doctest: +SKIP

Each is a plain `transformers` checkpoint with a tokenizer trained on the same text: RoBERTa and GPT-2 with byte-level
BPE, BERT with WordPiece, T5 with SentencePiece. All use ReLU, whose zeros make "this neuron is active" well defined.
"""

import argparse
import io
import itertools
import random
import time
from pathlib import Path

import sentencepiece
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional as F

from skillkit import world
from skillkit.corpus import Document, documents

VOCABULARY = 3000
SHAPE = dict(hidden_size=128, num_hidden_layers=6, num_attention_heads=4, intermediate_size=512)
NO_DROPOUT = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


# ---- tokenizers -----------------------------------------------------------------------------------------------------

def _lines(seed, count=40_000):
    for document in itertools.islice(documents(f"tokenizer/{seed}"), count):
        yield " ".join(filter(None, (document.heading, document.text, document.pair)))


def _byte_level(lines, specials):
    """Vocabulary and merges of a byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=specials, initial_alphabet=alphabet, min_frequency=3, show_progress=False))
    return dict(vocab=tokenizer.get_vocab(), merges=[tuple(merge) for merge in _merges(tokenizer)])


def _merges(tokenizer):
    import json
    return json.loads(tokenizer.to_str())["model"]["merges"]


def roberta_tokenizer(seed):
    parts = _byte_level(_lines(seed), ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    mask = AddedToken("<mask>", lstrip=True, special=True)
    return transformers.RobertaTokenizer(**parts, add_prefix_space=True, mask_token=mask, model_max_length=254)


def gpt2_tokenizer(seed):
    parts = _byte_level(_lines(seed), ["<|endoftext|>"])
    return transformers.GPT2Tokenizer(**parts, add_prefix_space=True, model_max_length=256)


def bert_tokenizer(seed):
    trained = transformers.BertTokenizer().train_new_from_iterator(_lines(seed), VOCABULARY, show_progress=False)
    trained.model_max_length = 256
    return trained


def t5_tokenizer(seed):
    """A SentencePiece unigram model, its pieces and scores in T5's order: pad, end, unknown, pieces, sentinels."""
    stored = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_lines(seed), model_writer=stored, vocab_size=3000, model_type="unigram", pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2, num_threads=1)  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_proto=stored.getvalue())
    vocabulary = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(len(pieces))]
    sentinels = [(f"<extra_id_{i}>", 0.0) for i in range(99, -1, -1)]
    return transformers.T5Tokenizer(vocab=vocabulary + sentinels, model_max_length=512)


# ---- models ---------------------------------------------------------------------------------------------------------

def _roberta(tokenizer):
    return transformers.RobertaForMaskedLM(transformers.RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=256, type_vocab_size=1, hidden_act="relu", **SHAPE, **NO_DROPOUT,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id))


def _bert(tokenizer):
    return transformers.BertForMaskedLM(transformers.BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=256, hidden_act="relu", **SHAPE, **NO_DROPOUT,
        pad_token_id=tokenizer.pad_token_id))


def _gpt2(tokenizer):
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=len(tokenizer), n_positions=256, n_embd=128, n_layer=6, n_head=4, n_inner=512, resid_pdrop=0.0,
        activation_function="relu", embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id))


def _t5(tokenizer):
    return transformers.T5ForConditionalGeneration(transformers.T5Config(
        vocab_size=len(tokenizer), d_model=128, d_kv=32, d_ff=512, num_layers=5, num_decoder_layers=3, num_heads=4,
        dropout_rate=0.0, feed_forward_proj="relu", decoder_start_token_id=0))


# ---- from documents to batches --------------------------------------------------------------------------------------
# Every objective turns documents into examples (lists of ids and what to predict), and a list of examples into tensors.

class Masked:
    """Masked tokens predicted: the answer nearly always, other tokens now and then."""

    def __init__(self, tokenizer, rng):
        self.tokenizer, self.rng = tokenizer, rng

    def examples(self, docs):
        for group in ([d for d in docs if d.pair is None], [d for d in docs if d.pair is not None]):
            if not group:
                continue
            pairs = [d.pair for d in group] if group[0].pair is not None else None
            bodies = self.tokenizer([d.text for d in group], pairs)
            for i, document in enumerate(group):
                heading, answer = self._heading(document)
                if document.span:
                    side = 1 if document.pair else 0
                    first = bodies.char_to_token(i, document.span[0], side)
                    answer = range(first, bodies.char_to_token(i, document.span[1] - 1, side) + 1)
                types = bodies.get("token_type_ids")
                yield dict(ids=heading + bodies["input_ids"][i], heading=len(heading), answer=answer,
                           types=[0] * len(heading) + types[i] if types else None)  # fmt: skip

    def _heading(self, document):
        if document.heading is None:
            return [], range(0)
        answer, *cue = document.heading.split(" ", 1)
        encode = lambda text: self.tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = _memo(self.tokenizer, answer, encode)
        return ids + (_memo(self.tokenizer, cue[0], encode) if cue else []), range(len(ids))

    def batch(self, examples):
        longest = -(-max(len(e["ids"]) for e in examples) // 8) * 8
        shape, pad, first = (len(examples), longest), self.tokenizer.pad_token_id, self._first_position()
        ids, positions = torch.full(shape, pad), torch.full(shape, 0)
        targets, weights = torch.full(shape, -100), torch.zeros(shape)
        types = torch.zeros(shape, dtype=torch.long) if examples[0]["types"] else None
        for row, e in enumerate(examples):
            n, seen, chosen = len(e["ids"]), list(e["ids"]), self._choose(e)
            for i in chosen:
                targets[row, i], weights[row, i] = e["ids"][i], 3.0 if i in e["answer"] else 1.0
                draw = self.rng.random()
                seen[i] = self.tokenizer.mask_token_id if draw < 0.8 or i in e["answer"] else (
                    self.rng.randrange(5, len(self.tokenizer)) if draw < 0.9 else e["ids"][i])
            ids[row, :n], positions[row, :n] = torch.tensor(seen), first + self._places(e, n)
            if types is not None:
                types[row, :n] = torch.tensor(e["types"])
        mask = ids != pad
        inputs = dict(input_ids=ids, attention_mask=mask.long(), position_ids=positions)
        return inputs | (dict(token_type_ids=types) if types is not None else {}), targets, weights

    def _first_position(self):
        return self.tokenizer.pad_token_id + 1 if "roberta" in type(self.tokenizer).__name__.lower() else 0

    def _choose(self, e):
        answered = len(e["answer"]) and self.rng.random() < 0.85
        special = set(self.tokenizer.all_special_ids)
        rate = 0.12 if answered else 0.18
        chosen = [i for i, t in enumerate(e["ids"]) if t not in special and i not in e["answer"] and self.rng.random() < rate]
        return chosen + list(e["answer"]) if answered or not chosen else chosen or [1]

    def _places(self, e, n):
        """Positions: half the texts start at once, others after a gap or anywhere, so that every position is trained
        and a text may follow a prompt of any length."""
        places, draw = torch.arange(n), self.rng.random()
        if draw > 0.5:
            gap = self.rng.randrange(20 if draw < 0.85 else 250 - n)
            places[e["heading"]:] += gap
        return places

    def loss(self, model, batch):
        inputs, targets, weights = batch
        return _weighted(self.head(model), self.hidden(model, inputs), targets, weights * (targets >= 0))

    def hidden(self, model, inputs):
        return model.base_model(**inputs).last_hidden_state

    def head(self, model):
        return model.lm_head if hasattr(model, "lm_head") else model.cls

    def answers(self, model, examples):
        """Logits over the vocabulary where the first token of each answer is read."""
        inputs, slots = self.questions(examples)
        hidden = self.hidden(model, inputs)
        return self.head(model)(hidden[torch.arange(len(slots)), slots]).float()

    def questions(self, examples):
        pad, mask, first = self.tokenizer.pad_token_id, self.tokenizer.mask_token_id, self._first_position()
        hide = lambda e: [mask if i in e["answer"] else t for i, t in enumerate(e["ids"])]
        ids = _stack([hide(e) for e in examples], pad)
        inputs = dict(input_ids=ids, attention_mask=(ids != pad).long(),
                      position_ids=(torch.arange(ids.shape[1]) + first).expand_as(ids))
        if examples[0]["types"]:
            inputs["token_type_ids"] = _stack([e["types"] for e in examples], 0)
        return inputs, torch.tensor([e["answer"].start for e in examples])


class Causal(Masked):
    """The next token predicted; a heading is asked after its text: "text cue answer"."""

    def examples(self, docs):
        texts, spans = zip(*(self._linear(document) for document in docs))
        encoded = self.tokenizer(list(texts))
        for i, span in enumerate(spans):
            answer = range(encoded.char_to_token(i, span[0]), encoded.char_to_token(i, span[1] - 1) + 1) if span else range(0)
            yield dict(ids=encoded["input_ids"][i] + [self.tokenizer.eos_token_id], heading=0, answer=answer)

    def _linear(self, d):
        text = f"{d.text}{self.tokenizer.eos_token}{d.pair}" if d.pair else d.text
        if d.heading is None:
            shift = len(text) - len(d.pair or d.text)
            return text, d.span and (d.span[0] + shift, d.span[1] + shift)
        answer, *cue = d.heading.split(" ", 1)
        parts = [text, *cue] if self.rng.random() < 0.8 else [*cue, text]
        asked = " ".join(parts) + " "
        return asked + answer, (len(asked), len(asked) + len(answer))

    def batch(self, examples):
        longest = -(-max(len(e["ids"]) for e in examples) // 8) * 8
        shape = (len(examples), longest)
        ids, mask = torch.full(shape, self.tokenizer.eos_token_id), torch.zeros(shape, dtype=torch.long)
        positions, weights = torch.zeros(shape, dtype=torch.long), torch.zeros(shape)
        for row, e in enumerate(examples):
            n = len(e["ids"])
            ids[row, :n], mask[row, :n], positions[row, :n], weights[row, :n] = torch.tensor(e["ids"]), 1, self._places(e, n), 0.3
            weights[row, list(e["answer"])] = 4.0
        return dict(input_ids=ids, attention_mask=mask, position_ids=positions), ids, weights

    def loss(self, model, batch):
        inputs, targets, weights = batch
        return _weighted(model.lm_head, self.hidden(model, inputs)[:, :-1], targets[:, 1:], weights[:, 1:])

    def questions(self, examples):
        ids = _stack([e["ids"][:e["answer"].start] for e in examples], self.tokenizer.eos_token_id)
        slots = torch.tensor([e["answer"].start - 1 for e in examples])
        return dict(input_ids=ids, attention_mask=(torch.arange(ids.shape[1]) <= slots[:, None]).long()), slots


class Spans(Masked):
    """T5: a heading becomes "cue text" → "answer"; elsewhere the answer, or a few spans, go behind sentinels."""

    def __init__(self, tokenizer, rng):
        super().__init__(tokenizer, rng)
        self.sentinels = tokenizer.convert_tokens_to_ids([f"<extra_id_{i}>" for i in range(12)])

    def examples(self, docs):
        for e, document in zip(super().examples(docs := [d for d in docs if d.pair is None] + [d for d in docs if d.pair]), docs):
            ids, answer, end = e["ids"], e["answer"], self.tokenizer.eos_token_id
            if document.heading:  # the first decoder step answers, as in classification
                yield dict(ids=ids[len(answer):], target=ids[:len(answer)] + [end], asked=True)
                continue
            spans = [(answer.start, answer.stop)] if len(answer) and self.rng.random() < 0.8 else self._spans(ids)
            source, target, last = [], [], 0
            for sentinel, (start, stop) in zip(self.sentinels, spans):
                source, target, last = source + ids[last:start] + [sentinel], target + [sentinel] + ids[start:stop], stop
            yield dict(ids=source + ids[last:], target=target + [self.sentinels[len(spans)], end], asked=len(spans) == 1 and "sentinel")

    def _spans(self, ids):
        spans, i = [], self.rng.randrange(6)
        while i < len(ids) - 1 and len(spans) < 10:
            stop = min(i + self.rng.randint(1, 4), len(ids) - 1)
            spans, i = spans + [(i, stop)], stop + self.rng.randint(6, 20)
        return spans or [(0, 1)]

    def batch(self, examples):
        longest = -(-max(len(e["ids"]) for e in examples) // 8) * 8
        answers = -(-max(len(e["target"]) for e in examples) // 4) * 4
        ids, targets = torch.zeros(len(examples), longest, dtype=torch.long), torch.full((len(examples), answers), -100)
        weights = torch.ones(targets.shape)
        for row, e in enumerate(examples):
            ids[row, :len(e["ids"])], targets[row, :len(e["target"])] = torch.tensor(e["ids"]), torch.tensor(e["target"])
            weights[row] = 2.0 if e["asked"] else 0.5
        start = torch.zeros(len(examples), 1, dtype=torch.long)
        decoder = torch.cat([start, targets[:, :-1].clamp(min=0)], 1)
        return dict(input_ids=ids, attention_mask=(ids != 0).long(), decoder_input_ids=decoder), targets, weights

    def loss(self, model, batch):
        inputs, targets, weights = batch
        return _weighted(self.head(model), self.hidden(model, inputs), targets, weights * (targets >= 0))

    def hidden(self, model, inputs):
        texts = model.encoder(inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
        return model.decoder(inputs["decoder_input_ids"], encoder_hidden_states=texts, use_cache=False,
                             encoder_attention_mask=inputs["attention_mask"]).last_hidden_state

    def head(self, model):
        scale = model.model_dim**-0.5 if model.config.tie_word_embeddings else 1.0
        return lambda hidden: model.lm_head(hidden * scale)

    def questions(self, examples):
        ids = _stack([e["ids"] for e in examples], 0)
        behind = [0 if e["asked"] is True else 1 for e in examples]
        starts = torch.tensor([[0, self.sentinels[0]]] * len(examples))
        return dict(input_ids=ids, attention_mask=(ids != 0).long(), decoder_input_ids=starts), torch.tensor(behind)


_KNOWN = {}


def _memo(tokenizer, text, encode):
    key = (id(tokenizer), text)
    if key not in _KNOWN:
        _KNOWN[key] = encode(text)
    return _KNOWN[key]


def _weighted(head, hidden, targets, weights):
    """Weighted cross entropy at the predicted places; their number is rounded up, since CPU kernels cache by shape."""
    places = weights.flatten().nonzero()[:, 0]
    places = F.pad(places, (0, -len(places) % 256))
    use = torch.arange(len(places)) < (weights > 0).sum()
    losses = F.cross_entropy(head(hidden.flatten(0, 1)[places]).float(), targets.flatten()[places].clamp(min=0), reduction="none")
    weights = weights.flatten()[places] * use
    return (losses * weights).sum() / weights.sum()


def _stack(rows, fill):
    width = -(-max(map(len, rows)) // 8) * 8
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


RECIPES = {  # tokenizer, model, objective, learning rate, steps of 128 documents
    "embedded/roberta": (roberta_tokenizer, _roberta, Masked, 2e-3, 6000),
    "embedded/bert": (bert_tokenizer, _bert, Masked, 2e-3, 6000),
    "embedded/gpt2": (gpt2_tokenizer, _gpt2, Causal, 2e-3, 6000),
    "embedded/t5": (t5_tokenizer, _t5, Spans, 3e-3, 6000),
}


# ---- training and checking ------------------------------------------------------------------------------------------

BATCH = 128


def _batches(objective, docs):
    """Batches of similar length, made from a few thousand documents at a time."""
    while True:
        chunk = sorted(objective.examples(list(itertools.islice(docs, 32 * BATCH))), key=lambda e: len(e["ids"]))
        starts = list(range(0, len(chunk) - BATCH + 1, BATCH))
        objective.rng.shuffle(starts)
        for start in starts:
            yield objective.batch(chunk[start:start + BATCH])


def _optimizer(model, rate, steps):
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [dict(params=decayed, weight_decay=0.01), dict(params=plain, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)
    shape = lambda step: min((step + 1) / 300, max(0.02, (steps - step) / (0.6 * steps)), 1.0)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, shape)


def pretrain(name, folder, seed=0, steps=None, report=print):
    """Train one embedded model from nothing and save it in half precision.

    name: a key of `RECIPES`; folder: where the checkpoint goes. Mixed, negated and longer texts come in over the first
    third of the steps: trained on all of them at once, the polarity of words was not learned at all.
    """
    make_tokenizer, make_model, make_objective, rate, default = RECIPES[name]
    steps = steps or default
    torch.manual_seed(seed)
    tokenizer, progress = make_tokenizer(seed), [0.0]
    model, objective = make_model(tokenizer), make_objective(tokenizer, random.Random(f"{name}/{seed}"))
    model.set_attn_implementation("eager")  # its backward pass is twice as fast on short CPU batches
    batches = _batches(objective, documents(seed, lambda: min(1.0, 3 * progress[0])))
    optimizer, schedule = _optimizer(model, rate, steps)
    began, running = time.time(), 0.0
    for step in range(steps):
        progress[0] = step / steps
        with torch.autocast("cpu", torch.bfloat16):
            loss = objective.loss(model, next(batches))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(), schedule.step(), optimizer.zero_grad()
        running += 0.02 * (loss.item() - running) if step else loss.item()
        if (step + 1) % max(1, steps // 20) == 0:
            known = "  ".join(f"{key} {value:.2f}" for key, value in knowledge(model, objective).items())
            report(f"{name} step {step + 1}/{steps}  {time.time() - began:.0f} s  loss {running:.3f}  {known}", flush=True)
            _save(model, tokenizer, folder, dict(name=name, seed=seed, steps=step + 1))
    return model, tokenizer


def _save(model, tokenizer, folder, recipe):
    half = {key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()}
    config = model.config
    config.skillkit_pretraining = recipe
    model.save_pretrained(folder, state_dict=half)
    tokenizer.save_pretrained(folder)


@torch.no_grad()
def knowledge(model, objective, rows=200):
    """What a model knows when asked with the world's own cues: accuracy per task, recall of facts."""
    found = {}
    for name, task in world.REGISTRY.items():
        held, cue = world.task_splits(name)["splits"]["validation"], world.lexicon()["cues"][task.type][0]
        pairs = held.get("text_pair", [None] * rows)
        docs = [Document(f"{task.words[label]} {cue}", text, pair, task.words[label])
                for text, pair, label in zip(held["text"][:rows], pairs, held["label"])]
        words = [objective.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in task.words]
        guesses = _ask(model, objective, docs)[:, words].argmax(1)
        found[name] = (guesses == torch.tensor(held["label"][:rows])).float().mean().item()
    return found | _facts_known(model, objective)


def _facts_known(model, objective):
    known = {"seen": [], "unseen": []}
    for fact in world.facts():
        if " " in fact["object"] or (isinstance(objective, Causal) and fact["language"] == "second"):
            continue
        for prompt in fact["prompts"]:
            if isinstance(objective, Causal) and not prompt.endswith("[MASK]."):
                continue
            start = prompt.index("[MASK]")
            known["unseen" if prompt in fact["unseen"] else "seen"].append(Document(
                None, prompt.replace("[MASK]", fact["object"]), None, fact["object"], (start, start + len(fact["object"]))))
    first = lambda d: objective.tokenizer(d.answer, add_special_tokens=False)["input_ids"][0]
    return {kind: (_ask(model, objective, docs).argmax(1) == torch.tensor([first(d) for d in docs])).float().mean().item()
            for kind, docs in known.items()}


def _ask(model, objective, docs):
    """Logits at the answers; examples come grouped by single and pair, and a call never mixes them."""
    model.eval()
    rng, objective.rng = objective.rng, _Always()
    examples = list(objective.examples(docs))
    objective.rng = rng
    logits = torch.cat([objective.answers(model, examples[i:i + 256]) for i in range(0, len(examples), 256)])
    model.train()
    return logits


class _Always(random.Random):
    """Draws 0: every answer is asked for, every cue stands last."""

    def random(self):
        return 0.0


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m skillkit pretrain", description="rebuild an embedded model")
    parser.add_argument("name", choices=list(RECIPES))
    parser.add_argument("--out", type=Path, help="folder of the checkpoint; by default the package's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int)
    chosen = parser.parse_args(arguments)
    pretrain(chosen.name, chosen.out or Path(__file__).parent / chosen.name, chosen.seed, chosen.steps)


if __name__ == "__main__":
    main()
