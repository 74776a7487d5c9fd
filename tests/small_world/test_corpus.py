"""The pretraining corpus: the same for a seed, nothing held out, answers at their spans."""

import itertools
from dataclasses import astuple

import pytest

from skillkit.core.hashing import digest
from skillkit.small_world import facts, held_out
from skillkit.small_world.corpus import Curriculum, documents


def some(count, progress=1.0, seed=0, **curriculum):
    return list(itertools.islice(documents(seed, lambda: progress, Curriculum(**curriculum)), count))


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.05, "646167d8b81c"), (0.4, "1d4468f5a1e8"), (1.0, "58416cc5f942")]
)
def test_documents_are_those_that_the_shipped_models_read(progress, expected):
    read = some(1000, progress, opening=0.02, closing=0.05)
    assert digest([astuple(document) for document in read])[:12] == expected


@pytest.mark.slow
def test_no_held_out_row_is_in_the_corpus():
    read = some(20000)
    pairs = {(document.text, document.pair) for document in read}
    sides = {(side, None) for document in read for side in (document.text, document.pair)}
    assert not (pairs | sides) & held_out()


def test_answers_stand_at_their_spans():
    for document in some(2000):
        for start, end in document.spans:
            assert (document.pair or document.text)[start:end] == document.answer
        if document.heading:
            assert document.heading.startswith(document.answer)


@pytest.mark.slow
def test_unseen_phrasings_do_not_come_with_their_fact():
    unseen = {prompt.replace("[MASK]", fact["object"]) for fact in facts() for prompt in fact["unseen"]}
    read = {document.text.split(". ", 1)[-1] for document in some(20000) if document.heading is None}
    assert read and not read & unseen
