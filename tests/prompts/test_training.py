"""The loop on a problem without a language model: a weight that has to find the mean of its batches."""

from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from skillkit.prompts import Job
from skillkit.prompts.encoding import Encoded
from skillkit.prompts.recipes import Recipe
from skillkit.prompts.training import fit, rate_factor, total_steps
from tests.helpers import refused

ROWS = Encoded([[row] for row in range(40)], None, None, torch.arange(40) % 7, 0, torch.tensor([]), 8)


class Problem(Job):
    """A job without a backbone; `scores` are the scores of its evaluations, in their order."""

    def __init__(self, seed=0, scores=None, size=3, about="a", train=None, **recipe):
        options = dict(learning_rate=0.1, batch_size=8, max_steps=40, evaluate_every=5)
        self.weight, self.scores = torch.zeros(size, requires_grad=True), scores
        self.about = {"kind": about, "recipe": options | recipe}
        self.train, self.recipe, self.seed = train or {"toy": ROWS}, Recipe(**options | recipe), seed

    def loss(self, batch, name, turn):
        return ((self.weight - batch.labels.float().mean()) ** 2).sum() + self.weight.sum() * 0.01

    def score(self):
        return self.scores.pop(0) if self.scores else -(self.weight.detach() - 3).abs().sum().item()

    def fit(self, checkpoint=None):
        return fit(self, {"weight": self.weight}, checkpoint, show=False)


def test_training_comes_closer_and_keeps_the_best():
    state = Problem().fit()
    scores = [entry["score"] for entry in state.history]
    assert [entry["step"] for entry in state.history] == list(range(5, 41, 5))
    assert scores[-1] > scores[0]
    assert state.best_score == max(scores) and state.best_step == 5 * (scores.index(max(scores)) + 1)
    assert -(state.best["weight"] - 3).abs().sum().item() == pytest.approx(state.best_score)


def test_a_learning_curve_is_recorded_and_changes_nothing(tmp_path):
    plain, curve = Problem(), Problem(curve_at=[0, 1, 2, 5, 40])
    expected, found = plain.fit(), curve.fit(tmp_path)
    assert torch.equal(curve.weight, plain.weight) and found.best_step == expected.best_step
    assert [entry for entry in found.history if "loss" in entry] == expected.history
    assert [entry["step"] for entry in found.history][:4] == [0, 1, 2, 5]
    assert (
        found.history[0]["score"] == -9
        and Problem(curve_at=[0, 1, 2, 5, 40]).fit(tmp_path).history == found.history
    )


def test_early_stopping_counts_evaluations_without_gain():
    state = Problem(scores=[0.1, 0.3, 0.2, 0.3, 0.25, 0.9, 0.9, 0.9], patience=3).fit()
    assert (state.step, state.best_step, state.best_score, state.done) == (25, 10, 0.3, True)


def test_a_perfect_score_ends_with_what_the_whole_run_would_have_kept():
    short, whole = Problem(scores=[0.5, 1.0]).fit(), Problem(scores=[0.5, 0.999, *[0.9] * 6]).fit()
    assert (short.step, short.best_step, short.done) == (10, 10, True) and whole.step == 40
    assert torch.equal(short.best["weight"], whole.best["weight"])


@pytest.mark.parametrize("batch_size", [4, 32])
def test_tasks_take_turns_and_short_ones_begin_again(batch_size):
    short = Encoded(ROWS.ids[:6], None, None, ROWS.labels[:6], 0, torch.tensor([]), 8)
    plan = Problem(train={"a": ROWS, "b": short}, batch_size=batch_size).plan(0)
    assert [entry[:2] for entry in plan[:4]] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert sorted(row for name, _, rows in plan if name == "a" for row in rows) == list(range(40))
    assert max(row for name, _, rows in plan if name == "b" for row in rows) == 5


@pytest.mark.parametrize("killed_after", [3, 5, 17, 39])
def test_interrupted_run_continues_to_the_same_weights(tmp_path, killed_after):
    whole, dying, again, left = Problem(), Problem(), Problem(), [1] * killed_after
    dying.loss = lambda *entry: left.pop() * Problem.loss(dying, *entry)
    with pytest.raises(IndexError):
        dying.fit(tmp_path)
    expected, found = whole.fit(), again.fit(tmp_path)
    assert torch.equal(again.weight, whole.weight) and found.history == expected.history
    assert torch.equal(found.best["weight"], expected.best["weight"])


def test_finished_run_is_only_read_and_another_or_damaged_one_refused(tmp_path):
    whole, again = Problem().fit(tmp_path), Problem()
    again.loss = None
    found = again.fit(tmp_path)
    assert found.history == whole.history and torch.equal(found.best["weight"], whole.best["weight"])
    refused("another run .kind is 'a' there, 'b' here", Problem(about="b").fit, tmp_path)
    refused("another run .max_steps is 40 there, 60 here", Problem(max_steps=60).fit, tmp_path)
    file = tmp_path / "checkpoint.pt"
    raw = file.read_bytes()
    for at in (3, 70, len(raw) // 2, len(raw) - 1):  # a bit, wherever it is
        file.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        refused("empty or damaged.*remove it", Problem().fit, tmp_path)
    for damaged in (b"", raw[:-1], raw + b"\0"):
        file.write_bytes(damaged)
        refused("empty or damaged.*remove it", Problem().fit, tmp_path)
    refused("cannot be written", Problem().fit, tmp_path / "checkpoint.pt" / "below")


def test_accumulating_gradients_equals_a_big_batch():
    weights = []
    for accumulate in (1, 3):
        job = Problem(size=40, max_steps=12, accumulate=accumulate)
        job.loss = lambda batch, *_, w=job.weight: ((w[batch.index] - batch.labels) ** 2).mean()
        job.fit()
        weights.append(job.weight)
    torch.testing.assert_close(*weights)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_loss_that_is_no_number_says_step_and_rate(value):
    job, calls = Problem(), []
    job.loss = lambda *entry: Problem.loss(job, *entry) * (value if len(calls) == 6 else calls.append(1) or 1)
    refused(r"finite number at step 7 with learning rate 0\.1", job.fit)


def test_gradients_are_clipped():
    job, norms = Problem(size=2, max_steps=1, clip=0.5), []
    job.weight.register_post_accumulate_grad_hook(lambda w: norms.append(w.grad.norm().item()))
    job.loss = lambda *_: (job.weight * 100).sum()
    job.fit()
    assert norms[0] > 100 and job.weight.grad.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_rate_rises_then_falls_linearly():
    factors = [rate_factor(step, 100, Recipe(warmup=0.1)) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert factors[10] == 1.0 and factors[55] == pytest.approx(0.5) and factors[99] == pytest.approx(1 / 90)
    assert rate_factor(99, 100, Recipe(warmup=0.1, schedule="constant")) == 1.0


def test_the_first_end_that_is_reached_counts():
    assert total_steps(4, Recipe(epochs=3)) == 12
    assert total_steps(4, Recipe(epochs=3, max_steps=5)) == 5
    for recipe, per_epoch in ((Recipe(), 4), (Recipe(epochs=2), 0), (Recipe(max_steps=2), 0)):
        refused("at least one step", total_steps, per_epoch, recipe)


def test_an_epoch_is_as_good_as_its_steps():
    by_epoch, by_steps = (
        Problem(evaluate_every="epoch").fit(),
        Problem(evaluate_every=5).fit(),
    )  # 40 rows by 8
    assert by_epoch.history == by_steps.history
    refused("evaluate_every cannot be 'year'", Recipe, evaluate_every="year")


def test_a_finished_run_is_extended_with_its_optimiser(tmp_path):
    short, schedule = dict(max_steps=20, schedule="constant"), dict(max_steps=40, schedule="constant")
    Problem(**short).fit(tmp_path)
    refused(
        "belongs to another run .max_steps is 20 there, 40 here.*extend=True",
        Problem(**schedule).fit,
        tmp_path,
    )
    whole, longer = Problem(**schedule), Problem(**schedule)
    longer.recipe = replace(longer.recipe, extend=True)
    state = longer.fit(tmp_path)
    assert state.history == whole.fit().history and torch.equal(longer.weight, whole.weight)
    assert state.extended_at == [20] and state.step == 40
    longer.recipe = replace(longer.recipe, learning_rate=0.2)
    longer.about = longer.about | {"recipe": longer.about["recipe"] | {"learning_rate": 0.2}}
    refused("learning_rate is 0.1 there", longer.fit, tmp_path)
    refused("no run in .* to be extended", longer.fit, tmp_path / "empty")


def test_what_stopped_early_is_extended_but_for_a_perfect_score(tmp_path):
    early = dict(patience=2, scores=[0.5, 0.4, 0.3])
    assert Problem(**early).fit(tmp_path).step == 15
    more = Problem(patience=9, scores=[0.6, 0.4, 0.2, 0.1, 0.1])
    more.recipe = replace(more.recipe, extend=True)
    assert more.fit(tmp_path).best_step == 20
    Problem(scores=[1.0]).fit(tmp_path / "perfect")
    done = Problem(max_steps=80)
    done.recipe = replace(done.recipe, extend=True)
    assert done.fit(tmp_path / "perfect").step == 5


def test_figures_go_to_whatever_takes_scalars(tmp_path):
    seen, log = [], SimpleNamespace(add_scalar=lambda *figures: seen.append(figures))
    state = Problem(log=log).fit()
    assert [figure for figure in seen if figure[0] == "score"] == [
        ("score", point["score"], point["step"]) for point in state.history
    ]
    assert {name for name, *_ in seen} == {"loss", "score", "learning_rate"}
    if find_spec("tensorboard") is None:
        refused("pip install tensorboard", Problem(log=tmp_path).fit)
    else:
        Problem(log=tmp_path).fit()
        assert list(tmp_path.glob("events.*"))
