"""Whatever is given to a public function is taken or refused in one sentence, at once; nothing is half made."""

import inspect
import itertools
import time

import pytest
import torch

import skillkit as sk
from skillkit.core.errors import SkillkitError
from skillkit.knowledge import ask
from skillkit.neurons import neurons_from, pruning_curve
from tests.tiny import tiny_backbone
from tests.toys import some_mask, toy_task

BB, TASK, CLOZE = tiny_backbone("bert", layers=2), toy_task(8), "the movie was [MASK]"
PROMPT, MASK = sk.random_prompt(BB, 2), some_mask(BB)
PROBE = sk.probe(BB, TASK, PROMPT, split="train")
STEPS, ON = dict(max_steps=1, progress=False), dict(bb=BB, task=TASK, prompt=PROMPT)
ODD = [
    None, -1, 0, 1.5, 2**40, 10**400, float("nan"), float("inf"), "", "x", "\0", "x" * 5000, "../x", b"x", [], ["x"],
    [0, 0], [999], [None], [[]], {}, {"x": 1}, torch.zeros(1), object(), True,
]  # fmt: skip


def named(function):
    """A function whose first argument, which has no name, is called so."""
    call = lambda name, **given: function(name, **given)
    call.__name__, parameters = function.__name__, inspect.signature(function).parameters.values()
    kinds = {inspect.Parameter.POSITIONAL_ONLY: inspect.Parameter.POSITIONAL_OR_KEYWORD}
    call.__signature__ = inspect.Signature(
        [one.replace(kind=kinds.get(one.kind, one.kind)) for one in parameters]
    )
    return call


def opened(context):
    """A function that opens the context and reads in it, so that what is wrong with it shows."""

    def read(**given):
        with context(**given):
            BB.run(BB.tokenizer("the movie was good", return_tensors="pt"))

    read.__signature__, read.__name__ = inspect.signature(context), context.__name__
    return read


# Function and arguments that are right, of which each is replaced by each of the odd ones.
RIGHT = {
    sk.tune_prompt: dict(bb=BB, task=TASK, length=2, **STEPS),
    sk.tune_adapter: dict(bb=BB, task=TASK, **STEPS),
    sk.tune_bitfit: dict(bb=BB, task=TASK, **STEPS),
    sk.random_prompt: dict(bb=BB, length=2),
    sk.evaluate: ON,
    sk.predict: ON | dict(texts=["a movie"]),
    sk.probe: ON,
    sk.skill_neurons: dict(probes=PROBE),
    sk.random_neurons: dict(skills=MASK),
    sk.suppression_curve: ON | dict(ranking=PROBE, rates=[0.5], draws=1, progress=False),
    pruning_curve: ON | dict(ranking=PROBE, fill=PROBE, shares=[0.5], draws=1, progress=False),
    sk.prune: dict(bb=BB, mask=MASK, fill=PROBE.fill),
    sk.indicators: dict(first=PROMPT, second=PROMPT, bb=BB),
    sk.attribute: dict(bb=BB, cloze=CLOZE, answer="good", steps=2),
    sk.knowledge_neurons: dict(bb=BB, prompts=[CLOZE], answer="good", steps=2),
    ask: dict(bb=BB, clozes=CLOZE, answers="good"),
    opened(sk.suppress): dict(bb=BB, mask=MASK),
    opened(sk.enhance): dict(bb=BB, facts=MASK),
    opened(sk.erase): dict(bb=BB, facts=MASK),
    opened(sk.edit): dict(bb=BB, facts=MASK, to="bad", answer="good"),
    opened(BB.record): dict(layers=[0]),
    neurons_from: dict(source=MASK, bb=BB),
    named(sk.load_task): dict(name="world/movies"),
    PROMPT.save: dict(folder="prompt"),
    PROBE.save: dict(folder="probe"),
    BB.save: dict(folder="model"),
    sk.SoftPrompt.load: dict(folder="prompt"),
    sk.load_backbone: dict(name="embedded/bert"),
}


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_an_odd_argument_is_taken_or_refused_in_one_sentence(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PROMPT.save("prompt")
    function(**RIGHT[function])
    wrong, left = [], {"progress"}  # of a bar, which takes anything
    parameters = inspect.signature(function).parameters.values()
    names = [one.name for one in parameters if one.kind != one.VAR_KEYWORD and one.name not in left]
    for name, odd in itertools.product(names, ODD):
        began = time.monotonic()
        try:
            function(**RIGHT[function] | {name: odd})
        except SkillkitError as error:
            wrong += [(name, odd, str(error))] * ("\n" in str(error) or len(str(error)) > 1000)
        except Exception as error:
            wrong.append((name, odd, error))
        wrong += [(name, odd, "slow")] * (time.monotonic() - began > 10)
    shown = "\n".join(f"{name}={odd!r:.40}: {said!r:.200}" for name, odd, said in wrong[:20])
    assert not wrong, f"{len(wrong)}, such as\n{shown}"
