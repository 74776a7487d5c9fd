"""Masks in the files of the published code."""

import json

import numpy as np
import pytest
import torch

from skillkit.neurons import (
    checked_mask,
    load_neurons,
    neurons_from,
    pairs,
    save_neurons,
    save_published,
    skill_neurons,
)
from tests.helpers import refused
from tests.tiny import tiny_backbone

SHAPE = (3, 48)


@pytest.fixture(scope="module")
def bb():
    return tiny_backbone("roberta")


@pytest.fixture
def scores():
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))


def test_masks_as_skill_neuron_writes_and_reads_them(bb, scores, tmp_path):
    save_published(torch.rand(3, 200), tmp_path / "info/sst2")
    names = {path.name for path in (tmp_path / "info/sst2").iterdir()}
    assert names == {str(0.01 * i) for i in range(21)}  # as in the published loop
    save_published(scores, tmp_path, rates=[0, 0.05])
    theirs = torch.load(tmp_path / "0.05", weights_only=True)
    assert theirs.dtype == torch.bool and theirs.shape == SHAPE
    assert torch.equal(neurons_from(tmp_path / "0.05", bb), skill_neurons(scores, 0.05))
    assert not neurons_from(str(tmp_path / "0.0"), bb).any()
    torch.save(theirs.float(), tmp_path / "ones")
    assert torch.equal(neurons_from(tmp_path / "ones", bb), theirs)
    refused("selects no neuron", save_published, scores, tmp_path / "other", rates=[0.1, 0.001])
    assert not (tmp_path / "other").exists()


def test_pairs_and_the_neurons_of_many_facts(bb, tmp_path):
    some = [[0, 1], [2, 47]]
    mask = neurons_from(some, bb)
    assert pairs(mask) == [(0, 1), (2, 47)] and torch.equal(mask, checked_mask(bb, some))
    (tmp_path / "neurons_0.json").write_text(json.dumps({"a": some, "b": [], "c": [[1, 1]]}))
    found = neurons_from(tmp_path / "neurons_0.json", bb)
    assert {key: pairs(one) for key, one in found.items()} == {"a": [(0, 1), (2, 47)], "b": [], "c": [(1, 1)]}
    for form in (np.array(some), torch.tensor(some), mask.numpy(), mask.tolist(), mask.int()):
        assert torch.equal(neurons_from(form, bb), mask)


def test_rankings_as_robust_neurons_writes_them(bb, scores, tmp_path):
    within = np.stack(
        [np.stack([np.full(48, layer), np.argsort(row)[::-1]], 1) for layer, row in enumerate(scores.numpy())]
    )
    np.save(tmp_path / "layer.npy", within)
    whole = np.stack(np.unravel_index(np.argsort(scores.numpy().flatten())[::-1], SHAPE), 1)
    np.save(tmp_path / "model.npy", whole)
    for top in (0.05, 0.29, 1.0):
        assert torch.equal(neurons_from(tmp_path / "layer.npy", bb, top), skill_neurons(scores, top))
        assert torch.equal(
            neurons_from(tmp_path / "model.npy", bb, top), skill_neurons(scores, top, per_layer=False)
        )
    refused("say which share", neurons_from, tmp_path / "layer.npy", bb)
    refused("between 0 and 1", neurons_from, tmp_path / "model.npy", bb, 5)
    refused("top is for a ranking", neurons_from, [(0, 1)], bb, top=0.1)


def test_our_own_folder(bb, scores, tmp_path):
    mask = skill_neurons(scores, 0.1)
    save_neurons(mask, tmp_path / "mine", bb)
    for place in (tmp_path / "mine", tmp_path / "mine/neurons.safetensors"):
        assert torch.equal(neurons_from(place, bb), mask)
    assert torch.equal(load_neurons(tmp_path / "mine", bb), mask)


def test_what_is_not_read(bb, scores, tmp_path):
    class Unsafe:
        def __reduce__(self):
            return (print, ("run",))

    torch.save(Unsafe(), tmp_path / "unsafe")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    (tmp_path / "cut.json").write_text('{"a": [[1,')
    for name in ("unsafe", "objects.npy", "cut.json"):
        refused("is not read", neurons_from, tmp_path / name, bb)
    refused("there is no file", neurons_from, tmp_path / "nothing.json", bb)
    refused("scores and no mask", neurons_from, scores, bb)
    refused("no neuron 48 in layer 0", neurons_from, [[0, 48]], bb)
    refused("pairs .layer, neuron.", neurons_from, [[0, 1, 2]], bb)
    refused("neurons are a mask", neurons_from, [["a", "b"]], bb)


def test_a_file_is_a_mask_wherever_one_is_taken(bb, scores, tmp_path):
    save_published(scores, tmp_path, rates=[0.1])
    (tmp_path / "pairs.json").write_text(json.dumps([[0, 1], [2, 47]]))
    assert torch.equal(checked_mask(bb, tmp_path / "0.1"), skill_neurons(scores, 0.1))
    assert pairs(checked_mask(bb, str(tmp_path / "pairs.json"))) == [(0, 1), (2, 47)]
    for wrong in ("no such file", ""):
        refused("no file of neurons|is damaged", checked_mask, bb, wrong)
