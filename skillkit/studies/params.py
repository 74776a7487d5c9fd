"""Parameters of the notebooks: a strict model of each, made from its cell with the tag `parameters`.

>>> validate("01_prompt_tuning", {"prompt_length": 8}).seeds
[0, 1, 2]

A line of that cell is all there is about a parameter: name, type, default, and a comment with a description and, after
semicolons, the values that are allowed:

    steps: int = 20  # integration steps; ≥ 1
    top: float | None = 0.05  # share of the neurons; > 0, < 1
    kind: str = "mean"  # what suppressed neurons become; one of "zero", "mean", "gaussian"
    attack: str = "typos"  # the attack that is looked at; one of attacks
    seeds: list[int] = [0, 1]  # a prompt for each; ≥ 0
    others: list[str] = []  # further models; [] for none
    strength: list[float] = [1.0]  # of an edit; 1 to 2 values

Bounds and choices of a list are those of its elements. A list may be empty where the comment says what `[]` does, and
holds each value once, unless it has a fixed number of them; numbers are finite and of a sensible size, texts not empty.
`one of attacks` means another parameter, named further up; `dict` stands for the arguments of `adversarial_view`.
Papermill accepts unknown and wrongly typed parameters; here each is an error of one sentence, before any kernel starts.
"""

import ast
import difflib
import functools
import operator
import re
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
)
from pydantic_core import PydanticCustomError

from skillkit.core.errors import SkillkitError, first_mistake, quoted, short
from skillkit.core.files import read_json
from skillkit.core.provenance import PACKAGE

FOLDER = PACKAGE.parent / "notebooks"
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_BOUNDS = {"≥": "ge", ">": "gt", "≤": "le", "<": "lt"}


class ViewParameters(BaseModel):
    """A clean and an adversarial set of one task; the fields are arguments of `adversarial_view`.

    >>> ViewParameters(task="glue/sst2", adversarial="adv_glue/sst2").strength
    1.0
    """

    model_config = _STRICT

    task: str
    adversarial: str
    strength: float = Field(1.0, ge=0, le=1)
    clean: str | None = None
    paired: bool | None = None
    without: list[str] = []


_TYPES = {"int": int, "float": float, "str": str, "bool": bool, "dict": ViewParameters}
_LIMITS: dict[str, dict] = {
    "int": {"ge": -(2**31), "le": 2**32 - 1},
    "float": {"ge": -1e9, "le": 1e9},
    "str": {"max_length": 1000},
}


def notebooks():
    """Names of the notebooks in the folder `notebooks` beside the package.

    >>> notebooks()[0]
    '00_the_small_world'
    """
    return sorted(path.stem for path in FOLDER.glob("[!.]*.ipynb"))


def model(notebook, history=()):
    """The pydantic model of a notebook's parameters; its fields have default and description.

    >>> model("01_prompt_tuning").model_fields["seeds"].default
    [0, 1, 2]

    history: source of cells that were executed, where the parameters are looked for if the package is installed without
    the notebooks. Raises SkillkitError for an unknown notebook, and for one without a cell of parameters.
    """
    path = FOLDER / f"{notebook}.ipynb"
    if path.is_file():
        return _from_file(path, path.stat().st_mtime_ns)
    for source in () if FOLDER.is_dir() else history:
        if re.search(r"^out\b", source, re.MULTILINE):
            return _from_source(notebook, source)
    known = notebooks() or ["none; run from the repository"]
    raise SkillkitError(unknown("there is no notebook", notebook, known))


def validate(notebook, values, history=()):
    """The parameters of a notebook, checked.

    >>> validate("01_prompt_tuning", {"prompt_length": 16}).prompt_length
    16

    Raises SkillkitError naming the notebook, the parameter and what was expected.
    """
    return checked(model(notebook, history), values, notebook, "parameter")


def checked(kind, given, what, entry):
    """What was given as an object of a pydantic model, or a SkillkitError about the first mistake in it.

    >>> checked(ViewParameters, {"task": "glue/sst2", "adversarial": "adv_glue/sst2"}, "a view", "entry").strength
    1.0
    """
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        name, first = ".".join(map(str, error.errors()[0]["loc"])), error.errors()[0]["type"]
        if first == "extra_forbidden":
            raise SkillkitError(unknown(f"{what} has no {entry}", name, kind.model_fields)) from None
        raise SkillkitError(f"{what}: {first_mistake(error)}") from None


def twice(values):
    """[the first value that is in a list twice], or an empty list.

    >>> twice([0, 1, 0])
    [0]
    """
    counts = Counter(map(key_of, values))
    return [value for value in values if counts[key_of(value)] > 1][:1]


def key_of(value):
    """A value as a key of a dict.

    >>> key_of([0, 1])
    '[0, 1]'
    """
    return repr(value) if isinstance(value, dict | list | BaseModel) else value


def unknown(what, name, known):
    """One sentence about a name that is not there, with what is.

    >>> unknown("there is no notebook", "01_prompt_tunning", notebooks())
    "there is no notebook '01_prompt_tunning'; did you mean '01_prompt_tuning'?"
    """
    close = difflib.get_close_matches(str(name)[:100], list(known), n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"
    return f"{what} {quoted(name)}; {short(hint)}"


class _NotebookCell(BaseModel):
    cell_type: str
    source: str | list[str]
    metadata: dict[str, Any] = {}

    @property
    def text(self):
        return "".join(self.source)


class _Notebook(BaseModel):
    cells: list[_NotebookCell]


def read_cells(path):
    """The cells of a notebook file, each with cell_type, text and metadata; raises SkillkitError for a damaged file.

    >>> read_cells(FOLDER / "01_prompt_tuning.ipynb")[0].cell_type
    'markdown'
    """
    notebook = read_json(path, _Notebook)
    if notebook is None:
        raise SkillkitError(f"there is no notebook {short(path)}")
    return notebook.cells


@functools.lru_cache
def _from_file(path, changed):
    """The model of a notebook file; `changed` is the file's time, since a sweep asks thousands of times."""
    tagged = [cell.text for cell in read_cells(path) if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise SkillkitError(f"{path.name} needs one cell with the tag `parameters`; it has {len(tagged)}")
    return _from_source(path.stem, tagged[0])


def _from_source(notebook, source):
    """The model for the assignments of a cell, which is read without being run."""
    lines, fields, checks = source.splitlines(), {}, {}
    try:
        for line in ast.parse(source).body:
            target = line.target if isinstance(line, ast.AnnAssign) else line.targets[0]  # type: ignore[attr-defined]
            comment = lines[line.end_lineno - 1].encode()[line.end_col_offset :].decode().strip(" #")
            default = ast.literal_eval(line.value)
            kind = getattr(line, "annotation", None) or ast.parse(_type_of(default), mode="eval").body
            about, rules, among = _read_comment(comment)
            name = target.id  # type: ignore[union-attr]
            fields[name] = (_with_rules(kind, rules), Field(default, description=about))
            if among:
                checks[f"check_{name}"] = field_validator(name)(functools.partial(_is_among, among))
    except (AttributeError, KeyError, SyntaxError, ValueError):
        like = "plain assignments, such as steps: int = 20"
        raise SkillkitError(f"{notebook}: the cell tagged `parameters` may hold only {like}") from None
    return create_model(notebook, __config__=_STRICT, __validators__=checks, **fields)


def _type_of(value):
    """The annotation that a default speaks for."""
    return f"list[{_type_of(value[0])}]" if isinstance(value, list) else type(value).__name__


def _read_comment(comment):
    """(description, rules by name, parameter that lists the choices or None) of a parameter's comment."""
    about, rules, among = [], {}, None
    for part in comment.split("; "):
        if re.fullmatch(r"([≥>≤<] -?[\d.]+(, )?)+", part):
            rules |= {_BOUNDS[sign]: float(number) for sign, number in re.findall(r"(\S) ([-\d.]+)", part)}
        elif part.startswith('one of "'):
            rules["choices"] = ast.literal_eval(f"({part.removeprefix('one of ')},)")
        elif found := re.fullmatch(r"one of (\w+)", part):
            among = found[1]
        elif found := re.fullmatch(r"(\d) (?:or more|to (\d)) values", part):
            rules |= {"min_length": int(found[1]), "max_length": found[2] and int(found[2])}
        else:
            about.append(part)
            rules |= {"min_length": 0} if part.startswith("[]") else {}
    return "; ".join(about), rules, among


def _with_rules(node, rules):
    """The type of an annotation, its elements bound by the rules."""
    match node:
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return operator.or_(*(_with_rules(side, rules) for side in (left, right)))
        case ast.Subscript(value=ast.Name(id="list"), slice=element):
            sizes = {"min_length": rules.get("min_length", 1), "max_length": rules.get("max_length")}
            once = AfterValidator(lambda given: given if sizes["max_length"] else _each_once(given))
            return Annotated[list[_with_rules(element, rules)], Field(**sizes), once]  # type: ignore[misc]
    if "choices" in rules:
        return Literal[rules["choices"]]
    bounds = {name: value for name, value in rules.items() if name in _BOUNDS.values()}
    named = [AfterValidator(_is_a_name)] if node.id == "str" else []
    return Annotated[_TYPES[node.id], Field(**_LIMITS.get(node.id, {}) | bounds), *named]


def _each_once(values):
    if double := twice(values):
        raise PydanticCustomError("twice", "should have {value} once", {"value": quoted(double[0])})
    return values


def _is_a_name(text):
    if not text.strip() or "\0" in text:
        raise PydanticCustomError("no_name", "should be a name")
    return text


def _is_among(listing, value, info):
    """Whether a value is one of those that another parameter lists."""
    if value not in info.data.get(listing, [value]):
        raise PydanticCustomError("not_among", f"should be one of the {listing}")
    return value
