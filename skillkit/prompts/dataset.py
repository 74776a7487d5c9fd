"""Rows of a task in a model's input: tokenised once, run as often as needed.

>>> reading = prepare(bb, task, prompt, task["validation"])
>>> reading.stream([0, 3], lambda layer, values, batch: print(layer, values.shape))     # [B, slots, neurons]
>>> reading.logits(task.label_ids(bb))                                                  # [rows, labels]

Evaluation, probing and suppression are loops over such rows; activations are streamed batch by batch, not stored.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from skillkit.core.errors import SkillkitError, check_objects
from skillkit.models import Hooks, take, undone
from skillkit.prompts.layouts import encode_for, find_layout
from skillkit.prompts.soft_prompt import SoftPrompt

# Two more "slots" of an encoder: every neuron pooled over the text tokens of an example.
POOLED = ("text mean", "text max")


@dataclass(frozen=True)
class Now:
    """The batch that a backbone is reading: for interventions that depend on example or place.

    >>> with now(bb, attached, batch.index):
    ...     bb.now.index                 # [B] row numbers
    ...     bb.now.places["text"]        # [B, T] bool: where the text stands; "prompt": the slots that are probed
    ...     bb.now.places["slot"]        # [B, T] which slot stands there, by its number; −1 elsewhere
    """

    index: torch.Tensor
    places: dict


@contextmanager
def now(bb, attached, index):
    """Context in which `bb.now` says which rows (`index` [B]) the forward passes are about.

    >>> with now(bb, attached, batch.index): bb.run(attached.inputs)
    """
    numbers = torch.arange(attached.slots.shape[1], device=attached.slots.device).expand_as(attached.slots)
    slot = torch.full_like(attached.text, -1, dtype=torch.long).scatter_(1, attached.slots, numbers)
    before = bb.now
    with undone(lambda: vars(bb).update(now=before)):
        bb.now = Now(index, {"prompt": slot >= 0, "slot": slot, "text": attached.text})
        yield


@dataclass(frozen=True, eq=False, repr=False)
class Reading:
    """Encoded rows with a prompt, ready for the passes of a backbone; see `prepare`.

    >>> Reading(bb, layout, prompt.weight, encoded).logits(vocabulary)
    """

    bb: Any
    layout: Any
    weight: torch.Tensor
    encoded: Any
    tuned: Any = None

    def __len__(self):
        return len(self.encoded)

    @property
    def labels(self):
        return self.encoded.labels

    def changed(self):
        """Context in which the backbone carries the biases or adapters, if there are any."""
        return self.tuned.apply(self.bb) if self.tuned else nullcontext()

    def batches(self, batch_size=None):
        """(attached, batch) for every batch; the longest rows last.

        >>> [batch.labels.shape for attached, batch in reading.batches(8)]
        [torch.Size([8]), torch.Size([8])]
        """
        for batch in self.encoded.batches(batch_size):
            yield self.layout.attach(self.bb, self.weight, batch), batch

    @torch.inference_mode()
    def logits(self, vocabulary, batch_size=None):
        """Logits of some vocabulary ids at the answer slot, float32 [rows, ids], in the order of the rows.

        Raises SkillkitError for logits that are no numbers: the highest of them would be an arbitrary label.
        """
        logits = torch.zeros(len(self), len(vocabulary))
        vocabulary = vocabulary.to(self.bb.device)
        with self.changed():
            for attached, batch in self.batches(batch_size):
                with now(self.bb, attached, batch.index):
                    found = self.bb.answer_logits(attached.inputs, attached.answer, vocabulary)
                logits[batch.index] = found.cpu()
        _check_finite(logits, f"{self.bb.name} has logits")
        return logits

    @torch.no_grad()
    def stream(self, layers, visit, slots=None, text=False, batch_size=None):
        """Call `visit(layer, values, batch)` for every batch and layer; no activations are stored.

        >>> reading.stream([0], lambda layer, values, batch: total.add_(values.sum(0)))

        values: [B, slots, neurons], at least float32: in an encoder the probed slots, or those of them that
        `slots` numbers, and with `text=True` the mean and the maximum over the text tokens behind them
        (`text="special"`: and the special tokens around the text); in a decoder its one answer slot. A pass ends
        at the last of `layers`. Raises SkillkitError for activations that are no numbers.
        """

        def pass_on(layer, neurons):
            values = self._values(layer, neurons, attached, slots, text)
            _check_finite(values, f"{self.bb.layers[layer]} of {self.bb.name} has activations")
            visit(layer, values, batch)

        # Tokenwise: `_values` finds the slots itself however the texts stand.
        with self.changed(), Hooks(self.bb, layers, pass_on, tokenwise=True, stop=True):
            for attached, batch in self.batches(batch_size):
                with now(self.bb, attached, batch.index):
                    self.bb.run(attached.inputs)

    def _values(self, layer, neurons, attached, slots, text):
        wide, batching = torch.promote_types(neurons.dtype, torch.float32), self.bb.batching
        if layer in self.bb.decoder_layers:
            return take(neurons, attached.answer[:, None]).to(wide)
        values = batching.take(neurons, self.slots(attached, slots)).to(wide)
        if not text:
            return values
        places = attached.text
        if text == "special":  # all that is read but the probed slots
            places = attached.inputs["attention_mask"].bool().scatter(1, attached.slots, False)
        pairs = zip(batching.texts(neurons), batching.texts(batching.pack(places)), strict=True)
        return torch.cat([values, torch.cat([text_pools(one.to(wide), where) for one, where in pairs])], 1)

    def slots(self, attached, chosen=None):
        """Positions of the probed slots, [B, S]: the prompt's (and a masked model's answer).

        >>> reading.slots(attached, chosen=[0]).flatten()      # the mask leads
        tensor([0, 0])

        Where there are none, or where they cannot see the text, it is the last token.
        """
        if self._blind:
            return attached.inputs["attention_mask"].sum(1, keepdim=True) - 1
        return attached.slots if chosen is None else attached.slots[:, list(chosen)]

    @property
    def slot_names(self):
        """Names of the probed slots: "mask" if there is one, the prompt vectors by number; or "last".

        >>> reading.slot_names
        ('mask', '1', '2', '3', '4')
        """
        if self._blind:
            return ("last",)
        attached, _ = next(self.batches(1))
        numbers = tuple(map(str, range(attached.slots.shape[1] + 1)))
        return ("mask", *numbers[1:-1]) if self.bb.family == "masked" else numbers[1:]

    @property
    def _blind(self):
        before_text = self.bb.family == "causal" and self.layout.name == "prefix"
        return self.bb.family != "masked" and (before_text or len(self.weight) == 0)


def _check_finite(values, what):
    if not values.sum().isfinite():  # a sum passes on NaN and infinities, and is read once
        raise SkillkitError(
            f"{what} that are NaN or infinite; check prompt, weights and intervention, or load the backbone "
            "with dtype='float32'"
        )


def text_pools(neurons, text):
    """Mean and maximum over the text tokens: [B, T, N] with bool [B, T] → [B, 2, N]; zeros without text.

    >>> text_pools(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]])).flatten()
    tensor([2., 3.])
    """
    count = text.sum(1, keepdim=True)
    shares = text.to(neurons) / count.clamp(min=1)
    mean = torch.bmm(shares[:, None], neurons)[:, 0]
    outside = torch.zeros_like(shares).masked_fill(
        ~text, -torch.inf
    )  # to add takes a third of filling's time
    highest = (neurons + outside[..., None]).amax(1)
    return torch.stack([mean, torch.where(count > 0, highest, 0)], 1)


def prepare(bb, task, prompt, rows):
    """Encode rows for a backbone and a prompt: a `Reading`.

    >>> reading = prepare(bb, task, prompt, task["test"])
    >>> len(reading), reading.labels

    `prompt` is a SoftPrompt, what `tune_bitfit` or `tune_adapter` returned, or None for the bare text. Raises
    SkillkitError when the prompt does not fit the backbone.
    """
    check_objects(bb, ... if task is None else task, prompt)
    # Without a prompt, a masked model reads the mask of the task's template if there is one.
    cloze = bb.family == "masked" and task is not None and "[MASK]" in (task.template or "")
    layout = prompt.on(bb) if prompt else find_layout(bb, "prefix" if cloze else None)
    soft, options = isinstance(prompt, SoftPrompt), prompt.options if prompt else {}
    weight = prompt.weight if soft else torch.zeros(0, bb.hidden_size)
    encoded = encode_for(bb, task, rows, layout, len(weight), **options)
    return Reading(bb, layout, weight, encoded, tuned=None if soft else prompt)
