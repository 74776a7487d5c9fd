"""Prompts published with Su et al. 2022 and Ackermann & Ohmer 2024, and the transfer that was measured.

>>> prompts = published_prompts("published_prompts", "Roberta")          # doctest: +SKIP
>>> transfer = published_transfer("published_prompts", "Roberta")        # doctest: +SKIP
>>> seeds = published_seeds("published_prompts", "T5")                   # doctest: +SKIP

`folder` is a folder that holds these files, or a clone of the authors' repository. Only the 13 classification
tasks of `TYPES` are read. The 27-task emotion set of the same authors and T5's generation tasks (answering,
summaries) are out of scope here; folders of other tasks are left alone.
"""

import json
import re
from pathlib import Path

import pandas as pd

from skillkit.core.errors import SkillkitError
from skillkit.prompts import SoftPrompt
from skillkit.transfer.zero_shot import RANDOM, Transfer

TYPES = {
    "IMDB": "sentiment",
    "SST2": "sentiment",
    "laptop": "sentiment",
    "restaurant": "sentiment",
    "movierationales": "sentiment",
    "tweetevalsentiment": "sentiment",
    "MNLI": "inference",
    "QNLI": "inference",
    "snli": "inference",
    "ethicsdeontology": "ethics",
    "ethicsjustice": "ethics",
    "QQP": "paraphrase",
    "MRPC": "paraphrase",
}
# Where prompts and results lie below the folder that is given.
_PROMPTS = (".", "prompt_transferability", "task_prompt_emb", "Prompt-Transferability-1.0/task_prompt_emb")
_RESULTS = (".", "result", "Prompt-Transferability-1.0/result")
_SEEDS = (".", "robust_neurons")


def published_prompts(folder, backbone="Roberta"):
    """The published prompts of one backbone: {task: SoftPrompt}, in the order of `TYPES`.

    >>> published_prompts("Prompt-Transferability", "T5")["SST2"].weight.shape      # doctest: +SKIP
    torch.Size([100, 768])

    backbone: as in the names of the folders, "Roberta" or "T5" (also "Bert", "RobertaLarge", …). Raises
    SkillkitError when there is no such prompt, or a file is damaged.
    """
    paths = {task: _first(folder, _PROMPTS, f"{task}Prompt{backbone}/task_prompt") for task in TYPES}
    found = {task: SoftPrompt.from_published(path) for task, path in paths.items() if path}
    if not found:
        raise SkillkitError(
            f"{folder} holds no folder like SST2Prompt{backbone} with a file task_prompt; give the published "
            "prompts, or a clone of the authors' repository"
        )
    return found


def published_transfer(folder, backbone="Roberta"):
    """The published accuracies of source prompts on target tasks: a `Transfer` of one seed.

    >>> published_transfer("published_prompts", "Roberta").relative.loc["SST2", "IMDB"]      # doctest: +SKIP

    Read from `zero_shot_accuracy.csv` (columns backbone, target_task, source_task, accuracy), or from the
    `result` folders of the authors' repository, which have random prompts too. Raises SkillkitError when
    there are neither.
    """
    table = _first(folder, (".",), "zero_shot_accuracy.csv")
    rows = _from_table(table, backbone) if table else _from_results(folder, backbone)
    rows = [row for row in rows if row["target"] in TYPES and row["source"] in (*TYPES, RANDOM)]
    if not rows:
        raise SkillkitError(
            f"{folder} has no accuracies for {backbone}, neither in zero_shot_accuracy.csv nor in result/"
        )
    order = [*TYPES, RANDOM]
    return Transfer(sorted(rows, key=lambda row: (order.index(row["source"]), order.index(row["target"]))))


def published_seeds(folder, backbone="Roberta"):
    """Prompts of the same tasks tuned with other seeds: {seed: {task: SoftPrompt}}.

    >>> list(published_seeds("published_prompts", "Roberta"))      # doctest: +SKIP
    [33, 34, 35, 36]

    From folders `seed_<number>`. Raises SkillkitError when there are none.
    """
    folders = {path for part in _SEEDS for path in (Path(folder) / part).glob("seed_*") if path.is_dir()}
    seeds = {int(path.name.removeprefix("seed_")): path for path in folders}
    if not seeds:
        raise SkillkitError(f"{folder} holds no folders seed_<number> of published prompts")
    return {number: published_prompts(seeds[number], backbone) for number in sorted(seeds)}


def _first(folder, parts, name):
    paths = [Path(folder) / part / name for part in parts]
    return next((path for path in paths if path.is_file()), None)


def _from_table(path, backbone):
    table = pd.read_csv(path)
    missing = {"backbone", "target_task", "source_task", "accuracy"} - set(table.columns)
    if missing:
        raise SkillkitError(f"{path} has no column {sorted(missing)[0]}; it is not the published table")
    chosen = table[table["backbone"] == backbone]
    columns = chosen["source_task"], chosen["target_task"], chosen["accuracy"]
    return [_row(*values) for values in zip(*columns, strict=True)]


def _from_results(folder, backbone):
    """One JSON per pair: result/<target>Prompt<backbone>/result_<source>Prompt<backbone>.json."""
    rows, pattern = [], re.compile(rf"result_(random|\w+?)(Prompt{backbone})?\.json")
    for part in _RESULTS:
        for path in sorted((Path(folder) / part).glob(f"*Prompt{backbone}/result_*.json")):
            named = pattern.fullmatch(path.name)
            if named and (named[2] or named[1] == "random"):
                source = RANDOM if named[1] == "random" else named[1]
                rows.append(_row(source, path.parent.name.removesuffix(f"Prompt{backbone}"), _accuracy(path)))
    return rows


def _row(source, target, accuracy):
    return {"source": source, "target": target, "seed": 0, "accuracy": float(accuracy)}


def _accuracy(path):
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        # The authors' files hold JSON inside a JSON string.
        return (json.loads(told) if isinstance(told, str) else told)["acc"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SkillkitError(f"{path} is empty or damaged ({error}); fetch it again") from error
