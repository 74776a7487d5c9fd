import pandas as pd
import pytest

from skillkit.core.errors import SkillkitError
from skillkit.prompts.evaluation import evaluate
from skillkit.prompts.soft_prompt import random_prompt
from skillkit.transfer.projection_eval import OWN, gap, sameness, summary, translations
from skillkit.transfer.projector import train_projector
from skillkit.transfer.zero_shot import RANDOM
from tests.tiny import tiny_backbone
from tests.toys import toy_task

QUICK = dict(max_steps=2, evaluate_every=2, progress=False)


@pytest.fixture(scope="module")
def scene():
    source, target = tiny_backbone("roberta"), tiny_backbone("gpt2")
    tasks = {name: toy_task(20, seed=seed) for seed, name in enumerate("abc")}
    prompts = {name: [random_prompt(source, 4, 10 * at), random_prompt(source, 4, 10 * at + 1)]
               for at, name in enumerate("abc")}  # fmt: skip
    own = {name: random_prompt(target, 4, 99) for name in "abc"}
    learned = {name: tasks[name] for name in "ab"}
    projectors = {
        "task loss": train_projector(source, target, learned, prompts, **QUICK),
        "constant prompt": train_projector(source, target, learned, prompts, constant=True, **QUICK),
    }
    return target, projectors, tasks, prompts, own


def test_every_row_is_a_plain_evaluation(scene):
    target, projectors, tasks, prompts, own = scene
    found = translations(target, projectors, tasks, prompts, own, random=2)
    assert len(found) == 3 * (2 * 2 + 1 + 2)
    cells = found.set_index(["prompt", "task", "seed"])
    for plan, projector in projectors.items():
        for seed in (0, 1):
            plain = evaluate(target, tasks["c"], projector.project(prompts["c"][seed], target)).accuracy
            assert cells.loc[(plan, "c", seed), "accuracy"] == plain
    own_accuracy = evaluate(target, tasks["c"], own["c"]).accuracy
    row = cells.loc[(RANDOM, "c", 1)]
    assert row["accuracy"] == evaluate(target, tasks["c"], random_prompt(target, 4, 1)).accuracy
    assert row["relative"] == pytest.approx(row["accuracy"] / own_accuracy)
    assert (found.loc[found["prompt"] == OWN, "relative"] == 1).all()
    assert found.groupby("task")["tasks"].first().to_dict() == {"a": "learned", "b": "learned", "c": "unseen"}


def test_the_control_translates_everything_into_the_same_prompt(scene):
    target, projectors, _, prompts, _ = scene
    assert sameness(projectors["constant prompt"], prompts, target) == pytest.approx(1)
    assert sameness(projectors["task loss"], prompts, target) < 0.9999


def made_up():
    cells = [
        ("p", "x", 0.9),
        ("p", "x", 0.7),
        ("p", "y", 0.6),
        ("q", "x", 0.5),
        ("q", "y", 0.5),
        (OWN, "x", 1.0),
    ]
    rows = [
        dict(prompt=prompt, task=task, tasks="unseen", accuracy=share / 2, relative=share)
        for prompt, task, share in cells
    ]
    return pd.DataFrame(rows)


def test_summary_and_gap_by_hand():
    found = summary(made_up()).set_index("prompt")
    assert found.loc["p", "relative"] == pytest.approx(2.2 / 3) and found.loc["p", "n"] == 3
    assert found.loc["p", "accuracy"] == pytest.approx(1.1 / 3) and OWN not in found.index
    mean, low, high = gap(made_up(), "p", "q")
    assert mean == pytest.approx((0.3 + 0.1) / 2) and low < mean < high


def test_bad_input(scene):
    target, projectors, tasks, prompts, own = scene
    source = tiny_backbone("roberta")
    other = train_projector(source, target, {"a": tasks["a"]}, prompts, **QUICK)
    with pytest.raises(SkillkitError, match="2 sets of tasks"):
        translations(target, projectors | {"other": other}, tasks, prompts, own)
    with pytest.raises(SkillkitError, match="nothing to be compared"):
        sameness(other, {"a": prompts["a"]}, target)
