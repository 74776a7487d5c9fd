import pandas as pd

from skillkit.core import cached
from skillkit.prompts import SoftPrompt, evaluate, random_prompt, tune_prompt
from skillkit.transfer import learning_curves
from skillkit.transfer.warm_start import LearningCurves, learning_curve
from tests.helpers import refused
from tests.tiny import tiny_backbone
from tests.toys import toy_task

QUICK = dict(max_steps=4, evaluate_every=2, learning_rate=0.5)


def test_a_learning_curve_begins_before_the_first_step():
    bb, task = tiny_backbone("roberta"), toy_task(24)
    given = random_prompt(bb, 4, 9)
    for init, start in [("random", random_prompt(bb, 4, 1)), (given, given)]:
        tuned = tune_prompt(bb, task, seed=1, init=init, length=4, progress=False, **QUICK)
        curve = learning_curve(bb, task, tuned, init)
        assert curve[0] == {"step": 0, "score": evaluate(bb, task, start, split="validation").score}
        history = tuned.metadata["history"]
        assert curve[1:] == [{"step": point["step"], "score": point["score"]} for point in history]


def test_curves_of_every_start_and_seed_and_they_are_stored(store):
    bb, task = tiny_backbone("gpt2"), toy_task(16)
    own = [random_prompt(bb, 3, 40), random_prompt(bb, 3, 41)]
    starts = {"random prompt": "random", "other": own}
    call = bb, task, starts, [5, 6]
    found, again = (cached(learning_curves, *call, length=3, **QUICK) for _ in range(2))
    pd.testing.assert_frame_equal(found, again)
    assert found.groupby(["start", "seed"], sort=False).size().tolist() == [3] * 4
    first = found.query("start == 'other' and step == 0")["score"].tolist()
    assert first == [evaluate(bb, task, one, split="validation").score for one in own]
    assert again.summary()["n"].tolist() == [2, 2]


def test_saved_steps_by_hand():
    scores = {
        ("random prompt", 0): (0.5, 0.6, 0.95, 1.0), ("random prompt", 1): (0.5, 0.7, 0.7, 0.7),
        ("near", 0): (0.9, 1.0, 1.0, 1.0), ("near", 1): (0.5, 0.6, 0.65, 0.7),
        ("bad", 0): (0.1, 0.1, 0.1, 0.1), ("bad", 1): (0.7, 0.1, 0.1, 0.1),
    }  # fmt: skip
    curves = LearningCurves([
        dict(task="t", start=start, seed=seed, step=5 * at, score=one)
        for (start, seed), mine in scores.items() for at, one in enumerate(mine)
    ])  # fmt: skip
    # Bars: 0.9 (seed 0, reached at step 10) and 0.63 (seed 1, at step 5).
    each = curves.steps_saved().set_index(["start", "seed"])
    assert each["steps"].tolist() == [10, 5, 0, 10, 15, 0] and each["saved"].tolist() == [0, 0, 10, -5, -5, 5]
    found = curves.summary().set_index("start")
    assert found["steps"].tolist() == [7.5, 5, 7.5] and found["missed"].tolist() == [0, 0, 1]
    assert found.loc["near", "saved"] == 2.5 and found["low"].isna().all()  # two seeds have no interval


def test_a_start_of_another_backbone():
    bb, task = tiny_backbone("roberta"), toy_task(12)
    foreign = SoftPrompt(random_prompt(bb, 3).weight, "mask-first", {"backbone_fingerprint": "x"})
    starts = {"for another backbone": foreign, "not for masked": random_prompt(tiny_backbone("gpt2"), 3)}
    for match, start in starts.items():
        refused(match, learning_curves, bb, task, {"other": start}, seeds=0, **QUICK)
    refused("must be a Mapping", learning_curves, bb, task, "random", seeds=[0], **QUICK)
    refused("1 starts for 2 seeds", learning_curves, bb, task, {"other": [foreign]}, seeds=range(2), **QUICK)
