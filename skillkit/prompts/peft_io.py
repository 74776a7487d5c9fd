"""Files of other systems: PEFT prompt-tuning adapters, and the prompts published with the papers.

>>> prompt.to_peft("adapter", bb)
>>> PeftModel.from_pretrained(copy(bb.model), "adapter")            # gives the same logits
    PeftModel...
>>> SoftPrompt.from_peft("adapter", bb)                             # and SoftPrompt.from_published(file)
SoftPrompt(4 × 128, mask-first, ...)

PEFT prepends its vectors to the text, gives them ordinary positions, and drops segment ids: what cannot be
said that way is refused. Exact with padding on the right, which is where PEFT's position ids expect it.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from skillkit.core.errors import SkillkitError
from skillkit.core.files import as_path, filling, write_json
from skillkit.prompts.layouts import LAYOUTS

TASK_TYPES = {"masked": "FEATURE_EXTRACTION", "causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM"}
NOTE = "skillkit.json"
# Layouts that PEFT cannot express, and why.
UNLIKE_PEFT = {
    "suffix": "cannot put a prompt behind the text, as 'suffix' does; tune with 'prefix'",
    "zero-position": "counts positions through the prompt, 'zero-position' does not; tune with 'mask-first'",
}


def write_adapter(prompt, folder, bb):
    """Write a PEFT prompt-tuning adapter that gives the same logits; see `SoftPrompt.to_peft`.

    >>> write_adapter(prompt, "adapter", bb)      # adapter_config.json, adapter_model.safetensors, skillkit.json
    """
    layout = prompt.on(bb)
    if layout.name in UNLIKE_PEFT:
        raise SkillkitError(f"PEFT {UNLIKE_PEFT[layout.name]}")
    if prompt.metadata.get("segment_ids_used"):
        raise SkillkitError("PEFT drops segment ids, which this prompt needs; tune it with segments=False")
    from peft import PromptTuningConfig  # here and below for start-up time: it takes a second

    with torch.no_grad():
        vectors = layout.rows(bb, prompt.weight.to(bb.device)).float().cpu().contiguous()
    config = PromptTuningConfig(
        task_type=TASK_TYPES[bb.family], num_virtual_tokens=len(vectors), token_dim=vectors.shape[1],
        num_layers=bb.num_layers, num_attention_heads=bb.model.config.num_attention_heads,
        num_transformer_submodules=1, inference_mode=True,
        base_model_name_or_path=str(bb.model.config.name_or_path or bb.name),
    )  # fmt: skip
    with filling(folder, "choose another folder") as fresh:
        config.save_pretrained(str(fresh))
        save_file({"prompt_embeddings": vectors}, fresh / "adapter_model.safetensors")
        write_json(fresh / NOTE, {"layout": prompt.layout, "metadata": prompt.metadata})


def read_adapter(folder, bb):
    """Rows [L, H] of a PEFT prompt-tuning adapter, layout and metadata; see `SoftPrompt.from_peft`.

    >>> rows, layout, metadata = read_adapter("adapter", bb)      # what `layout.rows` gives, with the mask
    >>> rows.shape, layout
    (torch.Size([5, 128]), 'mask-first')
    """
    from peft import PeftConfig, load_peft_weights

    folder = as_path(folder)
    try:
        if not folder.is_dir():
            raise FileNotFoundError("there is no such folder")
        config, weights = PeftConfig.from_pretrained(str(folder)), load_peft_weights(str(folder), "cpu")
        note = json.loads((folder / NOTE).read_text(encoding="utf-8")) if (folder / NOTE).exists() else {}
        kind = getattr(config.peft_type, "value", config.peft_type)
        if kind == "PROMPT_TUNING":
            rows = weights["prompt_embeddings"][: config.num_virtual_tokens].float()
        layout = note.get("layout") or ("encoder" if bb.family == "seq2seq" else "prefix")
        metadata = note.get("metadata")
    except Exception as error:  # what a damaged file raises depends on its bytes
        raise SkillkitError(f"{folder} holds no readable PEFT adapter ({error}); save it again") from error
    if kind != "PROMPT_TUNING":
        raise SkillkitError(f"{folder} is a PEFT adapter of type {kind}; only PROMPT_TUNING is a prompt")
    _check_fits(folder, config, weights, layout, bb)
    origin = {"family": bb.family, "backbone": bb.name, "origin": str(folder), "segments": False}
    return rows, layout, metadata or origin


def _check_fits(folder, config, weights, layout, bb):
    """Refuse an adapter of another kind of model, another base model, or that holds more than a prompt."""
    kind, base = getattr(config.task_type, "value", config.task_type), config.base_model_name_or_path
    others, here = sorted(set(weights) - {"prompt_embeddings"}), (bb.name, bb.model.config.name_or_path)
    made_here = not base or {Path(one).name for one in here if one} & {Path(base).name}
    wrongs = {
        f"is for the task {kind}, {bb.name} takes {TASK_TYPES[bb.family]}": kind
        not in (TASK_TYPES[bb.family], None),
        f"was made for {base}, not for {bb.name}": not made_here,
        f"holds more than a prompt ({', '.join(others)}), which would be lost": others,
        f"cannot be right: PEFT {UNLIKE_PEFT.get(layout)}": layout in UNLIKE_PEFT,
    }
    for wrong in [text for text, holds in wrongs.items() if holds]:
        raise SkillkitError(f"the PEFT adapter {folder} {wrong}")


# What the published code calls its files, and the vectors in those that hold more.
PUBLISHED = ("task_prompt", "best-backbone", "pytorch_model.bin")
_SKILL_NEURON, _PROMPT_HUB = "prompt", "prompt_model.template.soft_embeds"


def read_published(path, layout=None):
    """Weight [L, H] of a published prompt, layout and metadata; see `SoftPrompt.from_published`.

    >>> read_published("SST2PromptRoberta/task_prompt")[1]                   # doctest: +SKIP
    'zero-position'
    """
    path = as_path(path)
    if path.is_dir():
        path = next((path / name for name in PUBLISHED if (path / name).exists()), path / PUBLISHED[0])
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SkillkitError(f"there is no published prompt {path}") from error
    except Exception as error:  # what a damaged file raises depends on its bytes
        raise SkillkitError(f"{path} is empty, damaged or more than tensors, so it is not read") from error
    weight, usual, about = _vectors(held, path)
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2:
        raise SkillkitError(f"{path} is no single matrix; published prompts are bare tensors [L, H]")
    layout = layout or usual
    families = [family for family, own in LAYOUTS if own == layout]
    if not families:
        raise SkillkitError(f"{path} needs a layout of published prompts: 'zero-position' or 'encoder'")
    origin = {"origin": path.parent.name, "leading_space": False} | about  # how their code reads label words
    origin |= {"family": families[0]} if len(families) == 1 else {}
    return weight.detach().float().clone(), layout, origin


def _vectors(held, path):
    """(vectors, their usual layout, what else is known) of what a published file holds."""
    name, about = path.parent.name.lower(), {"max_tokens": 128}  # where their code cuts texts
    if not isinstance(held, dict):
        return held, "encoder" if "t5" in name else "zero-position" if "bert" in name else None, about
    if (weight := held.get(_PROMPT_HUB)) is not None:
        note = "soft prompt, <s>, mask, text; prompt_len counts the vectors"
        return weight, "encoder" if "t5" in name else "prefix", about | {"note": note}
    weight = held.get(_SKILL_NEURON)
    if weight is None or weight.dim() != 3:
        raise SkillkitError(f"{path} holds {', '.join(map(str, held))[:200]}, and no published prompt")
    tokens = [int(token) for token in held.get("pos", [])]
    note = f"prompt_size {weight.shape[1] + 1} counts the mask; label words are the tokens {tokens}"
    return weight[0], "mask-first", {"note": note, "label_tokens": tokens}
