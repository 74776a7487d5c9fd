"""Which sentences make a fact's neurons fire?

>>> ranked_sentences(bb, found[fact.key], sentences).head()            # the fact's sentences should lead
>>> mentions(fact, sentences)                                          # head and tail, head only, others

Dai et al. 2022, section 4.4, table 5: sentences that mention head and tail of a fact activate its neurons most.
"""

import re

import pandas
import torch

from skillkit.errors import SkillkitError
from skillkit.interventions import mask_of

POOLS = {"max": lambda values: values.amax(0), "mean": lambda values: values.mean(0)}


@torch.no_grad()
def sentence_activations(bb, facts, sentences, pool="max"):
    """Mean activation of a fact's neurons in each sentence, float32 [sentences].

    >>> sentence_activations(bb, found[fact.key], ["the capital of velmora is hilvek."])

    pool  over a sentence's tokens, "max" or "mean", before the mean over neurons. An encoder–decoder's decoder
          reads nothing but its start token here.

    Raises SkillkitError for an empty set of neurons, no sentences, and another pool.
    """
    mask, sentences = mask_of(bb, facts), list(sentences)
    if not sentences or pool not in POOLS:
        raise SkillkitError(
            f"{len(sentences)} sentences are pooled by {pool!r}; give some, and 'max' or 'mean'"
        )
    layers = mask.any(1).nonzero()[:, 0].tolist()
    found = []
    for sentence in sentences:
        ids = bb.tokenizer(sentence, truncation=True, max_length=min(bb.max_positions, 512))["input_ids"]
        ids = torch.tensor([ids], device=bb.device)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if bb.family == "seq2seq":
            inputs["decoder_input_ids"] = torch.full_like(ids[:, :1], bb.model.config.decoder_start_token_id)
        with bb.record(layers, stop=True) as acts:
            bb.run(inputs)
        chosen = [POOLS[pool](acts[layer][0].float())[mask[layer, : bb.widths[layer]]] for layer in layers]
        found.append(torch.cat([values.cpu() for values in chosen]).mean())
    return torch.stack(found)


def ranked_sentences(bb, facts, sentences, pool="max"):
    """DataFrame of sentences by the activation of a fact's neurons, highest first: sentence, activation.

    >>> ranked_sentences(bb, found[fact.key], sentences)["sentence"][0]
    """
    values = sentence_activations(bb, facts, sentences, pool)
    table = pandas.DataFrame({"sentence": list(sentences), "activation": values.tolist()})
    return table.sort_values("activation", ascending=False, kind="stable").reset_index(drop=True)


def mentions(fact, sentences):
    """{"head and tail": …, "head only": …, "neither": …}: sentences by what of a fact they mention.

    >>> groups = mentions(fact, corpus)
    >>> {name: sentence_activations(bb, neurons, group).mean() for name, group in groups.items() if group}
    """
    groups = {"head and tail": [], "head only": [], "neither": []}
    for sentence in sentences:
        head, tail = (_says(sentence, words) for words in (fact.subject, fact.object))
        if head:
            groups["head and tail" if tail else "head only"].append(sentence)
        elif not tail:
            groups["neither"].append(sentence)
    return groups


def _says(sentence, words):
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", sentence, re.IGNORECASE) is not None
