"""The loop on a problem without a language model: a weight that has to find the mean of its batches."""

import json
import subprocess
import sys
import textwrap

import pytest
import torch
from safetensors import safe_open

from skillkit.core.errors import SkillkitError
from skillkit.prompts.encoding import Encoded
from skillkit.prompts.recipes import Recipe
from skillkit.prompts.training import _factor, fit, total_steps
from tests.helpers import REPOSITORY

ROWS = Encoded([[row] for row in range(40)], None, None, torch.arange(40) % 7, 0, torch.tensor([]), 8)
RECIPE = Recipe(learning_rate=0.1, batch_size=8, max_steps=40, evaluate_every=5)


def problem():
    weight = torch.zeros(3, requires_grad=True)
    loss = lambda batch: ((weight - batch.labels.float().mean()) ** 2).sum() + weight.sum() * 0.01
    return weight, loss, lambda: -(weight.detach() - 3).abs().sum().item()


def run(recipe=RECIPE, **options):
    weight, loss, score = problem()
    return fit({"weight": weight}, loss, score, ROWS, recipe, show=False, **options), weight


def test_training_comes_closer_and_keeps_the_best():
    state, _ = run()
    scores = [entry["score"] for entry in state.history]
    assert [entry["step"] for entry in state.history] == list(range(5, 41, 5))
    assert scores[-1] > scores[0]
    assert state.best_score == max(scores) and state.best_step == 5 * (scores.index(max(scores)) + 1)
    assert -(state.best["weight"] - 3).abs().sum().item() == pytest.approx(state.best_score)


def test_early_stop_counts_evaluations_without_gain():
    weight, loss, _ = problem()
    scores = iter([0.1, 0.3, 0.2, 0.3, 0.25, 0.9, 0.9, 0.9])
    recipe = Recipe(learning_rate=0.1, batch_size=8, max_steps=40, evaluate_every=5, patience=3)
    state = fit({"weight": weight}, loss, lambda: next(scores), ROWS, recipe, show=False)
    assert (state.step, state.best_step, state.best_score, state.done) == (25, 10, 0.3, True)


def test_a_perfect_score_ends_with_what_the_whole_run_would_have_kept():
    def tuned(scores):
        weight, loss, _ = problem()
        scores = iter(scores)
        return fit({"weight": weight}, loss, lambda: next(scores), ROWS, RECIPE, show=False)

    short, whole = tuned([0.5, 1.0]), tuned([0.5, 0.999, *[0.9] * 6])
    assert (short.step, short.best_step, short.done) == (10, 10, True) and whole.step == 40
    assert torch.equal(short.best["weight"], whole.best["weight"])


def test_seed_decides_the_order():
    weights = [run(seed=seed)[1].detach() for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("killed_after", [3, 5, 17, 39])
def test_interrupted_run_continues_to_the_same_weights(tmp_path, killed_after):
    whole, last = run()
    weight, loss, score = problem()
    seen = []

    def dying_loss(batch):
        if len(seen) == killed_after:
            raise KeyboardInterrupt
        seen.append(batch)
        return loss(batch)

    with pytest.raises(KeyboardInterrupt):
        fit({"weight": weight}, dying_loss, score, ROWS, RECIPE, checkpoint=tmp_path, show=False)
    again, end = run(checkpoint=tmp_path)
    assert torch.equal(end, last) and torch.equal(again.best["weight"], whole.best["weight"])
    assert again.history == whole.history


def test_kill_9_leaves_a_checkpoint_that_continues(tmp_path):
    script = f"""
        import os, signal
        from tests.prompts.test_training import problem, fit, ROWS, RECIPE
        weight, loss, score = problem()
        calls = []
        def deadly():
            calls.append(1)
            if len(calls) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return score()
        folder = {str(tmp_path)!r}
        fit({{"weight": weight}}, loss, deadly, ROWS, RECIPE, checkpoint=folder, identity="a", show=False)
    """
    died = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=REPOSITORY, capture_output=True
    )
    assert died.returncode == -9, died.stderr.decode()
    with safe_open(tmp_path / "checkpoint.safetensors", "pt") as file:
        assert json.loads(file.metadata()["state"])["step"] == 15
    whole, last = run()
    again, end = run(checkpoint=tmp_path, identity="a")
    assert torch.equal(end, last) and again.history == whole.history


def test_finished_run_is_only_read(tmp_path):
    whole, _ = run(checkpoint=tmp_path)
    weight, _, score = problem()
    again = fit({"weight": weight}, None, score, ROWS, RECIPE, checkpoint=tmp_path, show=False)
    assert again.history == whole.history and torch.equal(again.best["weight"], whole.best["weight"])


def test_checkpoint_of_another_run_or_damaged_is_refused(tmp_path):
    run(checkpoint=tmp_path, identity="a")
    with pytest.raises(SkillkitError, match="belongs to another run"):
        run(checkpoint=tmp_path, identity="b")
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(SkillkitError, match="empty or damaged.*remove it"):
        run(checkpoint=tmp_path, identity="a")
    with pytest.raises(SkillkitError, match="cannot write the checkpoint"):
        run(checkpoint=tmp_path / "checkpoint.safetensors" / "below")


def test_accumulating_gradients_equals_a_big_batch():
    weights = [torch.zeros(40, requires_grad=True) for _ in range(2)]
    for weight, accumulate in zip(weights, (1, 3), strict=True):
        recipe = Recipe(learning_rate=0.1, batch_size=8, max_steps=12, accumulate=accumulate)
        loss = lambda batch, w=weight: ((w[batch.index] - batch.labels) ** 2).mean()
        fit({"weight": weight}, loss, lambda: 0.0, ROWS, recipe, show=False)
    torch.testing.assert_close(*weights)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_loss_that_is_no_number_says_step_and_rate(value):
    weight, loss, score = problem()
    calls = []

    def breaking(batch):
        calls.append(1)
        return loss(batch) * (value if len(calls) == 7 else 1)

    with pytest.raises(SkillkitError, match=r"finite number at step 7 with learning rate 0\.1"):
        fit({"weight": weight}, breaking, score, ROWS, RECIPE, show=False)


def test_gradients_are_clipped():
    weight = torch.zeros(2, requires_grad=True)
    norms = []
    weight.register_post_accumulate_grad_hook(lambda w: norms.append(w.grad.norm().item()))
    recipe = Recipe(learning_rate=0.1, batch_size=8, max_steps=1, clip=0.5)
    fit({"w": weight}, lambda batch: (weight * 100).sum(), lambda: 0.0, ROWS, recipe, show=False)
    assert norms[0] > 100 and weight.grad.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_rate_rises_then_falls_linearly():
    recipe = Recipe(warmup=0.1)
    factors = [_factor(step, 100, recipe) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert factors[10] == 1.0 and factors[55] == pytest.approx(0.5) and factors[99] == pytest.approx(1 / 90)
    assert _factor(99, 100, Recipe(warmup=0.1, schedule="constant")) == 1.0


def test_the_first_end_that_is_reached_counts():
    assert total_steps(100, Recipe(batch_size=32, epochs=3)) == 12
    assert total_steps(100, Recipe(batch_size=32, epochs=3, max_steps=5)) == 5
    for recipe, rows in ((Recipe(), 10), (Recipe(epochs=2), 0)):
        with pytest.raises(SkillkitError, match="at least one step"):
            total_steps(rows, recipe)
