"""Safe YAML with the scalars of YAML 1.2: label words like `no` stay words, and 1e-3 is a number.

`$SKILLKIT_SHARED` in a value becomes the folder of local data and checkpoints, wherever that lies.

>>> read_yaml("params/embedded.yaml")["name"]
'embedded'
"""

import re
from pathlib import Path

import yaml

from skillkit.core.errors import SkillkitError
from skillkit.core.provenance import shared_folder


def read_yaml(path, loader=None):
    """A YAML file as a dict of plain data.

    >>> read_yaml("params/embedded.yaml")["name"]
    'embedded'

    A key given twice is an error, `yes` and `no` are words, 1e-3 is a number; `loader=Words` keeps numbers as
    strings. Raises SkillkitError with the line where the file is no YAML.
    """
    try:
        plain = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader or _Plain)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SkillkitError(f"cannot read {path}: {reason}") from None
    except yaml.YAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        raise SkillkitError(f"{path} is no YAML{line}: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(plain, dict):
        raise SkillkitError(f"{path} must hold names with values (name: value), not {type(plain).__name__}")
    return plain


def with_folder(text):
    """A text with the folder of local data sets and checkpoints put where `$SKILLKIT_SHARED` stands.

    >>> with_folder("$SKILLKIT_SHARED/data") == str(shared_folder() / "data")
    True
    """
    return text.replace("$SKILLKIT_SHARED", str(shared_folder()))


class _Once(yaml.constructor.BaseConstructor):
    """No key twice, and the folder of local data where `$SKILLKIT_SHARED` stands."""

    def construct_scalar(self, node):
        return with_folder(super().construct_scalar(node))

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


class Words(_Once, yaml.BaseLoader):
    """For `read_yaml`: every scalar stays a string, so that the label words yes, no and true are words.

    >>> read_yaml("params/tasks/reviews.yaml", Words)["labels"]
    ['1', '5']
    """


class _Plain(_Once, yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2, where label words like `no` stay words and 1e-3 is a number."""

    yaml_implicit_resolvers = {
        first: [
            (tag, pattern)
            for tag, pattern in pairs
            if not tag.endswith((":bool", ":float", ":int", ":timestamp"))
        ]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_NUMBER = "-+.0123456789"
for _kind, _pattern, _first in [
    ("bool", r"^(true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?[0-9]+$", _NUMBER),
    (
        "float",
        r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$",
        _NUMBER,
    ),
]:
    _Plain.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), list(_first))
