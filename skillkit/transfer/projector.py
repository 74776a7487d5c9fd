"""Cross-model transfer: a projector turns prompts of one backbone into prompts of another.

>>> projector = train_projector(source_bb, target_bb, {"movies": task}, {"movies": source_prompt}, max_steps=2)
>>> projector.project(source_prompt, target_bb)             # a SoftPrompt for target_bb: zero-shot
>>> control = train_projector(source_bb, target_bb, tasks, prompts, constant=True, max_steps=2)

The projector of Su et al. 2022 (section 5) is flatten → 768 → LeakyReLU → flatten → LayerNorm per vector
(`depth=2`, `flatten=True`: num_proj_layers and flatten_proj in PromptHub, which does not use the former). The
projections published with that paper are one constant prompt per type of task: a projector that ignores the
source prompt does as well on tasks of the type it was trained on. Hence the control beside every figure.
"""

from dataclasses import dataclass, field
from itertools import combinations, product

import torch

from skillkit.core import SkillkitError, artifact
from skillkit.core.errors import at_least, of_kind
from skillkit.core.serialization import made_from, read_tensors, write_tensors
from skillkit.prompts import WITNESSES, Job, SoftPrompt, choose_recipe, find_layout, given, layout_key
from skillkit.transfer.zero_shot import by_seed, by_task, tuned_on

WIDTH = 768
# What a saved projector must have.
_NEEDED = (
    "source_fingerprint",
    "target_fingerprint",
    "source_shape",
    "target_shape",
    "options",
    "first.weight",
)
LOSSES = ("task", "distance", "both")
_SHAPE = {"depth": 2, "flatten": True}  # the published network; others are noted in the metadata


@dataclass(frozen=True, eq=False, repr=False)
class Projector:
    """A trained projector for one pair of backbones; see `train_projector`.

    >>> projector.project(prompt, target_bb).weight.shape        # [L, hidden size of the target]
    >>> projector.save("dir"); Projector.load("dir")

    weights   {name: tensor} of the two matrices and the norm; the control's one input as well
    metadata  the pair of backbones, shapes, layout, tasks, losses, history
    """

    weights: dict
    metadata: dict = field(metadata={"stored": "told"})

    def __repr__(self):
        about = self.metadata
        pair, tasks = f"{about['source']} → {about['target']}", ", ".join(about["tasks"])
        return f"Projector({pair}, {about['loss']} loss on {tasks}{', constant' * about['constant']})"

    def project(self, prompt, bb):
        """A prompt of the source backbone as a prompt of the target `bb`.

        >>> sk.evaluate(target_bb, task, projector.project(prompt, target_bb))

        Raises SkillkitError for a prompt of another backbone than the projector's source, or of another shape,
        and for a `bb` that is not its target.
        """
        of_kind(SoftPrompt, prompt=prompt)
        about = self.metadata
        mark = prompt.metadata.get("backbone_fingerprint", about["source_fingerprint"])
        if mark != about["source_fingerprint"] or bb.fingerprint != about["target_fingerprint"]:
            pair = prompt.metadata.get("backbone", "its backbone"), bb.name
            own = f"{about['source']} to {about['target']}, not {' to '.join(pair)}"
            raise SkillkitError(f"the projector maps prompts of {own}; train one for that pair")
        if list(prompt.weight.shape) != about["source_shape"]:
            shapes = f"{about['source_shape']}, not {list(prompt.weight.shape)}"
            raise SkillkitError(f"the projector takes prompts of shape {shapes}")
        with torch.no_grad():
            given = self.weights.get("constant", prompt.weight.float())
            weight = _projected(self.weights, given, about)
        metadata = dict(family=bb.family, backbone=bb.name, backbone_fingerprint=bb.fingerprint)
        metadata |= {"projected_from": about["source"]} | about["options"]
        return SoftPrompt(weight.float().cpu(), about["layout"], metadata)

    def mean_cosine(self, prompts, bb):
        """Mean cosine between the projections of prompts for different tasks: 1 where the input is ignored.

        >>> control.mean_cosine(prompts, target_bb)
        1.0...

        prompts: {name: SoftPrompt, or a list, of which the first counts}.
        """
        if len(prompts) < 2:
            raise SkillkitError("one projection has nothing to be compared with; give two tasks or more")
        flat = [self.project(mine[0], bb).weight.flatten().double() for mine in by_seed(prompts).values()]
        cosines = [torch.cosine_similarity(a, b, dim=0) for a, b in combinations(flat, 2)]
        return float(torch.stack(cosines).mean())

    def save(self, folder):
        """Write projector.safetensors and projector.json into `folder`."""
        write_tensors(folder, "projector", self.weights, self.metadata)

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote; SkillkitError when it is missing, empty or damaged."""
        weights, metadata = read_tensors(folder, "projector", *_NEEDED)
        with made_from(folder, "projector"):
            of_kind(dict, options=metadata["options"])
            of_kind(str, **{name: metadata[name] for name in ("layout", "source", "target")})
            there = list(_projected(weights, torch.zeros(metadata["source_shape"]), metadata).shape)
            if there != metadata["target_shape"]:
                raise ValueError(f"its prompts have the shape {there}")
        return cls(weights, metadata)


def _resolve(arguments):
    recipe = choose_recipe(arguments["recipe"], arguments["target_bb"])
    layout = layout_key(arguments["target_bb"], arguments["layout"], recipe.layout)
    overrides = {name: one for name, one in given(arguments["overrides"]).items() if name not in WITNESSES}
    other = {name: arguments[name] for name, usual in _SHAPE.items() if arguments[name] != usual}
    return {"recipe": recipe.plain(), "overrides": overrides | other} | layout


@artifact("projector", version=1, ignore=("progress", *_SHAPE), resolve=_resolve)
def train_projector(
    source_bb, target_bb, tasks, prompts, targets=None, loss="task", constant=False, layout=None, seed=0,
    max_steps=None, recipe="embedded", learning_rate=1e-3, max_train_examples=None, progress=True, depth=2,
    flatten=True, **overrides,
) -> Projector:  # fmt: skip
    """Learn to turn prompts of `source_bb` into prompts of `target_bb`: a `Projector`.

    >>> own = {name: tune_prompt(target_bb, task, length=4, max_steps=2) for name, task in tasks.items()}
    >>> train_projector(source_bb, target_bb, tasks, prompts, targets=own, loss="both", max_steps=2)

    tasks     {name: Task} to train on; a list of them; or one Task, with its prompts (and targets) alone
    prompts   {name: SoftPrompt, or a list of them} of the source backbone, all of one shape
    targets   {name: SoftPrompt} of the target backbone, for the distance loss
    loss      "task" (cross-entropy of the target backbone under the projected prompt), "distance" (mean
              squared distance to the target's own prompt of the task), or "both", added
    constant  the control: every source prompt is replaced by the mean of them all, so that the projector can
              only learn one prompt
    layout    of the projected prompts; None: the default of the target's family
    depth     how many matrices, with a LeakyReLU between two; 1: a linear map
    flatten   False: every vector is projected by itself, by the same matrices, which are much smaller
    The other arguments are those of `tune_prompt`, but for the learning rate: a network takes smaller steps than
    bare vectors. A batch holds texts of one task, tasks take turns.

    The best weights on the tasks' validation splits (mean score) are kept, for the loss "distance" as well.
    Su et al. 2022, section 5.1. Raises SkillkitError, before any training, for prompts of other backbones,
    shapes or tasks, for a missing target, and for an unknown loss.
    """
    tasks, prompts, targets = by_task(tasks, prompts, targets)
    prompts, targets = by_seed(prompts), targets or {}
    sides = [("source", source_bb, prompts), ("target", target_bb, by_seed(targets))]
    _check(loss, tasks, sides[:1] if loss == "task" else sides)
    recipe = choose_recipe(recipe, target_bb, max_steps=max_steps, learning_rate=learning_rate, **overrides)
    shape = {"depth": depth, "flatten": bool(flatten)}
    options = (constant, layout, recipe, seed, max_train_examples, shape)
    job = _Job(target_bb, tasks, prompts, targets, loss, *options)
    weights, metadata = job.run(job.weights, show=progress)
    for side, bb, _ in sides:
        metadata |= {side: bb.name, f"{side}_fingerprint": bb.fingerprint}
    return Projector(weights | ({"constant": job.mean} if constant else {}), metadata)


class _Job(Job):
    """The training job of a projector: the prompts of each task's texts are the projections of its own."""

    def __init__(
        self, bb, tasks, prompts, targets, kind, constant, layout, recipe, seed, max_train_examples, shape
    ):
        self.inputs = {
            name: torch.stack([one.weight.float() for one in mine]) for name, mine in prompts.items()
        }
        self.mean = torch.cat(list(self.inputs.values())).mean(0)
        if constant:
            self.inputs = dict.fromkeys(self.inputs, self.mean[None])
        self.targets = {name: one.weight for name, one in targets.items()}
        length, width = self.mean.shape
        layout = find_layout(bb, layout or (recipe.layout if bb.family == "masked" else None))
        super().__init__(bb, tasks, layout, length, recipe, seed, max_train_examples)
        self.name, self.kind = "projector", kind
        self.about = dict(layout=layout.name, tasks=list(tasks), loss=kind, constant=constant, seed=self.seed)
        self.about["options"] = {"max_tokens": recipe.max_tokens, "segments": recipe.segments}
        self.about |= {"source_shape": [length, width], "target_shape": [length, bb.hidden_size]}
        self.about |= {name: one for name, one in shape.items() if one != _SHAPE[name]}
        self.weights = _initial(self.about, seed, bb.device)

    def prompt(self, name, turn=0):
        """The projection of one source prompt of a task; several take turns."""
        projected = _projected(self.weights, self.inputs[name].to(self.bb.device), self.about)
        return projected[turn % len(projected)]

    def loss(self, batch, name, turn=0):
        weight = self.prompt(name, turn)
        if self.kind == "task":
            return self.cross_entropy(batch, name, weight)
        distance = torch.nn.functional.mse_loss(weight, self.targets[name].to(weight))
        return distance if self.kind == "distance" else distance + self.cross_entropy(batch, name, weight)


def _name(at):
    """What the matrices are called: the published two had names before there could be more."""
    return ("first", "second")[at] if at < 2 else f"matrix_{at + 1}"


def _initial(about, seed, device):
    """Weights as `torch.nn.Linear` and `LayerNorm` start with, from a seed of their own."""
    of, depth = _SHAPE | about, (_SHAPE | about)["depth"]
    at_least(1, depth=depth)
    ends = [
        length * width if of["flatten"] else width
        for length, width in (of["source_shape"], of["target_shape"])
    ]
    sizes = [ends[0], *[WIDTH] * (depth - 1), ends[1]]
    with torch.random.fork_rng():
        torch.manual_seed(int(seed))
        parts = {_name(at): torch.nn.Linear(*sizes[at : at + 2]) for at in range(depth)}
    parts = torch.nn.ModuleDict(parts | {"norm": torch.nn.LayerNorm(about["target_shape"][1])})
    return {name: one.detach().to(device).requires_grad_() for name, one in parts.named_parameters()}


def _projected(weights, prompt, about):
    """[…, L, H of the source] → […, L, H of the target]."""
    functional, shape, of = torch.nn.functional, about["target_shape"], _SHAPE | about
    vectors = prompt.flatten(-2) if of["flatten"] else prompt
    for at in range(of["depth"]):
        vectors = functional.leaky_relu(vectors) if at else vectors
        vectors = functional.linear(vectors, weights[f"{_name(at)}.weight"], weights[f"{_name(at)}.bias"])
    vectors = vectors.unflatten(-1, shape) if of["flatten"] else vectors
    return functional.layer_norm(vectors, shape[1:], weights["norm.weight"], weights["norm.bias"])


def _check(loss, tasks, sides):
    if loss not in LOSSES:
        raise SkillkitError(f"a projector learns by {', '.join(LOSSES)}, not {loss!r}")
    if not tasks:
        raise SkillkitError("a projector needs at least one task to be trained on; give tasks")
    lengths = set()
    for (side, bb, prompts), name in product(sides, tasks):
        if not prompts.get(name):
            raise SkillkitError(f"there is no {side} prompt for {name}; tune one, or leave the task out")
        lengths |= {tuned_on(bb, one, f"the {side} prompt {name}").length for one in prompts[name]}
    if len(lengths) > 1:
        several = " and ".join(map(str, sorted(lengths)))
        raise SkillkitError(f"the prompts have {several} vectors; a projector takes one length")
