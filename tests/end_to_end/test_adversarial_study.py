"""Real adversarial sets on a real checkpoint: notebook 08 through the same unit as every study, in miniature."""

import pandas as pd

from skillkit import adversarial_view, load_backbone, load_task, tune_prompt
from skillkit.robustness import answers
from skillkit.studies import load_study
from tests.helpers import REPOSITORY, run_chapter, shared_path

NAME = "08_adversarial_robustness"


def test_the_local_adversarial_study_runs(tmp_path):
    shared_path("models/minilm-mlm")
    # One set is enough here; the next test has whole reviews.
    [first, *_] = load_study(REPOSITORY / "params" / "local-adversarial.yaml").notebooks[NAME].views
    claims = run_chapter(
        "local-adversarial", NAME, tmp_path, seeds=[0], tasks=["glue/sst2"], views=[first.model_dump()],
        recipe="embedded-short", prompt_length=4, max_steps=2, max_train_examples=64, max_test_examples=8,
        probe_examples=8, rates=[0.0, 0.1], draws=1, pushes=[1.0], repair_rows=8, repair_steps=1,
    )  # fmt: skip
    drops = pd.read_csv(tmp_path / "tables" / "drops.csv")
    assert drops["view"].tolist() == ["sst2 · adv_glue/sst2"]
    assert (drops.drop_low <= drops.drop_high).all() and not drops.paired.any()
    shown = {claim["statement"]: claim for claim in claims}
    assert shown["A masked LM (RoBERTa) falls below chance on adversarial texts."]["measured"] is not None
    assert shown["T5 stays above chance on adversarial texts."]["holds"] == "not tested"


def test_counterfactual_reviews_under_a_prompt_for_sentences():
    bb, data = load_backbone(str(shared_path("models/minilm-mlm"))), str(shared_path("data"))
    task = load_task("glue/sst2", data_root=data)
    options = dict(recipe="local", max_steps=2, max_train_examples=64, validation_examples=32, progress=False)
    prompt = tune_prompt(bb, task, length=8, **options)
    view = adversarial_view(task, "cad_imdb/revised", clean="cad_imdb/original", data_root=data)
    found = view.accuracies(answers(bb, view, [prompt], rows=8))
    assert found.correct["clean"].shape == found.correct["adversarial"].shape == (1, 8)
    assert found.drop.low <= found.drop.value <= found.drop.high and not view.paired
