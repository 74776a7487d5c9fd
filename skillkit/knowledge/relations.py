"""Relation sets: facts with several phrasings each, from the small world, PARAREL or mPARAREL.

>>> facts = load_facts("world", language="english")
>>> facts[0].prompts[0], facts[0].object
('the capital of velmora is [MASK].', 'hilvek')
>>> facts, skipped = facts.askable(bb)                   # what this model can be asked; why it cannot be the rest

PARAREL: Elazar et al. 2021, with the facts of LAMA's T-REx; mPARAREL: Fierro and Søgaard 2022.
"""

import json
import random
from collections import defaultdict
from dataclasses import dataclass, replace
from numbers import Integral
from os import PathLike

from skillkit import small_world
from skillkit.core.errors import SkillkitError, check_objects
from skillkit.core.files import as_path
from skillkit.core.names import by_name
from skillkit.knowledge.clozes import MASK, as_list, encode_cloze

_COLUMNS, _LISTS = {"relation", "uuid", "subject", "object", "prompts"}, ("prompts", "unseen")


@dataclass(frozen=True)
class Fact:
    """One fact in one language: `object` belongs at the `[MASK]` of every prompt.

    >>> fact.key                                # the uuid is shared by a fact's languages, the key is not
    'capital-00/english'
    """

    relation: str
    uuid: str
    subject: str
    object: str
    prompts: tuple[str, ...]
    language: str = "en"
    unseen: tuple[str, ...] = ()

    @property
    def key(self):
        return f"{self.uuid}/{self.language}"

    @property
    def sentences(self):
        """Every phrasing with its answer.

        >>> fact.sentences[0]
        'the capital of velmora is hilvek.'
        """
        return [prompt.replace(MASK, self.object) for prompt in self.prompts]


class Facts(list):
    """A list of facts, of one relation or several, in one language or several.

    >>> facts
    Facts: 1… facts of 6 relations in 1 language
    """

    def __repr__(self):
        names = ({getattr(fact, name) for fact in self} for name in ("key", "relation", "language"))
        counted = zip(map(len, names), ("fact", "relation", "language"))
        return "Facts: {} of {} in {}".format(*(f"{n} {word}{'s' * (n != 1)}" for n, word in counted))

    def __add__(self, others):
        return Facts([*self, *others])

    def askable(self, bb, minimum_prompts=1, maximum_prompts=None):
        """The facts with the prompts that a model can be asked, and {key: reason} of those with too few of them.

        >>> kept, skipped = facts.askable(gpt, minimum_prompts=3)       # a causal model's prompts end with the mask

        Of each fact's prompts the first `maximum_prompts` are kept (None: all).
        """
        check_objects(bb)
        kept, skipped = Facts(), {}
        for fact in self:
            prompts, reason = [], f"it has {len(fact.prompts)} prompts"
            for prompt in fact.prompts:
                try:
                    encode_cloze(bb, prompt, fact.object, repeat_mask=True)
                    prompts.append(prompt)
                except SkillkitError as error:
                    reason = str(error)
            if len(prompts) < max(minimum_prompts, 1):
                skipped[fact.key] = reason
            else:
                kept.append(replace(fact, prompts=tuple(prompts[:maximum_prompts])))
        return kept, skipped

    def pick(self, key=None):
        """The fact with this key, or the first one.

        >>> facts.pick("capital-00/english").object
        'hilvek'

        Raises SkillkitError when there is none, naming some of those there are.
        """
        chosen = next((fact for fact in self if key in (None, fact.key)), None)
        if chosen is None:
            there = ", ".join(fact.key for fact in self[:5]) or "none"
            raise SkillkitError(f"there is no fact {key!r} among those that are asked; the first are {there}")
        return chosen


def load_facts(source="world", language=None, relations=None, per_relation=None, shard=(0, 1), seed=0):
    """The facts of a source, in its order: `Facts`.

    >>> load_facts("../shared/data/pararel", per_relation=20)                                        # doctest: +SKIP
    >>> load_facts("../shared/data/mpararel", language=["en", "fr"], relations=["P36"])              # doctest: +SKIP

    source        "world"; a file (or a folder with one) of JSON lines with relation, uuid, subject, object and
                  prompts (PARAREL); or a folder with patterns/<language>/ and tuples/<language>/ (mPARAREL)
    language      one or several; None: all
    relations     one name or several; None: all
    per_relation  at most so many facts of each relation, drawn with `seed`; several languages get the same ones
    shard         (i, n): only every n-th fact, from the i-th on, so that n runs share the work

    Raises SkillkitError for a source that is none of these, languages or relations that it lacks, and a shard
    that there is not.
    """
    if not 0 <= shard[0] < shard[1]:
        raise SkillkitError(f"there is no shard {shard[0]} of {shard[1]}; they count from 0")
    if per_relation is not None and not (isinstance(per_relation, Integral) and int(per_relation) > 0):
        raise SkillkitError(f"per_relation is how many facts, a whole number from 1, not {per_relation!r}")
    language = language and as_list(language)
    facts = _read(source, language)
    if not facts:
        raise SkillkitError(f"{str(source)!r} is there, but holds no facts")
    for name, wanted in (("language", language), ("relation", relations)):
        there = sorted({getattr(fact, name) for fact in facts})
        wanted = as_list(wanted or there)
        if lost := [one for one in wanted if one not in there]:
            raise SkillkitError(f"{str(source)!r} has no {name} {lost[0]!r}; it has {', '.join(there[:40])}")
        facts = [fact for fact in facts if getattr(fact, name) in wanted]
    by_name(facts, (fact.key for fact in facts))
    kept = _drawn(facts, per_relation, shard, seed)
    return Facts(fact for fact in facts if fact.uuid in kept)


def as_facts(facts):
    """One or many facts as a list; SkillkitError for what is none, such as the name of a file.

    >>> as_facts(fact) == as_facts([fact])
    True
    """
    facts = as_list(facts)
    if odd := [one for one in facts if not isinstance(one, Fact)]:
        raise SkillkitError(f"{odd[0]!r} is no fact; give what load_facts returns")
    return facts


def by_relation(facts):
    """{relation: facts}, in order.

    >>> {relation: len(group) for relation, group in by_relation(facts).items()}
    {'capital': 25, …}
    """
    groups = defaultdict(list)
    for fact in facts:
        groups[fact.relation].append(fact)
    return dict(groups)


def _read(source, languages):
    if isinstance(source, str) and source == "world":
        plain = lambda row: row | {"uuid": row["uuid"].removesuffix("-" + row["language"])}
        return [_of_row(plain(row), source) for row in small_world.facts()]
    if not isinstance(source, str | PathLike):
        raise SkillkitError(f"facts come from 'world', a file or a folder, not a {type(source).__name__}")
    path = as_path(source).expanduser()
    if (path / "patterns").is_dir() and (path / "tuples").is_dir():
        return _multilingual(path, languages)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if len(files) != 1 or not files[0].is_file():
        raise SkillkitError(f"{path} holds no facts; give 'world', JSON lines, or patterns/ with tuples/")
    return [_of_row(row, files[0]) for row in _lines(files[0], _COLUMNS)]


def _of_row(row, file):
    several = lambda texts: texts if isinstance(texts, list) else [texts]
    lists = {name: several(row[name]) for name in _LISTS if name in row}
    for name in row.keys() & Fact.__dataclass_fields__.keys():
        if not all(isinstance(one, str) for one in lists.get(name, [row[name]])):
            kind = "a list of texts" if name in lists else "text"
            raise SkillkitError(f"{file}: {name} is {kind}, not {row[name]!r}")
    row = row | {name: tuple(texts) for name, texts in lists.items()}
    return Fact(**{name: row[name] for name in Fact.__dataclass_fields__ if name in row})


def _multilingual(path, languages):
    """Every tuple in every pattern of its relation; a fact's uuid is made of its entities."""
    there = sorted(folder.name for folder in (path / "tuples").iterdir() if folder.is_dir())
    facts = []
    for language in languages if languages and set(languages) <= set(there) else there:
        for file in sorted((path / "tuples" / language).glob("*.jsonl")):
            patterns = path / "patterns" / language / file.name
            forms = [line["pattern"] for line in _lines(patterns, {"pattern"})] if patterns.is_file() else []
            forms = [form for form in forms if "[X]" in form and form.count("[Y]") == 1]
            rows = _lines(file, _TUPLE) if forms else []
            facts += [_of_tuple(file.stem, language, forms, row) for row in rows]
    return facts


_TUPLE = {"sub_label", "obj_label", "sub_uri", "obj_uri"}


def _of_tuple(relation, language, forms, row):
    subject, answer = row["sub_label"], row["obj_label"]
    prompts = tuple(form.replace("[X]", subject).replace("[Y]", MASK) for form in forms)
    return Fact(relation, f"{relation}-{row['sub_uri']}-{row['obj_uri']}", subject, answer, prompts, language)


def _lines(file, columns):
    """The objects of a file of JSON lines, each with these columns."""
    try:
        # Other line ends, such as U+2028, stand inside strings.
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise SkillkitError(f"{file} cannot be read as JSON lines ({error})") from error
    for row in rows:
        if lost := columns - set(row if isinstance(row, dict) else ()):
            raise SkillkitError(f"{file}: the line {str(row)[:40]} lacks {', '.join(sorted(lost))}")
    return rows


def _drawn(facts, per_relation, shard, seed):
    """uuids that stay: in all languages at once, so that languages can be compared."""
    languages = {fact.language for fact in facts}
    shared, kept = defaultdict(set), set()
    for fact in facts:
        shared[fact.uuid].add(fact.language)
    for relation, group in by_relation(facts).items():
        uuids = list(dict.fromkeys(fact.uuid for fact in group))
        if per_relation is not None:
            uuids = [uuid for uuid in uuids if shared[uuid] == languages]
            chosen = set(random.Random(f"{seed}/{relation}").sample(uuids, min(per_relation, len(uuids))))
            uuids = [uuid for uuid in uuids if uuid in chosen]
        kept.update(uuids[shard[0] :: shard[1]])
    return kept
