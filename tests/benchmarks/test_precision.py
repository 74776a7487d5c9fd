"""Is a prompt tuned in bfloat16 as good as one tuned in float32? Pairs of the same seed, on embedded tasks.

That does not depend on how fast bfloat16 is here.
"""

from statistics import fmean

from skillkit.core.stats import difference_interval
from skillkit.models import load_backbone
from skillkit.prompts import evaluate, tune_prompt
from skillkit.tasks import load_task

TASKS, SEEDS = ("world/movies", "world/news", "world/rooms"), range(5)


HEAD = f"| test accuracy, {len(SEEDS)} seeds each | bf16 | fp32 | difference in points [95 %] |\n|---|---|---|---|"


def test_accuracy_in_bfloat16(bench):
    bb, found = load_backbone("embedded/roberta"), {}
    for name in TASKS:
        task = load_task(name)
        found[name] = [
            [_accuracy(bb, task, seed, dtype) for dtype in ("bfloat16", "float32")] for seed in SEEDS
        ]
    found["all pairs"] = pairs = sum(found.values(), [])
    bench.note(
        "Accuracy of tuning in bfloat16", "pairs", "\n".join([HEAD, *map(_line, found, found.values())])
    )
    _, low, high = difference_interval(*zip(*pairs, strict=True))
    assert low >= -0.02 and high <= 0.02


def _accuracy(bb, task, seed, dtype):
    prompt = tune_prompt(bb, task, length=16, seed=seed, dtype=dtype, progress=False)
    return evaluate(bb, task, prompt, rows=500).accuracy


def _line(name, pairs):
    low, full = map(list, zip(*pairs, strict=True))
    mean, least, most = (100 * end for end in difference_interval(low, full))
    return f"| {name} | {fmean(low):.3f} | {fmean(full):.3f} | {mean:+.1f} [{least:+.1f}, {most:+.1f}] |"
