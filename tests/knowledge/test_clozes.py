"""Clozes become tokens in every family; what cannot be asked is said in a sentence."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from skillkit.core.provenance import PACKAGE
from skillkit.knowledge import (
    FactQuestions,
    ask,
    attribute,
    capitals,
    enhance,
    find_neurons,
    knowledge_neurons,
    load_facts,
)
from skillkit.knowledge.clozes import encode_cloze, paired
from skillkit.knowledge.relations import Fact
from skillkit.models import load_backbone
from skillkit.neurons import suppress
from tests.helpers import refused
from tests.tiny import every_family, tiny_backbone

masked = pytest.mark.parametrize("model", ["bert", "roberta", "xlm-roberta", "xlm-roberta-xl"])
CLOZE = "the capital of france is [MASK] ."
EMBEDDED = sorted(path.parent.name for path in PACKAGE.glob("small_world/checkpoints/*/config.json"))


def words(bb, ids):
    return bb.tokenizer.decode(list(ids)).strip()


@masked
def test_a_masked_model_answers_at_its_masks(model):
    bb = tiny_backbone(model)
    (question,) = encode_cloze(bb, "the capital of france is [MASK] [MASK] .", "paris london")
    assert [question.ids[slot] for slot in question.slots] == [bb.tokenizer.mask_token_id] * 2
    assert [words(bb, [target]) for target in question.targets] == ["paris", "london"]
    assert question == encode_cloze(bb, CLOZE, "paris london", repeat_mask=True)[0]
    assert encode_cloze(bb, "[MASK] is in france .", "paris")[0].slots == (1,)
    own = encode_cloze(bb, CLOZE.replace("[MASK]", bb.tokenizer.mask_token), "paris")
    assert own == encode_cloze(bb, CLOZE, "paris")


@pytest.mark.parametrize("model", ["gpt2", "gpt_neo", "llama"])
def test_a_causal_model_reads_up_to_the_mask_and_the_gold_prefix(model):
    bb = tiny_backbone(model)
    first, second = encode_cloze(bb, CLOZE, "paris london")
    assert words(bb, first.ids).removeprefix("<s>").strip() == "the capital of france is"
    assert second.ids == first.ids + first.targets and second.slots == (len(second.ids) - 1,)
    assert (words(bb, first.targets), words(bb, second.targets)) == ("paris", "london")
    assert encode_cloze(bb, "the capital of france is", "paris london") == [first, second]


@pytest.mark.parametrize("model", ["t5", "t5-gated"])
def test_t5_fills_its_sentinel(model):
    bb = tiny_backbone(model)
    sentinel = bb.tokenizer.convert_tokens_to_ids("<extra_id_0>")
    first, second = encode_cloze(bb, CLOZE, "paris london")
    assert first.ids == second.ids and first.ids[first.slots[0]] == sentinel
    assert first.decoder == (bb.model.config.decoder_start_token_id, sentinel)
    assert second.decoder == first.decoder + first.targets
    assert (words(bb, first.targets), words(bb, second.targets)) == ("paris", "london")


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_models_read_clozes_as_they_read_the_facts(name):
    """A mask must not change how the words beside it are split: no space of its own before the full stop."""
    bb = load_backbone(f"embedded/{name}")
    for fact in load_facts("world", per_relation=2).askable(bb)[0]:
        for prompt in fact.prompts:
            question = encode_cloze(bb, prompt, fact.object, repeat_mask=True)[-1]
            filled = bb.tokenizer(prompt.replace("[MASK]", fact.object))["input_ids"]
            answer = question.decoder[2:] + question.targets
            if bb.family == "causal":
                assert filled[: len(question.ids) + 1] == [*question.ids, *question.targets]
            else:
                first, last = question.slots[0], question.slots[-1]
                assert filled == [*question.ids[:first], *answer, *question.ids[last + 1 :]]


@every_family
def test_asking_is_what_the_model_says(model):
    bb = tiny_backbone(model)
    (question,) = encode_cloze(bb, CLOZE, "paris")
    inputs = {"input_ids": torch.tensor([question.ids])}
    if question.decoder:
        inputs["decoder_input_ids"] = torch.tensor([question.decoder])
    slot = len(question.decoder) - 1 if question.decoder else question.slots[0]
    likely = bb.model(**inputs).logits[0, slot].softmax(-1)
    reply = ask(bb, CLOZE, "paris")
    assert reply.probability == pytest.approx(float(likely[question.targets[0]]), rel=1e-4)
    assert reply.rank == 1 + int((likely > likely[question.targets[0]]).sum())
    assert reply.top == words(bb, [int(likely.argmax())])


@every_family
@pytest.mark.parametrize("change", [suppress, partial(enhance, factor=2.0, positions="answer")])
def test_clozes_of_several_lengths_are_one_pass_also_under_interventions(model, change, monkeypatch):
    bb = tiny_backbone(model)
    clozes = [CLOZE, "in germany there is [MASK] .", "london is [MASK] .", "it is [MASK] ."]
    answers = ["paris", "berlin", "good", "paris london"]
    mask = torch.zeros(bb.num_layers, bb.num_neurons, dtype=torch.bool)
    mask[:, ::3] = True
    plain = [ask(bb, *one, repeat_mask=True) for one in zip(clozes, answers)]
    assert_same(ask(bb, clozes, answers, repeat_mask=True, batch_size=2), plain)
    with change(bb, mask):
        alone = [ask(bb, *one, repeat_mask=True) for one in zip(clozes, answers)]
        passes, run = [], bb.run
        monkeypatch.setattr(bb, "run", lambda inputs: passes.append(inputs) or run(inputs))
        together = ask(bb, clozes, answers, repeat_mask=True)
    assert_same(together, alone)
    questions = [one for both in zip(clozes, answers) for one in encode_cloze(bb, *both, True)]
    assert len(passes) == len({one.shape[1:] for one in questions})
    assert together[0].probability != pytest.approx(plain[0].probability, rel=1e-4)


def assert_same(replies, others):
    for one, other in zip(replies, others, strict=True):
        assert (one.rank, one.top) == (other.rank, other.top)
        assert one.probability == pytest.approx(other.probability, rel=1e-3)


@pytest.mark.parametrize("model, cloze, answer, reason", [
    ("bert", "the capital of france is paris .", "paris", "has no .MASK."), ("bert", CLOZE, " ", "belongs there"),
    ("bert", CLOZE, "paris london", "is 2 tokens .* has 1"), ("bert", CLOZE, "ζ", "not in the vocabulary"),
    ("roberta", "it is [MASK] [MASK] [MASK] .", "paris london", "is 2 tokens .* has 3"),
    ("bert", "[MASK] is the capital of [MASK] .", "paris london", "are apart"),
    ("bert", "good " * 200 + CLOZE, "paris", "takes 128; shorten"), ("t5", CLOZE, "ζ", "not in the vocabulary"),
    ("gpt2", "[MASK] is the capital of france .", "paris", "ends with it"),
    ("gpt2", "[MASK] .", "paris", "nothing stands before"), ("t5", "[MASK] is in [MASK] .", "paris", "must have one"),
])  # fmt: skip
def test_what_cannot_be_asked(model, cloze, answer, reason):
    refused(reason, encode_cloze, tiny_backbone(model), cloze, answer)


END = "Q: what is the capital of velmora?{}[MASK]"


@pytest.mark.parametrize("end", ["\nA:", "\nA: ", "\nA:\n", "\n\n", "\nA:\t", "\nA:\n ", "\nA: ("])
@pytest.mark.parametrize("appended", [False, True])
def test_a_causal_model_reads_what_is_written_before_the_mask(end, appended):
    """Line breaks count, and neither end token nor class token of a tokenizer does."""
    bb = load_backbone("embedded/gpt2")
    written = bb.tokenizer(END.format(end).removesuffix("[MASK]") + "hilvek")["input_ids"]
    if appended:
        eos, places = bb.tokenizer.eos_token, [(bb.tokenizer.eos_token, bb.tokenizer.eos_token_id)]
        template = TemplateProcessing(f"$A {eos}", f"$A $B {eos}", places)
        bb.tokenizer.backend_tokenizer.post_processor = template
    question = encode_cloze(bb, END.format(end), "hilvek")[-1]
    assert [*question.ids, *question.targets] == written


def test_a_line_break_that_a_masked_model_would_drop():
    """RoBERTa's mask eats the space before it, line breaks included; BERT reads them as spaces everywhere."""
    cloze = "the capital of velmora is\n[MASK]."
    refused("drops the line break", encode_cloze, load_backbone("embedded/roberta"), cloze, "hilvek")
    bert = load_backbone("embedded/bert")
    assert encode_cloze(bert, cloze, "hilvek") == encode_cloze(bert, cloze.replace("\n", " "), "hilvek")


FACT = Fact("r", "u", "france", "paris", (CLOZE,))
NO_TEXTS = [4, 4.5, None, b"paris", "half \ud800 [MASK]", ["paris", 4], FACT, {"a": 1}]


@pytest.mark.parametrize("wrong", NO_TEXTS, ids=repr)
@pytest.mark.parametrize("call", [ask, attribute, knowledge_neurons])
def test_what_is_no_text_is_refused_in_a_sentence(call, wrong):
    for cloze, answer in ((CLOZE, wrong), ([CLOZE, CLOZE], wrong), (wrong, "paris")):
        refused("give a text|give one|no .MASK.", call, tiny_backbone("bert"), cloze, answer)


@pytest.mark.parametrize(
    "wrong", ["embedded/bert", None, tiny_backbone("bert").model], ids=["name", "None", "model"]
)
def test_what_is_no_backbone_is_refused_in_a_sentence(wrong):
    calls = [
        lambda: ask(wrong, CLOZE, "paris"),
        lambda: attribute(wrong, CLOZE, "paris"),
        lambda: capitals(wrong),
    ]
    calls += [lambda: find_neurons(wrong, [FACT]), lambda: FactQuestions(wrong, [FACT])]
    for call in calls:
        refused("load_backbone", call)


@pytest.mark.parametrize("wrong", ["facts.jsonl", {"uuid": "u"}, [FACT, CLOZE], 4], ids=repr)
@pytest.mark.parametrize("call", [find_neurons, FactQuestions])
def test_what_is_no_fact_is_refused_in_a_sentence(call, wrong):
    refused("give what load_facts returns", call, tiny_backbone("bert"), wrong)


def test_clozes_and_answers_are_paired():
    refused("2 clozes came with 3 answers", paired, ["a", "b"], ["c", "d", "e"])
    assert paired(np.array(["a [MASK]"]), pd.Series(["b"])) == [("a [MASK]", "b")]
    refused("no cloze", paired, [], "b")
