import pandas as pd
import pytest

from skillkit.core import SkillkitError, cached
from skillkit.prompts import evaluate, random_prompt
from skillkit.transfer import evaluate_projections, train_projector
from skillkit.transfer.projection_eval import OWN, Projections
from skillkit.transfer.zero_shot import RANDOM
from tests.helpers import refused
from tests.tiny import tiny_backbone
from tests.toys import toy_task

QUICK = dict(max_steps=2, evaluate_every=2, progress=False)


@pytest.fixture(scope="module")
def scene():
    source, target = tiny_backbone("roberta"), tiny_backbone("gpt2")
    tasks = {name: toy_task(20, seed=seed) for seed, name in enumerate("abc")}
    prompts = {name: [random_prompt(source, 4, 10 * at + s) for s in (0, 1)] for at, name in enumerate("abc")}
    own = {name: random_prompt(target, 4, 99) for name in "abc"}
    learned = {name: tasks[name] for name in "ab"}
    projectors = {
        name: train_projector(source, target, learned, prompts, constant=constant, **QUICK)
        for name, constant in [("task loss", False), ("constant prompt", True)]
    }
    return target, projectors, tasks, prompts, own


@pytest.mark.slow
def test_every_row_is_a_plain_evaluation_and_it_is_stored(scene, store):
    target, projectors, tasks, prompts, own = scene
    found, again = (cached(evaluate_projections, *scene, random=2) for _ in range(2))
    pd.testing.assert_frame_equal(found.summary(), again.summary())
    assert len(found) == 3 * (2 * 2 + 1 + 2)
    cells = found.set_index(["prompt", "task", "seed"])
    for plan, projector in projectors.items():
        for seed in (0, 1):
            plain = evaluate(target, tasks["c"], projector.project(prompts["c"][seed], target)).accuracy
            assert cells.loc[(plan, "c", seed), "accuracy"] == plain
    row, own = cells.loc[(RANDOM, "c", 1)], evaluate(target, tasks["c"], own["c"])
    assert row["accuracy"] == evaluate(target, tasks["c"], random_prompt(target, 4, 1)).accuracy
    assert row["relative"] == pytest.approx(row["accuracy"] / own.accuracy)
    assert (found.loc[found["prompt"] == OWN, "relative"] == 1).all()
    assert found.groupby("task")["tasks"].first().to_dict() == {"a": "learned", "b": "learned", "c": "unseen"}
    # The control projects everything to the same prompt.
    assert projectors["constant prompt"].mean_cosine(prompts, target) == pytest.approx(1)
    assert projectors["task loss"].mean_cosine(prompts, target) < 0.9999


def test_summary_and_gap_by_hand():
    relative = [0.9, 0.7, 0.6, 0.5, 0.5, 0.8, 0.6, 1.0]
    found = Projections({"prompt": [*"pppqqpq", OWN], "task": [*"xxyxyzzx"], "relative": relative})
    found["tasks"], found["accuracy"] = "unseen", found["relative"] / 2
    means = found.summary().set_index("prompt")
    assert means.loc["p", "relative"] == pytest.approx(2.2 / 3) and means.loc["p", "n"] == 3
    assert means.loc["p", "accuracy"] == pytest.approx(0.375) and OWN not in means.index
    mean, low, high = found.gap("p", "q")
    assert mean == pytest.approx((0.3 + 0.1 + 0.2) / 3) and low < mean < high


def test_bad_input(scene):
    target, projectors, tasks, prompts, own = scene
    other = train_projector(tiny_backbone("roberta"), target, {"a": tasks["a"]}, prompts, **QUICK)
    with pytest.raises(SkillkitError, match="2 sets of tasks"):
        evaluate_projections(target, projectors | {"other": other}, tasks, prompts, own)
    for name in (OWN, RANDOM):
        refused("name of a control", evaluate_projections, target, {name: other}, tasks, prompts, own)
    refused("nothing to be compared", other.mean_cosine, {"a": prompts["a"]}, target)
