"""Thresholds and accuracies in the files of the published code."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skillkit.neurons import probe, read_numbers, read_scores, save_figures, skill_neurons, suppress
from skillkit.prompts import evaluate, random_prompt
from tests.helpers import refused
from tests.tiny import tiny_backbone
from tests.toys import some_mask, toy_task

TASK = toy_task(14)


@pytest.mark.parametrize("suffix", [".npy", ""])
def test_figures_have_the_published_names_and_shapes(tmp_path, suffix):
    bb = tiny_backbone("roberta")
    found = probe(bb, TASK, random_prompt(bb, 3), split="test")
    save_figures(found, tmp_path, suffix)
    shapes = {path.name: tuple(np.shape(read_numbers(path))) for path in tmp_path.iterdir()}
    whole, pooled = (3, 4, 48), (3, 48)
    expected = {"train_avg": whole, "test_perf": whole, "train_mean_avg": pooled, "test_mean_perf": pooled}
    expected |= {"train_max_avg": pooled, "test_max_perf": pooled}
    assert shapes == {name + suffix: shape for name, shape in expected.items()}
    assert torch.equal(torch.as_tensor(read_numbers(tmp_path / f"test_perf{suffix}")), found.accuracy)
    assert torch.allclose(read_scores(tmp_path / f"test_perf{suffix}").float(), found.predictivity, atol=1e-6)
    pooled = read_scores(tmp_path / f"test_max_perf{suffix}").float()
    assert torch.allclose(pooled, found.text_predictivity("max"), atol=1e-6)
    scores = read_scores(tmp_path / f"test_perf{suffix}")
    assert torch.equal(skill_neurons(scores, 0.1), skill_neurons(found, 0.1))
    save_figures(replace(found, sides=found.stacks), tmp_path / "bare", suffix)
    assert len(list((tmp_path / "bare").iterdir())) == 2


def test_two_stacks_have_an_axis_of_their_own(tmp_path):
    t5 = tiny_backbone("t5")
    found = probe(t5, TASK, random_prompt(t5, 3), text=False)
    save_figures(found, tmp_path)
    values = read_numbers(tmp_path / "dev_perf.npy")
    assert values.shape == (2, 3, 3, 48) and not values[1, :, 1:].any()
    assert np.array_equal(values[0], found.accuracy["encoder"])
    assert torch.allclose(
        read_scores(tmp_path / "dev_perf.npy"), found.sides["encoder"].predictivity(), atol=1e-6
    )


def test_thresholds_of_a_file_fill_like_the_values_in_it(tmp_path):
    bb, mask = tiny_backbone("roberta"), some_mask(tiny_backbone("roberta"))
    prompt, values = random_prompt(bb, 3), torch.randn(3, 4, 48)
    torch.save(values, tmp_path / "train_avg")
    np.save(tmp_path / "flat.npy", values.mean(1).numpy())
    found = []
    for fill in (values, tmp_path / "train_avg", str(tmp_path / "flat.npy")):
        with suppress(bb, mask, kind="constant", fill=fill):
            found.append(evaluate(bb, TASK, prompt).logits)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    refused("no file of neurons", suppress, bb, mask, kind="constant", fill=tmp_path / "none")
    (tmp_path / "words.json").write_text('["a"]')
    refused(
        "no values|are \\[layers|fill is", suppress, bb, mask, kind="constant", fill=tmp_path / "words.json"
    )
    np.save(tmp_path / "line.npy", np.ones(3))
    refused("accuracies are", read_scores, tmp_path / "line.npy")
