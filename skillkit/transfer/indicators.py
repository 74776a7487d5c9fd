"""Indicators of transferability: similarity of two prompts, and overlap of the neurons they activate.

>>> indicators(prompt_a, prompt_b)["C_average"]            # from -1 to 1
>>> indicators(prompt_a, prompt_b, bb)["ON"]               # … and "ON_chance"
0...
>>> tables = indicators(prompts, bb=bb)                              # {name: DataFrame, tasks × tasks}

None of them looks at a text. Whether they predict transfer: `skillkit.transfer.indicator_correlation`.
"""

from itertools import combinations_with_replacement

import pandas as pd
import torch

from skillkit.core.errors import SkillkitError, listed, of_kind
from skillkit.prompts import SoftPrompt
from skillkit.transfer.prompt_activations import activated_neurons
from skillkit.transfer.zero_shot import by_seed

_cosine, _unit = torch.cosine_similarity, torch.nn.functional.normalize
# How each is computed from A [L, H] and B; those that go vector by vector need one length.
_INDICATORS = {
    "E_concat": lambda a, b: 1 / (1 + (a - b).norm()),
    # By products of matrices: in double precision the difference of large numbers keeps what counts.
    "E_average": lambda a, b: 1 / (1 + torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist").mean()),
    "C_concat": lambda a, b: _cosine(a.flatten(), b.flatten(), dim=0),
    # The mean of all products of unit vectors is the product of their means.
    "C_average": lambda a, b: _unit(a).mean(0) @ _unit(b).mean(0),
    "cosine_mean": lambda a, b: _cosine(a.mean(0), b.mean(0), dim=0),
}
_BY_VECTOR = ("E_concat", "C_concat")


def indicators(first, second=None, bb=None, layers=None, dead_rows=False, names=tuple(_INDICATORS)):
    """Similarity of two prompts, and with a backbone the overlap of activated neurons: {name: float}.

    >>> indicators(prompt_a, prompt_b)
    {'E_concat': ..., 'E_average': ..., 'C_concat': ..., 'C_average': ..., 'cosine_mean': ...}
    >>> indicators({"movies": prompt_a, "hotels": prompt_b, "random": untrained}, bb=bb)["ON"]

    With A, B of shape [L, H], rows a_i and b_j (Su et al. 2022, section 6; mean-pooled cosine: SPoT, Vu et al.
    2022, section 3.2):

        E_concat   1 / (1 + ‖vec A − vec B‖)          C_concat   cos(vec A, vec B)
        E_average  1 / (1 + mean_ij ‖a_i − b_j‖)      C_average  mean_ij cos(a_i, b_j)
        cosine_mean  cos(mean_i a_i, mean_j b_j)      ON, ON_chance  see `PromptActivations.overlap`

    first      a prompt; or {name: prompt, or a list of them, one per seed}: then all pairs are compared, and the
               result is {indicator: symmetric DataFrame, names × names}. Of lists, prompts of one seed are
               compared, and the tables averaged. A random prompt among them is the control.
    bb         adds ON and ON_chance, over `layers` (None: all with an answer slot)
    dead_rows  count row 0 of prompts in layout "zero-position" too, which the model never reads
    names      which to compute (besides ON)

    Raises SkillkitError for prompts of different width or backbone, of different length where a chosen
    indicator goes vector by vector, for an unknown name, and for names with unequal numbers of prompts.
    """
    names = listed(names)
    if isinstance(first, dict) != (second is None):
        raise SkillkitError("give two prompts, or {name: prompt} alone, and the backbone by name (bb=bb)")
    if second is not None:
        of_kind(SoftPrompt, first=first, second=second)
    read = lambda prompt: activated_neurons(bb, prompt, layers) if bb is not None else None
    if second is None:
        return _tables(by_seed(first), read, dead_rows, names)
    return _pair(first, second, read(first), read(second), dead_rows, names)


def _pair(first, second, first_acts, second_acts, dead_rows, names):
    a, b = (_rows(prompt, dead_rows).double() for prompt in (first, second))
    _check(first, second, a, b, names)
    found = {name: float(_INDICATORS[name](a, b)) for name in names}
    if first_acts is not None:
        found |= dict(zip(("ON", "ON_chance"), first_acts.overlap(second_acts), strict=True))
    return found


def _rows(prompt, dead_rows):
    return prompt.weight[int(prompt.layout == "zero-position" and not dead_rows) :]


def _tables(prompts, read, dead_rows, names):
    if len({len(mine) for mine in prompts.values()}) != 1:
        raise SkillkitError("every name needs as many prompts as the others, one per seed")
    rows = []
    for seed in range(len(next(iter(prompts.values())))):
        mine = {name: (several[seed], read(several[seed])) for name, several in prompts.items()}
        for one, other in combinations_with_replacement(mine, 2):
            first, second = zip(mine[one], mine[other], strict=True)
            found = _pair(*first, *second, dead_rows, names)
            rows += [{"first": a, "second": b, **found} for a, b in {(one, other), (other, one)}]
    wide = pd.DataFrame(rows).groupby(["first", "second"]).mean()
    order = list(prompts)
    tables = {name: wide[name].unstack().loc[order, order] for name in wide.columns}
    return {name: table.rename_axis(index=None, columns=None) for name, table in tables.items()}


def _check(first, second, a, b, names):
    unknown = [name for name in names if name not in list(_INDICATORS)]
    if unknown:
        raise SkillkitError(f"no indicator {unknown[0]!r}; choose among {', '.join(_INDICATORS)}")
    if a.shape[1] != b.shape[1]:
        widths = f"{a.shape[1]} and {b.shape[1]}"
        raise SkillkitError(f"prompts of width {widths} have no distance; compare those of one backbone")
    marks = [prompt.metadata.get("backbone_fingerprint") for prompt in (first, second)]
    if all(marks) and marks[0] != marks[1]:
        names = f"{first.metadata['backbone']}, {second.metadata['backbone']}"
        raise SkillkitError(
            f"the prompts were tuned on different backbones ({names}); compare prompts of one"
        )
    if len(a) != len(b) and set(names) & set(_BY_VECTOR):
        both = f"{' and '.join(_BY_VECTOR)} compare vector by vector"
        raise SkillkitError(f"{both}, but the prompts have {len(a)} and {len(b)}; leave them out of names")
