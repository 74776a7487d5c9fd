"""Is a prompt tuned in bfloat16 as good as one tuned in float32? Pairs of the same seed, on embedded tasks.

That does not depend on how fast bfloat16 is here.
"""

from skillkit.core.stats import difference_interval
from skillkit.models.backbone import load_backbone
from skillkit.prompts.evaluation import evaluate
from skillkit.prompts.tuning import tune_prompt
from skillkit.tasks.task import load_task

TASKS, SEEDS = ("world/movies", "world/news", "world/rooms"), range(5)


def test_accuracy_in_bfloat16(bench):
    bb = load_backbone("embedded/roberta")
    pairs = []
    head = f"| test accuracy, {len(SEEDS)} seeds each | bf16 | fp32 | difference in points [95 %] |\n|---|---|---|---|"
    lines = [head]
    for name in TASKS:
        task = load_task(name)
        found = [[_accuracy(bb, task, seed, dtype) for dtype in ("bfloat16", "float32")] for seed in SEEDS]
        pairs += found
        lines.append(f"| {name} | {_cells(found)} |")
        table = "\n".join([*lines, f"| all {len(pairs)} pairs | {_cells(pairs)} |"])
        bench.note("Accuracy of tuning in bfloat16", "pairs", table)
    _, low, high = difference_interval(*zip(*pairs, strict=True))
    assert low >= -0.02 and high <= 0.02


def _accuracy(bb, task, seed, dtype):
    prompt = tune_prompt(bb, task, length=16, seed=seed, dtype=dtype, progress=False)
    return evaluate(bb, task, prompt, rows=500).accuracy


def _cells(pairs):
    low, full = zip(*pairs, strict=True)
    mean, least, most = (100 * end for end in difference_interval(low, full))
    return (
        f"{sum(low) / len(low):.3f} | {sum(full) / len(full):.3f} | {mean:+.1f} [{least:+.1f}, {most:+.1f}]"
    )
