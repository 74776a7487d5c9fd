"""Parameters of the notebooks: one strict model per notebook.

>>> validate("01_prompt_tuning", {"prompt_length": 8}).seeds
[0, 1, 2]

Papermill takes unknown and wrongly typed parameters without a word; here each is one sentence, told before
any kernel starts.
"""

import ast
import difflib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from skillkit.core.errors import SkillkitError

Recipes = Literal[
    "embedded", "embedded-short", "local", "local-long", "skill-neuron", "prompt-transferability"
]
Layouts = Literal["mask-first", "zero-position", "prefix", "suffix", "encoder"]
Positive = Annotated[int, Field(ge=1)]
Names = Annotated[list[str], Field(min_length=1)]
Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class Parameters(BaseModel):
    """What every notebook takes; a subclass adds its own.

    >>> SmallWorld(examples=3).device
    'auto'
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    data_root: str | None = Field(None, description="folder with local data sets; None: the hub")
    device: str = Field("auto", description='"auto", "cpu", "cuda", "cuda:1", …')
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="number format")
    out: str | None = Field(None, description="folder of the results; None: runs/notebooks/<notebook>")


class SmallWorld(Parameters):
    """00_the_small_world: the texts of the embedded world, and what each embedded model knows of them.

    >>> SmallWorld().examples
    2
    """

    backbones: Names = Field(
        ["embedded/roberta", "embedded/bert", "embedded/gpt2", "embedded/t5"],
        description="embedded models to look at",
    )
    examples: Positive = Field(2, description="texts shown per task")
    seed: int = Field(0, ge=0, description="which texts are shown")


class Prompted(Parameters):
    """What every notebook takes that looks at tuned prompts; equal settings share their stored prompts.

    >>> Prompted(seeds=[4]).recipe
    'embedded'
    """

    backbone: str = Field("embedded/roberta", description="embedded/…, a hub name or a folder")
    tasks: Names = Field(
        [
            "world/movies",
            "world/restaurants",
            "world/gadgets",
            "world/rooms",
            "world/questions",
            "world/reports",
        ],
        description="tasks to tune on",
    )
    seeds: Seeds = Field([0, 1, 2], description="one prompt per task and seed")
    prompt_length: Positive = Field(16, description="trained vectors per prompt")
    recipe: Recipes = Field("embedded", description="training")
    layout: Layouts | None = Field(
        None, description="where the prompt stands; None: the default of the model's family"
    )
    max_steps: Positive | None = Field(None, description="end of the training; None: the recipe's")
    max_train_examples: Positive | None = Field(None, description="None: all")
    max_test_examples: Positive | None = Field(None, description="None: all")


class PromptTuning(Prompted):
    """01_prompt_tuning: soft prompts on several tasks, against a random prompt, BitFit and an adapter.

    >>> PromptTuning(baselines=["random"]).max_test_examples
    300
    """

    tasks: Names = Field(["world/movies", "world/news", "world/rooms"], description="tasks to tune on")
    max_test_examples: Positive | None = Field(300, description="None: all")
    init: Literal["random", "vocabulary", "label-words"] = Field(
        "random", description="where tuned vectors begin"
    )
    epochs: Positive | None = Field(None, description="end of the training; None: the recipe's")
    batch_size: Positive | None = Field(None, description="None: the recipe's")
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(None, description="None: the recipe's")
    baselines: list[Literal["random", "bitfit", "adapter"]] = Field(
        ["random", "bitfit", "adapter"], description="what to compare with"
    )
    nearest_words: Positive = Field(5, description="nearest words shown per vector")


class Probed(Prompted):
    """What every notebook takes that probes tuned prompts; equal settings share their stored probes.

    >>> Probed(top=0.1).baseline
    'mean'
    """

    max_test_examples: Positive | None = Field(250, description="rows that report; None: all")
    probe_examples: Positive | None = Field(
        250, description="rows for baselines, rows to choose on; None: all"
    )
    baseline: Literal["mean", "median"] = Field("mean", description="of the training activations")
    permutations: int = Field(20, ge=2, description="how often labels are permuted, to see what luck does")
    top: float = Field(0.05, gt=0, lt=1, description="share of every layer that counts as skill neurons")


class Probing(Probed):
    """02_probing: which single neurons tell the classes apart; luck, the winner's curse, and controls.

    >>> Probing(tasks=["world/movies"]).permutations
    20
    """

    tasks: Names = Field(["world/movies", "world/gadgets", "world/rooms"], description="tasks to probe")
    shown_texts: Positive = Field(3, description="texts shown that excite a neuron most, and least")


class SkillNeurons(Probed):
    """03_skill_neurons: from predictivity to skill neurons; ensembles; specificity and overlap of tasks.

    >>> SkillNeurons(ensembles=[1, 5]).top
    0.05
    """

    tasks: Names = Field(
        [
            "world/movies", "world/restaurants", "world/gadgets", "world/hotels", "world/rooms",
            "world/questions", "world/reports",
        ],
        description="tasks to compare, of several types",
    )  # fmt: skip
    ensembles: Annotated[list[Positive], Field(min_length=1)] = Field(
        [1, 5, 25], description="how many neurons vote together"
    )


class Suppression(Prompted):
    """04_suppression: what a model loses with its skill neurons, against as many random ones.

    >>> Suppression().backbone, Suppression().kind
    ('embedded/gpt2', 'mean')
    """

    backbone: str = Field("embedded/gpt2", description="embedded/…, a hub name or a folder")
    others: list[str] = Field(["embedded/roberta"], description="further models, measured at one rate")
    tasks: Names = Field(
        ["world/movies", "world/restaurants", "world/gadgets", "world/rooms"],
        description="tasks whose skill neurons are suppressed",
    )
    seeds: Seeds = Field([0, 1, 2, 3, 4, 5, 6, 7], description="one prompt per task and seed")
    max_test_examples: Positive | None = Field(60, description="rows at every point of a curve; None: all")
    map_examples: Positive = Field(30, description="rows at every point of the other figures")
    probe_examples: Positive | None = Field(
        250, description="rows for baselines, rows to choose on; None: all"
    )
    rates: list[Annotated[float, Field(gt=0, le=0.5)]] = Field(
        [0.1, 0.2], min_length=1, description="shares of every layer that are suppressed"
    )
    rate: float = Field(0.2, gt=0, le=0.5, description="the one at which statements are judged")
    kind: Literal["zero", "mean", "gaussian"] = Field("mean", description="what suppressed neurons become")
    alpha: float = Field(0.1, gt=0, description="standard deviation of the gaussian noise")
    positions: Literal["prompt", "text"] | None = Field(None, description="where; None: everywhere")
    draws: int = Field(4, ge=2, description="random draws at every rate")


class Transferability(Prompted):
    """06_transferability: prompts on other tasks and in other models, and what foretells where they work.

    >>> Transferability(others=[]).indicator
    'cosine_mean'
    """

    backbone: str = Field("embedded/gpt2", description="embedded/…, a hub name or a folder")
    others: list[str] = Field(
        ["embedded/roberta"], description="further models, beside it in sections 1 and 2; [] leaves that out"
    )
    tasks: Names = Field(
        [
            "world/movies", "world/restaurants", "world/gadgets", "world/hotels", "world/rooms",
            "world/scenes", "world/questions", "world/reports",
        ],
        description="sources and targets, several of a type",
    )  # fmt: skip
    seeds: Seeds = Field([0, 1], description="one prompt per task and seed")
    recipe: Recipes = Field("embedded-short", description="training")
    max_test_examples: Positive | None = Field(50, description="rows of every cell of a matrix; None: all")
    random_prompts: int = Field(3, ge=2, description="draws of the untrained control")
    masked_share: float = Field(0.1, gt=0, le=0.5, description="most activated share that is switched off")
    indicator: Literal["E_concat", "E_average", "C_concat", "C_average", "cosine_mean", "ON"] = Field(
        "cosine_mean", description="chooses the prompt to start from"
    )
    start_targets: list[str] = Field(
        ["world/hotels", "world/reports"], description="tasks tuned from other prompts; [] leaves that out"
    )
    start_steps: Positive = Field(16, description="length of that tuning")
    project_from: str | None = Field(
        "embedded/roberta", description="whose prompts are translated; None: the backbone"
    )
    project_to: list[str] = Field(
        ["embedded/gpt2", "embedded/t5"], description="models they are translated for; [] leaves that out"
    )
    project_tasks: Names = Field(["world/movies", "world/questions"], description="a projector learns on")
    unseen_tasks: Names = Field(["world/gadgets", "world/reports"], description="it is tried on as well")
    project_steps: Positive = Field(20, description="steps of training")
    published: str | None = Field(
        None, description="folder of published prompts: only their indicators are studied"
    )
    published_backbones: Names = Field(["Roberta", "T5"], description="as in the names of their folders")


class Pruning(Prompted):
    """05_pruning: really smaller models that keep a few neurons, and what that costs and gains.

    >>> Pruning(shares=[0.5]).further_steps
    10
    """

    tasks: Names = Field(["world/movies"], description="tasks of two classes")
    max_test_examples: Positive | None = Field(200, description="rows that report; None: all")
    probe_examples: Positive | None = Field(
        300, description="rows for baselines, rows to choose on; None: all"
    )
    shares: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)] = Field(
        [0.02, 0.1, 0.3], description="shares of the neurons kept in each pruned layer"
    )
    layers: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = Field(
        None, description="the pruned layers; None: all but the lowest quarter"
    )
    draws: Positive = Field(2, description="random sets of neurons per share")
    further_steps: Positive | None = Field(10, description="further tuning on the pruned model; None: none")
    batch_sizes: Annotated[list[Positive], Field(min_length=1)] = Field(
        [1, 8, 32], description="to measure speed at"
    )
    text_length: Positive = Field(64, description="tokens in each text whose reading is timed")
    rounds: Positive = Field(5, description="how often each model takes its turn")
    base_rounds: int = Field(3, ge=0, description="the same at the shape of RoBERTa-base; 0: leave it out")


class KnowledgeNeurons(Parameters):
    """07_knowledge_neurons: which neurons hold a fact, and what happens to it when they are touched.

    >>> KnowledgeNeurons(languages=["english"]).positions
    'answer'
    """

    backbone: str = Field("embedded/roberta", description="embedded/…, a hub name or a folder")
    source: str = Field("world", description='"world", or a file or folder of facts (PARAREL, mPARAREL)')
    languages: Names | None = Field(None, description="None: all")
    relations: Names | None = Field(None, description="None: all")
    per_relation: Positive | None = Field(10, description="facts of each relation; None: all")
    minimum_prompts: Positive = Field(3, description="a fact with fewer phrasings is left out")
    maximum_prompts: Positive | None = Field(None, description="phrasings of a fact that are used; None: all")
    fact: str | None = Field(None, description="key of the fact shown step by step; None: the first")
    rule: Literal["right", "left", "endpoints", "gauss-legendre"] = Field(
        "right", description="of the integral"
    )
    steps: int = Field(20, ge=2, description="points of the integral")
    adaptive: float = Field(0.2, ge=0, lt=1, description="threshold, as a share of the highest score")
    share: Annotated[float, Field(ge=0, lt=1)] | None = Field(0.5, description="None: adapted by relation")
    positions: Literal["everywhere", "answer"] = Field("answer", description="where neurons are scaled")
    factors: Annotated[list[float], Field(min_length=2)] = Field(
        [0.0, 0.5, 1.0, 1.5, 2.0, 3.0], description="scales of the curves"
    )
    draws: Positive = Field(2, description="sets of random neurons per fact")
    neighbours: Positive = Field(2, description="facts of the same and of other relations that are asked too")
    edit_form: Literal["normed", "plain"] = Field("normed", description="how value vectors are edited")
    edit_strength: Annotated[list[float], Field(min_length=1, max_length=2)] = Field(
        [1.0, 8.0], description='two numbers for "normed", one for "plain"'
    )
    erase_top: Positive = Field(20, description="neurons that are erased with a relation")
    erase_examples: Positive | None = Field(None, description="facts of a relation asked then; None: all")
    closer: Positive = Field(16, description="facts looked at more closely")
    shards: Positive = Field(1, description="parts of the facts, each stored by itself")
    shard: int | None = Field(None, ge=0, description="the one part to compute, from 0; None: all")
    seed: int = Field(0, ge=0, description="of the drawn facts, random neurons and edits")


class ViewOf(BaseModel):
    """A clean and an adversarial set of one task; the fields are arguments of `adversarial_view`.

    >>> ViewOf(task="glue/sst2", adversarial="adv_glue/sst2").strength
    1.0
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    task: str = Field(description="what prompts are tuned on")
    adversarial: str = Field(description="an attack, or an adversarial set")
    strength: float = Field(1.0, ge=0, le=1, description="of an attack")
    clean: str | None = Field(None, description="where clean test rows come from; None: the task")
    paired: bool | None = Field(None, description="whether the rows of two sets are pairs in the same order")
    without: list[str] = Field([], description="classes that are left out")


class AdversarialRobustness(Prompted):
    """08_adversarial_robustness: accuracy and skill neurons on clean and on adversarial texts, and repair.

    >>> AdversarialRobustness(attacks=["typos"], neuron_attack="typos").strengths
    [0.5, 1.0]
    """

    others: list[str] = Field(
        ["embedded/t5", "embedded/gpt2"], description="models of other families, set beside the backbone"
    )
    tasks: Names = Field(
        ["world/movies", "world/restaurants", "world/rooms"], description="tasks that are attacked"
    )
    seeds: Seeds = Field([0, 1], description="one prompt per task and seed")
    attacks: Names = Field(["typos", "negation", "characters"], description="attacks made on every task")
    strengths: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.5, 1.0], min_length=1, description="of the attacks"
    )
    views: list[ViewOf] = Field([], description="adversarial sets to take instead of attacks")
    max_test_examples: Positive | None = Field(80, description="test rows on each side; None: all")
    probe_examples: Positive | None = Field(
        200, description="rows for baselines, rows to choose on; None: all"
    )
    baseline: Literal["clean", "adversarial"] = Field("clean", description="of adversarial activations")
    neuron_attack: str = Field("characters", description="the attack under which neurons are looked at")
    top: float = Field(0.05, gt=0, lt=1, description="share of every layer that counts as skill neurons")
    tops: list[float] = Field([0.01, 0.02, 0.05, 0.1, 0.2], min_length=1, description="shares to compare at")
    rates: list[float] = Field([0.0, 0.05, 0.15], min_length=2, description="shares of neurons suppressed")
    draws: Positive = Field(2, description="draws of random neurons")
    pushes: list[float] = Field([0.5, 1.0], min_length=1, description="how hard neurons may be pushed")
    repair_rows: Positive = Field(64, description="adversarial rows to tune further on")
    repair_steps: Positive = Field(12, description="steps of that")

    @field_validator("neuron_attack")
    @classmethod
    def _is_made(cls, attack, info):
        if attack not in info.data.get("attacks", [attack]):
            raise PydanticCustomError("not_made", "should be one of the attacks")
        return attack


NOTEBOOKS: dict[str, type[Parameters]] = {
    "00_the_small_world": SmallWorld,
    "01_prompt_tuning": PromptTuning,
    "02_probing": Probing,
    "03_skill_neurons": SkillNeurons,
    "04_suppression": Suppression,
    "05_pruning": Pruning,
    "06_transferability": Transferability,
    "07_knowledge_neurons": KnowledgeNeurons,
    "08_adversarial_robustness": AdversarialRobustness,
}


def validate(notebook, values, where=None):
    """The parameters of a notebook, checked.

    >>> validate("01_prompt_tuning", {"prompt_length": 16}).prompt_length
    16

    Raises SkillkitError naming the notebook, the parameter and what was expected; `where` is said first.
    """
    if notebook not in NOTEBOOKS:
        raise SkillkitError(unknown(where, "there is no notebook", notebook, NOTEBOOKS))
    try:
        return NOTEBOOKS[notebook](**values)
    except ValidationError as error:
        raise SkillkitError(_told(notebook, error, where)) from None


def parameters_cell(notebook):
    """Names and values assigned in the cell of a notebook file that is tagged `parameters`.

    >>> parameters_cell("notebooks/01_prompt_tuning.ipynb")["prompt_length"]
    16

    Raises SkillkitError when there is no such cell, or when it holds more than plain assignments.
    """
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise SkillkitError(f"{notebook} needs one cell with the tag `parameters`; it has {len(tagged)}")
    try:
        statements = ast.parse("".join(tagged[0]["source"])).body
        return {one.targets[0].id: ast.literal_eval(one.value) for one in statements}  # type: ignore[attr-defined]
    except (AttributeError, SyntaxError, ValueError):
        raise SkillkitError(
            f"{notebook}: the cell tagged `parameters` may hold plain assignments only"
        ) from None


def _told(notebook, error, where):
    """One sentence for a ValidationError: the first fault, and how many more there are."""
    first, *others = error.errors()
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        sentence = unknown(where, f"{notebook} has no parameter", name, NOTEBOOKS[notebook].model_fields)
    else:
        expected = first["msg"].replace("Input should be", "should be")
        sentence = f"{where}: " * bool(where) + f"{notebook}: {name} {expected}, not {first['input']!r}"
    return sentence + f" (and {len(others)} more)" * bool(others)


def unknown(where, what, name, known):
    """One sentence about a name that is not there, with what is.

    >>> unknown("my.yaml", "there is no notebook", "01_prompt_tunning", NOTEBOOKS)
    "my.yaml: there is no notebook '01_prompt_tunning'; did you mean '01_prompt_tuning'?"
    """
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"
    return f"{where}: " * bool(where) + f"{what} {name!r}; {hint}"
