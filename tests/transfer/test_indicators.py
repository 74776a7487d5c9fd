import math

import numpy as np
import pytest
import torch

from skillkit.core.errors import SkillkitError
from skillkit.prompts.soft_prompt import SoftPrompt, random_prompt
from skillkit.transfer.indicators import indicator_tables, indicators
from skillkit.transfer.prompt_activations import activated_neurons, shared_firing
from tests.tiny import tiny_backbone


def prompt(rows, layout="mask-first", **metadata):
    return SoftPrompt(torch.tensor(rows, dtype=torch.float32), layout, metadata)


def drawn(seed, length=5, width=7, layout="mask-first"):
    return SoftPrompt(torch.randn(length, width, generator=torch.Generator().manual_seed(seed)), layout)


def test_by_hand():
    found = indicators(prompt([[1.0, 0.0], [0.0, 2.0]]), prompt([[0.0, 1.0], [0.0, 2.0]]))
    assert found["E_concat"] == pytest.approx(1 / (1 + math.sqrt(2)))
    assert found["E_average"] == pytest.approx(1 / (1 + (math.sqrt(2) + math.sqrt(5) + 1 + 0) / 4))
    assert found["C_concat"] == pytest.approx(4 / 5)
    assert found["C_average"] == pytest.approx((0 + 0 + 1 + 1) / 4)
    assert found["cosine_mean"] == pytest.approx(1 / math.sqrt(1.25))
    assert "ON" not in found


def test_equal_to_loops_over_pairs_of_vectors():
    first, second = drawn(0), drawn(1)
    found = indicators(first, second)
    a, b = first.weight.numpy().astype(float), second.weight.numpy().astype(float)
    pairs = [(x, y) for x in a for y in b]
    assert found["E_average"] == pytest.approx(1 / (1 + np.mean([np.linalg.norm(x - y) for x, y in pairs])))
    cosines = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in pairs]
    assert found["C_average"] == pytest.approx(np.mean(cosines))


def test_a_prompt_is_nearest_to_itself_and_order_does_not_matter():
    first, second = drawn(0), drawn(1)
    own, there, back = indicators(first, first), indicators(first, second), indicators(second, first)
    assert there == pytest.approx(back)
    for name in ("E_concat", "C_concat", "cosine_mean"):
        assert own[name] == pytest.approx(1) and there[name] < 1


def test_the_dead_row_counts_only_when_asked_for():
    first, second = drawn(0, layout="zero-position"), drawn(1, layout="zero-position")
    changed = SoftPrompt(first.weight.clone(), first.layout)
    changed.weight[0] += 100
    assert indicators(changed, second) == indicators(first, second)
    assert indicators(changed, second, dead_rows=True) != indicators(first, second, dead_rows=True)
    alive = SoftPrompt(first.weight, "encoder"), SoftPrompt(second.weight, "encoder")
    assert indicators(first, second, dead_rows=True) == indicators(*alive)


@pytest.mark.parametrize("model_type", ["roberta", "t5"])
def test_with_a_backbone_the_firing_neurons_join(model_type):
    bb = tiny_backbone(model_type)
    prompts = [random_prompt(bb, 4, seed) for seed in (0, 1)]
    found = indicators(*prompts, bb)
    expected = shared_firing(*(activated_neurons(bb, one) for one in prompts))
    assert (found["ON"], found["ON_chance"]) == expected
    last = bb.num_layers - 1
    window = shared_firing(*(activated_neurons(bb, one) for one in prompts), layers=[last])
    assert indicators(*prompts, bb, layers=[last])["ON"] == window[0]


def test_tables_hold_every_pair_in_the_order_given():
    bb = tiny_backbone("roberta")
    prompts = {name: random_prompt(bb, 4, seed) for seed, name in enumerate("cab")}
    tables = indicator_tables(prompts, bb)
    pair = indicators(prompts["c"], prompts["b"], bb)
    assert set(tables) == set(pair)
    for name, table in tables.items():
        assert list(table.index) == list(table.columns) == list("cab")
        assert table.loc["c", "b"] == table.loc["b", "c"] == pair[name]
        assert table.notna().all().all()


def test_tables_of_several_seeds_are_means_over_pairs_of_one_seed():
    prompts = {name: [drawn(10 * at + seed) for seed in (0, 1)] for at, name in enumerate("ab")}
    found = indicator_tables(prompts)["cosine_mean"].loc["a", "b"]
    single = [indicators(prompts["a"][seed], prompts["b"][seed])["cosine_mean"] for seed in (0, 1)]
    assert found == pytest.approx(np.mean(single))
    with pytest.raises(SkillkitError, match="as many prompts"):
        indicator_tables({"a": drawn(0), "b": [drawn(1), drawn(2)]})


def test_lengths_may_differ_where_vectors_are_not_paired():
    first, second = drawn(0), drawn(1, length=3)
    with pytest.raises(SkillkitError, match="vector by vector"):
        indicators(first, second)
    found = indicators(first, second, names=("C_average", "cosine_mean"))
    assert set(found) == {"C_average", "cosine_mean"}


def test_bad_input():
    with pytest.raises(SkillkitError, match="width 7 and 6"):
        indicators(drawn(0), drawn(1, width=6))
    with pytest.raises(SkillkitError, match="no indicator 'C_avg'"):
        indicators(drawn(0), drawn(1), names=("C_avg",))
    mine = prompt([[1.0, 2.0]], backbone="mine", backbone_fingerprint="m")
    yours = prompt([[1.0, 2.0]], backbone="yours", backbone_fingerprint="y")
    with pytest.raises(SkillkitError, match=r"different backbones \(mine, yours\)"):
        indicators(mine, yours)
    bb = tiny_backbone("roberta")
    with pytest.raises(SkillkitError, match="takes vectors of"):
        indicators(drawn(0), drawn(1), bb)
