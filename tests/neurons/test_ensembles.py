import pytest

from skillkit.neurons import ensembles, probe
from skillkit.prompts import evaluate
from tests.helpers import refused
from tests.plain_probing import plain_activations, probed
from tests.planted import planted
from tests.tiny import families
from tests.toys import toy_task

TASK = toy_task(30)


@families("roberta", slow=("t5", "gpt2"))
def test_votes_equal_the_plain_count(model):
    bb, prompt, chosen = probed(model, TASK)
    table = ensembles(bb, TASK, prompt, chosen, sizes=(1, 4, 7)).set_index("neurons")
    right = dict.fromkeys((1, 4, 7), 0)
    examples = plain_activations(bb, TASK, prompt, TASK["test"])
    for example, label in zip(examples, TASK["test"]["label"], strict=True):
        votes = [vote(bb, chosen, place, example) for place in chosen.best(7)]
        for size in right:
            right[size] += ((sum(votes[:size]) or votes[0]) > 0) == bool(label)
    assert [30 * table.loc[size].accuracy for size in right] == pytest.approx(list(right.values()))
    whole = evaluate(bb, TASK, prompt)
    assert tuple(table.loc["model"]) == pytest.approx((whole.accuracy, *whole.interval, 30))
    carried = probe(bb, TASK, prompt, split="test", carry=chosen)
    [(layer, _, neuron)] = chosen.best(1)  # alone it is right as often as its carried figure says
    assert table.loc[1].accuracy == pytest.approx(float(carried.predictivity[layer, neuron]))


def vote(bb, chosen, place, example):
    layer, slot, neuron = place
    name = next(name for name, layers in bb.stacks.items() if layer in layers)
    value = float(example[name][layer - bb.stacks[name].start, slot, neuron])
    return (1 if value > float(chosen.baseline_at(*place)) else -1) * int(chosen.direction[layer, neuron])


def test_planted_neurons_vote_right():
    bb, task, prompt, _ = planted()
    assert (ensembles(bb, task, prompt, probe(bb, task, prompt), sizes=(1, 3, 5)).accuracy > 0.95).all()


def test_bad_input():
    bb, prompt, mine = probed("roberta", TASK)
    cases = {"not those": (prompt, probed("gpt2", TASK)[-1]), "another prompt": (None, mine)}
    for match, args in (cases | {"at least one": (prompt, mine, (0, 3))}).items():
        refused(match, ensembles, bb, TASK, *args)
