import pandas as pd
import pytest
import torch

from skillkit.core import cached
from skillkit.neurons import magnitude, probe, prune, pruning_curve, random_neurons, skill_neurons
from skillkit.neurons.pruning import pruned_layers
from skillkit.neurons.pruning_curve import KINDS
from skillkit.prompts import evaluate, random_prompt, tune_prompt
from tests.helpers import refused
from tests.planted import planted
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = toy_task(20)


@pytest.fixture(scope="module")
def study():
    bb = tiny_backbone("roberta")
    prompt = random_prompt(bb, 3)
    found = probe(bb, TASK, prompt)
    options = dict(shares=(0.1, 0.4), draws=2, further_steps=2, seed=3, progress=False)
    return bb, prompt, found, pruning_curve(bb, TASK, prompt, found, found.fill, **options).table


def row(table, **wanted):
    (found,) = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)].to_dict("records")
    return found


@pytest.mark.slow
def test_every_kind_is_what_it_says(study):
    bb, prompt, found, table = study
    skill = skill_neurons(found, 0.4)
    kept = {
        "skill neurons": (skill, found),
        "random neurons": (random_neurons(skill, 7), found),
        "largest weights": (skill_neurons(magnitude(bb), 0.4), found),
        "skill, no constants": (skill, None),
    }
    assert tuple(kept) == KINDS
    for kind, (mask, fill) in kept.items():
        small, draw = prune(bb, mask, fill, pruned_layers(bb)), 7 if kind == "random neurons" else 6
        measured = row(table, share=0.4, neurons=kind, draw=draw, tuned="before")
        assert measured["accuracy"] == evaluate(small, TASK, prompt).accuracy
        assert measured["kept"] == int(mask[pruned_layers(bb)].sum())
        assert measured["parameters"] == small.model.num_parameters() / bb.model.num_parameters() < 1


@pytest.mark.slow
def test_the_whole_backbone_and_tuning_further(study):
    bb, prompt, found, table = study
    whole = row(table, neurons="all", tuned="before")
    assert (whole["share"], whole["parameters"]) == (1.0, 1.0)
    assert whole["accuracy"] == evaluate(bb, TASK, prompt).accuracy
    tuned = table[table.tuned == "further"].groupby("neurons").size().to_dict()
    assert tuned == {"all": 1, "skill neurons": 2, "random neurons": 2, "largest weights": 2}
    small = prune(bb, skill_neurons(found, 0.1), found, pruned_layers(bb))
    again = tune_prompt(small, TASK, length=3, init=prompt, seed=3, max_steps=2, progress=False)
    measured = row(table, share=0.1, neurons="skill neurons", tuned="further")
    assert measured["accuracy"] == evaluate(small, TASK, again).accuracy


def test_planted_neurons_keep_the_skill_and_random_ones_lose_it(store):
    bb, task, prompt, mask = planted()
    given = (bb, task, prompt, mask.float(), probe(bb, task, prompt))
    options = dict(shares=(0.125,), layers=[2], draws=3)
    first, again = (cached(pruning_curve, *given, **options, progress=bar) for bar in (False, True))
    pd.testing.assert_frame_equal(first.table, again.table)
    assert len(list(store.glob("shrinkage/*/meta.json"))) == 1  # the kind that stored results have
    mean = first.table.groupby("neurons").accuracy.mean()
    assert sum([first, again]).summary().groupby("neurons").parameters.nunique().eq(1).all()
    assert mean["skill neurons"] == 1.0 and mean["random neurons"] < 0.7


def test_bad_input():
    bb = tiny_backbone("roberta")
    given = dict(ranking=torch.rand(3, 48), fill=torch.zeros(3, 48), progress=False)
    for match, options in (
        (r"shares must lie between 0 and 1", {"shares": (0.0, 0.1)}),
        ("draws cannot be 0", {"draws": 0}), ("shares has 0.1 twice", {"shares": (0.1, 0.1)}),
        ("selects no neuron", {"shares": (0.01,)}),
        ("only 15 others for 33", {"shares": (0.7,)}),
        (r"fill has shape \[3, 9\]", {"shares": (0.1,), "fill": torch.zeros(3, 9)}),
    ):  # fmt: skip
        refused(match, pruning_curve, bb, TASK, random_prompt(bb, 3), **given | options)
