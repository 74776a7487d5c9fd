"""What was saved loads as it was, or is refused in one sentence: damaged, or of somebody else."""

import json
import random

import pytest
import torch

import skillkit as sk
from skillkit.core.errors import SkillkitError
from skillkit.core.files import write_json
from skillkit.knowledge import FactNeurons, KnowledgeNeurons
from skillkit.knowledge.attribution import Attribution
from skillkit.neurons import Probe, load_neurons, save_neurons
from skillkit.transfer import train_projector
from skillkit.transfer.projector import Projector
from tests.tiny import tiny_backbone
from tests.toys import some_mask, toy_task

BB, TASK, CLOZES = (
    tiny_backbone("bert", layers=2),
    toy_task(8),
    ["the movie was [MASK]", "a story was [MASK]"],
)
STEPS = dict(max_steps=1, progress=False)


def things():
    """{name: (a saver, a loader, a use)}."""
    prompt, facts = sk.random_prompt(BB, 2), sk.knowledge_neurons(BB, CLOZES, "good", steps=2)
    tuned = sk.tune_prompt(BB, TASK, length=2, **STEPS)
    probe, found = sk.probe(BB, TASK, prompt), sk.attribute(BB, CLOZES, "good", steps=2)
    projector = train_projector(BB, BB, {"toy": TASK}, {"toy": tuned}, **STEPS)
    read = lambda one: sk.evaluate(BB, TASK, one, rows=2)
    return {
        "prompt": (prompt.save, sk.SoftPrompt.load, read),
        "bitfit": (sk.tune_bitfit(BB, TASK, **STEPS).save, sk.Tuned.load, read),
        "adapter": (sk.tune_adapter(BB, TASK, **STEPS).save, sk.Tuned.load, read),
        "probe": (probe.save, Probe.load, lambda one: sk.skill_neurons(one, 0.1)),
        "fact": (facts.save, KnowledgeNeurons.load, repr),
        "facts": (FactNeurons({"a": facts, "b": facts}).save, FactNeurons.load, repr),
        "attribution": (found[0].save, Attribution.load, repr),
        "attributions": (found.save, Attribution.load, repr),
        "mask": (lambda at: save_neurons(some_mask(BB), at, BB), lambda at: load_neurons(at, BB), torch.sum),
        "projector": (projector.save, Projector.load, lambda one: one.project(tuned, BB)),
    }


@pytest.fixture(scope="module")
def made():
    return things()


DAMAGES = {
    "lost": lambda path, _: path.unlink(),
    "empty": lambda path, _: path.write_bytes(b""),
    "half": lambda path, _: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "longer": lambda path, _: path.write_bytes(path.read_bytes() + b"x"),
    "zeros": lambda path, _: path.write_bytes(bytes(path.stat().st_size)),
}


def flip(path, draw):
    """Change one bit."""
    raw = bytearray(path.read_bytes())
    raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    path.write_bytes(raw)


@pytest.mark.parametrize("name", things())
def test_every_damage_is_noticed(made, tmp_path, name):
    (save, load, use), draw = made[name], random.Random(0)
    save(tmp_path)
    use(load(tmp_path))
    for path in [path for path in tmp_path.iterdir() if path.name != ".skillkit"]:
        whole = path.read_bytes()
        for damage in [*DAMAGES.values(), *[flip] * 30]:
            damage(path, draw)
            with pytest.raises(SkillkitError, match="damaged|is missing"):
                load(tmp_path)
            path.write_bytes(whole)


VALUES = [None, True, 3, -1, 10**400, 1.5, "x", "", [], {}, [1], {"a": 1}, ["x", {}], "x" * 5000]


def places(plain, at=()):
    """The keys of everything in plain data, three levels deep."""
    if at:
        yield at
    inner = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, value in inner if len(at) < 3 else ():
        yield from places(value, (*at, key))


def with_other(plain, at, value):
    """Plain data with another value at one place."""
    if not at:
        return value
    copy = dict(plain) if isinstance(plain, dict) else list(plain)
    copy[at[0]] = with_other(plain[at[0]], at[1:], value)
    return copy


@pytest.mark.parametrize("name", things())
def test_other_values_in_what_was_saved_are_read_or_refused(made, tmp_path, name):
    """Without checksums, as in files of an earlier version, or of somebody who has left them out."""
    (save, load, use), draw, wrong = made[name], random.Random(0), []
    save(tmp_path)
    [file] = tmp_path.glob("*.json")
    plain = json.loads(file.read_text())
    for key in ("sha256", "checksums"):
        del plain[key]
    every = list(places(plain))
    for at in every if len(every) < 30 else draw.sample(every, 30):
        for value in VALUES:
            write_json(file, with_other(plain, at, value))
            try:
                use(load(tmp_path))
            except SkillkitError as error:
                wrong += [(at, value, error)] * (len(str(error)) > 1000)
            except Exception as error:
                wrong.append((at, value, error))
    shown = "\n".join(f"{at} = {value!r:.40}: {error!r:.150}" for at, value, error in wrong[:20])
    assert not wrong, f"{len(wrong)}, such as\n{shown}"
