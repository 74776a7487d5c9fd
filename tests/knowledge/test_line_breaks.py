import pytest
from tokenizers.processors import TemplateProcessing

from skillkit.core.errors import SkillkitError
from skillkit.knowledge.clozes import encode_cloze
from skillkit.models import load_backbone
from tests.tiny import tiny_backbone

CLOZE = "the capital of france is [MASK] ."
END = "Q: what is the capital of velmora?{}[MASK]"


@pytest.mark.parametrize("end", ["\nA:", "\nA: ", "\nA:\n", "\n\n", "\nA:\t", "\nA:\n ", "\nA: ("])
@pytest.mark.parametrize("appended", [False, True])
def test_a_causal_model_reads_what_is_written_before_the_mask(end, appended):
    """Line breaks count, and neither end token nor class token of a tokenizer does."""
    bb = load_backbone("embedded/gpt2")
    tokenizer = bb.tokenizer.backend_tokenizer
    written = bb.tokenizer(END.format(end).removesuffix("[MASK]") + "hilvek")["input_ids"]
    if appended:
        eos = bb.tokenizer.eos_token
        tokenizer.post_processor = TemplateProcessing(
            f"$A {eos}", f"$A $B {eos}", [(eos, bb.tokenizer.eos_token_id)]
        )
    question = encode_cloze(bb, END.format(end), "hilvek")[-1]
    assert [*question.ids, *question.targets] == written


def test_a_line_break_that_a_masked_model_would_drop():
    """RoBERTa's mask eats the space before it, line breaks included; BERT reads them as spaces everywhere."""
    bb = load_backbone("embedded/roberta")
    mask = bb.tokenizer.mask_token_id
    drops = mask not in bb.tokenizer("a\n")["input_ids"] and len(set(map(str, _ids(bb)))) > 1
    flat = encode_cloze(bb, "the capital of velmora is [MASK].", "hilvek")
    if drops:
        with pytest.raises(SkillkitError, match="drops the line break"):
            encode_cloze(bb, "the capital of velmora is\n[MASK].", "hilvek")
    else:
        assert encode_cloze(bb, "the capital of velmora is\n[MASK].", "hilvek") == flat
    assert encode_cloze(tiny_backbone("bert"), CLOZE.replace(" [", "\n["), "paris") == encode_cloze(
        tiny_backbone("bert"), CLOZE, "paris"
    )


def _ids(bb):
    return [bb.tokenizer(f"is{space}hilvek")["input_ids"] for space in " \n"]
