import pytest

from skillkit.core.errors import SkillkitError
from skillkit.neurons.ensembles import ensembles
from skillkit.neurons.probing import probe
from skillkit.prompts.evaluation import evaluate
from skillkit.prompts.soft_prompt import random_prompt
from tests.plain_probing import plain_activations
from tests.planted import planted
from tests.tiny import tiny_backbone
from tests.toys import toy_task

TASK = toy_task(30)


@pytest.mark.parametrize("model", ["roberta", "t5", "gpt2"])
def test_votes_equal_the_plain_count(model):
    bb = tiny_backbone(model)
    bb.model.double()
    prompt = random_prompt(bb, 3)
    chosen = probe(bb, TASK, prompt)
    table = ensembles(bb, TASK, prompt, chosen, sizes=(1, 4, 7)).set_index("neurons")
    right = dict.fromkeys((1, 4, 7), 0)
    for example, label in zip(
        plain_activations(bb, TASK, prompt, TASK["test"]), TASK["test"]["label"], strict=True
    ):
        votes = [vote(chosen, place, example) for place in chosen.best(7)]
        for size in right:
            ahead = sum(votes[:size])
            right[size] += ((votes[0] if ahead == 0 else ahead) > 0) == bool(label)
    for size, count in right.items():
        assert table.loc[size].accuracy == pytest.approx(count / 30)
    whole = evaluate(bb, TASK, prompt)
    assert tuple(table.loc["model"][["accuracy", "low", "high", "n"]]) == pytest.approx(
        (whole.accuracy, *whole.interval, 30)
    )


def vote(chosen, place, example):
    layer, slot, neuron = place
    stacks = [example[name] for name in ("layer", "encoder", "decoder") if name in example]
    stack, row = (stacks[-1], layer - len(stacks[0])) if layer >= len(stacks[0]) else (stacks[0], layer)
    fires = float(stack[row, slot, neuron]) > float(chosen.baseline_at(*place))
    return (1 if fires else -1) * int(chosen.direction[layer, neuron])


def test_the_best_neuron_alone_is_the_carried_figure():
    bb = tiny_backbone("roberta")
    prompt = random_prompt(bb, 3)
    chosen = probe(bb, TASK, prompt)
    carried = probe(bb, TASK, prompt, split="test", carry=chosen)
    [(layer, _, neuron)] = chosen.best(1)
    table = ensembles(bb, TASK, prompt, chosen, sizes=(1,))
    assert table.accuracy[0] == pytest.approx(float(carried.predictivity[layer, neuron]))


def test_planted_neurons_vote_right():
    bb, task, prompt, _ = planted()
    table = ensembles(bb, task, prompt, probe(bb, task, prompt), sizes=(1, 3, 5))
    assert (table.accuracy > 0.95).all()


def test_bad_input():
    bb, other = tiny_backbone("roberta"), tiny_backbone("roberta", seed=1)
    prompt = random_prompt(bb, 3)
    with pytest.raises(SkillkitError, match="weights are not those"):
        ensembles(bb, TASK, prompt, probe(other, TASK, random_prompt(other, 3)))
    with pytest.raises(SkillkitError, match="another prompt"):
        ensembles(bb, TASK, random_prompt(bb, 3, seed=1), probe(bb, TASK, prompt))
    with pytest.raises(SkillkitError, match="at least one neuron"):
        ensembles(bb, TASK, prompt, probe(bb, TASK, prompt), sizes=(0, 3))
