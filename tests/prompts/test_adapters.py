import pytest
import torch

from skillkit.prompts import Tuned, tune_adapter, tune_bitfit, tune_model
from skillkit.prompts.adapters import adapting, bias_names, biased, new_adapters
from skillkit.prompts.evaluation import label_logits
from tests.helpers import refused
from tests.tiny import TINY_MODELS, tiny_backbone
from tests.toys import toy_task

TASK = toy_task(24)
QUICK = {"max_steps": 6, "evaluate_every": 3, "progress": False}
CASES = [(tune_bitfit, model) for model in TINY_MODELS if not model.startswith("t5")]
CASES += [(tune, model) for tune in (tune_adapter, tune_model) for model in TINY_MODELS]
CASES = [
    pytest.param(*one, marks=[pytest.mark.slow] * (one[1] not in ("bert", "gpt2", "t5"))) for one in CASES
]


def weights_of(bb):
    return {name: tensor.clone() for name, tensor in bb.model.state_dict().items()}


def assert_untouched(bb, before):
    assert all(torch.equal(tensor, before[name]) for name, tensor in bb.model.state_dict().items())
    assert not any(weight.requires_grad or weight.grad is not None for weight in bb.model.parameters())
    assert not any(module._forward_hooks for module in bb.model.modules())


@pytest.mark.parametrize(("tune", "model"), CASES)
def test_tuned_changes_logits_and_leaves_the_backbone_as_it_was(tune, model, tmp_path):
    bb = tiny_backbone(model, layers=2)
    before, bare = weights_of(bb), label_logits(bb, TASK, None, TASK["test"])
    tuned = tune(bb, TASK, **QUICK)
    assert_untouched(bb, before)
    changed = label_logits(bb, TASK, tuned, TASK["test"])
    assert (changed - bare).abs().max() > 1e-3
    assert_untouched(bb, before)
    assert torch.equal(label_logits(bb, TASK, None, TASK["test"]), bare)

    tuned.save(tmp_path)
    back = Tuned.load(tmp_path)
    assert back.fingerprint == tuned.fingerprint and back.metadata == tuned.metadata
    assert torch.equal(label_logits(bb, TASK, back, TASK["test"]), changed)
    assert f"({tuned.kind}, " in repr(back) and f"toy on tiny/{model}, seed 0, validation 0." in repr(back)


@pytest.mark.parametrize(
    "dtype, tune", [("float32", tune_bitfit), ("bfloat16", tune_adapter), ("bfloat16", tune_model)]
)
def test_training_lowers_the_loss(tune, dtype):
    options = {"max_steps": 12, "evaluate_every": 3, "learning_rate": 3e-2, "progress": False}
    tuned = tune(tiny_backbone("bert", layers=2), TASK, dtype=dtype, **options)
    history = tuned.metadata["history"]
    assert history[-1]["loss"] < 0.8 * history[0]["loss"] and tuned.metadata["dtype"] == dtype


@pytest.mark.parametrize("context", ["biased", "adapting"])
def test_backbone_is_restored_after_an_exception(context):
    bb = tiny_backbone("roberta", layers=2)
    before, pointers = weights_of(bb), [weight.data_ptr() for weight in bb.model.parameters()]
    state = {name: torch.ones_like(bb.model.get_parameter(name)) for name in bias_names(bb)}
    opened = biased(bb, state) if context == "biased" else adapting(bb, new_adapters(bb, 4, 0))
    with pytest.raises(RuntimeError, match="boom"), opened:
        if context == "biased":
            assert all(bb.model.get_parameter(name).requires_grad for name in state)
        raise RuntimeError("boom")
    assert_untouched(bb, before)
    assert [weight.data_ptr() for weight in bb.model.parameters()] == pointers  # the very same storage
    bare = label_logits(bb, TASK, None, TASK["test"])
    with adapting(bb, new_adapters(bb, 4, 0)):  # new ones change nothing
        assert torch.equal(label_logits(bb, TASK, None, TASK["test"]), bare)


def test_two_changes_may_be_on_at_once_and_another_model_is_refused():
    bb = tiny_backbone("bert", layers=2)
    before = weights_of(bb)
    bitfit, adapter = tune_bitfit(bb, TASK, **QUICK), tune_adapter(bb, TASK, **QUICK)
    alone = label_logits(bb, TASK, bitfit, TASK["test"])
    with bitfit.apply(bb):
        both = label_logits(bb, TASK, adapter, TASK["test"])
    assert not torch.allclose(both, alone, atol=1e-4)
    assert_untouched(bb, before)
    others = {"tiny/roberta has another architecture .roberta, not bert": (bitfit, tiny_backbone("roberta", layers=2)),
              "tiny/bert has no such layer.1": (adapter, tiny_backbone("bert", layers=1))}  # fmt: skip
    for reason, (tuned, other) in others.items():
        refused(f"{tuned.kind} was trained on another model; {reason}", tuned.apply, other)


@pytest.mark.parametrize("model", ["t5", "t5-gated"])
def test_bitfit_needs_biases(model):
    refused(r"\(t5\) has no bias terms.*tune_adapter or", tune_bitfit, tiny_backbone(model, layers=1), TASK)
