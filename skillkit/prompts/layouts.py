"""Prompt layouts: where the slots of a prompt are laid out in the input, and where the answer is read.

>>> layout = find_layout(bb)                                 # "mask-first", "suffix" or "encoder"
>>> attached = layout.attach(bb, prompt.weight, batch)       # weight [L, H] may require gradients
>>> bb.answer_logits(attached.inputs, attached.answer)       # [B, vocabulary], read at one slot per example

With L trained vectors, one mask token and a text (padding always goes to the right, and is masked):

    - mask-first (masked): `[MASK] p1 … pL <s> text </s>`, answer at slot 0
    - zero-position (masked): the same, but row 0 is not trained (the mask overwrites it), and prompt rows get no
      position embedding and use up no position
    - prefix (masked): p1 … pL, then a template whose own mask is read (no template: the mask leads the text)
    - suffix (causal): text p1 … pL, answer at the last prompt slot
    - prefix (causal): p1 … pL text, answer at the last text slot
    - encoder (seq2seq): p1 … pL text in the encoder, answer at the decoder's first step
"""

from dataclasses import dataclass, replace

import torch

from skillkit.core.errors import SkillkitError
from skillkit.models import take
from skillkit.models.fast.cached_text import cached_text
from skillkit.prompts.encoding import encode, pair_separator


@dataclass(frozen=True, repr=False)
class Attached:
    """A batch with the prompt in it: what `bb.model.base_model` takes, and which slots matter.

    >>> attached.inputs              # inputs_embeds [B, T, H], attention_mask [B, T], position_ids, …
    >>> attached.answer              # [B] slot of the answer in the last hidden state (the decoder's for T5)
    >>> attached.slots               # [B, S] slots to probe (T5: in the encoder): answer if masked, prompt
    >>> attached.text                # [B, T] True at text tokens
    """

    inputs: dict
    answer: torch.Tensor
    slots: torch.Tensor
    text: torch.Tensor


class Layout:
    """Prompt before the text, answer after it: what causal models do, and what other layouts vary.

    >>> layout = find_layout(gpt, "prefix")
    >>> layout.room(16), layout.answer(batch, lead=16) - batch.mask.sum(1)
    (16, tensor([15, 15]))
    """

    name, family = "prefix", "causal"
    leading_space: bool | None = None  # of the label words, where the layout and not the task decides

    def room(self, length):
        """Positions that a prompt of `length` rows takes from the text."""
        return length

    def template(self, bb, task):
        """The task's template, if this layout can use it: one with a mask is for the layout that reads it.

        >>> columns = dict(text="review", label="stars", verbalizer=["bad", "good"], template="{text} It was")
        >>> find_layout(gpt).template(gpt, load_task("my.csv", **columns))
        '{text} It was'
        """
        template = task.template if task is not None else None
        return None if template and "[MASK]" in template else template

    def rows(self, bb, weight):
        """The vectors that stand together in the input, [rows, H]: the trained ones, and what goes with them."""
        return weight

    def trained(self, bb, rows):
        """The trained vectors among these rows, [L, H]: the inverse of `rows`.

        >>> torch.equal(layout.trained(bb, layout.rows(bb, prompt.weight)), prompt.weight)
        True
        """
        return rows

    def attach(self, bb, weight, batch):
        """Put `weight` [L, H] into the batch; see `Attached`.

        >>> attached = find_layout(gpt, "prefix").attach(gpt, torch.zeros(4, 128), batch)
        >>> attached.inputs["inputs_embeds"].shape[1] - batch.ids.shape[1]
        4
        """
        batch = batch.map(lambda tensor: tensor.to(bb.device))
        text, rows = bb.embed(batch.ids), self.rows(bb, weight.to(bb.device))
        prompt, lead = rows.to(text.dtype).expand(len(batch), -1, -1), len(rows)
        inputs = {
            "inputs_embeds": torch.cat([prompt, text], dim=1),
            "attention_mask": _lead(batch.mask, lead, 1),
        }
        if batch.token_types is not None:
            inputs["token_type_ids"] = _lead(batch.token_types, lead)
        inputs, answer = self.complete(bb, inputs, lead), self.answer(batch, lead)
        return Attached(inputs, answer, self.slots(answer, lead), _lead(batch.text, lead))

    def complete(self, bb, inputs, lead):
        """The inputs, and what else the family needs; positions come from the mask, so padding never shifts them."""
        if bb.family == "seq2seq":
            size = (len(inputs["inputs_embeds"]), 1)
            start = torch.full(size, bb.model.config.decoder_start_token_id, device=bb.device)
            return inputs | {"decoder_input_ids": start}
        return inputs | {"position_ids": bb.position_ids(inputs["attention_mask"])}

    def label_ids(self, bb, task):
        """Vocabulary ids of the task's label words in the form that is read in this layout, [labels].

        >>> layout.label_ids(bb, task).shape
        torch.Size([2])
        """
        own = task if self.leading_space is None else replace(task, leading_space=self.leading_space)
        return bb.embedded(own.label_ids(bb))

    def attach_trained(self, bb, weight, batch):
        """The same for a step that trains nothing but `weight`: what it cannot reach may be read beforehand."""
        return self.attach(bb, weight, batch)

    def answer(self, batch, lead):
        """The slot whose hidden state is read, [B]: here the last text slot, never a pad slot."""
        return (lead + batch.mask.sum(1) - 1).clamp(min=0)

    def slots(self, answer, lead):
        """The slots that are probed, [B, S].

        >>> find_layout(gpt, "prefix").slots(torch.tensor([9, 8]), lead=3)
        tensor([[0, 1, 2],
                [0, 1, 2]])
        """
        return torch.arange(lead, device=answer.device).expand(len(answer), -1)


class Cloze(Layout):
    """Prompt, then a template whose own mask is read: the form in which PEFT adapters trained elsewhere load.

    >>> find_layout(bb, "prefix").template(bb, task)       # a task without a template of its own
    '[MASK] {text}'
    """

    family = "masked"

    def template(self, bb, task):
        template = task.template if task is not None else None
        if template and "[MASK]" in template:
            return template
        pair = f"{pair_separator(bb.tokenizer)}{{text_pair}}" if task and task.pair else ""
        return f"[MASK] {template or '{text}' + pair}"

    def answer(self, batch, lead):
        return lead + batch.mask_slot

    def slots(self, answer, lead):
        return torch.cat([answer[:, None], super().slots(answer, lead)], dim=1)


class MaskFirst(Layout):
    """The layout of Skill Neuron (Wang et al. 2022): frozen mask embedding, trained vectors, text.

    >>> layout = find_layout(bb, "mask-first")
    >>> layout.room(4), layout.answer(batch, lead=5)
    (5, tensor([0, 0]))
    >>> torch.equal(layout.rows(bb, prompt.weight)[1:], prompt.weight)
    True

    Label words are the tokens that the task says, by default those of running text. The published code reads them
    without a leading space: `load_task(…, leading_space=False)`, as the files in params/tasks/skill-neuron do.
    """

    name, family = "mask-first", "masked"

    def room(self, length):
        return length + 1

    def rows(self, bb, weight):
        return torch.cat([_mask_embedding(bb).to(weight), weight])

    def trained(self, bb, rows):
        return rows[1:].clone()

    def answer(self, batch, lead):
        return torch.zeros(len(batch), dtype=torch.long, device=batch.ids.device)


class ZeroPosition(MaskFirst):
    """The layout of the published Prompt-Transferability checkpoints (Su et al. 2022).

    >>> layout = find_layout(bb, "zero-position")
    >>> layout.room(4), list(layout.rows(bb, prompt.weight).shape)
    (1, [4, 128])

    The mask overwrites row 0, and no row has a position embedding or, in a BERT, a token-type embedding. The
    text is numbered from padding_idx + 1 on, as if there were no prompt (0 is BERT's padding). The model adds
    its embeddings to everything, so what it will add to a row is subtracted beforehand. Label words are the
    tokens without a leading space, whatever the task says.
    """

    name, family, leading_space = "zero-position", "masked", False

    def room(self, length):
        return 1  # a BERT's position 0; the rows use up none

    def rows(self, bb, weight):
        rows = torch.cat([_mask_embedding(bb).to(weight), weight[1:]])
        return rows - _added(bb, _first(bb) - 1).to(rows)

    def complete(self, bb, inputs, lead):
        # One unused position for all rows of the prompt, which `rows` has subtracted.
        text, first = inputs["attention_mask"][:, lead:], _first(bb)
        positions = (text.cumsum(1) * text + first - 1).clamp(min=0)
        return inputs | {"position_ids": _lead(positions, lead, first - 1)}


class Suffix(Layout):
    """Text, then prompt, for causal models: its last slot has seen everything. Padding follows both.

    >>> layout, weight = find_layout(gpt, "suffix"), torch.zeros(4, 128)
    >>> layout.attach(gpt, weight, batch).answer - batch.mask.sum(1)
    tensor([3, 3])
    """

    name, family = "suffix", "causal"

    def attach(self, bb, weight, batch):
        attached = super().attach(bb, weight, batch)
        # No gap in between: local attention (GPT-Neo) counts slots, not positions.
        last = batch.mask.to(bb.device).logical_not().long() * 2
        order = _lead(last, len(weight), 1).argsort(dim=1, stable=True)
        embeds, lengths = take(attached.inputs["inputs_embeds"], order), (last == 0).sum(1, keepdim=True)
        slots = lengths + torch.arange(len(weight), device=bb.device)
        return replace(
            attached, inputs=attached.inputs | {"inputs_embeds": embeds}, slots=slots,
            text=attached.text.gather(1, order),
        )  # fmt: skip

    def attach_trained(self, bb, weight, batch):
        """Forward and backward pass of the prompt alone, behind a text that is read once, without gradients.

        >>> attached = find_layout(gpt, "suffix").attach_trained(gpt, torch.zeros(4, 128), batch)
        >>> attached.inputs["inputs_embeds"].shape         # the prompt alone
        torch.Size([2, 4, 128])

        Without a prompt, and where `cached_text` cannot read beforehand, the whole sequence is passed.
        """
        batch = batch.map(lambda tensor: tensor.to(bb.device))
        cache = cached_text(bb, batch) if len(weight) else None
        if cache is None:
            return self.attach(bb, weight, batch)
        prompt = weight.to(bb.device, bb.dtype).expand(len(batch), -1, -1)
        mask = torch.cat([batch.mask, batch.mask.new_ones(prompt.shape[:2])], dim=1)
        inputs = {"inputs_embeds": prompt, "attention_mask": mask, "past_key_values": cache}
        inputs["position_ids"] = bb.position_ids(mask)[:, -len(weight) :]
        slots = self.slots(batch.labels, len(weight))
        return Attached(inputs, slots[:, -1], slots, torch.zeros_like(slots, dtype=torch.bool))


class Encoder(Layout):
    """Prompt before the text in the encoder; the decoder gets its start token and answers at once.

    >>> find_layout(t5).answer(batch, lead=16)             # a slot of the decoder
    tensor([0, 0])
    """

    name, family = "encoder", "seq2seq"
    answer = MaskFirst.answer


# The first of a family is its default.
_ALL = (MaskFirst(), ZeroPosition(), Cloze(), Suffix(), Layout(), Encoder())
LAYOUTS = {(layout.family, layout.name): layout for layout in _ALL}
# What stands for a layout in hashes where its results have changed: once, the text of zero-position stood behind the
# prompt's positions, and label words had the leading space that the task gives them.
KEYS = {"zero-position": "zero-position 2"}


def layout_key(bb, layout, default=None):
    """What replaces the argument `layout` in the key of a stored result where a layout has changed; else {}.

    >>> layout_key(bb, None, "zero-position"), layout_key(bb, "mask-first")
    ({'layout': 'zero-position 2'}, {})
    """
    layout = layout or (default if bb.family == "masked" else None)
    return {"layout": KEYS[layout]} if layout in KEYS else {}


def find_layout(bb, name=None):
    """The layout of that name, or the default; SkillkitError when this family of models cannot have it.

    >>> find_layout(bb, "zero-position").attach(bb, prompt.weight, batch)
    """
    fitting = [own for family, own in LAYOUTS if family == bb.family]
    name = name or fitting[0]
    if name not in fitting:
        known = " or ".join(fitting)
        raise SkillkitError(f"layout {name!r} is not for {bb.family} models like {bb.name}; choose {known}")
    return LAYOUTS[bb.family, name]


def encode_for(bb, task, rows, layout, length, **options):
    """`encode` with the room and the template that a prompt of `length` rows in this layout needs.

    >>> encode_for(bb, task, task["test"], find_layout(bb, "mask-first"), length=16).limit       # of 256
    239
    """
    return encode(bb, task, rows, layout.room(length), layout.template(bb, task), **options)


def _first(bb):
    """The position of the first token in layout "zero-position": padding_idx + 1, in a BERT 1."""
    if bb.row.positions in ("rotary", "relative"):
        raise SkillkitError(f"{bb.name} has no position embeddings for layout 'zero-position'; take another")
    return int(bb.position_ids(torch.ones(1, 1, dtype=torch.long))[0, 0]) or 1


def _added(bb, position):
    """What the model adds to an input in that position and the published code does not, [H]."""
    base, types = bb.model.base_model, getattr(bb.model.config, "type_vocab_size", 0)
    added = base.get_submodule(bb.row.positions).weight[position]
    return added + base.embeddings.token_type_embeddings.weight[0] if types > 1 else added


def _mask_embedding(bb):
    return bb.embed(torch.tensor([bb.tokenizer.mask_token_id], device=bb.device))


def _lead(tensor, count, value=0):
    """`tensor` [B, T] behind `count` columns of `value`."""
    return torch.cat([tensor.new_full((len(tensor), count), value), tensor], dim=1)
