"""An interruption at any line, while contexts are entered, used and left: no hook stays, weights are as they were."""

import contextlib
import random
import sys

import pytest
import torch

import skillkit as sk
from skillkit.knowledge import ask
from skillkit.models.fast import packing
from tests.tiny import slowly, tiny_backbone
from tests.toys import some_mask, toy_task

PLACES = ("/skillkit/", "/contextlib.py", "/torch/utils/hooks.py")
TASK, CLOZE, STEPS = toy_task(8), "the movie was [MASK]", dict(max_steps=2, evaluate_every=1, progress=False)
KINDS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
TABLES = [f"_{kind}" for kind in (*KINDS, "forward_hooks_with_kwargs", "forward_pre_hooks_with_kwargs")]


class Interruption:
    """Counts lines of the package and of contexts in libraries, and raises KeyboardInterrupt at one of them."""

    def __init__(self, call, at=0):
        self.at, self.lines, before = at, 0, sys.gettrace()
        try:
            sys.settrace(self.enter)
            call()
        finally:
            sys.settrace(before)

    def enter(self, frame, event, arg):
        file = frame.f_code.co_filename
        return self.line if any(place in file for place in PLACES) and "/tests/" not in file else None

    def line(self, frame, event, arg):
        self.lines += event == "line"
        if event == "line" and self.lines == self.at:
            sys.settrace(None)
            raise KeyboardInterrupt
        return self.line


def state(bb):
    """What an interruption could leave behind."""
    modules = list(bb.model.modules())
    hooks = [[list((getattr(module, table) or {}).values()) for table in TABLES] for module in modules]
    flags = [
        (module.training, "forward" in vars(module), "compute_bias" in vars(module)) for module in modules
    ]
    trained = [(parameter.requires_grad, parameter.grad) for parameter in bb.model.parameters()]
    modes = bb.now, type(bb.batching), bb.model.config._attn_implementation, list(packing._running)
    return hooks, flags, trained, modes, torch.is_autocast_enabled("cpu"), bb.fingerprint


def within(call, *contexts):
    """A function that makes the call in these contexts."""
    if not contexts:
        return call

    def run():
        with contexts[0]():
            within(call, *contexts[1:])()

    return run


def situations(bb):
    """{name: function} of what may be interrupted."""
    prompt, mask = sk.random_prompt(bb, 2), some_mask(bb)
    probe, read = sk.probe(bb, TASK, prompt), lambda: sk.evaluate(bb, TASK, prompt, rows=4)
    asked, erased = lambda: ask(bb, CLOZE, "good"), lambda: sk.erase(bb, mask)
    edited, suppressed = lambda: sk.edit(bb, mask, to="bad", answer="good"), lambda: sk.suppress(bb, mask)
    tuned = lambda tune, **options: lambda: tune(bb, TASK, **STEPS, **options)
    means, enhanced = lambda: sk.suppress(bb, mask, kind="mean", fill=probe), lambda: sk.enhance(bb, mask)
    return {
        "suppress": within(read, suppressed), "mean": within(read, means), "record": within(read, bb.record),
        "enhance": within(asked, enhanced), "three": within(asked, edited, erased, suppressed),
        "attribute": lambda: sk.attribute(bb, CLOZE, "good", steps=3), "probe": lambda: sk.probe(bb, TASK, prompt),
        "knowledge": lambda: sk.knowledge_neurons(bb, [CLOZE], "good", steps=2),
        "curve": lambda: sk.suppression_curve(bb, TASK, prompt, probe, rates=[0.5]),
        "prompt": tuned(sk.tune_prompt, length=2), "bfloat16": tuned(sk.tune_prompt, length=2, dtype="bfloat16"),
        "adapter": tuned(sk.tune_adapter), "bitfit": tuned(sk.tune_bitfit),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # interrupted while freed
@pytest.mark.parametrize(
    ("model", "draws"), [("bert", 2), slowly("bert", 25), slowly("gpt2", 25), slowly("t5", 25)]
)
def test_an_interruption_leaves_nothing(model, draws, monkeypatch, capfd):
    monkeypatch.setattr(packing, "NARROW", 1)
    bb = tiny_backbone(model, layers=2)
    before, lines = state(bb), random.Random(0)
    for name, call in situations(bb).items():
        if (name, model) == ("bitfit", "t5"):
            continue
        count = Interruption(call).lines
        for at in lines.sample(range(1, count + 1), draws):
            with contextlib.suppress(KeyboardInterrupt):
                Interruption(call, at)
            assert state(bb) == before, (name, at)
