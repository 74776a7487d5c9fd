"""The published code itself, loaded from clones in the folder that SKILLKIT_PEERS names; nothing of it is copied.

Which clones, and what agrees: docs/peers.md. The code was written for `transformers` 3 and 4 and for a GPU. What it
imports and is gone, or not installed here, is replaced for the length of a test: by nothing where it is not used, else
by the few lines below.
"""

import copy
import importlib
import json
import logging
import os
import runpy
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from transformers import pytorch_utils

# Imported and not needed by what is run here: names of modules that are there, and modules that are gone.
UNUSED_NAMES = (
    "transformers.AdapterConfig",
    "transformers.AutoModelWithLMHead",
    "transformers.modeling_utils.find_pruneable_heads_and_indices",
    "transformers.modeling_utils.prune_linear_layer",
    "transformers.file_utils.cached_path",
    "datasets.load_metric",
)
UNUSED_MODULES = {
    "cgi": "test",
    "cgitb": "text",
    "transformers.data.metrics": "glue_compute_metrics",
    "turtle": "forward",
}


class OldModel(torch.nn.Module):
    """In the place of `PreTrainedModel`, for classes of models that are in their own files."""

    weights: dict = {}

    def __init__(self, config, *_):
        super().__init__()
        self.config = config

    @classmethod
    def from_pretrained(cls, _, config):
        model = cls(config)
        missing, _ = model.load_state_dict(cls.weights, strict=False)
        assert all("prompt_embeddings" in name or "position_ids" in name for name in missing), missing
        return model.to(next(iter(cls.weights.values())).dtype).eval().requires_grad_(False)

    def init_weights(self):
        pass

    def get_head_mask(self, _, layers):
        return [None] * layers

    def get_extended_attention_mask(self, mask, *_):
        return (1 - mask[:, None, None, :]) * -10000.0


@contextmanager
def _open_lines(path, mode):
    """`jsonlines.open`, for writing."""
    with Path(path).open(mode) as file:
        yield SimpleNamespace(write=lambda row: file.write(json.dumps(row) + "\n"))


def _repeat(tensor, pattern, r):
    """`einops.repeat`, in the one way that it is called."""
    assert pattern == "b d -> (r b) d"
    return tensor.repeat(r, 1)


def _module(monkeypatch, name, **contents):
    module = ModuleType(name)
    vars(module).update(contents)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def old_libraries(monkeypatch):
    """Today's libraries with what their code takes from old ones, and CUDA on the CPU."""
    for name in UNUSED_NAMES:
        monkeypatch.setattr(name, None, raising=False)
    for module, name in UNUSED_MODULES.items():
        _module(monkeypatch, module, **{name: None})
    chunking = pytorch_utils.apply_chunking_to_forward  # has moved
    monkeypatch.setattr("transformers.modeling_utils.apply_chunking_to_forward", chunking, raising=False)
    monkeypatch.setattr("transformers.file_utils.add_code_sample_docstrings", lambda **_: lambda one: one)
    _module(monkeypatch, "log", get_logger=logging.getLogger)
    _module(monkeypatch, "jsonlines", Reader=lambda file: map(json.loads, file), open=_open_lines)
    _module(monkeypatch, "einops", repeat=_repeat)
    to = torch.Tensor.to
    here = lambda one, *args, **named: to(one, *("cpu" if arg == "cuda" else arg for arg in args), **named)
    monkeypatch.setattr(torch.Tensor, "to", here)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda one: one)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


class Peer:
    """A clone: its modules and scripts, run in a folder of the test's own."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.patch, self.files = folder, monkeypatch, {}

    @contextmanager
    def old_models(self):
        """While their files of models are imported, and not longer: today's are imported when they are needed."""
        with self.patch.context() as meanwhile:
            meanwhile.setattr("transformers.modeling_utils.PreTrainedModel", OldModel)
            yield

    def without(self, module, name):
        """Leave out one of their modules, from which another takes a name."""
        _module(self.patch, module, **{name: None})

    def part(self, package, name):
        """A module of a package without its `__init__`, which imports all of it."""
        _module(self.patch, f"peer_{package}", __path__=[str(self.folder / package)])
        with self.old_models():
            return importlib.import_module(f"peer_{package}.{name}")

    def module(self, name):
        self.patch.syspath_prepend(self.folder)
        return importlib.import_module(name)

    def script(self, name, *line, **options):
        """Run a script with a command line; returns what it defined."""
        words = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        self.patch.setattr(sys, "argv", [name, *map(str, line), *words])
        self.patch.syspath_prepend(self.folder)
        return runpy.run_path(str(self.folder / name), run_name="__main__")

    def keep_files(self):
        """What their code loads and saves with torch are entries of `files`."""
        self.patch.setattr(torch, "load", lambda path, **_: self.files[path])
        self.patch.setattr(torch, "save", lambda what, path: self.files.update({path: what}))

    def serves(self, bb):
        """Their code is given the tokenizer, configuration and model of `bb` whichever it asks for."""
        self.patch.setattr(OldModel, "weights", bb.model.state_dict())
        parts = dict.fromkeys(("AutoTokenizer", "BertTokenizer", "T5TokenizerFast"), bb.tokenizer)
        parts |= {"AutoConfig": bb.model.config, "AutoModelForMaskedLM": bb.model}
        for name, part in parts.items():
            copied = lambda *_, part=part, **__: copy.deepcopy(part)
            auto = SimpleNamespace(from_pretrained=copied, from_config=type(bb.model))
            self.patch.setattr(f"transformers.{name}", auto)


@pytest.fixture
def clone(request, monkeypatch, tmp_path):
    """A function that gives the `Peer` in a clone, or skips; modules of theirs are forgotten afterwards."""
    everything = Path(os.environ.get("SKILLKIT_PEERS", "nowhere")).resolve()
    before = set(sys.modules)

    def open_clone(repository, folder=""):
        path = everything / repository / folder
        if not path.is_dir():
            pytest.skip(f"SKILLKIT_PEERS names no folder with a clone {repository}; see docs/peers.md")
        request.getfixturevalue("old_libraries")  # not before: it takes a while
        monkeypatch.chdir(tmp_path)
        return Peer(path, monkeypatch)

    yield open_clone
    for name in set(sys.modules) - before:
        if str(everything) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
