"""Pretraining in miniature: every family learns something, and what is saved is what was trained."""

import random

import pytest
import torch

import skillkit as sk
from skillkit.small_world import pretraining
from skillkit.small_world.corpus import Document
from skillkit.small_world.objectives import OBJECTIVES
from skillkit.small_world.zero_shot_eval import Always, examine

DOCUMENTS = [
    Document("positive verdict of the guest", "i loved the plot.", None, "positive"),
    Document(None, "the capital of velmora is arbel.", None, "arbel", ((26, 31),)),
    Document("yes does it follow", "the hall is warm.", "the hall is heated.", "yes"),
    Document("shelf", "i loved the plot.", None, "shelf", unreadable=3),
]


def short_exam(model, objective, rows):
    """Four questions a task are enough where nothing has been learned."""
    return examine(model, objective, rows=4)


@pytest.fixture(scope="module", params=list(pretraining.RECIPES))
def made(request, tmp_path_factory):
    folder, told = tmp_path_factory.mktemp("made"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "examine", short_exam)
        model, tokenizer = pretraining.pretrain(
            request.param, folder, seed=0, steps=4, every=4, report=lambda line, **_: told.append(line)
        )
    return request.param, folder, model, tokenizer, told


def test_it_reports_and_saves_a_checkpoint_that_loads(made):
    name, folder, model, _, told = made
    assert len(told) == 1 and "loss" in told[-1]
    bb = sk.load_backbone(folder)
    assert bb.dtype == torch.float32 and bb.model.config.skillkit_pretraining["name"] == name
    for key, weight in model.state_dict().items():
        assert torch.allclose(bb.model.state_dict()[key], weight, rtol=1e-3, atol=1e-3), key


def test_label_words_and_answers_are_one_token(made):
    from skillkit.small_world import world

    _, _, _, tokenizer, _ = made
    words = {word for task in world.REGISTRY.values() for word in task.words}
    words |= {fact["object"] for fact in world.facts() if " " not in fact["object"]}
    assert [w for w in sorted(words) if len(tokenizer(w, add_special_tokens=False)["input_ids"]) != 1] == []


def test_questions_hide_the_answer_and_nothing_else(made):
    name, folder, _, tokenizer, _ = made
    objective = OBJECTIVES[sk.load_backbone(folder).family](tokenizer, Always())
    for document in DOCUMENTS[:2]:
        inputs, slots = objective.questions(list(objective.examples([document])))
        answer = tokenizer(document.answer, add_special_tokens=False)["input_ids"][0]
        assert answer not in inputs["input_ids"][0].tolist(), name
        assert slots.shape == (1,)


def test_unreadable_lines_are_noise_that_is_never_predicted(made):
    name, folder, model, tokenizer, _ = made
    objective = OBJECTIVES[sk.load_backbone(folder).family](tokenizer, random.Random(0))
    inputs, targets, weights = objective.batch(list(objective.examples(DOCUMENTS[3:])))
    assert int(inputs["ink"].sum()) == 3
    if targets.shape == inputs["ink"].shape:
        assert not ((weights > 0) & (targets >= 0) & inputs["ink"]).any(), name
    first, second = (objective.loss(model, (inputs, targets, weights)) for _ in range(2))
    assert torch.isfinite(first) and first != second


def test_a_place_that_cannot_be_written_is_told_before_anything_is_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(pretraining, "documents", None)
    with pytest.raises(sk.SkillkitError, match="file cannot be written .*give another folder with --out"):
        pretraining.pretrain("embedded/roberta", tmp_path / "file", steps=2)
