"""Studies: YAML files that name notebooks and set their parameters.

>>> study = load_study("params/embedded.yaml")
>>> study.notebooks["01_prompt_tuning"].seeds
[0, 1, 2]
"""

from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_yaml
from skillkit.studies import params

_ENTRIES = ("name", "shared", "notebooks", "after")


@dataclass(frozen=True)
class Study:
    """A study: its name, its notebooks in order with validated parameters, and which of them wait for which.

    >>> load_study("params/embedded.yaml").after["02_probing"]
    ['01_prompt_tuning']
    """

    name: str
    notebooks: dict[str, params.Parameters]
    path: Path | None = None
    after: dict[str, list[str]] = field(default_factory=dict)


def load_study(path):
    """Read a study's YAML: `name`, `shared` parameters, `notebooks` with parameters of their own, `after`.

    >>> load_study("params/embedded.yaml").name
    'embedded'

    A shared parameter goes to every notebook that has it. Several notebooks run at once; `after` names those that
    a notebook waits for, so that it finds what they have made. The result is the same without it. Raises
    SkillkitError for a file that is missing or no YAML, for unknown notebooks and parameters, wrong types, and
    for `out`, which the run itself decides.
    """
    plain = read_yaml(path)
    for key in plain.keys() - set(_ENTRIES):
        raise SkillkitError(params.unknown(path, "a study has no entry", key, _ENTRIES))
    shared, notebooks = plain.get("shared") or {}, plain.get("notebooks")
    if not isinstance(notebooks, dict) or not notebooks:
        raise SkillkitError(
            f"{path}: `notebooks` must map each notebook to its parameters, like 01_prompt_tuning: {{}}"
        )
    checked = {name: merge(path, name, shared, own) for name, own in notebooks.items()}
    check_shared(path, shared, notebooks)
    return Study(study_name(path, plain), checked, Path(path), waits(path, plain.get("after"), notebooks))


def merge(path, notebook, shared, own):
    """The parameters of one notebook of a study, checked: the shared ones that it has, and its own.

    >>> merge("my.yaml", "01_prompt_tuning", {"backbone": "roberta-base"}, {"seeds": [0]}).seeds
    [0]
    """
    for part in (shared, {} if own is None else own):
        if not isinstance(part, dict):
            raise SkillkitError(f"{path}: parameters must be names with values (name: value), not {part!r}")
        if "out" in part:
            raise SkillkitError(f"{path}: `out` cannot be set in a study; give the folder with --out")
    fields = params.NOTEBOOKS[notebook].model_fields if notebook in params.NOTEBOOKS else {}
    fitting = {key: value for key, value in shared.items() if key in fields}
    return params.validate(notebook, fitting | (own or {}), where=path)


def check_shared(path, shared, notebooks):
    """Raise SkillkitError for a shared parameter that none of the notebooks has.

    >>> check_shared("my.yaml", {"backbone": "roberta-base"}, ["01_prompt_tuning"])
    """
    known = {field for name in notebooks for field in params.NOTEBOOKS[name].model_fields}
    for key in shared.keys() - known:
        raise SkillkitError(params.unknown(f"{path}: shared", "no notebook here has a parameter", key, known))


def study_name(path, plain):
    """The name in a study's YAML, else that of its file; it must be fit for a folder.

    >>> study_name("params/embedded.yaml", {})
    'embedded'
    """
    name = plain.get("name", Path(path).stem)
    if not isinstance(name, str) or not name or set(name) & set("/\\\0") or name.startswith("."):
        raise SkillkitError(f"{path}: `name` becomes the name of a folder and cannot be {name!r}")
    return name


def waits(path, after, notebooks):
    """Notebook → the notebooks it waits for, checked: all of them there, none waiting for itself.

    >>> waits("my.yaml", {"02_probing": "01_prompt_tuning"}, ["01_prompt_tuning", "02_probing"])
    {'02_probing': ['01_prompt_tuning']}
    """
    if not isinstance(after or {}, dict):
        raise SkillkitError(
            f"{path}: `after` must map a notebook to those it waits for, like 02_probing: 01_prompt_tuning"
        )
    after = {name: [given] if isinstance(given, str) else given for name, given in (after or {}).items()}
    for name in [*after, *(name for given in after.values() for name in given)]:
        if name not in notebooks:
            raise SkillkitError(params.unknown(f"{path}: after", "there is no notebook", name, notebooks))
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        raise SkillkitError(
            f"{path}: after: {' waits for '.join(error.args[1][::-1])}, so none can begin"
        ) from None
    return after
