"""Prompts published with Su et al. 2022 and Ackermann & Ohmer 2024, and the transfer that was measured.

>>> published = Published("published_prompts", "Roberta")
>>> published.prompts["SST2"].weight.shape                     # doctest: +SKIP
torch.Size([100, 768])
>>> published.transfer.relative.loc["SST2", "IMDB"]            # doctest: +SKIP

Only the 13 classification tasks of `TYPES` are read. The 27-task emotion set of the same authors and T5's
generation tasks (answering, summaries) are out of scope here; folders of other tasks are left alone.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from skillkit.core.errors import SkillkitError
from skillkit.prompts import SoftPrompt
from skillkit.transfer.zero_shot import RANDOM, Transfer

TYPES = {
    **dict.fromkeys(
        ["IMDB", "SST2", "laptop", "restaurant", "movierationales", "tweetevalsentiment"], "sentiment"
    ),
    **dict.fromkeys(["MNLI", "QNLI", "snli"], "inference"),
    **dict.fromkeys(["ethicsdeontology", "ethicsjustice"], "ethics"),
    **dict.fromkeys(["QQP", "MRPC"], "paraphrase"),
}
# Where prompts, results and seeds lie below the folder that is given.
_PROMPTS = (".", "prompt_transferability", "task_prompt_emb", "Prompt-Transferability-1.0/task_prompt_emb")
_RESULTS = (".", "result", "Prompt-Transferability-1.0/result")
_SEEDS = (".", "robust_neurons")


@dataclass(frozen=True)
class Published:
    """The published prompts of one backbone, read when they are asked for.

    >>> list(Published("published_prompts", "Roberta").seeds)      # doctest: +SKIP
    [33, 34, 35, 36]

    folder    holds the published files, or a clone of the authors' repository
    backbone  as in the names of the folders, "Roberta" or "T5" (also "Bert", "RobertaLarge", …)
    types     {task: type}

    Reading raises SkillkitError for what is missing or damaged.
    """

    folder: str | Path
    backbone: str = "Roberta"
    types = TYPES

    @cached_property
    def prompts(self):
        """{task: SoftPrompt}, in the order of `TYPES`."""
        name = "{}Prompt{}/task_prompt"
        paths = {task: self._find(_PROMPTS, name.format(task, self.backbone)) for task in self.types}
        if not any(paths.values()):
            missing = f"holds no folder like SST2Prompt{self.backbone} with a file task_prompt"
            remedy = "give the published prompts, or a clone of the authors' repository"
            raise SkillkitError(f"{self.folder} {missing}; {remedy}")
        return {task: SoftPrompt.from_published(found[0]) for task, found in paths.items() if found}

    @cached_property
    def seeds(self):
        """Prompts of the same tasks tuned with other seeds (folders `seed_<number>`): {seed: {task: SoftPrompt}}."""
        folders = {int(path.name.removeprefix("seed_")): path for path in self._find(_SEEDS, "seed_*/")}
        if not folders:
            raise SkillkitError(f"{self.folder} holds no folders seed_<number> of published prompts")
        return {number: Published(folders[number], self.backbone).prompts for number in sorted(folders)}

    @cached_property
    def transfer(self):
        """Accuracies of source prompts on target tasks: a `Transfer` of one seed.

        Read from `zero_shot_accuracy.csv` (columns backbone, target_task, source_task, accuracy), or from the
        `result` folders of the authors' repository, which have random prompts too.
        """
        tables, order = self._find(["."], "zero_shot_accuracy.csv"), [*self.types, RANDOM]
        rows = self._from_table(tables[0]) if tables else self._from_results()
        rows = [row for row in rows if row["target"] in self.types and row["source"] in order]
        if not rows:
            places = "neither in zero_shot_accuracy.csv nor in result/"
            raise SkillkitError(f"{self.folder} has no accuracies for {self.backbone}, {places}")
        rows.sort(key=lambda row: (order.index(row["source"]), order.index(row["target"])))
        return Transfer(rows)

    def _find(self, parts, pattern):
        return [path for part in parts for path in sorted(Path(self.folder, part).glob(pattern))]

    def _from_table(self, path):
        table = pd.read_csv(path)
        columns = {"source_task": "source", "target_task": "target", "accuracy": "accuracy"}
        missing = {"backbone", *columns} - set(table.columns)
        if missing:
            raise SkillkitError(f"{path} has no column {sorted(missing)[0]}; it is not the published table")
        chosen = table[table["backbone"] == self.backbone]
        return chosen[list(columns)].rename(columns=columns).assign(seed=0).to_dict("records")

    def _from_results(self):
        """One JSON per pair: result/<target>Prompt<backbone>/result_<source>Prompt<backbone>.json."""
        suffix = f"Prompt{self.backbone}"
        rows, pattern = [], re.compile(rf"result_(random|\w+?(?={suffix}))({suffix})?\.json")
        for path in self._find(_RESULTS, f"*{suffix}/result_*.json"):
            if named := pattern.fullmatch(path.name):
                source = RANDOM if named[1] == "random" else named[1]
                row = {"source": source, "target": path.parent.name.removesuffix(suffix), "seed": 0}
                rows.append(row | {"accuracy": _accuracy(path)})
        return rows


def _accuracy(path):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # The authors' files hold JSON inside a JSON string.
        return float((json.loads(content) if isinstance(content, str) else content)["acc"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SkillkitError(f"{path} is empty or damaged ({error}); fetch it again") from error
