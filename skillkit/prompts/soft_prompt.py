"""The soft prompt: trained vectors in a model's input; saved, loaded, exchanged with PEFT.

>>> prompt = sk.tune_prompt(bb, task, length=16, max_steps=2)
>>> prompt.weight.shape, prompt.layout              # [16, H], "mask-first"
>>> prompt.save("dir"); sk.SoftPrompt.load("dir")   # prompt.safetensors + prompt.json
"""

import warnings
from dataclasses import dataclass, field, replace

import torch

from skillkit.core.errors import SkillkitError, at_least, check_objects, of_kind
from skillkit.core.hashing import content_hash
from skillkit.core.serialization import read_tensors, write_tensors
from skillkit.prompts.layouts import KEYS, find_layout
from skillkit.prompts.peft_io import read_adapter, read_published, write_adapter

INITS = ("random", "vocabulary", "label-words")


class Trained:
    """What a training gave, with its `metadata`: the base of `SoftPrompt` and `Tuned`.

    >>> isinstance(prompt, Trained)
    True
    """

    metadata: dict
    other: bool

    @property
    def options(self):
        """How texts must be encoded: as they were in training.

        >>> prompt.options
        {'max_tokens': None, 'segments': True}
        """
        return {name: self.metadata[name] for name in ("max_tokens", "segments") if name in self.metadata}

    def check_origin(self, bb):
        """Warn when the metadata say that this was trained on another backbone, unless `other` says that it is meant.

        >>> prompt.check_origin(bb)

        A pruned backbone or one in another precision keeps its name, and takes the prompts of the whole one.
        """
        own, weights = self.metadata.get("backbone", bb.name), self.metadata.get("backbone_fingerprint")
        named = bb.name.partition(", ")[0] == own.partition(", ")[0]
        if weights and not (self.other or named or weights == bb.fingerprint):
            nothing = f"this was tuned on {own}, not on {bb.name}, where it means nothing"
            warnings.warn(f"{nothing}; load it with other=True if that is meant", stacklevel=4)


@dataclass(frozen=True, eq=False, repr=False)
class SoftPrompt(Trained):
    """A soft prompt: trained vectors, their layout in the input, and metadata of their training.

    >>> prompt.weight            # [L, H] float32 on the CPU
    >>> prompt.layout            # its name; see `skillkit.prompts.layouts`
    >>> prompt.metadata          # backbone, task, recipe, seed, history, best step, …

    `other=True` says that it is meant for other backbones than the one it was tuned on too.
    """

    weight: torch.Tensor
    layout: str
    metadata: dict = field(default_factory=dict)
    other: bool = False

    def __post_init__(self):
        of_kind(torch.Tensor, weight=self.weight)

    @property
    def length(self):
        return len(self.weight)

    @property
    def fingerprint(self):
        """Hash of what a result of this prompt depends on: the vectors, the layout, how texts are encoded.

        >>> copy = SoftPrompt(prompt.weight.clone(), prompt.layout, prompt.metadata)
        >>> copy.fingerprint == prompt.fingerprint
        True
        """
        about = [KEYS.get(self.layout, self.layout), list(self.weight.shape), self.options]
        return content_hash(about, self.weight)

    def on(self, bb):
        """The prompt's layout, after a check that this backbone can take the prompt.

        >>> prompt.on(bb).attach(bb, prompt.weight, batch)

        Raises SkillkitError for a prompt of another width, or of a layout that is not for this family of
        models; warns of one that was tuned on another backbone.
        """
        layout = find_layout(bb, self.layout)
        if self.weight.dim() != 2 or self.weight.shape[1] != bb.hidden_size:
            wrong = f"has shape {list(self.weight.shape)}, but {bb.name} takes vectors of {bb.hidden_size}"
            raise SkillkitError(
                f"the prompt {wrong}; tune one on this backbone, or map it there with a projector"
            )
        self.check_origin(bb)
        made_for = self.metadata.get("family", bb.family)
        if made_for != bb.family:
            wrong = f"was made for a {made_for} model, {bb.name} is {bb.family}"
            raise SkillkitError(f"the prompt {wrong}; tune one on this backbone")
        return layout

    @torch.no_grad()
    def nearest_words(self, bb, k=5):
        """For each vector the `k` tokens whose embeddings have the highest cosine with it.

        >>> prompt.nearest_words(bb, 2)[0]
        [('...', 0...), ('...', 0...)]
        """
        self.on(bb)
        normed = torch.nn.functional.normalize
        words = normed(bb.embed(_vocabulary(bb).to(bb.device)).float().cpu())
        near = zip(*(one.tolist() for one in (normed(self.weight) @ words.T).topk(k)), strict=True)
        return [
            [(bb.tokenizer.decode([token]), value) for value, token in zip(*row, strict=True)] for row in near
        ]

    def save(self, folder):
        """Write prompt.safetensors and prompt.json into `folder`.

        >>> prompt.save("dir"); SoftPrompt.load("dir").layout
        'mask-first'
        """
        plain = {"layout": self.layout, "metadata": self.metadata}
        write_tensors(folder, "prompt", {"weight": self.weight}, plain)

    @classmethod
    def load(cls, folder, other=False):
        """Read what `save` wrote; SkillkitError when it is missing, empty or damaged.

        >>> prompt.save("dir"); torch.equal(SoftPrompt.load("dir").weight, prompt.weight)
        True
        """
        tensors, plain = read_tensors(folder, "prompt", "weight", "layout", "metadata", finite=True)
        layout, metadata = told(plain)
        return cls(tensors["weight"], layout, metadata, other)

    def to_peft(self, folder, bb):
        """Write a PEFT prompt-tuning adapter that gives the same logits.

        >>> prompt.to_peft("dir", bb)     # adapter_config.json, adapter_model.safetensors, skillkit.json

        "mask-first" becomes L + 1 vectors, row 0 the mask embedding; answers are read at slot 0 of the logits.
        `skillkit.json` keeps layout and metadata, PEFT ignores it. Raises SkillkitError for "suffix" and
        "zero-position", which PEFT cannot express, and for pairs tuned with segment ids.
        """
        write_adapter(self, folder, bb)

    @classmethod
    @torch.no_grad()
    def from_peft(cls, folder, bb):
        """Read a PEFT prompt-tuning adapter: one of `to_peft` in its own layout, a foreign one as a prefix.

        >>> prompt.to_peft("dir", bb)
        >>> torch.allclose(SoftPrompt.from_peft("dir", bb).weight, prompt.weight)
        True

        A masked prefix needs a task with a template, whose own mask is read. For T5, adapters with vectors for
        the decoder too (`num_transformer_submodules = 2`) are accepted; PEFT itself never uses those. Raises
        SkillkitError for other kinds of adapters and other widths.
        """
        prompt = cls(*read_adapter(folder, bb))
        return replace(prompt, weight=prompt.on(bb).trained(bb, prompt.weight.to(bb.device)).cpu())

    @classmethod
    def from_published(cls, path, layout=None):
        """Read a prompt that published code wrote; the folder it is in will do.

        >>> SoftPrompt.from_published("SST2PromptRoberta/task_prompt").layout      # doctest: +SKIP
        'zero-position'

        task_prompt        Su et al. 2022, Ackermann & Ohmer 2024: a bare tensor [100, H]
        best-backbone      Wang et al. 2022: "mask-first"; `metadata` notes the label words' tokens, and that their
                           prompt_size counts the mask: it is one more than our length
        pytorch_model.bin  PromptHub: "prefix" for masked models, for a task with the template "[MASK] {text}"

        Of a bare tensor the folder's name says the model: RoBERTa and BERT mean layout "zero-position" (row 0 is not
        trained), T5 "encoder"; `layout` says it where the name does not. As their code does, texts are cut at 128
        tokens (not those of `best-backbone`), and in "zero-position" label words are the tokens without a leading
        space (`metadata` says both; in other layouts of RoBERTa that takes a task with `leading_space=False`).
        Nothing but tensors is ever unpickled.
        """
        return cls(*read_published(path, layout))

    def __repr__(self):
        shape = " × ".join(map(str, self.weight.shape))
        return f"SoftPrompt({', '.join([shape, self.layout, *origin(self.metadata)])})"


def told(plain):
    """(layout, metadata) of what was saved, which must be a name and names with values.

    >>> told({"layout": "prefix", "metadata": {}})
    ('prefix', {})
    """
    layout, metadata = plain["layout"], plain["metadata"]
    of_kind(str, layout=layout), of_kind(dict, metadata=metadata)
    names = ("backbone", "family", "model_type", "backbone_fingerprint")
    of_kind(str, **{name: metadata[name] for name in names if name in metadata})
    return layout, metadata


def origin(metadata):
    """The origin of trained weights, as parts of a line: task, backbone, seed, validation score.

    >>> origin({"task": "world/movies", "backbone": "embedded/bert", "seed": 0, "validation_score": 0.98})
    ['world/movies on embedded/bert', 'seed 0', 'validation 0.980']
    """
    where = " on ".join(str(metadata[name]) for name in ("task", "backbone", "origin") if name in metadata)
    parts = {"": where, "seed ": metadata.get("seed"), "validation ": metadata.get("validation_score")}
    parts = {name: f"{part:.3f}" if isinstance(part, float) else part for name, part in parts.items()}
    return [f"{name}{part}" for name, part in parts.items() if part not in (None, "")]


def random_prompt(bb, length=16, seed=0, layout=None):
    """A random prompt, the control: untrained vectors from N(0, 1)/30.

    >>> sk.evaluate(bb, task, sk.random_prompt(bb, length=16, seed=0)).accuracy      # near chance

    Raises SkillkitError when `layout` is not for this family of models.
    """
    weight = initial_weight(bb, None, length, "random", seed)
    metadata = {"family": bb.family, "backbone": bb.name, "seed": int(seed), "init": "random"}
    return SoftPrompt(weight, find_layout(bb, layout).name, metadata)


def initial_weight(bb, task, length, init="random", seed=0, layout=None):
    """Initial vectors of a prompt, [length, H] float32.

    >>> initial_weight(bb, task, 16, "label-words")

    init: "random", N(0, 1)/30 as in Skill Neuron; "vocabulary", embeddings of tokens drawn from the
    vocabulary; "label-words", those of the label words, the rest from the vocabulary (Lester et al. 2021,
    section 3.2); or another SoftPrompt of that length (transfer as initialisation, Su et al. 2022).
    """
    check_objects(bb), at_least(1, most=10_000, length=length), at_least(0, seed=seed)
    random = torch.Generator().manual_seed(int(seed))
    if isinstance(init, SoftPrompt):
        init.on(bb)
        if init.length != length:
            raise SkillkitError(f"the initial prompt has {init.length} vectors, not {length}; use its length")
        return init.weight.detach().clone()
    if init not in INITS:
        raise SkillkitError(f"no initialisation {init!r}; choose {', '.join(INITS)} or give a SoftPrompt")
    if init == "random":
        return torch.randn(length, bb.hidden_size, generator=random) / 30
    ordinary = torch.tensor(sorted(set(_vocabulary(bb).tolist()) - set(bb.tokenizer.all_special_ids)))
    ids = ordinary[torch.randint(len(ordinary), (length,), generator=random)]
    if init == "label-words":
        words = find_layout(bb, layout).label_ids(bb, task).cpu()[:length]
        ids[: len(words)] = words
    with torch.no_grad():
        return bb.embed(ids.to(bb.device)).float().cpu().clone()


def _vocabulary(bb):
    """Ids of the tokens that have an embedding: tables may be longer than the vocabulary, or shorter."""
    return torch.arange(min(len(bb.tokenizer), bb.model.get_input_embeddings().num_embeddings))
