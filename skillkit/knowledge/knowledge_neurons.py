"""Knowledge neurons: the neurons that several phrasings of a fact have in common.

>>> facts = knowledge_neurons(bb, prompts, "hilvek", coarse=dict(adaptive=0.3), share=0.5)
>>> facts.pairs, facts.predicted                # [(layer, neuron), …]; what the model said to each prompt
>>> with enhance(bb, facts): ask(bb, prompts[0], "hilvek").probability

Dai et al., "Knowledge Neurons in Pretrained Transformers" (ACL 2022), section 3: attribution gives each prompt
its coarse neurons (`coarse_neurons`); those that most prompts share are the refined ones (`KnowledgeNeurons.refine`).
"""

from dataclasses import dataclass, fields, replace
from itertools import accumulate
from numbers import Real

import numpy as np
import torch

from skillkit.core.errors import SkillkitError, at_least, finite, is_number, of_kind, quoted
from skillkit.core.serialization import made_from, read_tensors, write_tensors
from skillkit.core.store import artifact
from skillkit.knowledge.attribution import Attributions, attribute
from skillkit.knowledge.clozes import as_list, paired
from skillkit.neurons import pairs


@dataclass(frozen=True, eq=False, repr=False)
class KnowledgeNeurons:
    """The neurons of a fact, and what they were found from.

    >>> facts.refine(share=0.4)                 # the same counts, another share
    KnowledgeNeurons of 'hilvek': ... in layers ..., coarse in more than 0.4 of 3 prompts

    mask         bool [layers, neurons]
    counts       int16 [layers, neurons]: in how many prompts a neuron is coarse
    negatives    int16 [layers, neurons]: the same of negative prompts; None without any
    prompts, answers, predicted, probability      one entry per prompt: what was asked, the right answer, what
                 the model said, and the probability that it gave to the right answer
    share, strict, negative_share, negative_count      how `mask` was made; see `knowledge_neurons`
    coarse_at    int32 [n, 3], (prompt, layer, neuron) of every coarse neuron; None where it was not kept
    """

    mask: torch.Tensor
    counts: torch.Tensor
    negatives: torch.Tensor | None
    prompts: tuple
    answers: tuple
    predicted: tuple
    probability: tuple
    share: float
    strict: bool
    negative_share: float
    negative_count: int
    coarse_at: torch.Tensor | None = None

    def __len__(self):
        return int(self.mask.sum())

    def __repr__(self):
        layers = ", ".join(map(str, self.mask.any(1).nonzero()[:, 0].tolist()))
        where = f" in layers {layers}" if layers else ""
        answers = ", ".join(map(repr, dict.fromkeys(self.answers)))
        share = f"coarse in {'more than' if self.strict else 'at least'} {self.share} of {len(self.prompts)} prompts"
        return f"KnowledgeNeurons of {answers}: {len(self)}{where}, {share}"

    @property
    def pairs(self):
        """(layer, neuron) of each, in order.

        >>> len(facts.pairs) == len(facts), facts.pairs[0]
        (True, (..., ...))
        """
        return pairs(self.mask)

    @property
    def coarse(self):
        """The coarse neurons of each prompt, a list of (layer, neuron) for each.

        >>> len(facts.coarse) == len(facts.prompts), facts.coarse[0][0]
        (True, (..., ...))
        """
        if self.coarse_at is None:
            raise SkillkitError("coarse neurons were not kept when these were found; find them anew")
        found = [[] for _ in self.prompts]
        for prompt, *place in self.coarse_at.tolist():
            found[prompt].append(tuple(place))
        return found

    def refine(self, share, strict=True):
        """The neurons that are coarse in more than (not strict: in at least) a share of the prompts."""
        mask = often(self.counts, len(self.prompts), share, strict)
        if self.negatives is not None:
            mask &= ~often(self.negatives, self.negative_count, self.negative_share, strict)
        return replace(self, mask=mask, share=share, strict=strict)

    @staticmethod
    def merge(found, share=None, strict=True):
        """Knowledge neurons of one fact from several sets of prompts together, such as its languages.

        >>> KnowledgeNeurons.merge([found["capital-00/english"], found["capital-00/second"]], share=0.5)
        """
        first = found[0]
        together = {name: sum((getattr(one, name) for one in found), ()) for name in _BY_PROMPT}
        counts, kept = sum(one.counts for one in found), all(one.coarse_at is not None for one in found)
        starts = accumulate((len(one.prompts) for one in found), initial=0)
        places = (
            [one.coarse_at + torch.tensor([start, 0, 0]) for one, start in zip(found, starts)]
            if kept
            else None
        )
        together |= {"coarse_at": torch.cat(places).int() if kept else None}
        merged = replace(first, counts=counts, negatives=None, negative_count=0, **together)
        return merged.refine(first.share if share is None else share, strict)

    def save(self, folder):
        """Write safetensors and JSON into a folder, which is made where there is none.

        >>> facts.save("dir"); KnowledgeNeurons.load("dir").pairs == facts.pairs
        True
        """
        write_facts({"fact": self}, folder)

    @staticmethod
    def load(folder):
        """Read what `save` wrote; SkillkitError where it is missing, damaged, or the neurons of several facts."""
        found = read_facts(folder)
        if len(found) != 1:
            raise SkillkitError(
                f"{folder} holds the neurons of {len(found)} facts; FactNeurons.load reads them"
            )
        return next(iter(found.values()))


_BY_PROMPT = ("prompts", "answers", "predicted", "probability")
_TENSORS = ("mask", "counts", "negatives", "coarse_at")
_PLAIN = [field.name for field in fields(KnowledgeNeurons) if field.name not in _TENSORS]


def write_facts(found, folder):
    """Write the neurons of facts, {key: KnowledgeNeurons}, into a folder; counts are mostly 0, and kept sparsely.

    >>> write_facts({"france": facts}, "dir"); list(read_facts("dir"))
    ['france']
    """
    counts = torch.stack([one.counts for one in found.values()])
    negatives = torch.stack(
        [torch.zeros_like(one.counts) if one.negatives is None else one.negatives for one in found.values()]
    )
    tensors = {"shape": torch.tensor(counts.shape)}
    for name, places, dense in (("counts", "places", counts), ("negatives", "negative_places", negatives)):
        tensors |= {places: dense.nonzero().to(torch.int32), name: dense[dense > 0]}
    if all(one.coarse_at is not None for one in found.values()):
        every = [one.coarse_at for one in found.values()]
        tensors |= {"coarse": torch.cat(every), "coarse_counts": torch.tensor(list(map(len, every)))}
    plain = {key: {name: getattr(one, name) for name in _PLAIN} for key, one in found.items()}
    write_tensors(folder, "facts", tensors, plain)


def read_facts(folder):
    """Read what `write_facts` wrote: {key: KnowledgeNeurons}.

    >>> write_facts({"france": facts}, "dir"); read_facts("dir")["france"].pairs == facts.pairs
    True
    """
    tensors, plain = read_tensors(folder, "facts", "places", "counts", "shape")
    with made_from(folder, "facts"):
        return _facts(tensors, plain)


def _facts(tensors, plain):
    both = torch.zeros(2, *tensors["shape"].tolist(), dtype=torch.int16)
    for dense, name, places in zip(both, ("counts", "negatives"), ("places", "negative_places"), strict=True):
        if name in tensors:  # negatives were not kept before there was a file with them
            dense[tuple(tensors[places].long().T)] = tensors[name]
    found, coarse = {}, [None] * len(plain)
    if "coarse" in tensors:  # not kept before there was a file with them
        coarse = tensors["coarse"].split(tensors["coarse_counts"].tolist())
    for (key, words), counts, negatives, places in zip(plain.items(), *both, coarse, strict=True):
        words = {name: tuple(of) if isinstance(of, list) else of for name, of in words.items()}
        of_kind(str, **{f"text {at}": one for at, one in enumerate([*words["prompts"], *words["answers"]])})
        neurons = KnowledgeNeurons(
            counts > 0, counts, negatives if words["negative_count"] else None, **words, coarse_at=places
        )
        found[key] = neurons.refine(neurons.share, neurons.strict)
    return found


# 2: percentiles as numpy has them; 3: of several answer tokens the first one's scores; coarse neurons are kept.
@artifact("knowledge_neurons", version=3, ignore=("progress", "memory", "batch_size"))
def knowledge_neurons(
    bb, prompts, answer=None, steps=20, rule="endpoints", coarse=None, share=0.5, strict=True, minimum_prompts=1,
    negatives=None, negative_share=None, memory=None, progress=False, batch_size=None, **options,
) -> KnowledgeNeurons:  # fmt: skip
    """Neurons that carry a fact: coarse in more than a share of its prompts, and not in those of its negatives.

    >>> facts = knowledge_neurons(bb, prompts, "hilvek", coarse=dict(adaptive=0.2), share=0.7, minimum_prompts=3)

    prompts, answer  clozes of one fact; one answer, or one for each (in several languages, say); or the clozes'
                     `Attributions`, made before, without an answer
    coarse           the threshold of scores, exactly one of dict(adaptive=0.3), dict(absolute=0.01) and
                     dict(percentile=99.9); see `coarse_neurons`
    share, strict    refined neurons are coarse in more than `share` of the prompts; in at least, if not strict
    negatives        clozes with the same answer, or (cloze, answer) pairs, about something else: what is coarse
                     in more than `negative_share` (None: `share`) of them is removed
    options          of `attribute`: steps, rule, before, method, aggregate, repeat_mask, batch_size

    An empty result is a result: no neuron was found. Raises SkillkitError for fewer prompts than
    `minimum_prompts`, for thresholds and shares that choose nothing or everything by themselves, and whatever
    `attribute` does.
    """
    coarse = {"adaptive": 0.3} if coarse is None else coarse
    checked_share(share, strict), finite(negative_share=0 if negative_share is None else negative_share)
    at_least(0, minimum_prompts=minimum_prompts), _threshold(coarse)
    if isinstance(prompts, Attributions):
        return from_attributions(bb, prompts, coarse, share, strict)
    texts, others = paired(prompts, answer), _negatives(negatives, answer)
    if len(texts) < minimum_prompts:
        raise SkillkitError(
            f"{len(texts)} prompts are fewer than minimum_prompts={minimum_prompts}; give more"
        )
    options |= {"steps": steps, "rule": rule, "progress": progress, "batch_size": batch_size}
    options |= {"memory": memory} if memory else {}
    found = attribute(bb, *map(list, zip(*texts, *others, strict=True)), **options)
    mine, negative = found[: len(texts)], found[len(texts) :]
    return from_attributions(bb, mine, coarse, share, strict, negative, negative_share)


def from_attributions(bb, found, coarse, share=0.5, strict=True, negatives=(), negative_share=None):
    """Knowledge neurons from attributions that were made before.

    >>> from_attributions(bb, attribute(bb, prompts, "hilvek"), dict(percentile=99.9), share=0.7)
    """
    mask = torch.zeros(bb.num_layers, bb.num_neurons, dtype=torch.bool)
    negative = _coarse(bb, negatives, coarse).sum(0).short() if len(negatives) else None
    columns: list[tuple] = list(
        zip(*((one.cloze, one.answer, one.predicted, one.probability) for one in found))
    )
    clozes, answers, predicted, probabilities = columns
    shares = share, strict, share if negative_share is None else negative_share, len(negatives)
    by_prompt = _coarse(bb, found, coarse)
    made = KnowledgeNeurons(
        mask, by_prompt.sum(0).short(), negative, clozes, answers, predicted, probabilities, *shares,
        by_prompt.nonzero().int(),
    )  # fmt: skip
    return made.refine(share, strict)


def coarse_neurons(bb, scores, absolute=None, adaptive=None, percentile=None):
    """Mask of the neurons whose scores are above a threshold: bool [layers, neurons].

    >>> coarse_neurons(bb, attribution.scores, adaptive=0.2)

    absolute    the score itself
    adaptive    share of the highest score, in [0, 1); nothing is above it when no score is positive
    percentile  of all scores, in (0, 100), as numpy.percentile has it

    Raises SkillkitError unless exactly one is given, in its range, and for an absolute one that all are above.
    """
    kind, value = _threshold({"absolute": absolute, "adaptive": adaptive, "percentile": percentile})
    scores = torch.as_tensor(scores)
    exists = torch.arange(scores.shape[1]) < torch.tensor(bb.widths)[:, None]
    known = scores[exists]
    if kind == "adaptive" and known.max() <= 0:
        return torch.zeros_like(exists)
    level = value * known.max() if kind == "adaptive" else value
    if kind == "percentile":
        level = np.percentile(known.numpy(), value)  # torch.quantile refuses inputs of many millions
    mask = (scores > level) & exists
    if torch.equal(mask, exists):
        raise SkillkitError(f"every neuron scores above {value}; raise the absolute threshold")
    return mask


def adaptive_share(found, low=2, high=5, start=0.7, step=0.05, strict=True):
    """The share at which the facts of a relation have between `low` and `high` neurons on average.

    >>> share = adaptive_share(list_of_knowledge_neurons)
    >>> refined = [one.refine(share) for one in list_of_knowledge_neurons]

    As the authors do it: from 0.7 in steps of 0.05, down while the mean is too low, up while it is too high;
    where it jumps over the range, it stays where it lands. Raises SkillkitError for no facts.
    """
    if not found:
        raise SkillkitError("no fact was given, so there is no share to adapt; find knowledge neurons first")
    share, way = start, 0
    while True:
        count = sum(len(one.refine(share, strict)) for one in found) / len(found)
        turn = -1 if count < low else 1 if count > high else 0
        following = round(share + turn * step, 10)
        if turn == 0 or turn == -way or not 0 < following < 1:
            return share
        share, way = following, turn


def often(counts, total, share, strict=True):
    """Where counts are more than (not strict: at least) a share of a total; above zero in any case.

    >>> often(torch.tensor([5, 7]), 10, 0.5)
    tensor([False,  True])
    """
    least = share * total  # the small term keeps 0.7 · 10, which is 7.000…01 in floating point, at 7
    return (counts > least + 1e-9) if strict else (counts >= max(least - 1e-9, 1))


def checked_share(share, strict=True):
    """The share, or SkillkitError where it would choose everything or nothing.

    >>> checked_share(0.5), checked_share(1, strict=False) # "in at least all prompts" chooses something
    (0.5, 1)
    """
    if not is_number(share) or not (0 <= share < 1 if strict else 0 < share <= 1):
        reach = "0 ≤ share < 1" if strict else "0 < share ≤ 1"
        raise SkillkitError(
            f"a share of prompts is {reach}; {quoted(share)} would choose nothing or everything"
        )
    return share


def _coarse(bb, found, coarse):
    """Masks of the coarse neurons, [prompts, layers, neurons]."""
    return torch.stack([coarse_neurons(bb, one.scores, **coarse) for one in found])


def _negatives(negatives, answer):
    """[(cloze, answer), …] of the negatives, which by default are asked for the same answer."""
    given = as_list(() if negatives is None else negatives)
    pairs = [(one, answer) if isinstance(one, str) else tuple(as_list(one)) for one in given]
    if not all(len(pair) == 2 and isinstance(pair[1], str) for pair in pairs):
        raise SkillkitError(
            "a negative is a (cloze, answer) pair, or a cloze where all prompts have one answer"
        )
    return pairs


_RANGES: dict = {
    "absolute": (lambda value: value == value, "a number"),
    "adaptive": (lambda value: 0 <= value < 1, "a share of the highest score, 0 ≤ adaptive < 1"),
    "percentile": (lambda value: 0 < value < 100, "between 0 and 100"),
}


def _threshold(coarse):
    """(kind, value) of the one threshold that is given."""
    given: dict = coarse if isinstance(coarse, dict) else {type(coarse).__name__: coarse}
    given = {kind: value for kind, value in given.items() if value is not None}
    if len(given) != 1 or not given.keys() <= _RANGES.keys():
        raise SkillkitError(f"coarse takes exactly one of {', '.join(_RANGES)}, not {coarse}")
    ((kind, value),) = given.items()
    fits, meaning = _RANGES[kind]
    if not isinstance(value, Real) or not fits(value):
        raise SkillkitError(f"{kind}={value} would choose nothing or everything; it must be {meaning}")
    return kind, value
