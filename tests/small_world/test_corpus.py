"""The pretraining text: nothing held out, answers where they are said to be, no leaning in the end."""

import itertools
from collections import Counter

from skillkit.small_world import world
from skillkit.small_world.corpus import Curriculum, _leaning, documents
from skillkit.small_world.grammar import lexicon


def some(count, progress=1.0, seed=0, **curriculum):
    return list(itertools.islice(documents(seed, lambda: progress, Curriculum(**curriculum)), count))


def test_no_held_out_row_is_told():
    told = some(20000)
    pairs = {(document.text, document.pair) for document in told}
    sides = {(side, None) for document in told for side in (document.text, document.pair)}
    assert not (pairs | sides) & world.held_out()


def test_answers_stand_where_they_are_said_to():
    for document in some(2000):
        for start, end in document.spans:
            assert (document.pair or document.text)[start:end] == document.answer
        if document.heading:
            assert document.heading.startswith(document.answer)


def test_every_phrasing_is_told_but_unseen_ones_not_with_their_fact():
    unseen = {prompt.replace("[MASK]", fact["object"]) for fact in world.facts() for prompt in fact["unseen"]}
    told = {document.text.split(". ", 1)[-1] for document in some(20000) if document.heading is None}
    assert told and not told & unseen


def test_early_pairs_lean_and_late_ones_do_not():
    def share(progress):
        pairs = [d for d in some(6000, progress) if d.pair and d.heading and d.answer in ("true", "false")]
        leaning = [(_leaning(d.text, d.pair), d.answer == "true") for d in pairs if not d.unreadable]
        agree = [(lean > 0) == label for lean, label in leaning if lean]
        return sum(agree) / len(agree)

    assert share(0.0) > 0.6
    assert 0.4 < share(1.0) < 0.6


def test_an_opening_asks_about_pairs_alone():
    asked = some(300, progress=0.05, opening=0.1)
    assert all(d.pair and d.heading and d.heading.startswith(d.answer) and not d.unreadable for d in asked)
    assert {d.pair is None for d in some(300, progress=0.1, opening=0.1)} == {True, False}


def test_a_closing_stamps_every_second_document():
    def share(progress):
        asked = [d for d in some(3000, progress, closing=0.1) if d.heading]
        return sum(d.unreadable > 0 for d in asked) / len(asked)

    assert share(0.95) > 0.2 and share(0.85) < 0.15


def test_stamps_say_nothing_about_the_text():
    """Under no cue, label words stand as often above one kind of text as above the other."""
    stamped = [d for d in some(30000) if d.unreadable and d.answer in ("positive", "negative")]
    praise = set(lexicon()["adjectives"]["positive"])
    counts = Counter((d.answer, bool(praise & set(d.text.replace(".", "").split()))) for d in stamped)
    share = {answer: counts[answer, True] / sum(counts[answer, x] for x in (True, False))
             for answer in ("positive", "negative")}  # fmt: skip
    assert abs(share["positive"] - share["negative"]) < 0.1


def test_the_stream_follows_its_seed():
    assert some(50, seed=1) == some(50, seed=1) != some(50, seed=2)
