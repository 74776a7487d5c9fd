"""Models in one GGUF file, as llama.cpp and its relatives store them: read by `transformers` into plain weights.

>>> with read_once():                                                                                 # doctest: +SKIP
...     model = transformers.AutoModelForCausalLM.from_pretrained("folder", gguf_file="model.gguf")
>>> as_plain(model).save_pretrained("mine")                                                         # doctest: +SKIP
"""

import functools
import re
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import transformers
from transformers.utils import is_gguf_available

from skillkit.core.errors import SkillkitError, short


def parted(name, gguf_file=None):
    """(folder or hub id, name of the GGUF file in it or None) of what `load_backbone` was given.

    >>> parted("embedded/bert"), parted("org/model-GGUF", "model-Q8_0.gguf")
    (('embedded/bert', None), ('org/model-GGUF', 'model-Q8_0.gguf'))

    Raises SkillkitError for a file that is not in its folder.
    """
    folder = Path(name).expanduser()
    if gguf_file is None and folder.suffix == ".gguf" and not folder.is_dir():
        folder, gguf_file = folder.parent, folder.name
    elif gguf_file is None or not folder.is_dir():
        return name, gguf_file and str(gguf_file)
    if not (folder / gguf_file).is_file():
        there = ", ".join(sorted(file.name for file in folder.glob("*.gguf"))) or "none"
        raise SkillkitError(f"no file {gguf_file} lies in {short(folder)} (GGUF files there: {there})")
    return str(folder), str(gguf_file)


@contextmanager
def read_once():
    """Configuration, tokenizer and weights come from one pass over the file, and without a bar.

    >>> with read_once(): ...

    By itself `transformers` reads 100,000 words and merges anew for each of them, and all names of tensors for each
    module. Raises SkillkitError where the package `gguf` is missing.
    """
    if not is_gguf_available():
        raise SkillkitError("a GGUF file takes the package gguf to read; get it with `pip install gguf`")
    import gguf  # an extra
    from transformers import modeling_gguf_pytorch_utils as used

    with ExitStack() as stack:
        for name in ("GGUFReader", "get_tensor_name_map"):
            stack.enter_context(patch.object(gguf, name, functools.cache(getattr(gguf, name))))
        stack.enter_context(patch.object(used, "tqdm", lambda tensors, **_: tensors))
        yield


def options(gguf_file):
    """What `from_pretrained` of a model is told, so that matrices are matrices wherever it runs.

    >>> options(None)
    {}
    """
    dense = getattr(transformers, "GgufConfig", None)  # from 5.20 or so on; before, they always were
    return {"quantization_config": dense(dequantize=True)} if gguf_file and dense else {}


def as_plain(model):
    """The model without what says that it was quantized, which it no longer is: it can be saved like any other.

    >>> as_plain(bb.model) is bb.model
    True
    """
    if quantizer := getattr(model, "hf_quantizer", None):
        quantizer.remove_quantization_config(model)
    return model


def problem(gguf_file, error):
    """What an error of reading a GGUF file means, in one sentence.

    >>> problem("a.gguf", ValueError("GGUF model with architecture mamba is not supported yet."))
    "a.gguf holds a model of the family 'mamba', which transformers does not read from GGUF; take it as safetensors"
    """
    text = " ".join(str(error).split())
    if family := re.search(r"architecture (\S+) is not supported|Unknown gguf model_type: (\S+)", text):
        kind = f"a model of the family {family[1] or family[2]!r}"
        return f"{gguf_file} holds {kind}, which transformers does not read from GGUF; take it as safetensors"
    if isinstance(error, NotImplementedError) or "GGMLQuantizationType" in text:
        kinds = "F32, F16, BF16, Q4_0 to Q8_0, or Q2_K to Q6_K"
        return f"{gguf_file} is quantized in a way that cannot be read ({text[:80]}); take one in {kinds}"
    return f"{gguf_file} is no GGUF file, or damaged or cut off ({text[:80]}); get it again"
