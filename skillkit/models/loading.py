"""From a name to a model in memory: shipped checkpoints, folders, the hub, and what can go wrong there.

>>> model, tokenizer = read_checkpoint("embedded/roberta", dtype="bfloat16")      # or "roberta-base", or a folder
"""

import re
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch
import transformers  # its classes by attribute: those of models take seconds to import
from transformers.utils import logging

from skillkit.core.checkpoints import CARRIED, find_checkpoint
from skillkit.core.errors import SkillkitError, quoted
from skillkit.core.files import check_sums
from skillkit.core.hub import hub
from skillkit.core.provenance import CHECKPOINTS
from skillkit.models import gguf_files
from skillkit.models.architectures import NEURON_TABLE, row_of
from skillkit.models.ffn import narrow_class

# Names in `transformers`: the class that loads a family of models, and the table from configurations to their classes.
_CLASSES = {
    "masked": ("AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING"),
    "causal": ("AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING"),
    "seq2seq": ("AutoModelForSeq2SeqLM", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING"),
}
# The models that the READMEs of the published code bases name: (family, layers, neurons, what they read).
_HUB = {
    **{f"bert-base-{case}": ("masked", "12", 3072, "English") for case in ("uncased", "cased")},
    **{f"bert-large-{case}": ("masked", "24", 4096, "English") for case in ("uncased", "cased")},
    **{
        f"bert-base-multilingual-{case}": ("masked", "12", 3072, "104 languages")
        for case in ("uncased", "cased")
    },
    "roberta-base": ("masked", "12", 3072, "English"),
    "roberta-large": ("masked", "24", 4096, "English"),
    "xlm-roberta-base": ("masked", "12", 3072, "100 languages"),
    "xlm-roberta-large": ("masked", "24", 4096, "100 languages"),
    "facebook/xlm-roberta-xl": ("masked", "36", 10240, "100 languages"),
    "facebook/xlm-roberta-xxl": ("masked", "48", 16384, "100 languages"),
    "gpt2": ("causal", "12", 3072, "English"),
    "EleutherAI/gpt-neo-125m": ("causal", "12", 3072, "English"),
    "EleutherAI/gpt-neo-1.3B": ("causal", "24", 8192, "English"),
    "EleutherAI/gpt-neo-2.7B": ("causal", "32", 10240, "English"),
    "t5-small": ("seq2seq", "6 + 6", 2048, "English"),
    "t5-base": ("seq2seq", "12 + 12", 3072, "English"),
    **{
        f"google/t5-v1_1-{size}": ("seq2seq, gated", f"{layers} + {layers}", neurons, "English")
        for size, layers, neurons in (
            ("small", 8, 1024),
            ("base", 12, 2048),
            ("large", 24, 2816),
            ("xxl", 24, 10240),
        )
    },
}
_ON_THE_HUB = {
    name: f"{family}, {layers} layers × {neurons} neurons, {reads} (hub)"
    for name, (family, layers, neurons, reads) in _HUB.items()
}


def read_checkpoint(name, device="auto", dtype="auto", device_map=None, revision=None, gguf_file=None):
    """The model with its language-model head, and its tokenizer; arguments and errors as in `load_backbone`.

    >>> model, tokenizer = read_checkpoint("embedded/gpt2", device="cpu")
    """
    source, options = _source(name, gguf_file)
    dtype, device = _dtype(dtype), None if device_map else find_device(device)
    options |= {"revision": revision} if revision else {}
    with _reading(source, options):
        config, row, tokenizer = _without_weights(name, source, options)
        options |= {"config": config, "dtype": dtype, "device_map": device_map}
        _check_memory(name, row, config, dtype, device)
        model = _load_model(name, source, row, options)
    return model if device_map else model.to(device), tokenizer


def read_vocabulary(name):
    """(tokenizer, family) of a checkpoint, without its weights; errors as in `load_backbone`.

    >>> tokenizer, family = read_vocabulary("embedded/gpt2"); family
    'causal'
    """
    source, options = _source(name)
    with _reading(source, options):
        _, row, tokenizer = _without_weights(name, source, options)
    return tokenizer, row.family


def list_backbones():
    """Names that `load_backbone` takes, one line each; other folders and hub ids of known types work too.

    >>> list_backbones()["roberta-base"]
    """
    shipped = sorted(CHECKPOINTS.glob("*/config.json"))
    carried = {name: model.about for name, model in CARRIED.items()}
    return {f"embedded/{file.parent.name}": _one_line(file) for file in shipped} | carried | _ON_THE_HUB


@contextmanager
def quiet():
    """No bars and warnings of `transformers` while weights are read or written; downloads keep theirs.

    >>> with quiet(): model.save_pretrained("mine")
    """
    level = logging.get_verbosity()
    hook = logging.set_tqdm_hook(lambda bar, args, kwargs: bar(*args, **{**kwargs, "disable": True}))
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.set_tqdm_hook(hook)


@contextmanager
def _reading(source, options):
    gguf = gguf_files.read_once() if "gguf_file" in options else nullcontext()
    with gguf, nullcontext() if Path(source).is_dir() else hub():
        yield


def _one_line(config_file):
    config = transformers.AutoConfig.from_pretrained(config_file.parent)
    family, layers = NEURON_TABLE[config.model_type].family, config.num_hidden_layers
    return f"{family}, {layers} layers, hidden {config.hidden_size}, knows the small world (shipped)"


def _without_weights(name, source, options):
    """(configuration, row of the neuron table, tokenizer)."""
    config = _read(transformers.AutoConfig, name, source, options)
    row = row_of(name, config)
    tokenizer = _read(transformers.AutoTokenizer, name, source, options)
    _check_vocabulary(name, tokenizer, config)
    return config, row, tokenizer


def _check_vocabulary(name, tokenizer, config):
    """Where the tokenizer's files are missing, `transformers` makes one of special tokens alone, and says nothing."""
    words = len(set(tokenizer.get_vocab()) - set(tokenizer.get_added_vocab()))
    if words < max(2, config.vocab_size / 100):  # embeddings may have more rows than words, but not so many
        knows = f"the tokenizer of {name} knows {words} words, the model {config.vocab_size}: its files are missing"
        raise SkillkitError(f"{knows}; put them there with `tokenizer.save_pretrained`")


def _load_model(name, source, row, options):
    """The one place where a configuration becomes a module with weights."""
    checked, config = {"output_loading_info": True, "ignore_mismatched_sizes": True}, options["config"]
    auto_class, table = (getattr(transformers, name) for name in _CLASSES[row.family])
    pruned = getattr(config, "pruned", None)
    if pruned:  # a folder that `skillkit.neurons.pruning` made
        auto_class = narrow_class(table[type(config)], row)
    check_sums(source)
    checked |= gguf_files.options(options.get("gguf_file"))
    model, info = _read(auto_class, name, source, options | checked)
    # `transformers` puts random weights where some are missing. Tied ones do not count as missing.
    lost = sorted([*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])])
    if lost:
        fits = f"{len(lost)} weights that fit {type(model).__name__}, such as {lost[0]}"
        raise SkillkitError(
            f"the checkpoint {name!r} lacks {fits}; use one saved with its language-model head"
        )
    _check_weights(name, row, model, info["unexpected_keys"])
    if pruned and info["unexpected_keys"]:  # elsewhere that is some other head; here it would be a constant
        weight = (
            f"weights that its config.json does not mention, such as {sorted(info['unexpected_keys'])[0]}"
        )
        raise SkillkitError(
            f"the pruned checkpoint {name!r} holds {weight}; take both from one folder that was saved"
        )
    return gguf_files.as_plain(model)


def _check_memory(name, row, config, dtype, device):
    """A model larger than the memory would end the process without a word."""
    if device is None or device.type not in ("cpu", "cuda"):  # a device map finds its own places
        return
    on_gpu, auto_class = device.type == "cuda", getattr(transformers, _CLASSES[row.family][0])
    try:
        with torch.device("meta"), quiet():
            weights = sum(weight.numel() for weight in auto_class.from_config(config).parameters())
    except Exception:  # what is wrong with the configuration is said when the weights are read
        return
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    if weights * dtype.itemsize > free:
        kind, gigabytes = str(dtype).removeprefix("torch."), lambda size: f"{size / 1e9:.1f} GB"
        takes = (
            f"{name} takes {gigabytes(weights * dtype.itemsize)} in {kind}, and {gigabytes(free)} are free"
        )
        half = f"; dtype='bfloat16' would take {gigabytes(2 * weights)}" * (dtype.itemsize > 2)
        raise SkillkitError(f"too little memory: {takes}{half}")


def _check_weights(name, row, model, unexpected):
    """All weights are numbers, and there are no more layers of them than the configuration says."""
    layers = [path.replace(".", r"\.").format(r"\d+") for path in row.value]
    if left := [key for key in unexpected if any(re.search(layer, key) for layer in layers)]:
        more = f"has layers of which its config.json does not know, such as {left[0]}"
        raise SkillkitError(f"the checkpoint {name!r} {more}; take both from one folder")
    weights = [
        key for key, weight in model.named_parameters() if not (weight.is_meta or weight.isfinite().all())
    ]
    if weights:
        raise SkillkitError(f"the checkpoint {name!r} holds no finite numbers in {weights[0]}; get it again")


def _source(name, gguf_file=None):
    """(a folder that exists, or a hub id; the GGUF file in it as an option): what `from_pretrained` is given."""
    known = None if gguf_file else find_checkpoint(name)
    if name in CARRIED and known is None:
        return CARRIED[name].hub, {}
    place, gguf_file = gguf_files.parted(str(known or name), gguf_file)
    options, folder = {"gguf_file": gguf_file} if gguf_file else {}, Path(place).expanduser()
    if (folder / (gguf_file or "config.json")).is_file():
        return str(folder), options
    if (folder / "adapter_config.json").is_file():
        own = (
            "is a PEFT adapter, no model; merge it into its base model with merge_and_unload(), and save that"
        )
        raise SkillkitError(f"the folder {name} {own}")
    if folder.is_dir():
        others = [file.name for file in sorted(folder.glob("*.gguf"))]
        give = f"give gguf_file={others[0]!r}" if others else "give the folder that `save_pretrained` wrote"
        raise SkillkitError(f"the folder {name} has no config.json; {give}")
    if known:
        there = ", ".join(key for key in list_backbones() if key.startswith("embedded/"))
        raise SkillkitError(f"no backbone {name!r} is shipped; there are {there}")
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise SkillkitError(
            f"there is no folder {name}; give a folder with config.json, or a hub id like roberta-base"
        )
    return name, options


def _read(auto_class, name, source, options):
    try:
        with quiet():
            return auto_class.from_pretrained(source, trust_remote_code=False, **options)
    except Exception as error:
        file = options.get("gguf_file")
        here = file and (Path(source) / file).is_file()
        sentence = gguf_files.problem(file, error) if here else _problem(name, source, error)
        raise SkillkitError(sentence) from error


def _problem(name, source, error):
    text, cause = " ".join(str(error).split()), type(error.__cause__).__name__
    if isinstance(error, ValueError) and "model type" in text:
        return f"the architecture of {name!r} is not known to the installed transformers: {text[:160]}"
    needed = re.search("tiktoken|sentencepiece|protobuf", text, re.IGNORECASE)
    there = not Path(source).is_dir() or any(Path(source).glob("*.model"))
    if needed and there and not (find_spec("google") and find_spec("google.protobuf")):
        return f"the tokenizer of {name!r} is a sentencepiece file, which takes protobuf to read: pip install protobuf"
    if Path(source).is_dir():
        text = (
            "its weights are damaged or pickled code; get them as safetensors"
            if "weights_only" in text
            else text
        )
        return f"the checkpoint in {name} cannot be read: {text[:200]}"
    offline = "connect" in text or "offline" in text.lower()
    if offline or cause in ("LocalEntryNotFoundError", "OfflineModeIsEnabled"):
        if name in CARRIED:
            return f"{name!r} is not on this machine; get it with {CARRIED[name].commands}"
        nowhere = f"{name!r} is neither a folder nor on this machine, and the hub cannot be reached"
        return f"{nowhere}; check the name, go online, or give a folder"
    return f"the hub gives no model {name!r} ({text[:200]}); list_backbones() has names that work"


def _dtype(dtype):
    # By itself `from_pretrained` would keep a checkpoint's half precision: too coarse to compare activations.
    found = torch.float32 if dtype == "auto" else getattr(torch, str(dtype).removeprefix("torch."), None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise SkillkitError(
            f"dtype {dtype!r} is not a floating-point type; try 'auto', 'float32' or 'bfloat16'"
        )
    return found


def find_device(device):
    """The torch device of that name; SkillkitError for one that is not here.

    >>> find_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise SkillkitError(f"device {quoted(device)} cannot be used here; try 'cpu' or 'auto'") from error
