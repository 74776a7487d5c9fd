"""What is attached to a backbone: every kind of hook, context and replaced part, and nothing else."""

import pytest
import torch

from skillkit.core.store import artifact, cached, find
from skillkit.models.hooks import record, replace_neurons
from skillkit.models.state import changes
from tests.tiny import TINY_MODELS, tiny_backbone


@artifact("read")
def read(bb, others=()):
    """The last hidden states of two tokens."""
    inputs = {"input_ids": torch.tensor([[7, 8]]), "attention_mask": torch.ones(1, 2, dtype=torch.long)}
    inputs |= {"decoder_input_ids": torch.tensor([[0]])} if bb.family == "seq2seq" else {}
    return bb.run(inputs)


def hooked(method, inner=lambda bb: bb.value_matrices[0]):
    def attach(bb):
        return getattr(inner(bb), method)(lambda *given: None).remove

    return attach


def replaced(bb):
    block = bb.blocks[0]
    block.forward = lambda *args, own=block.forward, **kwargs: own(*args, **kwargs)
    return lambda: delattr(block, "forward")


def exchanged(bb):
    name = next(name for name, module in bb.model.named_modules() if module is bb.blocks[0])
    parent = bb.model.get_submodule(name.rpartition(".")[0])
    old = parent[0]
    parent[0] = torch.nn.Sequential()
    return lambda: parent.__setitem__(0, old)


def training(bb):
    bb.blocks[1].train()
    return bb.model.eval


def autocast(bb):
    context = torch.autocast("cpu", torch.bfloat16)
    context.__enter__()
    return lambda: context.__exit__(None, None, None)


def opened(make):
    def attach(bb):
        context = make(bb)
        context.__enter__()
        return lambda: context.__exit__(KeyError, KeyError(), None)  # no complaint of what was not used

    return attach


WAYS = {
    "forward hook": hooked("register_forward_hook"), "forward pre-hook": hooked("register_forward_pre_hook"),
    "backward hook": hooked("register_full_backward_hook"),
    "backward pre-hook": hooked("register_full_backward_pre_hook"),
    "the model": hooked("register_forward_hook", lambda bb: bb.model),
    "hook": hooked("register_forward_hook", lambda bb: bb.model.get_input_embeddings()),
    "all modules": lambda bb: torch.nn.modules.module.register_module_forward_hook(lambda *given: None).remove,
    "another `forward`": replaced, "Sequential": exchanged, "training mode": training, "autocast": autocast,
    "record": opened(record), "replace_neurons": opened(lambda bb: replace_neurons(bb, {1: torch.zeros_like})),
}  # fmt: skip


@pytest.mark.parametrize("model_type", TINY_MODELS)
def test_a_backbone_has_nothing_attached(model_type):
    bb = tiny_backbone(model_type)
    read(bb)
    assert bb.attached == []


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("model_type", ["bert", "t5"])
def test_what_is_attached_is_named_until_it_is_gone(model_type, name):
    bb = tiny_backbone(model_type)
    remove = WAYS[name](bb)
    try:
        assert name in " ".join(bb.attached)
    finally:
        remove()
    assert bb.attached == []


@pytest.mark.parametrize("within", [lambda bb: (bb,), lambda bb: (bb, [bb]), lambda bb: (bb, {"a": bb})])
def test_a_result_with_something_attached_is_neither_stored_nor_loaded(within, tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))
    bb = tiny_backbone("bert")
    for stored in (0, 1):
        silenced = replace_neurons(bb, dict.fromkeys([0, 1], torch.zeros_like))
        with pytest.warns(UserWarning, match="not stored under replace_neurons at .* and 1 more"), silenced:
            changed = cached(read, *within(bb))
        assert len(find()) == stored
        plain = cached(read, *within(bb))
        assert torch.equal(plain, read(bb)) and not torch.allclose(plain, changed, atol=1e-3)


def test_contexts_that_an_artifact_opens_itself_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILLKIT_STORE", str(tmp_path))

    @artifact("edited")
    def edited(bb):
        with replace_neurons(bb, {0: torch.zeros_like}):
            return read(bb)

    cached(edited, tiny_backbone("bert"))
    assert len(find("edited")) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int8, torch.bool])
def test_changes_follow_every_place_of_a_tensor(dtype):
    tensor = torch.zeros(3, 4, dtype=dtype)
    seen = {changes(tensor)}
    for place in range(12):
        tensor.zero_().view(-1)[place] = 1
        seen.add(changes(tensor))
    assert len(seen) == 13
