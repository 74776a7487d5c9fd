"""Soft prompts in and out of other systems: PEFT adapters, and the files published with the papers.

>>> prompt.to_peft("adapter", bb)
>>> PeftModel.from_pretrained(copy(bb.model), "adapter")            # gives the same logits
    PeftModel...
>>> SoftPrompt.from_peft("adapter", bb)                             # and SoftPrompt.from_published(file)

PEFT prepends its vectors to the text, gives them ordinary positions, and drops segment ids: what cannot be
said that way is refused. Exact with padding on the right, which is where PEFT's position ids expect it.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from skillkit.core.errors import SkillkitError
from skillkit.core.files import filling, write_json
from skillkit.prompts.layouts import LAYOUTS, position_rows
from skillkit.prompts.soft_prompt import SoftPrompt

TASK_TYPES = {"masked": "FEATURE_EXTRACTION", "causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM"}
NOTE = "skillkit.json"


def to_peft(prompt, folder, bb):
    """Write a PEFT prompt-tuning adapter that gives the same logits.

    >>> to_peft(prompt, "adapter", bb)      # adapter_config.json, adapter_model.safetensors, skillkit.json

    "mask-first" becomes L + 1 vectors, row 0 the mask embedding; "zero-position" L vectors less the position
    embeddings that PEFT's slots get; answers are read at slot 0 of the logits. `skillkit.json` keeps layout
    and metadata, PEFT ignores it. Raises SkillkitError for "suffix", and for pairs tuned with segment ids.
    """
    layout = prompt.on(bb)
    if layout.name == "suffix":
        raise SkillkitError(
            "PEFT puts a prompt before the text, so layout 'suffix' cannot be exported; tune with 'prefix'"
        )
    if prompt.metadata.get("segment_ids_used"):
        raise SkillkitError(
            "PEFT drops segment ids, which this prompt was tuned with; tune it with segments=False"
        )
    from peft import PromptTuningConfig

    with torch.no_grad():
        vectors = layout.rows(bb, prompt.weight.to(bb.device)).float().cpu().contiguous()
    config = PromptTuningConfig(
        task_type=TASK_TYPES[bb.family],
        num_virtual_tokens=len(vectors),
        token_dim=vectors.shape[1],
        num_layers=bb.num_layers,
        num_attention_heads=bb.model.config.num_attention_heads,
        num_transformer_submodules=1,
        base_model_name_or_path=str(bb.model.config.name_or_path or bb.name),
        inference_mode=True,
    )
    with filling(folder, "choose another folder") as fresh:
        config.save_pretrained(str(fresh))
        save_file({"prompt_embeddings": vectors}, fresh / "adapter_model.safetensors")
        write_json(fresh / NOTE, {"layout": prompt.layout, "metadata": prompt.metadata})


def from_peft(folder, bb):
    """Read a PEFT prompt-tuning adapter: one made by `to_peft` in its own layout, a foreign one as a prefix.

    >>> from_peft("adapter", bb).layout
    'mask-first'

    A masked prefix wants a task with a template, whose own mask is read. For T5, adapters with vectors for
    the decoder too (`num_transformer_submodules = 2`) are accepted; PEFT itself never uses those. Raises
    SkillkitError for other kinds of adapters and other widths.
    """
    folder = Path(folder)
    config, vectors, told = _read_adapter(folder)
    if str(config.get("peft_type")) != "PROMPT_TUNING":
        raise SkillkitError(
            f"{folder} is a PEFT adapter of type {config.get('peft_type')}; only PROMPT_TUNING is a prompt"
        )
    layout = told.get("layout") or ("encoder" if bb.family == "seq2seq" else "prefix")
    metadata = told.get("metadata") or {
        "family": bb.family,
        "backbone": bb.name,
        "origin": str(folder),
        "segments": False,
    }
    prompt = SoftPrompt(vectors, layout, metadata)
    prompt.on(bb)
    if layout == "mask-first":
        return SoftPrompt(vectors[1:].clone(), layout, metadata)
    if layout == "zero-position":
        with torch.no_grad():
            return SoftPrompt(vectors + position_rows(bb, len(vectors)).float().cpu(), layout, metadata)
    return prompt


def from_published(path, layout=None):
    """Read a `task_prompt` published with Su et al. 2022 or Ackermann & Ohmer 2024: a bare tensor [100, H].

    >>> from_published("SST2PromptRoberta/task_prompt").layout      # doctest: +SKIP
    'zero-position'

    The folder's name tells the model: RoBERTa and BERT mean layout "zero-position" (row 0 is dead), T5
    "encoder"; `layout` says it where the name does not. Nothing but tensors is ever unpickled.
    """
    path = Path(path)
    path = path / "task_prompt" if path.is_dir() else path
    try:
        weight = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SkillkitError(f"there is no published prompt {path}") from error
    except Exception as error:  # what a damaged file raises depends on its bytes
        raise SkillkitError(f"{path} is empty, damaged or more than a tensor, so it is not read") from error
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2:
        raise SkillkitError(
            f"{path} does not hold one matrix of vectors; published prompts are bare tensors [L, H]"
        )
    layout = layout or _layout_by_name(path)
    family = "seq2seq" if layout == "encoder" else "masked"
    if (family, layout) not in LAYOUTS:
        raise SkillkitError(f"no layout {layout!r} for a published prompt; give 'zero-position' or 'encoder'")
    return SoftPrompt(weight.detach().float().clone(), layout, {"family": family, "origin": path.parent.name})


def _layout_by_name(path):
    name = path.parent.name.lower()
    if "t5" in name:
        return "encoder"
    if "bert" in name:
        return "zero-position"
    raise SkillkitError(
        f"the folder of {path} names neither Roberta, Bert nor T5; give layout='zero-position' or 'encoder'"
    )


def _read_adapter(folder):
    """What an adapter's folder holds: its configuration, its vectors, and the note of `to_peft` or {}."""
    try:
        config = _read_object(folder / "adapter_config.json")
        told = _read_object(folder / NOTE) if (folder / NOTE).exists() else {}
        file = folder / "adapter_model.safetensors"
        if file.exists():
            weights = load_file(file)
        else:
            weights = torch.load(folder / "adapter_model.bin", map_location="cpu", weights_only=True)
        vectors = weights["prompt_embeddings"][: int(config["num_virtual_tokens"])]
        return config, vectors.float(), told
    except KeyError as error:
        raise SkillkitError(
            f"the adapter in {folder} has no {error}; only prompt tuning can be read"
        ) from error
    except Exception as error:  # what a damaged file raises depends on its bytes
        raise SkillkitError(f"{folder} holds no readable PEFT adapter ({error}); save it again") from error


def _read_object(file):
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{file.name} holds no JSON object")
    return found
