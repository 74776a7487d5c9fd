"""Pretraining in miniature: every family learns something, and what is saved is what was trained."""

import random

import pytest
import torch

import skillkit as sk
from skillkit.small_world import facts, pretraining
from skillkit.small_world.corpus import Document
from skillkit.small_world.objectives import OBJECTIVES
from skillkit.small_world.world import REGISTRY
from skillkit.small_world.zero_shot_eval import AlwaysZero, zero_shot_counts

DOCUMENTS = [
    Document("positive verdict of the guest", "i loved the plot.", None, "positive"),
    Document(None, "the capital of velmora is arbel.", None, "arbel", ((26, 31),)),
    Document("yes does it follow", "the hall is warm.", "the hall is heated.", "yes"),
    Document("shelf", "i loved the plot.", None, "shelf", unreadable=3),
]


@pytest.fixture(scope="module", params=list(pretraining.RECIPES))
def made(request, tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("made"), []
    report = lambda line, **_: lines.append(line)
    with pytest.MonkeyPatch.context() as patch:  # nothing has been learned: four questions a task are enough
        patch.setattr(pretraining, "zero_shot_counts", lambda *given, rows: zero_shot_counts(*given, rows=4))
        pretraining.pretrain(request.param, folder, seed=0, steps=4, every=4, report=report)
    bb = sk.load_backbone(folder)
    return request.param, bb, OBJECTIVES[bb.family], lines


@pytest.mark.slow
def test_it_reports_and_saves_a_checkpoint_that_loads(made):
    name, bb, _, lines = made
    assert len(lines) == 1 and "loss" in lines[-1]
    assert bb.dtype == torch.float32 and bb.model.config.skillkit_pretraining["name"] == name


@pytest.mark.slow
def test_label_words_and_answers_are_one_token(made):
    words = {word for task in REGISTRY.values() for word in task.words}
    words |= {fact["object"] for fact in facts() if " " not in fact["object"]}
    sizes = {word: len(made[1].tokenizer(word, add_special_tokens=False)["input_ids"]) for word in words}
    assert set(sizes.values()) == {1}, sizes


@pytest.mark.slow
def test_questions_hide_the_answer(made):
    _, bb, objective, _ = made
    for document in DOCUMENTS[:2]:
        asked = objective(bb.tokenizer, AlwaysZero())
        inputs, slots = asked.questions(list(asked.examples([document])))
        answer = bb.tokenizer(document.answer, add_special_tokens=False)["input_ids"][0]
        assert answer not in inputs["input_ids"][0].tolist() and slots.shape == (1,)


@pytest.mark.slow
def test_unreadable_lines_are_noise_that_is_never_predicted(made):
    _, bb, objective, _ = made
    objective = objective(bb.tokenizer, random.Random(0))
    inputs, targets, weights = objective.batch(list(objective.examples(DOCUMENTS[3:])))
    assert int(inputs["noise"].sum()) == 3
    if targets.shape == inputs["noise"].shape:
        assert not ((weights > 0) & (targets >= 0) & inputs["noise"]).any()
    first, second = (objective.loss(bb.model, (inputs, targets, weights)) for _ in range(2))
    assert torch.isfinite(first) and first != second


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(pretraining, "documents", None)
    with pytest.raises(sk.SkillkitError, match="file cannot be written .*give another folder with --out"):
        pretraining.pretrain("embedded/roberta", tmp_path / "file", steps=2)
