"""Task definitions: the entries of `registry.yaml`, and the task files that users write.

>>> about, folder = task_file("glue/sst2", {})
>>> about.hub, about.config, about.text
('nyu-mll/glue', 'sst2', 'sentence')
"""

import re
from collections.abc import Set
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import Literal

import pydantic

from skillkit.core.errors import SkillkitError, listed
from skillkit.core.files import as_path, read_yaml
from skillkit.tasks.readers import SUFFIXES, name_and_kind
from skillkit.tasks.verbalizer import split_words, word_lists

SAVED = "task.yaml"  # in a folder that `Task.save` wrote
_METRIC = "(accuracy|f1|matthews)"


class TaskFile(pydantic.BaseModel):
    """A task YAML or an entry of the registry; the rows are at path or hub.

    >>> TaskFile(path="reviews.csv", text="review", label="stars", verbalizer=["bad", "good"])
    """

    model_config = pydantic.ConfigDict(extra="forbid")
    name: str = ""
    like: str | None = None  # a named task, whose fields hold where none are given here
    about: str = ""  # one line for list_tasks
    also: list[str] = []  # what published code calls it
    type: str = "custom"  # tasks of one type are expected to share neurons
    path: str | None = None  # file or folder, relative to the YAML
    folder: str | None = None  # its place under data_root; by default its name
    hub: str | None = None  # dataset of the hub, and where in it
    config: str | None = None
    revision: str | None = None
    data_dir: str | None = None
    splits: dict[Literal["train", "validation", "test"], str] = {}  # the source's name for each
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    header: bool | None = None  # of a CSV or TSV whose columns are numbers: whether its first line names them
    labels: list[str] | None = None  # in the order of their numbers; None: as the source declares, or sorted
    classes: list[int] | None = None  # keep these numbers only
    drop_unlabelled: bool = False
    verbalizer: list[str] | dict[str, list[str]] | None = None
    template: str | None = None
    leading_space: bool = True
    metric: str = pydantic.Field("accuracy", pattern=rf"^{_METRIC}(\+{_METRIC})*$")


@cache
def registry():
    """{name: fields} of every named task outside the small world.

    >>> registry()["glue/sst2"]["verbalizer"]
    ['negative', 'positive']
    """
    return read_yaml(Path(__file__).with_name("registry.yaml"), words=True)


def known_name(name):
    """The name in the registry that a name means: whatever its capitals and signs, with or without its folder.

    >>> known_name("SST2"), known_name("ethicsjustice"), known_name("glue/mnli"), known_name("no such")
    ('glue/sst2', 'ethics/justice', 'glue/mnli', None)
    """
    if name in registry():
        return name
    spelled = {_letters(also): own for own, fields in registry().items() for also in fields.get("also", [])}
    for own in registry():
        short = own.removeprefix("glue/").removeprefix("ethics/")
        spelled |= {_letters(own): own} | {_letters(short): own}
    return spelled.get(_letters(name))


def _letters(name):
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _inherited(given, path):
    """The fields of a task file, over those of the named task that it is `like`, whose data it reads."""
    like = given.get("like")
    if like is None:
        return given
    if not isinstance(like, str) or like not in registry():
        raise SkillkitError(
            f"{path} is like {like!r}, which is no named task; list_tasks() names those there are"
        )
    return {"folder": like} | registry()[like] | given


def task_file(name, fields):
    """(TaskFile, the folder its path is relative to) of a named task, a YAML or a data path; None if neither.

    >>> task_file("my.csv", {"text": "review"})
    (TaskFile(name='my', …), PosixPath('.'))

    `fields` override those of the registry or the YAML. Raises SkillkitError for a file that cannot be read and a
    field that is not one.
    """
    path, folder = as_path(name).expanduser(), Path()
    path = path / SAVED if (path / SAVED).is_file() else path
    known = str(name) if str(name) in registry() or path.exists() else known_name(str(name))
    if known in registry():
        given = {"name": known} | registry()[known]
    elif path.suffix in (".yaml", ".yml"):
        given, folder = {"name": path.stem} | _inherited(read_yaml(path, words=True), path), path.parent
    elif path.exists() or name_and_kind(path)[1] in SUFFIXES:
        given = {"name": path.name if path.is_dir() else name_and_kind(path)[0], "path": str(path)}
    else:
        return None
    given = {field: value for field, value in given.items() if value not in ("", "null", "~")}
    fields = {field: list(value) if isinstance(value, tuple) else value for field, value in fields.items()}
    try:
        return TaskFile(**_numbered_columns(_lists(given | fields, str(name)))), folder
    except pydantic.ValidationError as error:
        first, known = error.errors()[0], ", ".join(TaskFile.model_fields)
        wrong = f"field {'.'.join(map(str, first['loc']))!r}: {first['msg']}"
        raise SkillkitError(f"task {str(name)!r}, {wrong}; the fields are {known}") from error


def _lists(fields, name):
    """The fields with labels and words as lists; SkillkitError for what has no order."""
    for field in ("labels", "classes"):
        if isinstance(fields.get(field), str | Set):
            raise SkillkitError(f"{field} of task {name!r} is a list, not {fields[field]!r}")
    if fields.get("verbalizer") is not None:
        fields["verbalizer"] = split_words(fields["verbalizer"])
        word_lists(fields["verbalizer"], name)
    if fields.get("labels") is not None:
        fields["labels"] = [str(label) for label in listed(fields["labels"])]
    return fields


def _numbered_columns(fields):
    """Columns given by number are those of a file without a header, unless `header` says otherwise."""
    columns = {name: fields[name] for name in ("text", "text_pair", "label") if name in fields}
    if any(isinstance(column, Integral) and not isinstance(column, bool) for column in columns.values()):
        return {"header": False} | fields | {name: str(column) for name, column in columns.items()}
    return fields
