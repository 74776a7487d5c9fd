import math

import pytest
import torch

from skillkit.prompts import SoftPrompt, random_prompt
from skillkit.transfer import activated_neurons, indicators
from tests.helpers import refused
from tests.tiny import tiny_backbone


def prompt(rows, layout="mask-first", **metadata):
    return SoftPrompt(torch.tensor(rows, dtype=torch.float32), layout, metadata)


def drawn(seed, length=5, width=7, layout="mask-first"):
    return SoftPrompt(torch.randn(length, width, generator=torch.Generator().manual_seed(seed)), layout)


def test_by_hand():
    found = indicators(prompt([[1.0, 0.0], [0.0, 2.0]]), prompt([[0.0, 1.0], [0.0, 2.0]]))
    assert found == pytest.approx({
        "E_concat": 1 / (1 + math.sqrt(2)), "E_average": 1 / (1 + (math.sqrt(2) + math.sqrt(5) + 1 + 0) / 4),
        "C_concat": 4 / 5, "C_average": (0 + 0 + 1 + 1) / 4, "cosine_mean": 1 / math.sqrt(1.25),
    })  # fmt: skip


def test_the_dead_row_counts_only_when_asked_for():
    first, second = drawn(0, layout="zero-position"), drawn(1, layout="zero-position")
    changed = SoftPrompt(first.weight.clone(), first.layout)
    changed.weight[0] += 100
    assert indicators(changed, second) == indicators(first, second)
    assert indicators(changed, second, dead_rows=True) != indicators(first, second, dead_rows=True)
    alive = SoftPrompt(first.weight, "encoder"), SoftPrompt(second.weight, "encoder")
    assert indicators(first, second, dead_rows=True) == indicators(*alive)


@pytest.mark.parametrize("model_type", ["roberta", "t5"])
@pytest.mark.parametrize("last", [True, False])
def test_with_a_backbone_the_overlap_of_neurons_joins(model_type, last):
    bb = tiny_backbone(model_type)
    prompts = [random_prompt(bb, 4, seed) for seed in (0, 1)]
    layers = [bb.num_layers - 1] if last else None
    found = indicators(*prompts, bb, layers=layers)
    first, second = (activated_neurons(bb, one) for one in prompts)
    assert (found["ON"], found["ON_chance"]) == first.overlap(second, layers)


def test_tables_hold_every_pair_in_the_order_given():
    bb = tiny_backbone("roberta")
    prompts = {name: random_prompt(bb, 4, seed) for seed, name in enumerate("cab")}
    tables = indicators(prompts, bb=bb)
    pair = indicators(prompts["c"], prompts["b"], bb)
    assert set(tables) == set(pair)
    for name, table in tables.items():
        assert list(table.index) == list(table.columns) == list("cab") and table.notna().all().all()
        assert table.loc["c", "b"] == table.loc["b", "c"] == pair[name]


def test_tables_of_several_seeds_are_means_over_pairs_of_one_seed():
    prompts = {name: [drawn(10 * at + seed) for seed in (0, 1)] for at, name in enumerate("ab")}
    first, second = (indicators(*pair)["cosine_mean"] for pair in zip(*prompts.values(), strict=True))
    assert indicators(prompts)["cosine_mean"].loc["a", "b"] == pytest.approx((first + second) / 2)


def test_bad_input():
    mine = prompt([[1.0, 2.0]], backbone="mine", backbone_fingerprint="m")
    yours = prompt([[1.0, 2.0]], backbone="yours", backbone_fingerprint="y")
    assert len(indicators(drawn(0), drawn(1, length=3), names=("C_average", "cosine_mean"))) == 2
    assert list(indicators(drawn(0), drawn(1), names="C_average")) == ["C_average"]
    for given, options, message in [
        ((drawn(0), drawn(1, length=3)), {}, "vector by vector"),
        ((drawn(0), drawn(1, width=6)), {}, "width 7 and 6"),
        ((drawn(0), drawn(1)), {"names": ("C_avg",)}, "no indicator 'C_avg'"),
        ((mine, yours), {}, r"different backbones \(mine, yours\)"),
        ((drawn(0), drawn(1)), {"bb": tiny_backbone("roberta")}, "takes vectors of"),
        (({"a": drawn(0), "b": [drawn(1), drawn(2)]},), {}, "as many prompts"),
        (({"a": drawn(0)}, tiny_backbone("roberta")), {}, "bb=bb"),
        ((drawn(0), tiny_backbone("roberta")), {}, "second must be a SoftPrompt, not a Backbone"),
        ((drawn(0).weight, drawn(1)), {}, "first must be a SoftPrompt"),
    ]:
        refused(message, indicators, *given, **options)
