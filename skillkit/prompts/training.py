"""The training loop and the training job: a schedule, early stopping, the best weights kept, and checkpoints.

>>> job = Job(bb, {"movies": task}, find_layout(bb), 4, choose_recipe("skill-neuron", bb, max_steps=2, batch_size=16))
>>> weight = torch.zeros(4, bb.hidden_size, requires_grad=True)
>>> job.prompt = lambda name, turn=0: weight
>>> fitted = fit(job, {"weight": weight}, checkpoint="runs/checkpoint")
>>> fitted.best["weight"].shape, fitted.history
(torch.Size([4, 128]), [{'step': 2, 'loss': ..., 'score': ...}])

The backbone is frozen and in eval mode (no dropout), and the order of the batches is a function of seed and
epoch: a run has no hidden random state, so one that was killed continues to the same weights.
"""

import hashlib
import json
import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO

import torch

from skillkit.core.errors import SkillkitError, at_least
from skillkit.core.files import as_path, filling, own, remove
from skillkit.core.progress import progress as progress_bar
from skillkit.models import precision, training_dtype
from skillkit.prompts.dataset import Reading
from skillkit.prompts.evaluation import Evaluation
from skillkit.prompts.layouts import encode_for
from skillkit.prompts.recipes import given

# The maximum of every metric. Later weights could only tie, and ties do not replace the best, so training ends.
PERFECT = 1.0
# What may differ where a run is extended: when it ends.
ENDS = ("epochs", "max_steps", "patience")


class Job:
    """What training needs of one task or several: batches, the loss of a batch, and the validation score.

    >>> tasks = {"movies": task, "gadgets": other_task}
    >>> job = Job(bb, tasks, find_layout(bb), 4, choose_recipe("embedded", bb), seed=0, max_train_examples=40)
    >>> [(name, turn, len(rows)) for name, turn, rows in job.plan(epoch=0)][:3]
    [('movies', 0, ...), ('gadgets', 0, ...), ('movies', 1, ...)]

    tasks {name: Task}; length: rows of the prompt in `layout`. A subclass says with `prompt` which vectors are
    trained (or None at all), and may add to `loss`; `name` and `about` identify the run in messages, metadata
    and checkpoints. Raises SkillkitError for numbers that are too small, before texts are read.
    """

    name, about = "training", {}

    def __init__(self, bb, tasks, layout, length, recipe, seed=0, max_train_examples=None, dtype="float32"):
        at_least(0, seed=seed)
        at_least(1, **given({"max_train_examples": max_train_examples}))
        self.bb, self.tasks, self.layout, self.recipe, self.seed = bb, tasks, layout, recipe, int(seed)
        self.dtype, self.began = training_dtype(bb, dtype), time.time()
        self.words = {name: layout.label_ids(bb, task).to(bb.device) for name, task in tasks.items()}
        options = {"max_tokens": recipe.max_tokens, "segments": recipe.segments}
        encoded = lambda task, rows: encode_for(bb, task, rows, layout, length, **options)
        self.train, self.validation = {}, {}
        for name, task in tasks.items():
            self.train[name] = encoded(task, task.sample("train", max_train_examples, seed))
            self.validation[name] = encoded(task, task.sample("validation", recipe.validation_examples))

    def prompt(self, name, turn=0):
        """The vectors [L, H] in front of the texts of a task, at its `turn`-th batch of an epoch."""
        raise NotImplementedError

    def plan(self, epoch):
        """The batches of an epoch: (task, turn, row numbers). Tasks take turns, and shorter ones begin again."""
        size, seed = self.recipe.batch_size, (self.seed, epoch)
        plans = {name: rows.plan(size, seed) for name, rows in self.train.items()}
        turns = range(max(map(len, plans.values())))
        return [(name, turn, plans[name][turn % len(plans[name])]) for turn in turns for name in plans]

    def loss(self, batch, name, turn=0):
        """The loss to be minimised on a batch of a task: cross-entropy of the answer."""
        return self.cross_entropy(batch, name, self.prompt(name, turn))

    def cross_entropy(self, batch, name, weight):
        """Cross-entropy over the label words, or over the whole vocabulary, under the prompt `weight` [L, H]."""
        attached = self.layout.attach_trained(self.bb, weight, batch)
        words, labels = self.words[name], batch.labels.to(self.bb.device)
        whole = self.recipe.loss == "vocabulary"
        logits = self.bb.answer_logits(attached.inputs, attached.answer, None if whole else words)
        return torch.nn.functional.cross_entropy(logits, words[labels] if whole else labels)

    @torch.no_grad()
    def score(self):
        """The task's metric on the validation rows; the mean over several tasks."""
        scores = []
        for name, rows in self.validation.items():
            task, reading = self.tasks[name], Reading(self.bb, self.layout, self.prompt(name), rows)
            logits = reading.logits(self.words[name])
            scores.append(Evaluation(logits, rows.labels, tuple(task.labels), task.metric).score)
        return sum(scores) / len(scores)

    def result(self, state, metadata):
        """What is made of trained tensors {name: tensor on the CPU}, to be returned or saved: a subclass says what."""
        raise NotImplementedError

    def run(self, parameters, checkpoint=None, show=True):
        """Train these tensors {name: leaf}: the best ones on the CPU, and the metadata of the run.

        >>> state, metadata = job.run({"weight": weight}, show=False)
        """
        if checkpoint is None and (self.recipe.keep or self.recipe.extend):
            raise SkillkitError("what is kept or extended lies in a checkpoint; give checkpoint= a folder")
        with precision(self.bb, self.dtype):
            fitted = fit(self, parameters, checkpoint, show)
        measured = {"history": fitted.history, "best_step": fitted.best_step, "steps": fitted.step}
        measured |= {"validation_score": fitted.best_score, "seconds": round(time.time() - self.began, 2)}
        measured |= {"extended_at": fitted.extended_at} if fitted.extended_at else {}
        return {name: tensor.cpu() for name, tensor in fitted.best.items()}, self.about | measured


@dataclass
class Fitted:
    """What `fit` found, and while it runs, its state: also the content of a checkpoint.

    >>> fitted.best, fitted.best_score, fitted.best_step      # tensors of the best evaluation
    >>> fitted.history                # [{"step", "loss", "score"}, …], one per evaluation; without a loss at `curve_at`
    """

    step: int = 0
    best: dict = field(default_factory=dict)
    best_score: float = -math.inf
    best_step: int = 0
    waited: int = 0
    done: bool = False
    history: list = field(default_factory=list)
    kept: list = field(default_factory=list)  # the steps of what lies in the checkpoint besides
    extended_at: list = field(default_factory=list)


def fit(job, parameters, checkpoint=None, show=True):
    """Minimise the loss of a `Job` over `parameters` {name: leaf tensor}; keep those with the best score.

    >>> fit(job, {"weight": weight}, show=False).best_step
    2

    It ends with the recipe's steps, by its patience, or with a perfect score, which nothing can replace. With
    `checkpoint` (a folder) the state is written at every evaluation and taken up again when it is there.
    Raises SkillkitError when the loss is no longer a number, and when the checkpoint is another run's.
    """
    named, recipe, plan = list(parameters.values()), job.recipe, lru_cache(1)(job.plan)
    optimizer = torch.optim.AdamW(named, recipe.learning_rate, recipe.betas, recipe.eps, recipe.weight_decay)
    per_epoch, losses = len(plan(0)), []
    every = per_epoch if recipe.evaluate_every == "epoch" else recipe.evaluate_every
    total, state = total_steps(per_epoch, recipe), _resume(checkpoint, job, parameters, optimizer)
    log = _writer(recipe.log)
    with progress_bar(total=total, desc=job.name, disable=not show) as bar:
        bar.update(state.step)
        while state.step < total and not state.done:
            if state.step in set(recipe.curve_at) - {point["step"] for point in state.history}:
                state.history.append({"step": state.step, "score": job.score()})
            epoch, turn = divmod(state.step, per_epoch)
            losses.append(_update(optimizer, named, job, plan(epoch)[turn], state.step, total))
            state.step += 1
            bar.update()
            if state.step % every == 0 or state.step == total:
                _evaluated(state, parameters, job.score(), sum(losses) / len(losses), recipe)
                losses.clear()
                _logged(log, state, optimizer)
                _keep(checkpoint, job, parameters, state)
                bar.set_postfix(loss=f"{state.history[-1]['loss']:.3f}", best=f"{state.best_score:.3f}")
                _save(checkpoint, job, parameters, optimizer, state)
    return state


def total_steps(per_epoch, recipe):
    """How many steps the recipe's end means for so many batches in an epoch.

    >>> total_steps(7, choose_recipe("skill-neuron", bb, epochs=3))
    21
    """
    by_epochs = recipe.epochs and per_epoch * recipe.epochs
    ends = [end for end in (by_epochs, recipe.max_steps) if end is not None]
    if not ends or min(*ends, per_epoch) < 1:
        raise SkillkitError("training takes at least one step; give epochs or max_steps, and training rows")
    return min(ends)


def _update(optimizer, named, job, entry, step, total):
    """One optimiser step; the loss before it."""
    optimizer.zero_grad()
    (name, turn, rows), recipe, loss = entry, job.recipe, 0.0
    for part in job.train[name].batch(rows).split(recipe.accumulate):
        share = job.loss(part, name, turn) * (len(part) / len(rows))
        share.backward()
        loss = loss + share.detach().double()  # read once per step: reading waits for a GPU
    norm, loss = torch.nn.utils.clip_grad_norm_(named, recipe.clip), float(loss)
    if not (math.isfinite(loss) and norm.isfinite()):
        where = f"at step {step + 1} with learning rate {recipe.learning_rate:g}"
        remedy = "lower learning_rate, or use dtype='float32'"
        raise SkillkitError(f"the loss is no longer a finite number {where}; {remedy}")
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * rate_factor(step, total, recipe)
    optimizer.step()
    return loss


def rate_factor(step, total, recipe):
    """The share of the peak learning rate at a step: linear warm-up, then linear decay to 0 (or constant).

    >>> [rate_factor(step, 4, choose_recipe("embedded", bb, warmup=0.5)) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]

    Warm-up begins above 0. `transformers.get_scheduler` begins it at 0, where the first step changes nothing,
    and has no arguments that give these factors.
    """
    warm = round(recipe.warmup * total)
    if step < warm:
        return (step + 1) / warm
    return 1.0 if recipe.schedule == "constant" else (total - step) / max(total - warm, 1)


def _evaluated(state, parameters, score, loss, recipe):
    """Enter an evaluation into the state: history, the best weights, whether to go on."""
    state.history.append({"step": state.step, "loss": loss, "score": score})
    if score > state.best_score:
        state.best = {name: tensor.detach().clone() for name, tensor in parameters.items()}
        state.best_score, state.best_step, state.waited = score, state.step, 0
    else:
        state.waited += 1
    state.done = score >= PERFECT or recipe.patience is not None and state.waited >= recipe.patience


def _writer(log):
    """What takes the figures of a run: given, or a writer of TensorBoard's files into a folder."""
    if log is None or hasattr(log, "add_scalar"):
        return log
    try:
        from torch.utils.tensorboard import SummaryWriter  # an extra
    except ImportError as error:
        raise SkillkitError(f"log={str(log)!r} takes TensorBoard: pip install tensorboard") from error
    return SummaryWriter(str(log))


def _logged(log, state, optimizer):
    if log is not None:
        figures = {name: state.history[-1][name] for name in ("loss", "score")}
        for name, value in (figures | {"learning_rate": optimizer.param_groups[0]["lr"]}).items():
            log.add_scalar(name, value, state.step)
        getattr(log, "flush", lambda: None)()


def _keep(checkpoint, job, parameters, state):
    """Leave the state of this evaluation beside the checkpoint, and only so many of those before."""
    if not job.recipe.keep:
        return
    now = {name: tensor.detach().cpu().clone() for name, tensor in parameters.items()}
    measured = {"history": list(state.history), "steps": state.step}
    measured["validation_score"] = state.history[-1]["score"]
    place = lambda step: as_path(checkpoint) / f"step-{step}"
    job.result(now, job.about | measured).save(own(place(state.step), "choose another folder"))
    state.kept.append(state.step)
    while len(state.kept) > job.recipe.keep:
        with suppress(SkillkitError):  # one that is no longer ours stays
            remove(place(state.kept.pop(0)))


def _save(checkpoint, job, parameters, optimizer, state):
    """Write the whole state into one file, renamed into place: a kill leaves the old one or the new one."""
    if checkpoint is None:
        return
    held = {"state": vars(state), "parameters": parameters, "optimizer": optimizer.state_dict()}
    with filling(checkpoint, "choose another folder") as fresh:
        content = BytesIO()
        torch.save({"about": json.dumps(job.about)} | held, content)
        (fresh / "checkpoint.pt").write_bytes(_sum(content.getvalue()) + content.getvalue())


def _sum(content):
    """sha256 as the first line of a checkpoint: in the same file, so that a kill cannot part them."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n"


def _ends_later(file, about, job):
    """Whether the run in a checkpoint, `about`, is this one but for its end; SkillkitError where it is another."""
    flat = lambda about: about | about.get("recipe", {}) | {"recipe": None}
    there, here = flat(about), flat(json.loads(json.dumps(job.about)))
    others = [name for name in there | here if there.get(name) != here.get(name)]
    if other := [name for name in others if not (job.recipe.extend and name in ENDS)]:
        differs = f"{other[0]} is {there.get(other[0])!r} there, {here.get(other[0])!r} here"
        remedy = "choose another folder or remove it" + ", or give extend=True" * (other[0] in ENDS)
        raise SkillkitError(f"{file} belongs to another run ({differs}); {remedy}")
    return bool(others)


def _resume(checkpoint, job, parameters, optimizer):
    """The state that a checkpoint holds, put back into parameters and optimiser; a fresh one without any."""
    file = as_path("" if checkpoint is None else checkpoint) / "checkpoint.pt"
    if job.recipe.extend and not file.exists():
        raise SkillkitError(f"there is no run in {checkpoint} to be extended; leave extend out to begin one")
    if checkpoint is None or not file.exists():
        return Fitted()
    try:
        first, _, content = file.read_bytes().partition(b"\n")
        if first + b"\n" != _sum(content):
            raise ValueError("it has changed since it was written")
        held = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        about, state = json.loads(held["about"]), Fitted(**held["state"])
    except Exception as error:  # what a damaged file raises depends on its bytes
        raise SkillkitError(
            f"{file} is empty or damaged, or more than tensors; remove it to start again"
        ) from error
    if _ends_later(file, about, job):
        state.extended_at.append(state.step)
        state.waited, state.done = 0, state.best_score >= PERFECT
    with torch.no_grad():
        for name, tensor in parameters.items():
            tensor.copy_(held["parameters"][name])
    optimizer.load_state_dict(held["optimizer"])
    state.best = {name: tensor.to(parameters[name]) for name, tensor in state.best.items()}
    return state
