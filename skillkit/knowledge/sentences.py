"""Sentences: in which of them are a fact's neurons most active?

>>> sentence_activations(bb, found[fact.key], sentences).head()        # sentences that state the fact should lead
>>> mentions(fact, sentences)                                          # head and tail, head only, others
>>> activations_by_mention(bb, facts, found, sentences)                # the three groups, for many facts

Dai et al. 2022, section 4.4, table 5: sentences that mention head and tail of a fact activate its neurons most.
"""

import random
import re

import numpy as np
import pandas
import torch

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress as progress_bar
from skillkit.core.store import artifact
from skillkit.knowledge.clozes import as_list
from skillkit.knowledge.counts import FactNeurons, estimate
from skillkit.knowledge.fact_suppression import FactTable
from skillkit.neurons import checked_mask

_POOLS = {"max": lambda values: values.amax(0), "mean": lambda values: values.mean(0)}


@torch.no_grad()
def sentence_activations(bb, facts, sentences, pool="max"):
    """Mean activation of a fact's neurons in each sentence: DataFrame of sentence and activation, highest first.

    >>> sentence_activations(bb, found[fact.key], ["the capital of velmora is hilvek."])

    facts  what `knowledge_neurons` found, or a mask
    pool   over a sentence's tokens, "max" or "mean", before the mean over neurons. An encoder–decoder's decoder
           reads nothing but its start token here.

    Raises SkillkitError for an empty set of neurons, no sentences, and another pool.
    """
    mask = checked_mask(bb, facts)
    sentences = as_list(sentences)
    if not all(isinstance(one, str) for one in sentences) or not sentences or pool not in _POOLS:
        raise SkillkitError(f"{sentences[:1]} pooled by {pool!r} will not do; give texts, 'max' or 'mean'")
    layers = mask.any(1).nonzero()[:, 0].tolist()
    found = []
    for sentence in sentences:
        ids = bb.tokenizer(sentence, truncation=True, max_length=min(bb.max_positions, 512))["input_ids"]
        if not ids:
            raise SkillkitError(f"the sentence {sentence!r} has no token for {bb.name}; leave it out")
        ids = torch.tensor([ids], device=bb.device)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if bb.family == "seq2seq":
            inputs["decoder_input_ids"] = torch.full_like(ids[:, :1], bb.model.config.decoder_start_token_id)
        with bb.record(layers, stop=True) as acts:
            bb.run(inputs)
        chosen = [_POOLS[pool](acts[layer][0].float())[mask[layer, : bb.widths[layer]]] for layer in layers]
        found.append(torch.cat([values.cpu() for values in chosen]).mean())
    table = pandas.DataFrame({"sentence": sentences, "activation": torch.stack(found).tolist()})
    return table.sort_values("activation", ascending=False, kind="stable").reset_index(drop=True)


def mentions(fact, sentences):
    """{"head and tail": …, "head only": …, "neither": …}: sentences by what of a fact they mention.

    >>> groups = mentions(fact, corpus)
    >>> [sentence_activations(bb, neurons, group)["activation"].mean() for group in groups.values() if group]
    """
    groups = {"head and tail": [], "head only": [], "neither": []}
    for sentence in sentences:
        head, tail = (_says(sentence, words) for words in (fact.subject, fact.object))
        if head:
            groups["head and tail" if tail else "head only"].append(sentence)
        elif not tail:
            groups["neither"].append(sentence)
    return groups


class SentenceActivations(FactTable):
    """Activations of facts' neurons by group of sentences.

    >>> activations_by_mention(bb, facts, found, sentences).summary()[["group", "activation", "low", "high"]]
    """

    def summary(self, confidence=0.95, seed=0):
        """Means over facts with bootstrap intervals: a DataFrame with group, facts, activation, low, high."""
        rows = []
        for group, part in self.groupby("group", sort=False):
            mean, low, high = estimate("mean", (part["activation"],), np.mean, confidence, seed).values()
            rows.append({"group": group, "facts": len(part), "activation": mean, "low": low, "high": high})
        return pandas.DataFrame(rows)


@artifact("firing", version=1, ignore=("progress",))
def activations_by_mention(
    bb, facts, found, sentences, most=10, pool="max", seed=0, progress=False
) -> SentenceActivations:
    """Activation of facts' neurons in sentences that state the fact, mention its head only, or neither.

    >>> sentences = [sentence for fact in facts for sentence in fact.sentences]
    >>> activations_by_mention(bb, facts, found, sentences).groupby("group")["activation"].mean()

    Of each group (`mentions`), `most` sentences are drawn with `seed`. DataFrame with a row for each fact with
    neurons and each group that is not empty: fact, relation, group, sentences (how many), activation (mean).
    """
    rows, having = [], FactNeurons(found).of(facts)
    for fact in progress_bar(having, "sentences", disable=not progress):
        for group, those in mentions(fact, sentences).items():
            chosen = random.Random(f"{seed}/{fact.key}").sample(those, min(most, len(those)))
            if chosen:
                mean = float(sentence_activations(bb, found[fact.key], chosen, pool)["activation"].mean())
                row = {"fact": fact.key, "relation": fact.relation, "group": group}
                rows.append(row | {"sentences": len(chosen), "activation": mean})
    return SentenceActivations(rows)


def _says(sentence, words):
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", sentence, re.IGNORECASE) is not None
