import math

import pandas as pd
import pytest

from skillkit.core.errors import SkillkitError
from skillkit.core.store import cached
from skillkit.prompts.evaluation import evaluate
from skillkit.prompts.soft_prompt import SoftPrompt, random_prompt
from skillkit.prompts.tuning import tune_prompt
from skillkit.transfer.warm_start import learning_curve, learning_curves, saved, sources, steps_to
from tests.tiny import tiny_backbone
from tests.toys import toy_task

QUICK = dict(max_steps=4, evaluate_every=2, learning_rate=0.5)


def test_a_learning_curve_begins_before_the_first_step():
    bb, task = tiny_backbone("roberta"), toy_task(24)
    source = random_prompt(bb, 4, seed=9)
    for init in ("random", source):
        tuned = tune_prompt(bb, task, seed=1, init=init, length=4, progress=False, **QUICK)
        curve = learning_curve(bb, task, tuned, init)
        start = random_prompt(bb, 4, seed=1) if init == "random" else source
        assert [point["step"] for point in curve] == [0, 2, 4]
        assert curve[0]["score"] == evaluate(bb, task, start, split="validation").score
        assert [point["score"] for point in curve[1:]] == [
            point["score"] for point in tuned.metadata["history"]
        ]


def test_curves_of_every_start_and_seed_and_they_are_stored(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    bb, task = tiny_backbone("gpt2"), toy_task(16)
    own = [random_prompt(bb, 3, 40), random_prompt(bb, 3, 41)]
    given = dict(seeds=[5, 6], length=3, **QUICK)
    found = cached(learning_curves, bb, task, {"random": "random", "other": own}, **given)
    assert found.groupby(["start", "seed"]).size().to_dict() == {
        (start, seed): 3 for start in ("random", "other") for seed in (5, 6)
    }
    for at, seed in enumerate((5, 6)):
        first = found[(found["start"] == "other") & (found["seed"] == seed) & (found["step"] == 0)][
            "score"
        ].item()
        assert first == evaluate(bb, task, own[at], split="validation").score
    again = cached(learning_curves, bb, task, {"random": "random", "other": own}, **given)
    pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(again))


def test_steps_to_a_bar():
    curve = pd.DataFrame({"step": [0, 5, 10], "score": [0.5, 0.9, 0.8]})
    assert steps_to(curve, 0.85) == 5 and steps_to(curve, 0.5) == 0
    assert math.isnan(steps_to(curve, 0.95))


def test_saved_steps_by_hand():
    def curve(start, seed, *scores):
        return [
            dict(task="t", start=start, seed=seed, step=5 * at, score=one) for at, one in enumerate(scores)
        ]

    curves = pd.DataFrame(
        curve("random prompt", 0, 0.5, 0.6, 0.95, 1.0) + curve("random prompt", 1, 0.5, 0.7, 0.7, 0.7)
        + curve("near", 0, 0.9, 1.0, 1.0, 1.0) + curve("near", 1, 0.5, 0.6, 0.65, 0.7)
        + curve("bad", 0, 0.1, 0.1, 0.1, 0.1) + curve("bad", 1, 0.7, 0.1, 0.1, 0.1)
    )  # fmt: skip
    found = saved(curves).set_index("start")
    # Bars: 0.9 (seed 0, reached at step 10) and 0.63 (seed 1, at step 5).
    assert found.loc["random prompt", ["steps", "saved", "missed"]].tolist() == [7.5, 0, 0]
    assert found.loc["near", ["steps", "saved"]].tolist() == [(0 + 10) / 2, (10 - 5) / 2]
    assert found.loc["bad", ["steps", "saved", "missed"]].tolist() == [(15 + 0) / 2, (-5 + 5) / 2, 1]
    assert found.loc["near", "low"] < 2.5 < found.loc["near", "high"] and (found["n"] == 2).all()


def test_the_nearest_source_and_the_best_never_the_target():
    names = list("abc")
    prompts = {name: [name] for name in names}
    near = pd.DataFrame([[1, 0.2, 0.9], [0.2, 1, 0.1], [0.9, 0.1, 1]], names, names)
    transfer = pd.DataFrame(
        [[0.9, 0.5, 0.5], [0.8, 0.9, 0.6], [0.7, 0.5, 0.9], [1, 1, 1]], [*names, "random prompt"], names
    )
    assert sources(prompts, near, transfer, "a") == {
        "random prompt": "random",
        "nearest": ["c"],
        "best transfer": ["b"],
    }
    for given, target in [({"a": ["a"]}, "a"), (prompts, "d")]:
        with pytest.raises(SkillkitError, match=f"{target} has no sources"):
            sources(given, near, transfer, target)


def test_a_start_of_another_backbone():
    bb, task = tiny_backbone("roberta"), toy_task(12)
    with pytest.raises(SkillkitError, match="not for masked models"):
        learning_curves(bb, task, {"other": random_prompt(tiny_backbone("gpt2"), 3)}, seeds=[0], **QUICK)
    foreign = SoftPrompt(random_prompt(bb, 3).weight, "mask-first", {"backbone_fingerprint": "x"})
    with pytest.raises(SkillkitError, match="the start other was tuned for another backbone"):
        learning_curves(bb, task, {"other": foreign}, seeds=[0], **QUICK)
